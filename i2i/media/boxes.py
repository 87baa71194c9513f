"""Boxes of AVIF, HEIC, JPEG XL and JPEG 2000 files, for what their readers pass over: metadata and code points."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from i2i.media import cicp

MOST = 1 << 24  # bytes of a box that is read
XML, UUID, META = b"xml ", b"uuid", b"meta"
CODE_POINTS = b"colrnclx"  # a box in META: primaries, curve and matrix, two bytes each
CURVES = (4, 8, 13)  # those of images; files with those of video are shown as if they were sRGB
UUID_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
UUID_EXIF = b"JpgTiffExif->JP2"


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of the boxes at the top of a file that hold metadata."""
    end = file.seek(0, os.SEEK_END)
    at = 0
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(file.read(8), "big"), start + 8
        elif size == 0:  # to the end of the file
            size = end - at
        if size < start - at:
            return
        if kind in (XML, UUID, META) and at + size - start <= MOST:
            yield kind, file.read(at + size - start)
        at += size


def metadata(file: BinaryIO) -> tuple[bytes, bytes]:
    """The EXIF block and the XMP packet in the boxes of a file; b"" for what it does not have."""
    exif, xmp = b"", b""
    for kind, data in boxes(file):
        if kind == XML and b"xmpmeta" in data:
            xmp = data
        elif kind == UUID and data.startswith(UUID_XMP):
            xmp = data[len(UUID_XMP) :]
        elif kind == UUID and data.startswith(UUID_EXIF):
            exif = data[len(UUID_EXIF) :]
    return exif, xmp


def read_code(image: Image.Image) -> None:
    """Gives an opened AVIF or HEIC file without a color profile that of its code points, if they say another color
    space than sRGB. Leaves the file where it stands."""
    file = getattr(image, "fp", None)
    if image.format not in ("AVIF", "HEIF") or file is None or "icc_profile" in image.info:
        return
    with contextlib.suppress(OSError, ValueError):  # no file any more
        place = file.tell()
        meta = next((data for kind, data in boxes(file) if kind == META), b"")
        file.seek(place)
        code = meta.partition(CODE_POINTS)[2][:4]
        if len(code) == 4 and code[0] == code[2] == 0 and code[1] != 1 and code[3] in CURVES:
            profile = cicp.profile(bytes([code[1], code[3], 0, 1]), image.mode in ("L", "LA"))
            if profile is not None:
                image.info["icc_profile"] = profile
