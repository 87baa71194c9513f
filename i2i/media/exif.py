"""Metadata of an image file besides its pixels: EXIF, orientation, resolution, color profile.

Pillow reads all of it. Broken metadata is left out; the image is never lost because of it.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

ORIENTATION, EXIF_IFD, GPS_IFD = 0x0112, 0x8769, 0x8825
EXIF_WIDTH, EXIF_HEIGHT = 0xA002, 0xA003
TEXT_TAGS = (270, 271, 272, 305, 306, 315, 33432)  # description, make, model, software, date, artist, copyright
TIFF_WIDTH, TIFF_HEIGHT, TIFF_RESOLUTION, TIFF_PROFILE = 256, 257, 282, 34675
SIDEWAYS = (5, 6, 7, 8)  # orientations by which width and height change places


def metadata_to_keep(image: Image.Image, is_resized: bool, orientation: int) -> dict[str, Any]:
    """EXIF and resolution of an image as arguments for saving: "exif" (bytes) and "dpi", each if there is one.

    orientation: the one from which its pixels were turned upright. is_resized: leave out the sizes that EXIF states."""
    keep: dict[str, Any] = {}
    try:
        states_dpi = image.format != "TIFF" or TIFF_RESOLUTION in getattr(image, "tag_v2", {})
        dpi = tuple(float(v) for v in image.info.get("dpi", ())) if states_dpi else ()  # Pillow makes up 1 for a TIFF
        if len(dpi) == 2 and all(0 < v < 1e5 for v in dpi):
            keep["dpi"] = dpi[::-1] if orientation in SIDEWAYS else dpi
        exif = _exif(image)
        if exif is not None:
            exif.pop(ORIENTATION, None)
            tags = exif.get_ifd(EXIF_IFD)
            if orientation in SIDEWAYS and EXIF_WIDTH in tags and EXIF_HEIGHT in tags:
                tags[EXIF_WIDTH], tags[EXIF_HEIGHT] = tags[EXIF_HEIGHT], tags[EXIF_WIDTH]
            if is_resized:
                tags.pop(EXIF_WIDTH, None)
                tags.pop(EXIF_HEIGHT, None)
            if len(exif) or any(exif.get_ifd(tag) for tag in (EXIF_IFD, GPS_IFD)):
                keep["exif"] = exif.tobytes()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (broken EXIF raises nearly anything)
        return keep
    return keep


def _exif(image: Image.Image) -> Image.Exif | None:
    """A copy of the EXIF data, without the tags that describe the layout of a TIFF; None if there is none."""
    exif = Image.Exif()
    if "exif" in image.info:
        exif.load(image.info["exif"])
        return exif
    if image.format != "TIFF":
        return None
    tags = image.getexif()
    for tag in TEXT_TAGS:
        if tag in tags:
            exif[tag] = tags[tag]
    for tag in (EXIF_IFD, GPS_IFD):
        if directory := dict(tags.get_ifd(tag)):
            exif.get_ifd(tag).update(directory)
    return exif


def stored_size(frame: Image.Image) -> tuple[int, int]:
    """Width and height before the image is turned upright; Pillow's size of a TIFF is the one after it."""
    tags = getattr(frame, "tag_v2", {})
    return (int(tags[TIFF_WIDTH]), int(tags[TIFF_HEIGHT])) if TIFF_WIDTH in tags and TIFF_HEIGHT in tags else frame.size


def orientation(frame: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if it is unreadable. Ask before decoding, which removes it from a TIFF."""
    try:
        return int(frame.getexif().get(ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (broken EXIF raises nearly anything)
        return 1


def icc_profile(frame: Image.Image) -> bytes | None:
    """The color profile of the current frame, None if it has none."""
    profile = frame.tag_v2.get(TIFF_PROFILE) if hasattr(frame, "tag_v2") else frame.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else None
