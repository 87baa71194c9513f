"""Colors that are described by code points (CICP, ITU-T H.273), as PNG's cICP chunk has them: an ICC profile for them.

Linear light of the sRGB range only: for the curves of HDR (PQ, HLG), and for narrow range, there is no profile.
"""

from __future__ import annotations

import functools
import struct

import numpy as np

from i2i.media import colorimetry
from i2i.media.colorimetry import PRIMARIES

BT709 = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
CURVES: dict[int, tuple[float, ...]] = {  # code -> exponent, and a, b, c, d of (a v + b)^exponent; c v below d
    1: BT709,
    4: (2.2,),
    5: (2.8,),
    6: BT709,
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0912),
    8: (1.0,),
    13: SRGB,
    14: BT709,
    15: BT709,
}
D50 = np.array([0.9642, 1.0, 0.8249])  # white of ICC's connection space


@functools.cache
def profile(code: bytes, is_gray: bool) -> bytes | None:
    """The ICC profile of a cICP chunk's four bytes: primaries, curve, matrix (0), full range (1).

    None if there is none, or it is that of sRGB in gray, whose numbers need no profile."""
    if len(code) != 4 or code[2:] != b"\0\1" or code[0] not in PRIMARIES or code[1] not in CURVES:
        return None
    if is_gray and CURVES[code[1]] == SRGB:
        return None
    curve = _curve(CURVES[code[1]])
    to_white = colorimetry.adaptation(colorimetry.white_of(code[0]), D50)
    tags = {
        b"desc": _text(f"CICP {code[0]}/{code[1]}"),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz_type(D50),
        b"chad": b"sf32" + bytes(4) + _fixed(to_white.ravel()),
    }
    if is_gray:
        tags[b"kTRC"] = curve
    else:
        columns = to_white @ colorimetry.to_xyz(code[0])
        for i, letter in enumerate((b"r", b"g", b"b")):
            tags[letter + b"XYZ"], tags[letter + b"TRC"] = _xyz_type(columns[:, i]), curve
    return _file(tags, b"GRAY" if is_gray else b"RGB ")


# ---- the file (ICC.1, version 4) -----------------------------------------------------------------------------------


def _file(tags: dict[bytes, bytes], space: bytes) -> bytes:
    table, body, places = b"", b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        if data not in places:  # curves that are equal share their place
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    header = struct.pack(">I4sI4s4s4s12s4s", start + len(body), b"", 0x04300000, b"mntr", space, b"XYZ ", b"", b"acsp")
    header += bytes(68 - len(header)) + _fixed(D50)
    return header + bytes(128 - len(header)) + struct.pack(">I", len(tags)) + table + body


def _fixed(values: np.ndarray | tuple[float, ...]) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _xyz_type(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _curve(parameters: tuple[float, ...]) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", 3 if len(parameters) > 1 else 0, 0) + _fixed(parameters)


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28) + data
