"""JPEG files: their segments, and files whose end is missing although no pixel is.

The latter lack the marker at the end, or a padding before it."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from i2i.media.formats import open_pillow

END = b"\xff\xd9"
SCAN, SCAN_END = 0xDA, 63  # marker of a scan, and the last coefficient of a block
PADDINGS = (b"\x00" * 64, b"\x55" * 64, b"\xaa" * 64, b"\xfe" * 64)  # more coded pixels, if any are wanted
RESTARTS = tuple(bytes([0xFF, 0xD0 + i]) + b"\x55" * 64 for i in range(8))  # the same behind a marker of restart


COMMENT, APP0, APP1, APP13 = 0xFE, 0xE0, 0xE1, 0xED
MOST_IN_SEGMENT = 65_533  # bytes


def segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(marker, data) of the segments before the pixels."""
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        return
    while len(head := file.read(2)) == 2 and head[0] == 0xFF and head[1] != SCAN:
        if head[1] == 0xFF:  # a filling byte
            file.seek(-1, 1)
            continue
        size = int.from_bytes(file.read(2), "big")
        data = file.read(size - 2) if size >= 2 else b""
        if size < 2 or len(data) < size - 2:
            return
        yield head[1], data


def segment(marker: int, data: bytes) -> bytes:
    """A segment as it stands in a file."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def inserted(data: bytes, more: bytes) -> bytes:
    """A JPEG file with more segments at its beginning, behind that of JFIF."""
    place = 2
    if data[2:4] == bytes([0xFF, APP0]):
        place += 2 + int.from_bytes(data[4:6], "big")
    return data[:place] + more + data[place:] if more else data


def completed(data: bytes) -> bytes | None:
    """The file with its end, if that alone is missing; None if pixels are missing, or nothing is.

    Where pixels are missing, whatever stands behind the data is decoded as pixels; where none is, it is passed over."""
    if not _has_all_scans(data):
        return None
    body = data[:-1] if data[-1:] == b"\xff" else data
    first = _decoded(body + END)
    paddings = PADDINGS + (RESTARTS if b"\xff\xdd" in data else ())
    if first is None or not all(_equal(first, _decoded(body + padding + END)) for padding in paddings):
        return None
    return body + END


def completed_2000(data: bytes) -> bytes | None:
    """A JPEG 2000 file that lacks nothing but the marker at its end, with that marker; None for any other."""
    body = data[:-1] if data[-1:] == b"\xff" else data
    return body + END if _decoded(data) is None and _decoded(body + END) is not None else None


def _equal(one: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and np.array_equal(one, other)


def _decoded(data: bytes) -> np.ndarray | None:
    try:
        with open_pillow(io.BytesIO(data)) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, struct.error):
        return None


def _has_all_scans(data: bytes) -> bool:
    """True if the file has no end, and its scans hold each coefficient of each component to its last bit. A progressive
    file without its last scans shows a whole, but blurred image."""
    todo: set[tuple[int, int]] = set()  # (component, coefficient)
    at = 2
    while at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if data[at] != 0xFF or marker == END[1] or not segment or len(segment) + 2 < length:
            return False
        if marker in (0xC0, 0xC1, 0xC2):
            todo = {(component, k) for component in segment[6::3] for k in range(SCAN_END + 1)}
        elif marker == SCAN and len(segment) == 4 + 2 * segment[0]:
            first, last, bits = segment[-3:]
            if not bits & 15:
                todo -= {(component, k) for component in segment[1:-3:2] for k in range(first, last + 1)}
        at += 2 + length
        if marker == SCAN:
            at = _behind_coded_pixels(data, at)
    return not todo and data[at : at + 2] != END


def _behind_coded_pixels(data: bytes, at: int) -> int:
    """The place of the next marker that is neither a stuffed byte nor a restart."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
            return at
        at += 1 if data[at + 1] == 0xFF else 2
    return len(data)
