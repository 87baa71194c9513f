"""Boxes of JPEG XL and JPEG 2000 files that hold metadata, which their readers pass over."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

MOST = 1 << 24  # bytes of a box that is read
XML, UUID = b"xml ", b"uuid"
UUID_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
UUID_EXIF = b"JpgTiffExif->JP2"


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of the boxes at the top of a file that hold XML or have a UUID."""
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
        if kind in (XML, UUID) and at + size - start <= MOST:
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
