"""The image formats that are read, and the one function that opens image files with Pillow."""

from __future__ import annotations

import contextlib
import functools
import importlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image

READERS = ("Bmp", "Gif", "Jpeg", "Ppm", "Png", "Avif", "Jpeg2K", "Tiff", "WebP", "Tga")  # modules of Pillow


def open_pillow(source: str | Path | BinaryIO) -> Image.Image:
    """Pillow's image of a file, whose pixels are not decoded yet; only the formats of READERS are looked for.

    The package opens image files by this function alone. Pillow has over forty readers, chosen by a file's content and
    not by its name; some start other programs: that of PostScript runs Ghostscript. Raises what `Image.open` raises."""
    return Image.open(source, formats=_formats())


@functools.cache
def _formats() -> tuple[str, ...]:
    """The names of the formats of READERS, in the order in which Pillow tries them."""
    modules = []
    for reader in READERS:
        with contextlib.suppress(ImportError):  # an older Pillow has no AVIF
            modules.append(importlib.import_module(f"PIL.{reader}ImagePlugin").__name__)
    factories = {name: getattr(factory, "__module__", "") for name, (factory, _) in Image.OPEN.items()}
    return tuple(name for name, module in factories.items() if module in modules)
