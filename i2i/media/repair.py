"""Opening image files with a fault from which no pixel suffers: what Pillow would refuse or misread."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from i2i.media import boxes, jpeg, png, tiff
from i2i.media.formats import open_pillow, start_of

REPAIR = "i2i repair"  # key of an opened image's info


@dataclass(frozen=True)
class Repair:
    """What was read in place of a file with a fault from which no pixel suffers."""

    content: bytes
    note: str = ""  # a sentence for the user, if he should know


def opened(source: str | Path | BinaryIO, name: str, max_pixels: int) -> Image.Image:
    """The Pillow image of a file, not decoded yet; of a file with a fault that no pixel suffers from, in a form that
    Pillow reads. Its info then holds a `Repair`. name: what errors call the file."""
    try:
        image = open_pillow(source)
    except OSError as error:
        start = b"" if error.errno else start_of(source, len(png.SIGNATURE))
        if start == png.SIGNATURE:
            content, names = png.without_damaged(start_of(source))
            if names:
                lost = " without their transparency" if "tRNS" in names else ""
                note = f"Damaged parts ({', '.join(names)}) were left out; all pixels are there{lost}."
                return _repaired(Repair(content, note))
        if not isinstance(error, UnidentifiedImageError) or start[:4] not in tiff.MAGIC:
            raise
        return _repaired(Repair(tiff.rewritten(start_of(source), name, max_pixels)))
    try:
        repair = _repair_of(image, source, name, max_pixels)
    except BaseException:
        with image:  # closes the file, but not a stream that the caller has opened
            raise
    if repair is None:
        return image
    with image:
        return _repaired(repair)


def _repair_of(image: Image.Image, source: str | Path | BinaryIO, name: str, max_pixels: int) -> Repair | None:
    """What is read in place of an opened file; None if that can stay. Raises I2IError if it has signed values."""
    if image.format == "TIFF":
        tiff.check_page(image, name)
        return Repair(tiff.rewritten(start_of(source), name, max_pixels)) if tiff.is_misread(image) else None
    if image.format == "PNG":
        png.scale_key(image)
        png.read_code(image)
    boxes.read_code(image)
    complete = {"JPEG": jpeg.completed, "JPEG2000": jpeg.completed_2000}.get(image.format or "")
    if complete is None or image.width * image.height > max_pixels or _ends_as_jpeg(image):
        return None
    whole = complete(start_of(source))
    return Repair(whole, "The marker at its end is missing; all pixels are there.") if whole else None


def _repaired(repair: Repair) -> Image.Image:
    image = open_pillow(io.BytesIO(repair.content))
    image.info[REPAIR] = repair
    return image


def _ends_as_jpeg(image: Image.Image) -> bool:
    """True if an opened file ends with the marker of a JPEG's end. Leaves it where it stands."""
    file = getattr(image, "fp", None)
    if file is None:
        return True
    place = file.tell()
    file.seek(-2, os.SEEK_END)
    end = file.read(2)
    file.seek(place)
    return bool(end == jpeg.END)
