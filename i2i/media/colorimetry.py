"""Color spaces by their code points (ITU-T H.273): the primaries, and matrices between linear light and XYZ."""

from __future__ import annotations

import numpy as np

BT709, BT2020 = 1, 9  # numbers of primaries
Point = tuple[float, float]
D65, WHITE_C, DCI_WHITE = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
PRIMARIES: dict[int, tuple[Point, Point, Point, Point]] = {  # number -> x and y of red, green, blue and white
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),  # sRGB too
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), WHITE_C),  # NTSC of 1953
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), D65),  # PAL
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),  # NTSC
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), WHITE_C),  # film
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), DCI_WHITE),  # cinema P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),  # Display P3, of telephones
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def white_of(primaries: int) -> np.ndarray:
    """XYZ [3] of white, with Y = 1."""
    return xyz(*PRIMARIES[primaries][3])


def xyz(x: float, y: float) -> np.ndarray:
    """XYZ [3] of a chromaticity, with Y = 1."""
    return np.array([x / y, 1.0, (1 - x - y) / y])


def to_xyz(primaries: int) -> np.ndarray:
    """The matrix [3, 3] from linear RGB to XYZ."""
    *colors, _ = PRIMARIES[primaries]
    columns = np.stack([xyz(*color) for color in colors], 1)
    return columns * np.linalg.solve(columns, white_of(primaries))


def adaptation(white: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The matrix [3, 3] that adapts XYZ from one white to another, by Bradford's method."""
    scales = (BRADFORD @ target) / (BRADFORD @ white)
    return np.linalg.inv(BRADFORD) @ np.diag(scales) @ BRADFORD
