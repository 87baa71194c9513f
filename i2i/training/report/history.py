"""What the page shows of a run, gathered from the lines of its log in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from i2i.training.report.log import KEPT

POINTS = 512  # of a curve, at most
Point = tuple[int, float, float, float, int]  # images, mean, lowest, highest, number of values


class Curve:
    """A curve of any length in at most POINTS points: when they are used up, neighbours are merged two by two."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.last: float | None = None
        self.stride = 1

    def add(self, images: int, value: float | None) -> None:
        """Adds a value; None (it was not finite) is left out."""
        if value is None:
            return
        self.last = value
        new: Point = (images, value, value, value, 1)
        if self.points and self.points[-1][4] < self.stride:
            self.points[-1] = _merged(self.points[-1], new)
            return
        if len(self.points) == POINTS:
            self.points = [_merged(a, b) for a, b in zip(self.points[::2], self.points[1::2])]
            self.stride *= 2
        self.points.append(new)


def _merged(a: Point, b: Point) -> Point:
    n = a[4] + b[4]
    return b[0], (a[1] * a[4] + b[1] * b[4]) / n, min(a[2], b[2]), max(a[3], b[3]), n


@dataclass
class RunHistory:
    """The state of a run after some lines of its log."""

    images: int = 0
    seconds: float = 0.0  # of training, over all sessions, without what was lost
    started: str = ""
    time: str = ""  # of the last line
    curves: dict[str, Curve] = field(default_factory=dict)  # "G/l1", "rate/G", "images/s", "score"
    grids: list[int] = field(default_factory=list)  # images at which samples were drawn
    notes: list[str] = field(default_factory=list)
    warnings: list[tuple[int, str, str]] = field(default_factory=list)  # images, time, text; the last 100
    resumed: list[int] = field(default_factory=list)
    saved: int | None = None
    best: tuple[float, int] | None = None  # score (lower is better), images
    environment: dict[str, Any] = field(default_factory=dict)
    evaluation: tuple[int, dict[str, Any]] | None = None
    reason: str = ""  # why the run stopped before its end

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]]) -> RunHistory:
        """The history after all `records`."""
        history = cls()
        for record in records:
            history.add(record)
        return history

    def curve(self, name: str, images: int, value: Any) -> None:
        """Adds a point to the curve `name`."""
        if value is None or isinstance(value, int | float):
            self.curves.setdefault(name, Curve()).add(images, value)

    def add(self, record: dict[str, Any]) -> None:
        """Takes in one line of the log (as i2i.report.log reads it)."""
        kind, images, text = record["kind"], record["images"], str(record.get("text") or record.get("error") or "")
        if kind in ("losses", "samples", "saved", "resumed"):
            self.images = max(self.images, images)
        if kind not in (*KEPT, "warning"):  # they may have been written before a rewind, at another count
            self.seconds = max(self.seconds, record.get("seconds") or 0.0)
        self.time = str(record.get("time", ""))
        self.started = self.started or self.time
        if kind == "losses":
            for name, value in (record.get("terms") or {}).items():
                self.curve(name, images, value)
            for name, value in (record.get("rates") or {}).items():
                self.curve(f"rate/{name}", images, value)
            self.curve("images/s", images, record.get("speed"))
        elif kind == "signs":
            for name in ("spread", "nearest"):
                self.curve(f"samples/{name}", images, record.get(name))
        elif kind == "samples":
            if images not in self.grids:
                self.grids.append(images)
        elif kind == "note":
            if text not in self.notes:
                self.notes.append(text)
        elif kind in ("warning", "save failed"):
            told = text if kind == "warning" else f"The checkpoint could not be saved: {text}"
            self.warnings = [*self.warnings[-99:], (images, self.time, told)]
        elif kind == "resumed":
            self.resumed.append(images)
            self.reason = ""
        elif kind == "saved":
            self.saved = images
        elif kind == "score":
            score = record.get("score")
            self.curve("score", images, score)
            if score is not None and (self.best is None or score < self.best[0]):
                self.best = (score, images)
        elif kind == "environment":
            self.environment = {k: v for k, v in record.items() if k not in ("kind", "images", "time", "seconds")}
        elif kind == "evaluation":
            self.evaluation = (images, {k: v for k, v in record.items() if isinstance(v, dict)})
        elif kind == "ended":
            self.reason = str(record.get("reason") or "")

    def speed(self) -> float | None:
        """Images a second, over the last points of the curve."""
        points = self.curves["images/s"].points[-10:] if "images/s" in self.curves else []
        values = [p[1] for p in points if p[1] > 0]
        return len(values) / sum(1 / v for v in values) if values else None
