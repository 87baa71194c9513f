"""Which files are translated, and what their outputs are called: all of it settled before work begins.

Inputs are files, folders (with all images below them), patterns such as `archive/**/*.png`, and lists of files.
A video has to be named, by itself, a pattern or a list: a folder is one of images. The tree of a folder or pattern is
kept below the output folder. Two inputs never share an output, no output replaces an input, and none lies outside the
output folder.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from PIL import Image

from i2i.core import storage
from i2i.core.errors import I2IError, nearest
from i2i.media import images, video

WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")

_ONE = {".jpeg": ".jpg", ".tiff": ".tif"}  # two names of one format
_PICTURES = f"Images become {', '.join(WRITABLE)}."
_FILMS = f"Videos become {', '.join(video.WRITABLE)}."


@dataclass(frozen=True)
class Pair:
    """One image to translate. `name` is its path below what was given, with / on every system."""

    source: Path
    target: Path
    name: str


def collect_jobs(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    model: str,
    *,
    recursive: bool = True,
    suffix: str | None = None,
    listed: Iterable[str | Path] = (),
    root: str | Path | None = None,
) -> list[Pair]:
    """The images of `inputs` and of the list `listed`, and where each goes.

    output: a folder, or a file's name if there is one input file; None writes `photo.MODEL.jpg` beside `photo.jpg` and
    `holiday.MODEL/` beside `holiday/`. suffix: of all outputs, such as ".png"; None keeps each input's where it can be
    written. root: the paths of the list keep their tree below it. Raises I2IError if an input does not exist (one of a
    list fails later, alone), there is no image, two inputs would have one output, or an output would replace an
    input.
    """
    out = None if output is None else storage.locate(output)
    listed = list(listed)
    if suffix is not None:
        suffix = f".{suffix.lstrip('.').lower()}"
        if suffix not in WRITABLE + video.WRITABLE:
            raise I2IError(f"Images are not written as {suffix}.", nearest(suffix, WRITABLE + video.WRITABLE))
    single = len(inputs) == 1 and not listed
    pairs: list[Pair] = []
    for given in inputs:
        pairs += _pairs(given, out, model, recursive, single, suffix)
    for entry in listed:
        path = storage.locate(entry)
        below = path.relative_to(root) if root is not None and path.is_relative_to(root) else path
        inside = not (below.is_absolute() or storage.is_address(below)) and ".." not in below.parts
        name = below.as_posix() if inside else path.name
        pairs.append(Pair(path, _beside(path, model) if out is None else out / name, name))
    if not pairs:
        raise I2IError(
            f"There is no image in {', '.join(map(str, inputs)) or 'what was given'}.",
            f"Known formats: {' '.join(sorted(images.SUFFIXES))}.",
        )
    named = pairs[0].target == out
    if output is not None and not named:
        must_be_folder(output)
    if len(pairs) == 1 and suffix in WRITABLE and video.is_video(pairs[0].source):  # among images it stays a video
        raise I2IError(f"{pairs[0].source} is a video; it cannot be written as {suffix}.", _FILMS)
    settled = _settle(pairs, suffix, named)
    for pair in settled:
        if ".." in PurePosixPath(pair.name).parts:  # an object's name may hold anything
            raise I2IError(f"{pair.source} has a name that leads out of its folder.", "Give it another name.")
    if out is not None and not storage.is_address(out):
        _inside(settled, out)
    return settled


def must_be_folder(output: str | Path) -> None:
    """Raises I2IError if an output that is to be a folder is a file, or none yet and named like one."""
    out = storage.locate(output)
    if storage.is_address(out):
        return
    if out.is_file():
        raise I2IError(f"{out} is a file; these outputs go into a folder.", "Give one with --output.")
    meant = str(output).endswith(("/", os.sep)) or out.is_dir()
    if out.suffix.lower() in WRITABLE + video.WRITABLE and not meant:
        raise I2IError(f"{out} names one file; these outputs go into a folder.", "Give one with --output.")


def _pairs(
    given: str | Path, out: Path | None, model: str, recursive: bool, single: bool, suffix: str | None
) -> list[Pair]:
    path = storage.locate(given)
    if storage.is_address(path):
        found = _at_address(path, out, model, recursive)
        if found is not None:
            return found
    elif path.is_dir():
        return _folder(path, out, model, recursive)
    elif not path.exists() and glob.has_magic(str(path)):
        return _pattern(str(path), out, model)
    elif not path.exists():
        raise I2IError(f"There is no file or folder {path}.")
    elif not path.is_file():
        raise I2IError(f"{path} is neither a file nor a folder.")
    if out is None:
        return [Pair(path, _beside(path, model), path.name)]
    names_file = single and (storage.is_address(out) or not out.is_dir())
    if names_file and out.suffix.lower() in WRITABLE + video.WRITABLE:
        format_of(out, suffix)
        return [Pair(path, out, path.name)]
    if names_file and out.suffix.lower() in images.SUFFIXES + video.READABLE:
        raise I2IError(f"Images are not written as {out.suffix}.", f"{_PICTURES} {_FILMS}")
    return [Pair(path, out / path.name, path.name)]


def format_of(output: Path, format: str | None) -> str | None:
    """The suffix of an output that is named; `format` (such as png) where the name says none. Raises I2IError if both
    do and differ."""
    if not storage.is_address(output) and output.is_dir():
        raise I2IError(f"{output} is a folder.", "Give the file's name.")
    suffix = output.suffix.lower()
    asked = suffix if format is None else f".{format.lstrip('.').lower()}"
    if suffix not in WRITABLE + video.WRITABLE and format is not None:
        return asked
    if _ONE.get(asked, asked) != _ONE.get(suffix, suffix):
        raise I2IError(f"{output} is asked for, and the format {asked[1:]}.", "Give one of them.")
    return suffix or None


def _folder(folder: Path, out: Path | None, model: str, recursive: bool) -> list[Pair]:
    base = folder.resolve().with_name(f"{folder.resolve().name}.{model}") if out is None else out
    found = [p for p in images.find_images(folder, broken=True) if recursive or p.parent == folder]
    if storage.is_address(base):
        return [Pair(p, base / p.relative_to(folder).as_posix(), p.relative_to(folder).as_posix()) for p in found]
    inside = base.resolve()  # never read what was written before
    if inside != folder.resolve() and inside.is_relative_to(folder.resolve()):
        found = [p for p in found if not _below(p, inside)]
    return [Pair(p, base / p.relative_to(folder), p.relative_to(folder).as_posix()) for p in found]


def _at_address(path: Path, out: Path | None, model: str, recursive: bool) -> list[Pair] | None:
    """The images below a folder, or of a pattern, at an address; None if it is a file."""
    if glob.has_magic(str(path)):
        fixed = storage.locate(str(path)[: str(path).index(_first_magic(path))].rpartition("/")[0])
        found = storage.glob(str(path), images.SUFFIXES + video.READABLE)
        base = out
        if out is None:
            found = [p for p in found if not p.stem.endswith(f".{model}")]
    else:
        with storage.storage_errors(path):
            if not path.exists():
                raise I2IError(f"There is no file or folder {path}.")
            if path.is_file():
                return None
        fixed, found = path, storage.list_files(path, images.SUFFIXES)
        base = path.with_name(f"{path.name}.{model}") if out is None else out
    pairs = []
    for place in found:
        name = str(place)[len(str(fixed)) :].lstrip("/")
        if (recursive or "/" not in name) and not (base is not None and _written_there(place, base, fixed)):
            pairs.append(Pair(place, _beside(place, model) if base is None else base / name, name))
    return pairs


def _first_magic(path: Path) -> str:
    return next(part for part in str(path).split("/") if glob.has_magic(part))


def _written_there(place: Path, base: Path, fixed: Path) -> bool:
    """Whether an output folder below the inputs holds it already."""
    return str(base) != str(fixed) and str(place).startswith(f"{str(base).rstrip('/')}/")


def _pattern(pattern: str, out: Path | None, model: str) -> list[Pair]:
    fixed = Path(*(_before_magic(Path(pattern).parts) or ["."]))
    matches = sorted(map(Path, glob.iglob(pattern, recursive=True)))
    found = [p for p in matches if p.is_file() or (p.is_symlink() and not p.exists())]
    found = [p for p in found if p.suffix.lower() in images.SUFFIXES + video.READABLE]
    if out is None:  # what an earlier run wrote beside them
        found = [p for p in found if not p.stem.endswith(f".{model}")]
        return [Pair(p, _beside(p, model), p.relative_to(fixed).as_posix()) for p in found]
    if storage.is_address(out):
        return [Pair(p, out / p.relative_to(fixed).as_posix(), p.relative_to(fixed).as_posix()) for p in found]
    inside = out.resolve()
    found = [p for p in found if not _below(p, inside) or inside == fixed.resolve()]
    return [Pair(p, out / p.relative_to(fixed), p.relative_to(fixed).as_posix()) for p in found]


def _below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(folder)  # Path.resolve refuses links that go in a circle


def _before_magic(parts: Sequence[str]) -> list[str]:
    kept = []
    for part in parts[:-1]:
        if glob.has_magic(part):
            break
        kept.append(part)
    return kept


def _beside(path: Path, model: str) -> Path:
    return path.with_name(f"{path.stem}.{model}{path.suffix}")


def _settle(pairs: list[Pair], suffix: str | None, named: bool = False) -> list[Pair]:
    """Gives outputs a format that can be written, and sees that no two are one and none is an input.

    named: the user gave the output of the only pair its name."""
    plain = {_key(p.target) for p in pairs if _own_suffix(p, suffix, named) == p.target.suffix}
    settled: list[Pair] = []
    taken: dict[str, list[Pair]] = {}
    originals = {storage.identity(p.source) for p in pairs}
    for pair in pairs:
        target, wanted = pair.target, _own_suffix(pair, suffix, named)
        if wanted != target.suffix:
            short = target.with_suffix(wanted)
            clash = suffix is None and (_key(short) in plain or _key(short) in taken)
            target = target.with_name(target.name + wanted) if clash else short  # a.ppm beside a.png: a.ppm.png
        near = [p for p in taken.get(_key(target), ()) if not _apart(p.target, target)]
        if any(storage.identity(p.source) == storage.identity(pair.source) for p in near):
            continue
        if near:
            raise I2IError(
                f"{near[0].source} and {pair.source} would both become {target}.",
                "Translate them one by one, or into two folders.",
            )
        if storage.identity(target) in originals:
            raise I2IError(f"The output {target} would replace an input.", "Give another folder as output.")
        settled.append(Pair(pair.source, target, pair.name))
        taken.setdefault(_key(target), []).append(settled[-1])
    return settled


def _key(path: Path) -> str:
    """Names that differ in case or in how letters are composed are one file on some systems."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _apart(a: Path, b: Path) -> bool:
    """Whether two names with one key are two files: they differ, in case alone, where that is known to matter."""
    if str(a) == str(b):
        return False
    if storage.is_address(a):
        return True
    same = unicodedata.normalize("NFC", str(a)) == unicodedata.normalize("NFC", str(b))
    return not same and storage.is_case_sensitive(b.parent)


