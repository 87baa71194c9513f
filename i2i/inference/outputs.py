"""What outputs are called: their format, and that no two outputs are one file and none replaces an input."""

from __future__ import annotations

import functools
import os
import unicodedata
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.media import formats, video
from i2i.media.formats import open_pillow

WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")

OTHER_FORMATS = (".heic", ".heif", ".jxl", ".jp2", ".psd", ".svg", ".pdf", ".exr", ".dng", ".cr2", ".nef", ".raw")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".cbz", ".cbr", ".pdf")  # nothing writes them
FILE_SUFFIXES = {
    *WRITABLE,
    *formats.SUFFIXES,
    *video.WRITABLE,
    *video.READABLE,
    *OTHER_FORMATS,
    *ARCHIVES,
}  # a folder has none

SYNONYMS = {".jpeg": ".jpg", ".tiff": ".tif"}  # two names of one format
OTHER_NAMES = {".jpe": ".jpg", ".jfif": ".jpg", ".dib": ".bmp"}  # rarer ones: outputs have the common name
IMAGE_FORMATS = f"Image formats: {', '.join(WRITABLE)}."
VIDEO_FORMATS = f"Video formats: {', '.join(video.WRITABLE)}."


class FilePair:
    """An input file and the output file that it becomes.

    name: the input's path below what the user gave, with / on every system. answer: which of the answers of a model
    with several it is; see `sheets`.

    Of an archive of 100,000 images all pairs are in memory at once: each holds the names of its files and the folders
    that it shares with others, not two Paths, which take three times as much."""

    __slots__ = ("_shared", "_source", "_target", "name")

    def __init__(self, source: Path, target: Path, name: str, answer: int = 0) -> None:
        self.name = name
        source_folder, self._source = _folder_and_name(source, name)
        target_folder, self._target = _folder_and_name(target, self._source)
        self._shared = _shared(source_folder, target_folder, answer)

    @property
    def answer(self) -> int:
        """Which of the answers of a model with several it is."""
        return self._shared[2]

    @property
    def source(self) -> Path:
        """The input."""
        return Path(self._shared[0], self._source) if isinstance(self._source, str) else self._source

    @property
    def target(self) -> Path:
        """The output."""
        return Path(self._shared[1], self._target) if isinstance(self._target, str) else self._target

    def with_target(self, target: Path, answer: int | None = None) -> FilePair:
        """The same input with another output, and another of the answers if one is given."""
        return FilePair(self.source, target, self.name, self.answer if answer is None else answer)


@functools.lru_cache(maxsize=1024)
def _shared(source_folder: str, target_folder: str, answer: int) -> tuple[str, str, int]:
    """What the pairs of a folder share, as one object."""
    return source_folder, target_folder, answer


def _folder_and_name(path: Path, known: str | Path) -> tuple[str, str | Path]:
    """(folder, name) of a path, the name as the object `known` if it is equal; of an address ("", the path itself)."""
    if storage.is_address(path) or not path.name:
        return "", path
    return str(path.parent), known if isinstance(known, str) and known == path.name else path.name


def beside(path: Path, model: str) -> Path:
    """The output for an input if there is no output folder: photo.jpg -> photo.MODEL.jpg."""
    return path.with_name(f"{path.stem}.{model}{path.suffix}")


def must_be_folder(output: str | Path) -> None:
    """Raises I2IError if an output that has to be a folder is a file, or is new and has a name like a file's."""
    out = storage.locate(output)
    if storage.is_address(out):
        return
    if out.is_file():
        raise I2IError(f"{out} is a file; several outputs need a folder.", "Give a folder with --output.")
    is_folder = str(output).endswith(("/", os.sep)) or out.is_dir()
    if out.suffix.lower() in FILE_SUFFIXES and not is_folder:
        raise I2IError(
            f"{out} is the name of one file; several outputs need a folder.",
            f"Give a folder with --output, or {out}/ if the folder is to have that name.",
        )


def output_format(output: Path, format: str | None) -> str | None:
    """The format of an output file that the user named: its suffix; else `format`, such as png, as a suffix; else None.

    Raises I2IError if the suffix and the format differ, or the output is a folder."""
    if not storage.is_address(output) and output.is_dir():
        raise I2IError(f"{output} is a folder.", "Give the name of a file.")
    suffix = output.suffix.lower()
    asked = suffix if format is None else f".{format.lstrip('.').lower()}"
    if suffix not in WRITABLE + video.WRITABLE and format is not None:
        return asked
    if SYNONYMS.get(asked, asked) != SYNONYMS.get(suffix, suffix):
        raise I2IError(f"The output {output} and the format {asked[1:]} do not agree.", "Give only one of them.")
    return suffix or None


