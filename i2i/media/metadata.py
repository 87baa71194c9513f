"""What an image file holds besides its pixels: EXIF, XMP, IPTC, texts, comments, GeoTIFF tags and resolution.

Read here as bytes, and written as the same bytes: `container` puts them into the output file. What describes the pixels
(orientation, size, thumbnail) is corrected. Broken metadata is left out with a note; the image is never lost.
"""

from __future__ import annotations

import contextlib
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from i2i.media import boxes, exif, ifd, iptc, jpeg, png, repair, xmp
from i2i.media.ifd import Directory, Field

MOST_TEXT = 1 << 24  # bytes of an unpacked text
DESCRIPTION = 270  # a TIFF tag
JPEG_XMP, JPEG_XMP_MORE = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
PNG_XMP, PNG_TEXTS = b"XML:com.adobe.xmp", (b"tEXt", b"zTXt", b"iTXt")
PNG_COLORS = (b"cICP", b"mDCV", b"cLLI", b"sRGB", b"gAMA", b"cHRM")
RAW_PROFILE = b"Raw profile type "
GIF_XMP = b"\x21\xff\x0bXMP DataXMP"  # the head of an application extension
GIF_XMP_END = b"\1" + bytes(range(255, -1, -1)) + b"\0"  # by which readers that know no XMP find the end


@dataclass
class Metadata:
    """The metadata of one file. What it does not have is empty."""

    orientation: int = 1  # from which the pixels are turned upright
    size: tuple[int, int] = (0, 0)  # width and height before that
    dpi: tuple[float, float] | None = None  # as the file states it
    exif: bytes = b""  # an EXIF block
    xmp: bytes = b""  # a packet
    xmp_more: list[bytes] = field(default_factory=list)  # segments of JPEG that continue a long packet
    resources: bytes = b""  # of Photoshop, with IPTC texts
    comment: bytes = b""
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)  # PNG chunks, but XMP and comment
    colors: list[tuple[bytes, bytes]] = field(default_factory=list)  # PNG chunks that say what the numbers mean
    pages: list[Directory] = field(default_factory=list)  # of a TIFF file: the fields of each page
    notes: list[str] = field(default_factory=list)  # sentences for the user

    def stripped(self) -> Metadata:
        """What belongs to the pixels: resolution and colors."""
        return Metadata(size=self.size, dpi=self.dpi, colors=self.colors)

    def fitted(self, width: int, height: int) -> Metadata:
        """The metadata of an upright output of that size. What does not fit it, or cannot be read, is left out."""
        same = (width, height) == self.size
        size = None if same else (width, height)
        result = replace(self, notes=list(self.notes), xmp=xmp.changed(self.xmp, size))
        result.resources = iptc.cleaned(self.resources)
        if self.dpi and self.orientation in exif.SIDEWAYS:
            result.dpi = self.dpi[::-1]
        if self.exif:
            try:
                result.exif = exif.changed(self.exif, self.orientation, size)
            except ValueError:
                result.exif = b""
                result.notes.append("Its EXIF cannot be read and was left out.")
        result.pages = [exif.page_changed(self.pages[0], size), *self.pages[1:]] if self.pages else []
        if not same or self.orientation != 1:
            pages = [{t: f for t, f in page.items() if t not in exif.GEO} for page in result.pages]
            if pages != result.pages:
                why = "the image was turned upright" if self.orientation != 1 else "the size of the image has changed"
                result.notes.append(f"Its GeoTIFF tags were left out, because {why}.")
            result.pages = pages
        return result


# ---- reading -------------------------------------------------------------------------------------------------------


def read(source: str | Path | BinaryIO, image: Image.Image, numbers: Sequence[int]) -> Metadata:
    """The metadata of an opened file that is not decoded yet, and stands at its first frame; but the orientation, which
    is known when a frame is decoded. numbers: of the frames that are translated."""
    metadata = Metadata(size=exif.stored_size(image), dpi=_dpi(image))
    with _file(source) as file:
        if image.format == "TIFF":
            _read_tiff(metadata, file, image, numbers)
        elif image.format == "PNG":
            repaired = image.info.get(repair.REPAIR)
            _read_png(metadata, io.BytesIO(repaired.content) if repaired else file)
        elif image.format in ("JPEG", "MPO"):
            _read_jpeg(metadata, file)
        else:
            metadata.exif, metadata.xmp = (_bytes(image.info.get(key)) for key in ("exif", "xmp"))
            metadata.comment = _bytes(image.info.get("comment"))
            if image.format == "GIF":
                metadata.xmp = _xmp_of_gif(file)
            elif image.format in ("JXL", "JPEG2000"):
                block, packet = boxes.metadata(file)
                metadata.exif, metadata.xmp = metadata.exif or block, metadata.xmp or packet
    metadata.exif = metadata.exif.removeprefix(exif.PREFIX)
    metadata.xmp = metadata.xmp.rstrip(b"\0") if metadata.xmp[:2] not in xmp.WIDE else metadata.xmp
    return metadata


