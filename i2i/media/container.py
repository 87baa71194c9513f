"""Metadata into output files, by format: arguments of Pillow, or segments, chunks and fields of our own."""

from __future__ import annotations

from typing import Any

from i2i.media import exif, ifd, iptc, jpeg, png
from i2i.media.ifd import BYTE, UNDEFINED, Field
from i2i.media.metadata import GIF_XMP, GIF_XMP_END, JPEG_XMP, PNG_XMP, Metadata

JPEG, TIFF = (".jpg", ".jpeg"), (".tif", ".tiff")
TITLES = {  # fields of Metadata, and what users call them
    "exif": "EXIF", "xmp": "XMP", "xmp_more": "a part of XMP", "resources": "IPTC", "comment": "a comment",
    "texts": "texts of PNG", "pages": "GeoTIFF tags",
}  # fmt: skip
HOLDS = {  # what the formats hold
    **dict.fromkeys(JPEG, ("exif", "xmp", "xmp_more", "resources", "comment")),
    **dict.fromkeys(TIFF, ("exif", "xmp", "resources", "pages")),
    ".png": ("exif", "xmp", "resources", "comment", "texts"),
    ".webp": ("exif", "xmp"),
    ".avif": ("exif", "xmp"),
    ".gif": ("xmp", "comment"),
}


def arguments(metadata: Metadata, suffix: str) -> dict[str, Any]:
    """What Pillow writes itself; `inserted` adds the rest."""
    result: dict[str, Any] = {}
    if metadata.dpi:
        result["dpi"] = metadata.dpi
    if suffix in (".webp", ".avif"):
        if metadata.exif:
            block = metadata.exif
            if suffix == ".avif":  # Pillow writes the block anew if it has an orientation
                block = exif.changed(block, 1, None, keeps_tag=False)
            result["exif"] = block
        if metadata.xmp:
            result["xmp"] = metadata.xmp
    if suffix == ".gif" and metadata.comment:
        result["comment"] = metadata.comment
    return result


def inserted(data: bytes, metadata: Metadata, suffix: str) -> bytes:
    """An output file with all metadata that Pillow has not written."""
    if suffix in JPEG:
        return _into_jpeg(data, metadata)
    if suffix == ".png":
        return _into_png(data, metadata)
    if suffix in TIFF:
        return _into_tiff(data, metadata)
    if suffix == ".gif" and metadata.xmp:
        place = data.rindex(b";")  # the end
        return b"GIF89a" + data[6:place] + GIF_XMP + metadata.xmp + GIF_XMP_END + data[place:]
    return data


def note_losses(metadata: Metadata, suffix: str, profile: bytes | None) -> None:
    """Adds a note of what an output with `suffix` cannot hold. profile: that of the colors."""
    lost = []
    if profile is None and suffix != ".png" and any(name == b"cICP" for name, _ in metadata.colors):
        lost.append("colors by cICP (HDR)")
    for name, title in TITLES.items():
        value = getattr(metadata, name)
        if name == "pages":
            value = any(tag in exif.GEO for page in value for tag in page)
        if name == "comment" and any(text[1].startswith(b"Comment\0") for text in metadata.texts):
            value = b""  # it is one of the texts
        if value and name not in HOLDS.get(suffix, ()):
            lost.append(title)
    if suffix == ".gif" and b"\0" in metadata.xmp:  # readers that do not know XMP would stop at the zero
        metadata.xmp = b""
        lost.append("XMP in UTF-16")
    if lost:
        metadata.notes.append(f"Left out, because {suffix} cannot hold it: {', '.join(lost)}.")


# ---- formats -------------------------------------------------------------------------------------------------------


def _into_jpeg(data: bytes, metadata: Metadata) -> bytes:
    parts = [
        ("EXIF", jpeg.APP1, exif.PREFIX + metadata.exif if metadata.exif else b""),
        ("XMP", jpeg.APP1, JPEG_XMP + metadata.xmp if metadata.xmp else b""),
        *(("XMP", jpeg.APP1, more) for more in metadata.xmp_more),
    ]
    room = jpeg.MOST_IN_SEGMENT - len(iptc.HEAD)
    for i in range(0, len(metadata.resources), room):
        parts.append(("IPTC", jpeg.APP13, iptc.HEAD + metadata.resources[i : i + room]))
    parts.append(("comment", jpeg.COMMENT, metadata.comment))
    segments = b""
    for title, marker, content in parts:
        if len(content) > jpeg.MOST_IN_SEGMENT:
            metadata.notes.append(f"Its {title} is longer than a JPEG file can hold (64 KB), and was left out.")
        elif content:
            segments += jpeg.segment(marker, content)
    return jpeg.inserted(data, segments)


def _into_png(data: bytes, metadata: Metadata) -> bytes:
    chunks = [*metadata.colors]
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append((b"iTXt", PNG_XMP + bytes(5) + metadata.xmp))
    if metadata.resources:
        chunks.append((b"zTXt", iptc.to_png(metadata.resources)))
    if metadata.comment and not any(text[1].startswith(b"Comment\0") for text in metadata.texts):
        chunks.append(_comment(metadata.comment))
    return png.inserted(data, b"".join(png.chunk(*one) for one in [*chunks, *metadata.texts]))


def _comment(comment: bytes) -> tuple[bytes, bytes]:
    """A chunk that holds a comment of unknown encoding."""
    comment = comment.rstrip(b"\0").replace(b"\0", b" ")
    try:
        comment.decode("utf-8")
    except UnicodeDecodeError:
        return b"tEXt", b"Comment\0" + comment  # Latin 1
    return (b"tEXt", b"Comment\0" + comment) if comment.isascii() else (b"iTXt", b"Comment" + bytes(5) + comment)


def _into_tiff(data: bytes, metadata: Metadata) -> bytes:
    pages = [dict(page) for page in metadata.pages] or [exif.tags_of(metadata.exif) if metadata.exif else {}]
    values = (
        (ifd.XMP, BYTE, metadata.xmp),
        (ifd.PHOTOSHOP, BYTE, metadata.resources),
        (ifd.IPTC, UNDEFINED, iptc.texts_of(metadata.resources)),
    )
    pages[0] |= {tag: Field(kind, len(value), value) for tag, kind, value in values if value}
    return ifd.with_fields(data, pages)