def settle_outputs(pairs: list[FilePair], suffix: str | None, named: bool = False) -> list[FilePair]:
    """The pairs with outputs in formats that can be written. An input that was given twice appears once.

    suffix: of all outputs; None keeps each input's. named: there is one pair, and the user gave its output's name.
    Raises I2IError if two outputs would be one file, or an output would replace an input."""
    taken = _Taken()
    folders = {os.path.dirname(storage.identity(p.source)) for p in pairs}  # of inputs

    # Only where they are needed, because they take much memory: outputs that have their final name, and all inputs.
    @functools.cache
    def unchanged() -> set[str]:
        return {_folded(p.target) for p in pairs if _output_suffix(p, suffix, named) == p.target.suffix}

    @functools.cache
    def sources() -> set[str]:
        return {storage.identity(p.source) for p in pairs}

    settled: list[FilePair] = []
    for pair in pairs:
        # the format; a.ppm beside a.png becomes a.ppm.png
        target, wanted = pair.target, _output_suffix(pair, suffix, named)
        if wanted != target.suffix:
            short = target.with_suffix(wanted)
            is_taken = suffix is None and (_folded(short) in unchanged() or taken.by(short))
            pair = pair.with_target(target.with_name(target.name + wanted) if is_taken else short)
            target = pair.target

        # outputs before this one that would be the same file
        same = [p for p in taken.by(target) if not _are_two_files(p.target, target)]
        if any(storage.identity(p.source) == storage.identity(pair.source) for p in same):
            continue
        if same:
            raise I2IError(
                f"{same[0].source} and {pair.source} would both become {target}.",
                "Translate them one by one, or into two folders.",
            )
        identity = storage.identity(target)
        if os.path.dirname(identity) in folders and identity in sources():
            raise I2IError(f"The output {target} would replace an input.", "Give another output folder.")
        settled.append(pair)
        taken.add(pair)
    return settled


class _Taken:
    """Pairs by their outputs' names as some systems fold them, in little memory."""

    def __init__(self) -> None:
        self._first: dict[str, dict[str, FilePair]] = {}  # by folder and name
        self._others: dict[str, list[FilePair]] = {}  # by path: second and further pairs

    def by(self, target: Path) -> list[FilePair]:
        """The pairs whose outputs fold to the same name as `target`."""
        path = _folded(target)
        folder, _, name = path.rpartition("/")
        first = self._first.get(folder, {}).get(name)
        return [] if first is None else [first, *self._others.get(path, ())]

    def add(self, pair: FilePair) -> None:
        """Adds a pair."""
        path = _folded(pair.target)
        folder, _, name = path.rpartition("/")
        if self._first.setdefault(folder, {}).setdefault(pair.name if pair.name == name else name, pair) is not pair:
            self._others.setdefault(path, []).append(pair)


def refuse_escapes(pairs: list[FilePair], out: Path | None) -> None:
    """Raises I2IError if a name with `..` or a link would lead an output out of the output folder."""
    for pair in pairs:
        if ".." in PurePosixPath(pair.name).parts:  # an object's name may hold anything
            raise I2IError(f"The name of {pair.source} leads out of its folder by `..`.", "Rename it.")
    if out is None or storage.is_address(out):
        return
    inside = os.path.realpath(out)
    for folder in {p.target.parent for p in pairs if p.target != out}:
        if os.path.commonpath([inside, os.path.realpath(folder)]) != inside:
            raise I2IError(
                f"{folder} is a link that leads out of {out}.", "Remove the link, or give another output folder."
            )


def _folded(path: Path) -> str:
    """Equal for names that some systems take for one file: they differ in case, or in how letters are composed."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _are_two_files(a: Path, b: Path) -> bool:
    """Whether two names that fold to one are two files: they differ in case, where case is known to matter."""
    if str(a) == str(b):
        return False
    if storage.is_address(a):
        return True
    same = unicodedata.normalize("NFC", str(a)) == unicodedata.normalize("NFC", str(b))
    return not same and storage.is_case_sensitive(b.parent)


def _output_suffix(pair: FilePair, suffix: str | None, named: bool) -> str:
    """The suffix of a pair's output: as asked, or the input format's, or .png if that cannot be written well."""
    own = pair.target.suffix
    if video.is_video(pair.source):
        if own.lower() in WRITABLE:
            raise I2IError(f"{pair.source} is a video; it cannot be written as {own}.", VIDEO_FORMATS)
        default = own if own.lower() in video.WRITABLE else ".mp4"
        return suffix if suffix in video.WRITABLE and own.lower() != suffix else default
    if (suffix or own.lower()) in video.WRITABLE:
        raise I2IError(f"{pair.source} is not a video; it cannot be written as {suffix or own}.", IMAGE_FORMATS)
    if named:
        return own
    if suffix is not None:
        return own if own.lower() == suffix else suffix
    if (
        own.lower() == ".gif"
        and pair.source.suffix.lower() == ".gif"
        and not has_frames(storage.decoder_input(pair.source))
    ):
        return ".png"  # GIF would reduce a still image to 256 colors for no reason
    return own if own.lower() in WRITABLE else OTHER_NAMES.get(own.lower(), ".png")


def has_frames(file: Path | BinaryIO) -> bool:
    """Whether an image file has several frames; False for what cannot be read (its error comes when it is read)."""
    try:
        with open_pillow(file) as image:
            return bool(getattr(image, "is_animated", False))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (decoders raise errors of many kinds)
        return False
