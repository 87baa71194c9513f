"""What an image file says besides its pixels: EXIF, orientation, resolution, colour profile.

All of it is read by Pillow, and what is broken costs nothing but itself.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

ORIENTATION, EXIF_IFD, GPS_IFD = 0x0112, 0x8769, 0x8825
EXIF_WIDTH, EXIF_HEIGHT = 0xA002, 0xA003
TEXT_TAGS = (270, 271, 272, 305, 306, 315, 33432)  # description, make, model, software, date, artist, copyright
TIFF_WIDTH, TIFF_HEIGHT, TIFF_RESOLUTION, TIFF_PROFILE = 256, 257, 282, 34675
Size = int | tuple[int, int] | None


def metadata_to_keep(picture: Image.Image, size: Size, turned: int) -> dict[str, Any]:
    """EXIF and resolution as arguments for saving an image that was turned upright from orientation `turned` and, if
    `size` is not None, will have another size."""
    keep: dict[str, Any] = {}
    try:
        said = picture.format != "TIFF" or TIFF_RESOLUTION in getattr(picture, "tag_v2", {})
        resolution = tuple(float(v) for v in picture.info.get("dpi", ())) if said else ()  # Pillow makes up 1
        if len(resolution) == 2 and all(0 < v < 1e5 for v in resolution):
            keep["dpi"] = resolution[::-1] if turned in (5, 6, 7, 8) else resolution
        exif = _exif(picture)
        if exif is not None:
            exif.pop(ORIENTATION, None)
            sides = exif.get_ifd(EXIF_IFD)
            if turned in (5, 6, 7, 8) and EXIF_WIDTH in sides and EXIF_HEIGHT in sides:
                sides[EXIF_WIDTH], sides[EXIF_HEIGHT] = sides[EXIF_HEIGHT], sides[EXIF_WIDTH]
            if size is not None:
                sides.pop(EXIF_WIDTH, None)
                sides.pop(EXIF_HEIGHT, None)
            if len(exif) or any(exif.get_ifd(tag) for tag in (EXIF_IFD, GPS_IFD)):
                keep["exif"] = exif.tobytes()
    except Exception as error:  # broken EXIF raises nearly anything, and is not worth losing the image for
        if isinstance(error, MemoryError):
            raise
    return keep


def _exif(picture: Image.Image) -> Image.Exif | None:
    """A copy of the EXIF data, without what describes the layout of a TIFF."""
    exif = Image.Exif()
    if "exif" in picture.info:
        exif.load(picture.info["exif"])
        return exif
    if picture.format != "TIFF":
        return None
    whole = picture.getexif()
    for tag in TEXT_TAGS:
        if tag in whole:
            exif[tag] = whole[tag]
    for tag in (EXIF_IFD, GPS_IFD):
        if inner := dict(whole.get_ifd(tag)):
            exif.get_ifd(tag).update(inner)
    return exif


def stored_size(frame: Image.Image) -> tuple[int, int]:
    """Width and height before it is turned upright; for a TIFF, Pillow gives those after it."""
    tags = getattr(frame, "tag_v2", {})
    return (int(tags[TIFF_WIDTH]), int(tags[TIFF_HEIGHT])) if TIFF_WIDTH in tags and TIFF_HEIGHT in tags else frame.size


def orientation(frame: Image.Image) -> int:
    """By EXIF, 1 to 8, before the frame is decoded: Pillow takes it out of a TIFF then; 1 where it is unreadable."""
    try:
        return int(frame.getexif().get(ORIENTATION, 1))
    except Exception as error:  # EXIF is a format of its own; an image is not lost because of it
        if isinstance(error, MemoryError):
            raise
        return 1


def icc_profile(frame: Image.Image) -> bytes | None:
    """The colour profile of this very frame."""
    found = frame.tag_v2.get(TIFF_PROFILE) if hasattr(frame, "tag_v2") else frame.info.get("icc_profile")
    return found if isinstance(found, bytes) else None
