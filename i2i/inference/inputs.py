"""Which files are translated, decided before any work begins.

Inputs are files, folders (with all images below them), patterns such as `archive/**/*.png`, and lists of files. A
folder counts as a folder of images: a video in it is translated only if it is given by its name, a pattern or a list.
The tree of a folder or pattern is kept below the output folder.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from i2i.core import files, storage
from i2i.core.errors import I2IError, nearest
from i2i.core.files import open_regular
from i2i.core.suggest import did_you_mean, neighbors
from i2i.inference.outputs import (
    IMAGE_FORMATS,
    VIDEO_FORMATS,
    WRITABLE,
    FilePair,
    beside,
    must_be_folder,
    output_format,
    refuse_escapes,
    settle_outputs,
)
from i2i.media import formats, images, video

SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")  # of a file's name: out.heic is meant to be a file, out.2024 is not


class NoImages(I2IError):
    """The inputs hold no image that can be read. others: the files that they hold."""

    def __init__(self, inputs: Sequence[str | Path], others: list[Path]) -> None:
        formats_read = f"Formats that can be read: {' '.join(sorted(formats.readable()))}."
        super().__init__(
            f"There is no image in {', '.join(map(str, inputs)) or 'the list'}.",
            f"{formats_read} {formats.left_out(others)}".strip(),
        )
        self.others = others


def collect_jobs(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    model: str,
    *,
    recursive: bool = True,
    suffix: str | None = None,
    listed: Iterable[str | Path] = (),
    root: str | Path | None = None,
    others: list[Path] | None = None,
) -> list[FilePair]:
    """The images of `inputs` and of the list `listed`, and the output of each.

    output: a folder, or a file's name if there is one input file. None: `photo.MODEL.jpg` beside `photo.jpg`, and
    `holiday.MODEL/` beside `holiday/`. model: the name that stands for MODEL. recursive: whether folders below a folder
    count too. suffix: of all outputs, such as ".png"; None keeps each input's if it can be written, else takes .png.
    root: a folder; listed files below it keep their tree. others: gets files that are no readable images, of folders
    and patterns.

    Raises NoImages if there is none, and I2IError if an input does not exist (a listed file may be missing: it fails
    later, alone), two inputs would have one output, or an output would replace an input or lie outside the output
    folder.
    """
    others = [] if others is None else others
    out = None if output is None else storage.locate(output)
    listed = list(listed)
    if suffix is not None:
        suffix = f".{suffix.lstrip('.').lower()}"
        if suffix not in WRITABLE + video.WRITABLE:
            raise I2IError(f"Images cannot be written as {suffix}.", nearest(suffix, WRITABLE + video.WRITABLE))

    # every input file, with an output that may still have the wrong format
    alone = len(inputs) == 1 and not listed and not str(output).endswith(("/", os.sep))
    pairs: list[FilePair] = []
    for entry in inputs:
        pairs += _pairs_of_input(entry, out, model, recursive, alone, suffix, others)
    if out is None:
        pairs = _without_earlier_outputs(pairs, model)
    pairs += [_pair_of_list(storage.locate(entry), out, model, root) for entry in listed]
    if not pairs:
        raise NoImages(inputs, others)

    # the outputs' formats, and that each output is a file of its own inside the output folder
    named = pairs[0].target == out
    if output is not None and not named:
        must_be_folder(output)
    if len(pairs) == 1 and suffix in WRITABLE and video.is_video(pairs[0].source):  # among images it stays a video
        raise I2IError(f"{pairs[0].source} is a video; it cannot be written as {suffix}.", VIDEO_FORMATS)
    settled = settle_outputs(pairs, suffix, named)
    refuse_escapes(settled, out)
    return settled


def _pairs_of_input(
    entry: str | Path,
    out: Path | None,
    model: str,
    recursive: bool,
    alone: bool,
    suffix: str | None,
    others: list[Path],
) -> list[FilePair]:
    """The pairs of one file, folder or pattern; alone: there is no other input, so that `out` may name its output."""
    path = storage.locate(entry)
    if storage.is_address(path):
        pairs = _pairs_at_address(path, out, model, recursive, others)
        if pairs is not None:
            return pairs
    elif (kind := files.kind_of(path)) == "folder":
        return _pairs_of_folder(path, out, model, recursive, others)
    elif not kind and glob.has_magic(str(path)):
        return _pairs_of_pattern(str(path), out, model, others)
    elif not kind:
        raise I2IError(f"There is no file or folder {path}.", did_you_mean(neighbors(path)))
    elif kind != "file":
        raise I2IError(f"{path} is neither a file nor a folder.")
    if out is None:
        return [FilePair(path, beside(path, model), path.name)]
    may_be_file = alone and (storage.is_address(out) or not out.is_dir())
    if may_be_file and out.suffix.lower() in WRITABLE + video.WRITABLE:
        output_format(out, suffix)
        return [FilePair(path, out, path.name)]
    if may_be_file and out.suffix.lower() in (*formats.SUFFIXES, *formats.PLUGINS, *video.READABLE):
        raise I2IError(f"Images cannot be written as {out.suffix}.", f"{IMAGE_FORMATS} {VIDEO_FORMATS}")
    if may_be_file and not storage.is_address(out) and SUFFIX.fullmatch(out.suffix):
        raise I2IError(
            f"Images cannot be written as {out.suffix}.",
            f"{IMAGE_FORMATS} {VIDEO_FORMATS} If {out} is to be a folder, give {out}/.",
        )
    return [FilePair(path, out / path.name, path.name)]


def _without_earlier_outputs(pairs: list[FilePair], model: str) -> list[FilePair]:
    """The pairs without photo.MODEL.jpg where photo.jpg is an input, too: *.jpg names outputs of an earlier run.

    Nothing of a folder is left out, because its outputs go into another folder."""
    stems = {str(p.source.with_suffix("")) for p in pairs if p.source.parent == p.target.parent}
    earlier = {stem for stem in stems if (first := _before_model(stem, model)) and first in stems}
    return [p for p in pairs if str(p.source.with_suffix("")) not in earlier]


def _before_model(stem: str, model: str) -> str:
    """`photo` of photo.MODEL, an output of an earlier run, and of photo.MODEL_LABEL, one of its answers; else empty."""
    match = re.fullmatch(rf"(.+)\.{re.escape(model)}(_[^/\\]+)?", stem, re.DOTALL)
    return match[1] if match else ""


def _pair_of_list(path: Path, out: Path | None, model: str, root: str | Path | None) -> FilePair:
    """A relative path of a list, or one below `root`, keeps its tree; any other loses it."""
    if path.name in ("", ".", ".."):
        raise I2IError(f"The list holds {str(path)!r}, which is no name of a file.")
    is_below = root is not None and storage.is_address(root) == storage.is_address(path) and path.is_relative_to(root)
    below = path.relative_to(root) if root is not None and is_below else path
    keeps_tree = not (below.is_absolute() or storage.is_address(below)) and ".." not in below.parts
    name = below.as_posix() if keeps_tree else path.name
    return FilePair(path, beside(path, model) if out is None else out / name, name)


def _pairs_of_folder(folder: Path, out: Path | None, model: str, recursive: bool, others: list[Path]) -> list[FilePair]:
    whole = folder.resolve()
    base = whole.parent / f"{whole.name}.{model}" if out is None else out  # the top folder has no name
    rest: list[Path] = []
    earlier = None if storage.is_address(base) else base.resolve()  # outputs of an earlier run are no inputs
    if earlier is not None and (earlier == whole or not earlier.is_relative_to(whole)):
        earlier = None

    def is_input(path: Path) -> bool:
        return (recursive or path.parent == folder) and (earlier is None or not _is_below(path, earlier))

    # sorted as pairs, so that of an archive no second list of names is in memory
    paths = filter(is_input, map(Path, images.image_names(folder, broken=True, others=rest)))
    below = ((path, path.relative_to(folder).as_posix()) for path in paths)
    pairs = sorted((FilePair(path, base / name, name) for path, name in below), key=lambda pair: pair.name)
    others += filter(is_input, rest)
    return pairs


def _pairs_of_pattern(pattern: str, out: Path | None, model: str, others: list[Path]) -> list[FilePair]:
    fixed = Path(*(_before_wildcards(Path(pattern).parts) or ["."]))
    try:
        matches = sorted(map(Path, glob.iglob(pattern, recursive=True)))
    except ValueError as error:  # a NUL byte, or letters that names cannot have
        raise I2IError(f"{pattern} is no pattern of names: {error}.") from error
    except RecursionError as error:  # a call for each folder of the pattern
        raise I2IError(f"The pattern {pattern[:100]}... names too many folders inside each other.") from error
    matches = [p for p in matches if (kind := files.kind_of(p)) == "file" or (not kind and os.path.islink(p))]
    paths = [p for p in matches if p.suffix.lower() in formats.readable() + video.READABLE]
    others += sorted({*matches} - {*paths})
    if out is None:
        paths = [p for p in paths if not _before_model(p.stem, model)]  # outputs of an earlier run beside their inputs
        return [FilePair(p, beside(p, model), p.relative_to(fixed).as_posix()) for p in paths]
    if storage.is_address(out):
        return [FilePair(p, out / p.relative_to(fixed).as_posix(), p.relative_to(fixed).as_posix()) for p in paths]
    inside = out.resolve()
    paths = [p for p in paths if not _is_below(p, inside) or inside == fixed.resolve()]
    return [FilePair(p, out / p.relative_to(fixed), p.relative_to(fixed).as_posix()) for p in paths]


def _pairs_at_address(
    path: Path, out: Path | None, model: str, recursive: bool, others: list[Path]
) -> list[FilePair] | None:
    """The images below a folder, or of a pattern, at an address; None if the address is that of a file."""
    rest: list[Path] = []
    if glob.has_magic(str(path)):
        first = next(part for part in str(path).split("/") if glob.has_magic(part))
        fixed = storage.locate(str(path)[: str(path).index(first)].rpartition("/")[0])
        paths = storage.glob(str(path), formats.readable() + video.READABLE, rest)
        base = out
        if out is None:
            paths = [p for p in paths if not _before_model(p.stem, model)]
    else:
        with storage.storage_errors(path):
            if not path.exists():
                raise I2IError(f"There is no file or folder {path}.")
            if path.is_file():
                return None
        fixed, paths = path, storage.list_files(path, formats.readable(), rest)
        base = path.with_name(f"{path.name}.{model}") if out is None else out
    named = [(one, str(one)[len(str(fixed)) :].lstrip("/")) for one in (*paths, *rest)]
    inside = None if base is None or str(base) == str(fixed) else f"{str(base).rstrip('/')}/"  # earlier outputs
    named = [(one, name) for one, name in named if (recursive or "/" not in name)]
    named = [(one, name) for one, name in named if inside is None or not str(one).startswith(inside)]
    readable = {*paths}
    others += [one for one, _ in named if one not in readable]
    return [
        FilePair(one, beside(one, model) if base is None else base / name, name)
        for one, name in named
        if one in readable
    ]


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(folder)  # Path.resolve refuses links that go in a circle


def _before_wildcards(parts: Sequence[str]) -> list[str]:
    """The first parts of a pattern, up to the first with a wildcard; never the last part."""
    fixed = []
    for part in parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return fixed


def parse_shard(text: str) -> tuple[int, int]:
    """(i, n) of "i/n", 1 <= i <= n. Raises I2IError."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal()) or not 1 <= int(first) <= int(second):
        raise I2IError(f"The shard is {text!r}.", "Give I/N, a part I from 1 to N and the number of parts: 1/4.")
    return int(first), int(second)


def in_shard(name: str, shard: tuple[int, int]) -> bool:
    """Whether the image `name` belongs to shard i of n, by a hash of its name: the same on every machine."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shard[1] == shard[0] - 1


def read_list(file: Path, null: bool = False) -> list[str]:
    """The names in a list file ("-": standard input): one a line, or with `null` separated by NUL bytes.

    Raises I2IError if the file cannot be read, or holds NUL bytes without `null`."""
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read()
        elif str(file).startswith(("/dev/fd/", "/proc/self/fd/")) or str(file) == "/dev/stdin":  # `--list <(command)`
            data = file.read_bytes()
        else:
            with open_regular(file) as opened:
                data = opened.read()
    except OSError as error:
        raise I2IError(f"The list {file} cannot be read: {error.strerror}.") from error
    if not null and b"\0" in data:
        raise I2IError(f"The list {file} contains NUL bytes.", "Give --null if they separate the names.")
    data = data.removeprefix(b"\xef\xbb\xbf")  # the byte order mark of Windows
    parts = data.split(b"\0") if null else data.splitlines()
    return [os.fsdecode(p) for p in parts if p.strip()]
