"""A curve as an SVG drawing, linear and (where all values are positive) logarithmic."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from i2i.core.format import format_number
from i2i.training.report.history import Curve, Point

WIDE, HIGH = 360, 176  # units of the drawing
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 24  # margins


def chart(name: str, title: str, curve: Curve, end: int, colour: int, marks: list[int]) -> tuple[str, dict[str, Any]]:
    """The drawing as HTML, and the data that its pointer needs.

    name: of the chart in the page; end: images at the right edge; colour: number of a colour of the page; marks: images
    at which the run was resumed."""
    points = curve.points
    low, high = min(p[2] for p in points), max(p[3] for p in points)
    data: dict[str, Any] = {"x": [p[0] for p in points], "y": [_five(p[1]) for p in points], "end": end}
    scales = {"lin": _scale([low, high])}
    if low > 1e-300 and high > 3 * low:  # else a logarithm would look the same
        scales["log"] = _log_scale(low, high)
    parts = []
    for kind, (bottom, top, ticks) in scales.items():
        data[kind] = [bottom, top]
        name_of = kind if len(scales) > 1 else "both"
        log = kind == "log"

        def place(value: float, bottom: float = bottom, top: float = top, log: bool = log) -> float:
            value = math.log10(value) if log else value
            return TOP + (HIGH - TOP - BOTTOM) * (1 - (value - bottom) / (top - bottom))

        grid = "".join(
            f'<line x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{place(t):.1f}" y2="{place(t):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{place(t) + 3.5:.1f}" text-anchor="end">{format_number(t)}</text>'
            for t in ticks
        )
        line = _line(points, [place(p[1]) for p in points], end)
        smooth = moving_average([p[1] for p in points])
        if smooth:
            line = f'<g class="raw">{line}</g>{_line(points, [place(v) for v in smooth], end)}'
        band = ""
        if curve.stride > 1:
            edge = [f"{_x(p[0], end):.1f},{place(p[3]):.1f}" for p in points]
            edge += [f"{_x(p[0], end):.1f},{place(p[2]):.1f}" for p in reversed(points)]
            band = f'<polygon class="band" points="{" ".join(edge)}"/>'
        dot = ""
        if len(points) == 1:
            dot = f'<circle class="one" r="3" cx="{_x(points[0][0], end):.1f}" cy="{place(points[0][1]):.1f}"/>'
        parts.append(f'<g class="{name_of}"><g class="grid">{grid}</g>{band}{line}{dot}</g>')
    below = "".join(
        f'<text x="{_x(t, end):.1f}" y="{HIGH - 7}" text-anchor="{"end" if t == end else "middle"}">'
        f"{format_number(t)}</text>"
        for t in _scale([0, end], 4)[2]
        if 0 <= t <= end
    )
    again = "".join(
        f'<line class="mark" x1="{_x(m, end):.1f}" x2="{_x(m, end):.1f}" y1="{TOP}" y2="{HIGH - BOTTOM}"/>'
        for m in marks
        if 0 < m < end
    )
    last = format_number(curve.last) if curve.last is not None else ""
    html = (
        f'<figure class="chart c{colour % 6}" id="{name}"><figcaption><span>{escape(title)}</span>'
        f'<output>{last}</output></figcaption><svg viewBox="0 0 {WIDE} {HIGH}" role="img" '
        f'aria-label="{escape(title)} over the images seen; last {last}"><g class="grid">{below}</g>{again}'
        f'{"".join(parts)}<line class="hair" y1="{TOP}" y2="{HIGH - BOTTOM}"/><circle class="dot" r="3.5"/>'
        "</svg></figure>"
    )
    return html, data


def moving_average(values: list[float]) -> list[float]:
    """The mean over a window of about a twentieth of a long curve; nothing for a short one."""
    half = len(values) // 40
    if half < 2:
        return []
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    ends = [(max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values))]
    return [(sums[b] - sums[a]) / (b - a) for a, b in ends]


def _line(points: list[Point], heights: list[float], end: int) -> str:
    places = " ".join(f"{_x(p[0], end):.1f},{h:.1f}" for p, h in zip(points, heights))
    return f'<polyline points="{places}"/>'


def _x(images: float, end: int) -> float:
    return LEFT + (WIDE - LEFT - RIGHT) * images / max(1, end)


def _scale(values: list[float], most: int = 4) -> tuple[float, float, list[float]]:
    """(lowest, highest, ticks) of a linear axis with steps of 1, 2 or 5 times a power of ten."""
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


def _log_scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """(lowest, highest, ticks) of a logarithmic axis; the limits are logarithms, the ticks are not."""
    bottom, top = math.log10(low), math.log10(high)
    pad = max((top - bottom) * 0.04, 0.02)
    bottom, top = bottom - pad, top + pad
    powers = range(math.floor(bottom), math.ceil(top) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [f * 10.0**e for e in powers for f in factors if bottom <= math.log10(f * 10.0**e) <= top]
        if len(ticks) >= 3:
            break
    return bottom, top, ticks[:: max(1, math.ceil(len(ticks) / 6))]


def _five(value: float) -> float:
    return float(f"{value:.5g}")