def _own_suffix(pair: Pair, suffix: str | None, named: bool) -> str:
    """The suffix of the output: as asked, or the input's own, or .png where that cannot be written well."""
    own = pair.target.suffix
    if video.is_video(pair.source):
        if pair.target.suffix.lower() in WRITABLE:
            raise I2IError(f"{pair.source} is a video; it cannot be written as {own}.", _FILMS)
        kept = own if own.lower() in video.WRITABLE else ".mp4"
        return suffix if suffix in video.WRITABLE and own.lower() != suffix else kept
    if (suffix or own.lower()) in video.WRITABLE:
        raise I2IError(f"{pair.source} is no video; it cannot be written as {suffix or own}.", _PICTURES)
    if named:
        return own
    if suffix is not None:
        return own if own.lower() == suffix else suffix
    if own.lower() == ".gif" and pair.source.suffix.lower() == ".gif" and not moves(storage.decoder_input(pair.source)):
        return ".png"  # a still GIF would lose colours for nothing
    return own if own.lower() in WRITABLE else ".png"


def moves(file: Path | BinaryIO) -> bool:
    """Whether an image file has several frames; False for what cannot be read."""
    try:
        with Image.open(file) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception as error:  # it will be named when it is read
        if isinstance(error, MemoryError):
            raise
        return False


