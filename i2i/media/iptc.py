"""IPTC texts, which lie in Photoshop's image resources: in a segment of JPEG, a tag of TIFF, a text of PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"8BIM"
HEAD = b"Photoshop 3.0\0"  # of the segment in a JPEG file
TEXTS = 0x0404  # the resource that holds IPTC texts
THUMBNAILS = (1033, 1036)  # show the image before
PROFILE = 1039
PNG_KEYWORD = b"Raw profile type iptc"


def cleaned(resources: bytes) -> bytes:
    """Image resources without thumbnails and color profile; as they are if they cannot be read."""
    try:
        parts = list(_parts(resources))
    except ValueError:
        return resources
    return b"".join(data for number, data in parts if number not in (*THUMBNAILS, PROFILE))


def resources_of(texts: bytes) -> bytes:
    """Image resources that hold IPTC texts alone, as a TIFF file may have them."""
    return SIGNATURE + struct.pack(">HHI", TEXTS, 0, len(texts)) + texts + bytes(len(texts) % 2)


def texts_of(resources: bytes) -> bytes:
    """The IPTC texts in image resources; b"" if there are none."""
    try:
        found = next((part for number, part in _parts(resources) if number == TEXTS), b"")
    except ValueError:
        return b""
    start = 6 + (found[6] + 2) // 2 * 2 if found else 0
    size = int.from_bytes(found[start : start + 4], "big")
    return found[start + 4 : start + 4 + size]


def _parts(resources: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of each resource. Raises ValueError if they cannot be read."""
    at, length = 0, len(resources.rstrip(b"\0"))
    while at < length:
        name = resources[at + 6 : at + 7] or b"\0"
        start = at + 6 + (name[0] + 2) // 2 * 2  # the name has an even length with its own
        if resources[at : at + 4] != SIGNATURE or start + 4 > len(resources):
            raise ValueError("no image resources")
        (size,) = struct.unpack(">I", resources[start : start + 4])
        end = start + 4 + size + size % 2
        yield int.from_bytes(resources[at + 4 : at + 6], "big"), resources[at:end]
        at = end


def from_png(text: bytes) -> bytes:
    """Image resources of a PNG text that ImageMagick and ExifTool write: a name, a length and hexadecimal digits.

    Raises ValueError if it is none."""
    data = bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    return data if data.startswith(SIGNATURE) else resources_of(data)


def to_png(resources: bytes) -> bytes:
    """The content of a PNG chunk zTXt that holds image resources."""
    digits = resources.hex().encode()
    lines = b"\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    return PNG_KEYWORD + b"\0\0" + zlib.compress(b"\niptc\n%8d\n%b\n" % (len(resources), lines))
