"""EXIF blocks, changed in place: what describes the pixels is corrected, and every other byte stays as it is.

Texts keep their letters in any encoding, maker notes keep their places, and a field with a bad type costs only itself.
"""

from __future__ import annotations

import struct

from PIL import Image

from i2i.media import ifd
from i2i.media.ifd import EXIF_IFD, GPS_IFD, IPTC, ORIENTATION, PHOTOSHOP, XMP, Directory, Field, Structure

PREFIX = b"Exif\0\0"  # of an EXIF block in JPEG, and in some WebP files
WIDTH, HEIGHT, EXIF_WIDTH, EXIF_HEIGHT = 256, 257, 0xA002, 0xA003
X_RESOLUTION, Y_RESOLUTION = 282, 283
THUMBNAIL_AT, THUMBNAIL_SIZE = 513, 514
PADDING = 0xEA1C  # room that some programs leave
TIFF_PROFILE = 34675
SIDEWAYS = (5, 6, 7, 8)  # orientations by which width and height change places
LAYOUT = (
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289}
    | {290, 291, 292, 293, 296, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 337, 338}
    | {339, 340, 341, 342, 343, 344, 345, 346, 347, *range(512, 522), 529, 530, 531, 532, TIFF_PROFILE, 32997}
    | {37724, 42112, 42113, 50341, 50838, 50839, PADDING}
)  # tags of a TIFF directory that say how pixels are stored, or hold values of pixels or layers
GEO = (33550, 33922, 34264, 34735, 34736, 34737, 50844)  # GeoTIFF, and the coefficients of a camera model (RPC)
IN_EXIF = (269, 270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096), EXIF_IFD, GPS_IFD)


def changed(block: bytes, orientation: int, size: tuple[int, int] | None, keeps_tag: bool = True) -> bytes:
    """An EXIF block for pixels that stand upright and were translated.

    Its orientation becomes 1 (keeps_tag=False: the tag is removed), its thumbnail, which shows the image before, is
    removed. size: width and height that replace those that are stated, if there are any; None: they are still right.
    orientation: from which the pixels were turned. Raises ValueError if the block cannot be read."""
    block = block.removeprefix(PREFIX)
    data = bytearray(block)
    file = Structure(ifd.reader_of(block))
    if file.is_big:
        raise ValueError("no EXIF block")
    entries = {entry.tag: entry for entry in reversed(file.entries(file.first)[0])}
    _cut_thumbnail(data, file)
    stated = [(entries, WIDTH, HEIGHT)]
    if EXIF_IFD in entries:
        try:
            at = file.number(block[entries[EXIF_IFD].value_at :][:4])
            stated.append(({entry.tag: entry for entry in file.entries(at)[0]}, EXIF_WIDTH, EXIF_HEIGHT))
        except ValueError:
            pass  # what cannot be read states no size
    for found, *sides in stated:
        for side, value in zip(sides, size or ()):
            if side in found:
                ifd.set_number(data, file, found[side], value)
    if orientation in SIDEWAYS and {X_RESOLUTION, Y_RESOLUTION} <= entries.keys():
        x, y = entries[X_RESOLUTION].at + 2, entries[Y_RESOLUTION].at + 2  # type, number and place of the value
        data[x : x + 10], data[y : y + 10] = data[y : y + 10], data[x : x + 10]
    if ORIENTATION in entries:
        ifd.set_number(data, file, entries[ORIENTATION], 1)
        if not keeps_tag:
            ifd.remove(data, file, file.first, ORIENTATION)
    return bytes(data)


def _cut_thumbnail(data: bytearray, file: Structure) -> None:
    """Unlinks the second directory, which is that of the thumbnail, and removes its image or blanks it."""
    link = file.entries(file.first)[1]
    at = file.number(file.read(link, 4))
    if not at or link + 4 > len(data):
        return
    struct.pack_into("<I", data, link, 0)
    try:
        entries, end = file.entries(at)
    except ValueError:
        return
    values = {
        entry.tag: file.number(file.read(entry.value_at, entry.size)) for entry in entries if entry.size in (2, 4)
    }
    start, size = values.get(THUMBNAIL_AT, 0), values.get(THUMBNAIL_SIZE, 0)
    data[at : end + 4] = bytes(len(data[at : end + 4]))
    if end <= start < start + size <= len(data):
        data[start : start + size] = bytes(size)
        if start + size == len(data):  # as in nearly all files
            del data[start:]


def tags_of(block: bytes) -> Directory:
    """The fields of an EXIF block that a TIFF page takes over. Raises ValueError if the block cannot be read."""
    file = Structure(ifd.reader_of(block.removeprefix(PREFIX)))
    return file.directory(file.first, lambda tag: tag not in (*LAYOUT, XMP, IPTC, PHOTOSHOP))


def page_changed(page: Directory, size: tuple[int, int] | None) -> Directory:
    """A TIFF page's fields for pixels of another size, which replaces that which EXIF states; see `changed`."""
    inner = page[EXIF_IFD].directory if EXIF_IFD in page else None
    if not inner or size is None:
        return page
    sides = zip((EXIF_WIDTH, EXIF_HEIGHT), size)
    new = {tag: Field(ifd.LONG, 1, struct.pack("<I", value)) for tag, value in sides if tag in inner}
    return {**page, EXIF_IFD: Field(ifd.LONG, 1, directory={**inner, **new})}


def block_of(page: Directory) -> bytes:
    """The EXIF block that holds what EXIF can of a TIFF page; b"" if that is nothing."""
    fields = {tag: field for tag, field in page.items() if tag in IN_EXIF}
    return ifd.block(fields) if fields else b""


def stored_size(frame: Image.Image) -> tuple[int, int]:
    """Width and height before the image is turned upright; Pillow's size of a TIFF is the one after it."""
    tags = getattr(frame, "tag_v2", {})
    return (int(tags[WIDTH]), int(tags[HEIGHT])) if WIDTH in tags and HEIGHT in tags else frame.size


def orientation(frame: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if it is unreadable. Ask before decoding, which removes it from a TIFF."""
    try:
        value = frame.getexif().get(ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (broken EXIF raises nearly anything)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def icc_profile(frame: Image.Image) -> bytes | None:
    """The color profile of the current frame, None if it has none."""
    profile = frame.tag_v2.get(TIFF_PROFILE) if hasattr(frame, "tag_v2") else frame.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else None
