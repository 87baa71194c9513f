"""How long the frames of an animation are shown: exactly in PNG, else the nearest that the format holds."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from PIL import Image

from i2i.media import png

MOST = 65_535  # of numerator and denominator in a PNG file
CONTROL, DELAY_AT = b"fcTL", 20  # the chunk before each frame, and where its duration stands


def rounded(durations: Sequence[float], suffix: str) -> list[int]:
    """Durations in ms as Pillow takes them: whole numbers, of GIF multiples of 10, and none but 0 becomes 0.

    `with_durations` puts those of PNG right."""
    step = 10 if suffix == ".gif" else 1
    most = {".gif": 10 * MOST, ".png": MOST}.get(suffix, 1 << 24)
    return [min(most, max(step, round(d / step) * step)) if d > 0 else 0 for d in durations]


def merged(
    frames: list[Image.Image], durations: Sequence[float], has_still: bool
) -> tuple[list[Image.Image], list[float]]:
    """Frames without repetitions, each shown as long as those together, as Pillow does it too.

    has_still: the first image is no frame of the animation, and has no duration."""
    result, times = frames[: int(has_still)], list[float]()
    for image, duration in zip(frames[int(has_still) :], durations):
        if times and _fraction(times[-1] + duration) and _equal(result[-1], image):
            times[-1] += duration
        else:
            result.append(image)
            times.append(duration)
    return result, times


def _equal(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and one.size == other.size and np.array_equal(np.asarray(one), np.asarray(other))


def _fraction(duration: float) -> Fraction | None:
    """A duration in ms as a fraction of seconds that a PNG file can hold; None if it is too long."""
    for most in (MOST, 1000, 100, 10, 1):
        seconds = Fraction(duration / 1000).limit_denominator(most)
        if seconds.numerator <= MOST:
            return seconds
    return None


def with_durations(data: bytes, durations: Sequence[float]) -> bytes:
    """A PNG file whose frames are shown for these times (ms), to a fraction that equals it."""
    places, at = [], 8
    while at + 12 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        if name == CONTROL:
            places.append(at)
        at += 12 + size
    if len(places) != len(durations):
        return data
    result = bytearray(data)
    for place, duration in zip(places, durations):
        seconds = _fraction(duration) or Fraction(MOST)
        control = bytearray(data[place + 8 : place + 8 + 26])
        struct.pack_into(">HH", control, DELAY_AT, seconds.numerator, seconds.denominator)
        result[place : place + 12 + 26] = png.chunk(CONTROL, bytes(control))
    return bytes(result)
