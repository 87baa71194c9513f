"""The history of a run: what report.html shows, collected from the lines of the log in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from i2i.training.report.log import TIMELESS

POINTS = 512  # points of a curve, at most
WARNINGS = 100  # warnings that the page shows, at most: the last ones
SPEED_POINTS = 10  # points behind the current speed
Point = tuple[int, float, float, float, int]  # images seen, mean, lowest, highest, number of values


class Curve:
    """A curve of any length in at most POINTS points: when they are used up, neighbours are merged in pairs."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.last: float | None = None
        self.stride = 1  # values per point

    def add(self, images: int, value: float | None) -> None:
        """Adds a value; None (it was not finite) is left out."""
        if value is None:
            return
        self.last = value
        point: Point = (images, value, value, value, 1)
        if self.points and self.points[-1][4] < self.stride:
            self.points[-1] = _merge(self.points[-1], point)
            return
        if len(self.points) == POINTS:
            self.points = [_merge(a, b) for a, b in zip(self.points[::2], self.points[1::2])]
            self.stride *= 2
        self.points.append(point)


def _merge(a: Point, b: Point) -> Point:
    n = a[4] + b[4]
    return b[0], (a[1] * a[4] + b[1] * b[4]) / n, min(a[2], b[2]), max(a[3], b[3]), n


class Sign(NamedTuple):
    """A sign of a failed training that was found: when, a sentence, and a sentence that says what helps."""

    images: int
    time: str
    text: str
    remedy: str


@dataclass
class RunHistory:
    """The state of a run after some lines of its log."""

    images: int = 0
    seconds: float = 0.0  # training time over all sessions, without what a crash lost
    started: str = ""  # time of the first line
    time: str = ""  # time of the last line
    curves: dict[str, Curve] = field(default_factory=dict)  # "G/l1", "rate/G", "images/s", "score"
    grids: list[int] = field(default_factory=list)  # images seen when sample grids were drawn
    notes: list[str] = field(default_factory=list)
    warnings: list[tuple[int, str, str]] = field(default_factory=list)  # (images seen, time, text)
    signs: dict[str, Sign] = field(default_factory=dict)  # what the doctor found, by name
    checks: int = 0  # of the doctor
    suspects: list[str] = field(default_factory=list)  # signs that its last check saw, but not for long enough
    resumed: list[int] = field(default_factory=list)  # images seen when the run was resumed
    saved: int | None = None  # images seen at the last checkpoint
    best: tuple[float, int] | None = None  # (score, images seen); lower is better
    metric: str = ""  # of the scores
    environment: dict[str, Any] = field(default_factory=dict)
    evaluation: tuple[int, dict[str, Any]] | None = None  # images seen, {"model": {"l1": 0.1, ...}, ...}
    reason: str = ""  # why the run stopped before its end

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]]) -> RunHistory:
        """Returns the history after all `records`."""
        history = cls()
        for record in records:
            history.add(record)
        return history

    def add(self, record: dict[str, Any]) -> None:
        """Adds a line of the log."""
        kind, images, text = record["kind"], record["images"], str(record.get("text") or record.get("error") or "")
        if kind in ("losses", "samples", "saved", "resumed"):
            self.images = max(self.images, images)
        if kind not in (*TIMELESS, "warning"):  # these may have been written before a rewind
            self.seconds = max(self.seconds, record.get("seconds") or 0.0)
        self.time = str(record.get("time", ""))
        self.started = self.started or self.time
        if kind == "losses":
            self._add_losses(record)
        elif kind == "signs":
            for name in ("spread", "nearest"):
                self._add_point(f"samples/{name}", images, record.get(name))
        elif kind == "samples":
            if images not in self.grids:
                self.grids.append(images)
        elif kind == "note":
            if text not in self.notes:
                self.notes.append(text)
        elif kind == "warning" and record.get("sign"):
            helps = str(record.get("remedy") or "")
            text = text.removesuffix(helps).rstrip()
            self.signs.setdefault(str(record["sign"]), Sign(images, self.time, text, helps))
        elif kind == "doctor":
            suspects = record.get("suspects")
            self.checks += 1
            self.suspects = list(map(str, suspects)) if isinstance(suspects, list) else []
        elif kind in ("warning", "save failed"):
            warning = text if kind == "warning" else f"The checkpoint could not be saved: {text}"
            self.warnings = [*self.warnings[1 - WARNINGS :], (images, self.time, warning)]
        elif kind == "resumed":
            self.resumed.append(images)
            self.reason = ""
        elif kind == "saved":
            self.saved = images
        elif kind == "score":
            score, metric = record.get("score"), str(record.get("metric") or "l1")
            if metric != self.metric:  # an earlier version scored by L1
                self.metric, self.best = metric, None
                self.curves.pop("score", None)
            self._add_point("score", images, score)
            if score is not None and (self.best is None or score < self.best[0]):
                self.best = (score, images)
        elif kind == "environment":
            self.environment = {k: v for k, v in record.items() if k not in ("kind", "images", "time", "seconds")}
        elif kind == "evaluation":
            rows = {k: v for k, v in record.items() if isinstance(v, dict) and k not in ("intervals", "features")}
            self.evaluation = (images, rows)
        elif kind == "ended":
            self.reason = str(record.get("reason") or "")

    def _add_losses(self, record: dict[str, Any]) -> None:
        for name, value in (record.get("terms") or {}).items():
            self._add_point(name, record["images"], value)
        for name, value in (record.get("rates") or {}).items():
            self._add_point(f"rate/{name}", record["images"], value)
        self._add_point("images/s", record["images"], record.get("speed"))

    def _add_point(self, name: str, images: int, value: Any) -> None:
        if value is None or isinstance(value, int | float):
            self.curves.setdefault(name, Curve()).add(images, value)

    def mean_speed(self) -> float:
        """Returns images/s over the whole run, all sessions together, with all that is not a step: saving, samples."""
        return self.images / self.seconds if self.seconds > 0 else 0.0

    def speed(self) -> float | None:
        """Returns the current speed in images/s: the harmonic mean of the curve's last points."""
        points = self.curves["images/s"].points[-SPEED_POINTS:] if "images/s" in self.curves else []
        values = [point[1] for point in points if point[1] > 0]
        return len(values) / sum(1 / value for value in values) if values else None
