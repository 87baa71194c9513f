"""The geometry of a curve's chart: axes, ticks and lines in the units of an SVG drawing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from i2i.core.format import format_number
from i2i.training.report.history import Curve

WIDTH, HEIGHT = 360, 176  # of the drawing
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 24  # margins
COLORS = 6  # colors that report.css knows
FRAME = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}


@dataclass(frozen=True)
class Scale:
    """A curve on one scale of its vertical axis."""

    kind: str  # "lin", "log", or "both" if there is only one scale
    ticks: list[tuple[float, str]]  # (y, label)
    line: str  # points of the curve, for SVG
    smooth: str  # points of its moving average; empty for a short curve
    band: str  # outline of the area between the lowest and the highest values; empty if no points were merged
    dot: tuple[float, float] | None  # the only point of a curve


@dataclass(frozen=True)
class Chart:
    """All that the page draws of one curve, and `data`: what its script needs to show single values."""

    id: str
    title: str
    note: str  # what the curve is, and which way is good
    color: int
    last: str
    ticks: list[tuple[float, str, str]]  # (x, label, SVG text-anchor) of the horizontal axis
    marks: list[float]  # x where the run was resumed
    scales: list[Scale]
    data: dict[str, Any]


def chart(name: str, title: str, curve: Curve, end: int, color: int, resumed: list[int], note: str = "") -> Chart:
    """Lays out a curve with at least one point, on a linear and, where it helps, on a logarithmic scale.

    name: id of the chart in the page; end: images seen at the right edge; color: its number; resumed: images seen when
    the run was resumed; note: what the curve is."""
    points = curve.points
    low, high = min(p[2] for p in points), max(p[3] for p in points)
    data: dict[str, Any] = {"x": [p[0] for p in points], "y": [float(f"{p[1]:.5g}") for p in points], "end": end}
    axes = {"lin": linear_axis([low, high])}
    if low > 1e-300 and high > 3 * low:  # else a logarithm would look the same
        axes["log"] = log_axis(low, high)
    scales = []
    for kind, (bottom, top, ticks) in axes.items():
        data[kind] = [bottom, top]
        name_of_scale = kind if len(axes) > 1 else "both"
        scales.append(_scale(name_of_scale, curve, end, ticks, _y_of(bottom, top, kind == "log")))
    ticks_below = [t for t in linear_axis([0, end])[2] if 0 <= t <= end]
    return Chart(
        id=name,
        title=title,
        note=note,
        color=color % COLORS,
        last=format_number(curve.last) if curve.last is not None else "",
        ticks=[(_x_of(t, end), format_number(t), "end" if t == end else "middle") for t in ticks_below],
        marks=[_x_of(images, end) for images in resumed if 0 < images < end],
        scales=scales,
        data=data,
    )


def _scale(kind: str, curve: Curve, end: int, ticks: list[float], y_of: Callable[[float], float]) -> Scale:
    points = curve.points
    x = [_x_of(p[0], end) for p in points]
    smooth = moving_average([p[1] for p in points])
    band = ""
    if curve.stride > 1:
        upper = [(a, y_of(p[3])) for a, p in zip(x, points)]
        lower = [(a, y_of(p[2])) for a, p in zip(x, points)]
        band = _svg_points([*upper, *reversed(lower)])
    return Scale(
        kind=kind,
        ticks=[(y_of(t), format_number(t)) for t in ticks],
        line=_svg_points([(a, y_of(p[1])) for a, p in zip(x, points)]),
        smooth=_svg_points([(a, y_of(value)) for a, value in zip(x, smooth)]),
        band=band,
        dot=(x[0], y_of(points[0][1])) if len(points) == 1 else None,
    )


def _svg_points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _x_of(images: float, end: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * images / max(1, end)


def _y_of(bottom: float, top: float, log: bool) -> Callable[[float], float]:
    """Returns the function from a value to its height in the drawing; 0 is above."""

    def y_of(value: float) -> float:
        value = math.log10(value) if log else value
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - bottom) / (top - bottom))

    return y_of


def moving_average(values: list[float]) -> list[float]:
    """Returns the mean over a window of a twentieth of a long curve; nothing for a short one."""
    half = len(values) // 40
    if half < 2:
        return []
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    ends = [(max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values))]
    return [(sums[b] - sums[a]) / (b - a) for a, b in ends]


def linear_axis(values: list[float], most: int = 4) -> tuple[float, float, list[float]]:
    """Returns (lowest, highest, ticks) of a linear axis with steps of 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(high), abs(low)):
        margin = abs(high) * 0.1 or 1.0
        low, high = low - margin, high + margin
    ticks: list[float] = []
    while len(ticks) < 3:
        raw = (high - low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw * 0.999)
        first = math.ceil(low / step - 1e-9)
        ticks = [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
        most += 1
    pad = (high - low) * 0.04
    return low - pad, high + pad, ticks


def log_axis(low: float, high: float) -> tuple[float, float, list[float]]:
    """Returns (lowest, highest, ticks) of a logarithmic axis; the limits are logarithms, the ticks are not."""
    bottom, top = math.log10(low), math.log10(high)
    pad = max((top - bottom) * 0.04, 0.02)
    bottom, top = bottom - pad, top + pad
    powers = range(math.floor(bottom), math.ceil(top) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [f * 10.0**e for e in powers for f in factors if bottom <= math.log10(f * 10.0**e) <= top]
        if len(ticks) >= 3:
            break
    return bottom, top, ticks[:: max(1, math.ceil(len(ticks) / 6))]
