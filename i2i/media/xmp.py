"""XMP packets: what they say of the pixels is corrected, and all else stays as it is."""

from __future__ import annotations

import re

NAMESPACES = {"tiff": b"http://ns.adobe.com/tiff/1.0/", "exif": b"http://ns.adobe.com/exif/1.0/"}
SIZES = (("tiff", b"ImageWidth"), ("tiff", b"ImageLength"), ("exif", b"PixelXDimension"), ("exif", b"PixelYDimension"))
THUMBNAILS = re.compile(rb"<(\w{1,32}:Thumbnails)\b[^<>]*>")
WIDE = {b"<\0": "utf-16-le", b"\0<": "utf-16-be", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def changed(packet: bytes, size: tuple[int, int] | None) -> bytes:
    """An XMP packet for pixels that stand upright and were translated.

    Its orientation becomes 1, and its thumbnails, which show the image before, are removed. size: width and height that
    replace those that are stated, if there are any; None: they are still right."""
    encoding = WIDE.get(packet[:2])
    if encoding is not None:
        try:
            return changed(packet.decode(encoding).encode(), size).decode().encode(encoding)
        except UnicodeError:
            return packet
    packet = _set(packet, "tiff", b"Orientation", 1)
    for (space, name), value in zip(SIZES, (size or ()) * 2):
        packet = _set(packet, space, name, value)
    return _without_thumbnails(packet)


def _without_thumbnails(packet: bytes) -> bytes:
    parts, at = [], 0
    for found in THUMBNAILS.finditer(packet):
        if found.start() < at:  # inside of one that was removed
            continue
        end = found.end()
        if not found[0].endswith(b"/>"):
            close = b"</" + found[1] + b">"
            place = packet.find(close, end)
            if place < 0:
                break
            end = place + len(close)
        parts.append(packet[at : found.start()])
        at = end
    return b"".join([*parts, packet[at:]])


def _set(packet: bytes, space: str, name: bytes, value: int) -> bytes:
    """Sets a number that a packet states, as an attribute or as an element."""
    found = re.search(rb"xmlns:([\w.-]+)\s*=\s*[\"']" + re.escape(NAMESPACES[space]), packet)
    prefix = found[1] if found else space.encode()
    pattern = rb"(\b%b:%b(?:\s*=\s*[\"']|>)\s*)-?\d+" % (re.escape(prefix), name)
    return re.sub(pattern, rb"\g<1>%d" % value, packet)