@contextlib.contextmanager
def _file(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """The file itself, also if something else was read in its place. A stream is left where it stands."""
    if isinstance(source, str | Path):
        with open(source, "rb") as file:
            yield file
    else:
        place = source.tell()
        try:
            yield source
        finally:
            source.seek(place)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else b""


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """The resolution that a file states; Pillow makes one up for a TIFF or a JPEG file that states none."""
    if image.format == "TIFF" and exif.X_RESOLUTION not in getattr(image, "tag_v2", {}):
        return None
    try:
        x, y = (float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    is_made_up = image.format in ("JPEG", "MPO") and not image.info.get("jfif_unit") and (x, y) == (72, 72)
    if is_made_up or not (0 < x < 1e5 and 0 < y < 1e5):
        return None
    return x, y


def _read_tiff(metadata: Metadata, file: BinaryIO, image: Image.Image, numbers: Sequence[int]) -> None:
    """The fields of the pages that are translated; EXIF, XMP and IPTC are those of the first page."""

    end = file.seek(0, os.SEEK_END)

    def read_at(place: int, size: int) -> bytes:
        file.seek(min(place, end))
        return file.read(min(size, end))

    try:
        structure = ifd.Structure(read_at)
        places = list(structure.pages())
        if repair.REPAIR in image.info:  # then reduced copies of pages are no frames
            is_reduced = [_is_reduced(structure, place) for place in places]
            places = [place for i, place in enumerate(places) if i == 0 or not is_reduced[i]]
        pages = [
            structure.directory(places[number], lambda tag: tag not in exif.LAYOUT) if number < len(places) else {}
            for number in numbers
        ]
    except (ValueError, OverflowError, OSError) as error:
        metadata.notes.append(f"Its tags cannot be read and were left out ({error}).")
        return
    is_stack = len(places) < len(numbers)
    for page in pages:
        description = page[DESCRIPTION].value if DESCRIPTION in page else b""
        if description.startswith(b'{"shape"') or (is_stack and description.startswith(b"ImageJ=")):
            del page[DESCRIPTION]  # it is about the layout of the file
        for tag in [tag for tag, one in page.items() if _may_be_place(tag, one)]:
            del page[tag]
    first = pages[0]
    fields = {tag: first.pop(tag).value for tag in (ifd.XMP, ifd.IPTC, ifd.PHOTOSHOP) if tag in first}
    metadata.exif, metadata.xmp, metadata.pages = exif.block_of(first), fields.get(ifd.XMP, b""), pages
    metadata.resources = fields.get(ifd.PHOTOSHOP, b"")
    if ifd.IPTC in fields and not iptc.texts_of(metadata.resources):
        metadata.resources += iptc.resources_of(fields[ifd.IPTC])


def _is_reduced(structure: ifd.Structure, place: int) -> bool:
    subfile = structure.directory(place, lambda tag: tag == 254).get(254)
    return subfile is not None and bool(subfile.value[0] & 1)


def _may_be_place(tag: int, one: Field) -> bool:
    """True for a private tag that may hold places in the old file."""
    return tag >= 32768 and one.kind in (ifd.LONG, 13) and one.directory is None and tag not in exif.GEO


def _read_jpeg(metadata: Metadata, file: BinaryIO) -> None:
    comments = []
    for marker, data in jpeg.segments(file):
        if marker == jpeg.COMMENT:
            comments.append(data)
        elif marker == jpeg.APP1 and data.startswith(exif.PREFIX):
            metadata.exif += data[len(exif.PREFIX) :]  # a long block is cut into several segments
        elif marker == jpeg.APP1 and data.startswith(JPEG_XMP):
            metadata.xmp = metadata.xmp or data[len(JPEG_XMP) :]
        elif marker == jpeg.APP1 and data.startswith(JPEG_XMP_MORE):
            metadata.xmp_more.append(data)
        elif marker == jpeg.APP13 and data.startswith(iptc.HEAD):
            metadata.resources += data[len(iptc.HEAD) :]
    metadata.comment = b"\n".join(comments)


def _read_png(metadata: Metadata, file: BinaryIO) -> None:
    for name, data in png.chunks(file, (b"eXIf", *PNG_TEXTS, *PNG_COLORS)):
        if name == b"eXIf":
            metadata.exif = data
        elif name in PNG_COLORS:
            metadata.colors.append((name, data))
        else:
            _read_text(metadata, name, data)


def _read_text(metadata: Metadata, name: bytes, data: bytes) -> None:
    """A text of a PNG file: XMP, a profile in hexadecimal digits, a comment, or any other."""
    keyword = data.split(b"\0", 1)[0]
    try:
        if keyword == PNG_XMP and name == b"iTXt":
            metadata.xmp = _text(name, data)
        elif keyword == iptc.PNG_KEYWORD:
            metadata.resources = iptc.from_png(_text(name, data))
        elif keyword in (RAW_PROFILE + b"exif", RAW_PROFILE + b"APP1", RAW_PROFILE + b"xmp"):
            raw = bytes.fromhex(b"".join(_text(name, data).split()[2:]).decode("ascii"))
            if raw.startswith((exif.PREFIX, b"II*\0", b"MM\0*")):
                metadata.exif = metadata.exif or raw
            else:
                metadata.xmp = metadata.xmp or raw.removeprefix(JPEG_XMP)
        elif keyword == b"Comment" and not metadata.comment:
            text = _text(name, data)
            metadata.comment = text if name == b"iTXt" else text.decode("latin-1").encode()
            metadata.texts.append((name, data))
        else:
            metadata.texts.append((name, data))
    except (ValueError, IndexError, zlib.error):
        metadata.notes.append(f"Its text {keyword.decode('latin-1')!r} cannot be read and was left out.")


def _text(name: bytes, data: bytes) -> bytes:
    """The text in a chunk, unpacked, in the encoding of the chunk."""
    rest = data.split(b"\0", 1)[1]
    is_packed = name == b"zTXt"
    if name == b"iTXt":
        is_packed = rest[0] == 1
        rest = b"\0" + rest[2:].split(b"\0", 2)[2]
    elif is_packed is False:
        return rest
    if not is_packed:
        return rest[1:]
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(rest[1:], MOST_TEXT)
    if unpacker.unconsumed_tail:
        raise ValueError("too long")
    return text


def _xmp_of_gif(file: BinaryIO) -> bytes:
    file.seek(0)
    _, found, rest = file.read().partition(GIF_XMP)
    return rest.partition(GIF_XMP_END[:8])[0] if found else b""