def _inside(pairs: list[Pair], out: Path) -> None:
    """Refuses outputs that links would lead out of the output folder."""
    whole = os.path.realpath(out)
    for folder in {p.target.parent for p in pairs if p.target != out}:
        if os.path.commonpath([whole, os.path.realpath(folder)]) != whole:
            raise I2IError(f"{folder} is a link that leads out of {out}.", "Remove the link, or give another folder.")


def parse_shard(text: str) -> tuple[int, int]:
    """(i, n) of "i/n", 1 <= i <= n. Raises I2IError."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal()) or not 1 <= int(first) <= int(second):
        raise I2IError(f"The shard {text!r} is not understood.", "Give i/n with i from 1 to n, such as 1/4.")
    return int(first), int(second)


def in_shard(name: str, shard: tuple[int, int]) -> bool:
    """Whether the image `name` belongs to shard i of n: a hash of its name says so, the same on every machine."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shard[1] == shard[0] - 1


def read_list(file: Path, null: bool = False) -> list[str]:
    """The names in a list file (-: standard input), one a line, or separated by NUL bytes. Raises I2IError if it cannot
    be read."""
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise I2IError(f"The list {file} cannot be read: {error.strerror}.") from error
    if not null and b"\0" in data:
        raise I2IError(f"The list {file} holds NUL bytes.", "Give -0 if they stand between the names.")
    data = data.removeprefix(b"\xef\xbb\xbf")  # which Windows puts before text
    parts = data.split(b"\0") if null else data.splitlines()
    return [os.fsdecode(p) for p in parts if p.strip()]
