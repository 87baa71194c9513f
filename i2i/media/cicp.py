"""Colors that are described by code points (CICP, ITU-T H.273), as PNG's cICP chunk has them: an ICC profile for them.

Linear light of the sRGB range only: for the curves of HDR (PQ, HLG), and for narrow range, there is no profile.
"""

from __future__ import annotations

import functools
import struct

import numpy as np

D65, WHITE_C, DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
PRIMARIES = {  # code -> x and y of red, green, blue and white
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),  # BT.709, sRGB
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), WHITE_C),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), WHITE_C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),  # BT.2020
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), DCI),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),  # Display P3
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}
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
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@functools.cache
def profile(code: bytes, is_gray: bool) -> bytes | None:
    """The ICC profile of a cICP chunk's four bytes: primaries, curve, matrix (0), full range (1).

    None if there is none, or it is that of sRGB in gray, whose numbers need no profile."""
    if len(code) != 4 or code[2:] != b"\0\1" or code[0] not in PRIMARIES or code[1] not in CURVES:
        return None
    if is_gray and CURVES[code[1]] == SRGB:
        return None
    curve = _curve(CURVES[code[1]])
    white = _xyz(*PRIMARIES[code[0]][3])
    tags = {
        b"desc": _text(f"CICP {code[0]}/{code[1]}"),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz_type(D50),
        b"chad": b"sf32" + bytes(4) + _fixed(_adaptation(white).ravel()),
    }
    if is_gray:
        tags[b"kTRC"] = curve
    else:
        columns = _adaptation(white) @ _primaries(PRIMARIES[code[0]][:3], white)
        for i, letter in enumerate((b"r", b"g", b"b")):
            tags[letter + b"XYZ"], tags[letter + b"TRC"] = _xyz_type(columns[:, i]), curve
    return _file(tags, b"GRAY" if is_gray else b"RGB ")


# ---- colorimetry ---------------------------------------------------------------------------------------------------


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _primaries(points: tuple[tuple[float, float], ...], white: np.ndarray) -> np.ndarray:
    """The matrix [3, 3] from linear RGB to XYZ."""
    columns = np.stack([_xyz(*point) for point in points], 1)
    return columns * np.linalg.solve(columns, white)


def _adaptation(white: np.ndarray) -> np.ndarray:
    """The matrix [3, 3] that adapts XYZ from a white to D50, by Bradford."""
    scales = (BRADFORD @ D50) / (BRADFORD @ white)
    return np.linalg.inv(BRADFORD) @ np.diag(scales) @ BRADFORD


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
