"""Rows of a comparison: the difference of two candidates by one metric, and whether it is clear."""

from __future__ import annotations

from typing import Any

from i2i.inference import metric_choice


def difference_row(a: str, b: str, metric: str, difference: float, interval: list[float]) -> dict[str, Any]:
    """The difference score(a) - score(b) with its 95 % interval; it is clear if 0 lies outside of the interval."""
    clear = interval[0] > 0 or interval[1] < 0
    better = better_of(metric, a, b, difference) if clear else ""
    row: dict[str, Any] = {"a": a, "b": b, "metric": metric, "difference": difference, "interval": interval}
    return {**row, "clear": clear, "better": better}


def better_of(metric: str, a: str, b: str, difference: float) -> str:
    """The name of the better one of two by the sign of score(a) - score(b)."""
    return a if (difference > 0) == metric_choice.higher_is_better(metric) else b
