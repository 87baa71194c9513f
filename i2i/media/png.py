"""PNG files: their chunks, and what Pillow does not do with them.

Color keys (the one gray level or color that is transparent) are stored in the depth of the file; Pillow compares them
with pixels that it has scaled to 8 bits. Colors that the chunk cICP describes, Pillow passes over.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import BinaryIO

import numpy as np
from PIL import Image

from i2i.media import cicp

KEY, PROFILE, CODE = "transparency", "icc_profile", "i2i cicp"  # in Pillow's info
FACTORS = {"1": 255, "L;2": 85, "L;4": 17}  # from the levels of the file to those of Pillow, by Pillow's raw mode
MOST = 1 << 24  # bytes of a chunk that is read here
SIGNATURE = b"\x89PNG\r\n\x1a\n"
ANIMATION = (b"acTL", b"fcTL", b"fdAT")  # chunks that hold frames
LEAST_KEY = {0: 2, 2: 6}  # bytes of the chunk tRNS by the file's color type: gray, RGB
LEAST = {b"pHYs": 9, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"iCCP": 3, b"zTXt": 2}  # bytes of some chunks
HEADER = 8 + 25  # bytes of the signature and of the chunk IHDR, after which other chunks may stand


# ---- chunks --------------------------------------------------------------------------------------------------------


def chunks(file: BinaryIO, names: Collection[bytes], last: bytes = b"IEND") -> Iterator[tuple[bytes, bytes]]:
    """(name, data) of the chunks with some names, up to that called `last`; those that are damaged or very long are
    left out."""
    file.seek(0)
    if file.read(8) != SIGNATURE:
        return
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if name == last:
            return
        if name not in names or size > MOST:
            file.seek(size + 4, 1)
            continue
        data, check = file.read(size), file.read(4)
        if check == struct.pack(">I", zlib.crc32(name + data)):
            yield name, data


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk as it stands in a file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def inserted(data: bytes, more: bytes) -> bytes:
    """A PNG file with more chunks behind its header."""
    return data[:HEADER] + more + data[HEADER:] if more else data


def without_damaged(data: bytes) -> tuple[bytes, list[str]]:
    """A PNG file without the damaged chunks of which no pixel needs any, and the names of these chunks.

    Damaged are those with a wrong checksum, unknown compression, or too few bytes. Readers of other libraries pass them
    over."""
    kept, names, at = SIGNATURE, [], len(SIGNATURE)
    color_type = data[25] if len(data) > 25 else 0
    least = {**LEAST, b"tRNS": LEAST_KEY.get(color_type, 0)}
    while at + 12 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        one = data[at : at + 12 + size]
        at += len(one)
        is_optional = bool(name[0] & 32) and name not in ANIMATION
        if is_optional and (len(one) < 12 + size or _is_damaged(name, one[8:-4], one[-4:], least)):
            names.append(name.decode("latin-1"))
        else:
            kept += one
    return kept + data[at:], names


def _is_damaged(name: bytes, content: bytes, check: bytes, least: Mapping[bytes, int]) -> bool:
    if check != struct.pack(">I", zlib.crc32(name + content)) or len(content) < least.get(name, 0):
        return True
    return name in (b"zTXt", b"iCCP") and content.partition(b"\0")[2][:1] not in (b"\0", b"")  # the compression


# ---- colors --------------------------------------------------------------------------------------------------------


def read_code(image: Image.Image) -> None:
    """Gives an opened file the profile of its chunk cICP, if it has one. Leaves the file where it stands."""
    file = getattr(image, "fp", None)
    if image.format != "PNG" or file is None or CODE in image.info:
        return
    with contextlib.suppress(OSError, ValueError):  # no file any more
        place = file.tell()
        code = next((data for _, data in chunks(file, [b"cICP"], last=b"IDAT")), None)
        file.seek(place)
        if code is not None:
            image.info[CODE] = code
            profile = cicp.profile(code, image.mode in ("1", "L", "LA") or image.mode.startswith("I"))
            if profile is not None:
                image.info[PROFILE] = profile


# ---- color keys ----------------------------------------------------------------------------------------------------


def scale_key(image: Image.Image) -> None:
    """Brings the key of an opened file with less than 8 bits to Pillow's levels.

    Of a palette's alphas, those without a color are left out; Pillow would refuse the file."""
    key, factor = image.info.get(KEY), FACTORS.get(_raw_mode(image), 1)
    if isinstance(key, bytes):
        image.info[KEY] = key[:256]
    if isinstance(key, int) and key <= 255 // factor:  # some versions of Pillow scale it themselves
        image.info[KEY] = key * factor


def has_key_of_16_bits(image: Image.Image) -> bool:
    """True if an opened file, not decoded yet, has a key of 16 bits for its color, which Pillow compares with 8."""
    return KEY in image.info and ";16" in _raw_mode(image) and image.mode != "I;16"


def with_alpha(array: np.ndarray, key: object) -> np.ndarray:
    """uint16 [H, W, 1 or 3] with the alpha that a key stands for; unchanged without one, or if it has alpha already."""
    if array.dtype != np.uint16 or array.shape[-1] not in (1, 3) or not isinstance(key, int | tuple):
        return array
    is_key = (array == np.array(key, np.int64)).all(-1, keepdims=True)
    return np.concatenate([array, np.where(is_key, 0, 65535).astype(np.uint16)], -1)


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else ""
    return arguments if isinstance(arguments, str) else str(arguments[0] if arguments else "")
