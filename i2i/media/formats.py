"""The image formats that are read, and the one function that opens image files with Pillow."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from i2i.core.errors import I2IError
from i2i.core.files import open_regular, require_regular
from i2i.core.optional import install_hint, is_installed

READERS = ("Bmp", "Gif", "Jpeg", "Ppm", "Png", "Avif", "Jpeg2K", "Tiff", "WebP", "Tga")  # modules of Pillow
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx", ".tga"),
)
HEIF, JXL = "pillow_heif", "pillow_jxl"  # packages that read more formats, once they are needed
PLUGINS = {".heic": HEIF, ".heif": HEIF, ".hif": HEIF, ".jxl": JXL}
TITLES = {HEIF: ("HEIC", "pillow-heif", "HEIF"), JXL: ("JPEG XL", "pillow-jxl-plugin", "JXL")}
RAW = (".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".x3f", ".raw")
# Files that nobody expects to be read as images.
SYSTEM_FILES = ("thumbs.db", "desktop.ini", "readme.md", "readme.txt", "readme", "licence.md", "license.md", "license")
MOST_KINDS = 8  # suffixes that the line about left-out files lists


def open_pillow(source: str | Path | BinaryIO) -> Image.Image:
    """Pillow's image of a file, whose pixels are not decoded yet; only the formats of READERS are looked for.

    HEIC and JPEG XL are read where their packages are installed; else I2IError names the command that installs them.
    The package opens image files by this function alone. Pillow has over forty readers, chosen by a file's content and
    not by its name; some start other programs: that of PostScript runs Ghostscript. Raises OSError for what is damaged
    or no image, Image.DecompressionBombError, and MemoryError."""
    try:
        return _open(source, _formats())
    except UnidentifiedImageError:
        package = _package_for(source)
        if package is None:
            raise
    title, distribution, name = TITLES[package]
    if not is_installed(package):
        file = source if isinstance(source, str | Path) else getattr(source, "name", "The image")
        raise I2IError(
            f"{file} is a {title} image; {distribution} reads it, and is not installed.", install_hint("formats")
        )
    _register(package)
    return _open(source, (name,))


def _open(source: str | Path | BinaryIO, names: tuple[str, ...]) -> Image.Image:
    if isinstance(source, str | Path):
        require_regular(source)
    try:
        return Image.open(source, formats=names)
    except (OSError, MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:  # readers raise errors of many kinds on damaged heads
        raise OSError(str(error) or type(error).__name__) from error


def readable() -> tuple[str, ...]:
    """The suffixes of image files that are read here, with those of the optional packages that are installed."""
    return SUFFIXES + tuple(suffix for suffix, package in PLUGINS.items() if is_installed(package))


def count_kinds(files: Iterable[Path]) -> dict[str, int]:
    """How many files there are of each suffix, in small letters; most first."""
    names = [file.name.lower() for file in files]
    counts = Counter(Path(name).suffix or "without suffix" for name in names if name not in SYSTEM_FILES)
    return dict(sorted(counts.items(), key=lambda kind: (-kind[1], kind[0])))


def left_out(files: Iterable[Path]) -> str:
    """A line that counts files that are no readable images, by suffix, and says what helps; "" if there are none."""
    counts = count_kinds(files)
    if not counts:
        return ""
    kinds = list(counts.items())
    listed = ", ".join(f"{count} {suffix}" for suffix, count in kinds[:MOST_KINDS])
    rest = sum(count for _, count in kinds[MOST_KINDS:])
    total = sum(counts.values())
    text = f"{total} file{' was' if total == 1 else 's were'} left out: {listed}{f', {rest} others' if rest else ''}."
    if missing := sorted({TITLES[PLUGINS[suffix]][0] for suffix in counts if suffix in PLUGINS}):
        text += f" To read {' and '.join(missing)}: {install_hint('formats')}."
    if raw := [suffix for suffix, _ in kinds if suffix in RAW]:
        text += f" Raw photos ({', '.join(raw)}) are not read: convert them to TIFF or JPEG."
    return text


def start_of(source: str | Path | BinaryIO, size: int = -1) -> bytes:
    """The first `size` bytes of a file or a stream; -1: all. A stream is left at its beginning."""
    if isinstance(source, str | Path):
        with open_regular(source) as file:
            return file.read(size)
    source.seek(0)
    data = source.read(size)
    source.seek(0)
    return data


def _package_for(source: str | Path | BinaryIO) -> str | None:
    """The optional package that reads a file, by its first bytes; None if it is in none of its formats."""
    head = start_of(source, 32)
    if head[:2] == b"\xff\x0a" or head[4:12] == b"JXL \r\n\x87\n":
        return JXL
    brands = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
    return HEIF if head[4:8] == b"ftyp" and head[8:12] in brands else None


@functools.cache
def _register(package: str) -> None:
    """Makes Pillow know the formats of an optional package."""
    module = importlib.import_module(package)  # pillow_jxl does it by its import
    if package == HEIF:
        module.register_heif_opener()


@functools.cache
def _formats() -> tuple[str, ...]:
    """The names of the formats of READERS, in the order in which Pillow tries them."""
    modules = []
    for reader in READERS:
        with contextlib.suppress(ImportError):  # an older Pillow has no AVIF
            modules.append(importlib.import_module(f"PIL.{reader}ImagePlugin").__name__)
    factories = {name: getattr(factory, "__module__", "") for name, (factory, _) in Image.OPEN.items()}
    return tuple(name for name, module in factories.items() if module in modules)
