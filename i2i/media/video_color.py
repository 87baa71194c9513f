"""Colors of video frames into those of networks: BT.709 and 8 bits, from HDR (PQ and HLG) and from wide gamuts.

HDR becomes what a screen without HDR shows. Light up to about 90 nits keeps its relation to the reference white of 203
nits (ITU-R BT.2408); brighter parts are compressed as in BT.2390, so that 1000 nits are white. All curves that are not
HDR count as sRGB's, as players treat them.
"""

from __future__ import annotations

import functools

import numpy as np

from i2i.media import colorimetry
from i2i.media.colorimetry import BT709, BT2020, PRIMARIES

LINEAR, LOG, LOG_SQRT, PQ, DCI, HLG = 8, 9, 10, 16, 17, 18  # FFmpeg's numbers of transfer functions
HDR = {PQ: "PQ", HLG: "HLG"}
WHITE_NITS = 203.0  # what becomes white
PEAK_NITS = 1000.0  # the brightest that is kept apart; most HDR videos are mastered for it, and HLG is defined for it
HLG_GAMMA = 1.2  # of a screen of 1000 nits


def is_bt709(primaries: int, transfer: int) -> bool:
    """Whether the numbers of frames with these tags are used as they are."""
    return transfer not in (LINEAR, DCI, *HDR) and (primaries == BT709 or primaries not in PRIMARIES)


def into_bt709(rgb: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """uint8 [H, W, 3] in the colors of BT.709, from floats [H, W, 3] in [0, 1] with these primaries and this curve.

    Colors that BT.709 does not have are clipped."""
    linear = _linear(rgb, transfer)
    own = (BT2020 if transfer in HDR else BT709) if primaries not in PRIMARIES else primaries
    if own != BT709:
        linear = linear @ _matrix(own).T.astype(np.float32)
    return _srgb_levels()[(linear.clip(0, 1) * 65535 + 0.5).astype(np.uint16)]


def _linear(rgb: np.ndarray, transfer: int) -> np.ndarray:
    """Linear light, 1 for white; float32 [H, W, 3]."""
    curve = _curve(transfer)
    linear = curve[(rgb.clip(0, 1) * (len(curve) - 1) + 0.5).astype(np.uint16)]
    if transfer not in HDR:
        return linear
    if transfer == HLG:  # a screen raises the contrast by the brightness of the whole pixel
        brightness = linear @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        linear = linear * (brightness ** (HLG_GAMMA - 1))[..., None] * (PEAK_NITS / WHITE_NITS)
    light, gain = _compression()
    return linear * np.interp(linear.max(-1), light, gain).astype(np.float32)[..., None]


@functools.cache
def _curve(transfer: int) -> np.ndarray:
    """Linear light of the codes 0 to 65535; for HLG the light of the scene, in [0, 1]."""
    code = np.linspace(0, 1, 65536)
    if transfer == PQ:
        light = _nits_of_pq(code) / WHITE_NITS
    elif transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    elif transfer == LINEAR:
        light = code
    elif transfer == DCI:
        light = code**2.6 * 52.37 / 48
    else:
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@functools.cache
def _srgb_levels() -> np.ndarray:
    """The 8-bit level of sRGB for linear light of 0 to 65535."""
    light = np.linspace(0, 1, 65536)
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (code * 255).round().astype(np.uint8)


def _nits_of_pq(code: np.ndarray) -> np.ndarray:
    """Light in nits, 0 to 10,000, of codes of PQ in [0, 1] (SMPTE ST 2084)."""
    root = code ** (1 / 78.84375)
    return 10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)


def _pq_of_nits(nits: np.ndarray | float) -> np.ndarray:
    """The inverse of `_nits_of_pq`."""
    power = (np.asarray(nits) / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@functools.cache
def _compression() -> tuple[np.ndarray, np.ndarray]:
    """(linear light of a pixel's brightest channel, 1 for white; factor for the pixel): the curve of BT.2390.

    It is the identity up to a knee, and leads the peak to white."""
    peak, white = _pq_of_nits(PEAK_NITS), _pq_of_nits(WHITE_NITS)
    code = np.linspace(0, 1, 4096)[1:]  # of PQ
    relative, top = (code / peak).clip(0, 1), white / peak
    knee = 1.5 * top - 0.5
    t = ((relative - knee) / (1 - knee)).clip(0, 1)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * top
    light = _nits_of_pq(code) / WHITE_NITS
    wanted = _nits_of_pq(np.where(relative < knee, relative, bent) * peak) / WHITE_NITS
    return light, wanted / light


@functools.cache
def _matrix(primaries: int) -> np.ndarray:
    """Linear RGB with these primaries -> linear RGB of BT.709; white stays white."""
    adaptation = colorimetry.adaptation(colorimetry.white_of(primaries), colorimetry.white_of(BT709))
    matrix: np.ndarray = np.linalg.inv(colorimetry.to_xyz(BT709)) @ adaptation @ colorimetry.to_xyz(primaries)
    return matrix
