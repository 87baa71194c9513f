"""Which moments of a run are scored, and what came of it: checkpoints/scores.json.

Moments are multiples of `score_every`, or else of the interval of checkpoints, and the end. With score_every=0 a moment
is left out if scoring would take more than its part of the training time. What was scored is recorded, and a resumed
run scores the moments again that it repeats: it chooses the same best model, whatever the clock says then.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from i2i.core.device import Clock
from i2i.core.errors import I2IError
from i2i.core.files import atomic_write
from i2i.core.reading import read_json
from i2i.training.checkpoint import best_of

SHARE = 0.05  # of the training time that scores may take; half of it is kept for the score at the end
LEAST = 0.5  # seconds that scores may take in any case, and as much again at the end
FORM = {"metric": str, "scores": [[float]]}


class ScoreRecord:
    """The scores of a run by moment.

    folder: of the checkpoints. metric: of all scores; a record of another metric counts as empty. every: images between
    scores; 0: by the clock. clock: see `core.device.clock_of`. A damaged record is made up for by best.json, as far as
    that goes."""

    def __init__(self, folder: Path, metric: str, every: int, clock: Clock = time.monotonic) -> None:
        self.path, self.metric, self.every = folder / "scores.json", metric, every
        self.scores: dict[int, float] = {}
        self.clock, self.started, self.spent = clock, clock(), 0.0
        try:
            record = read_json(self.path, FORM)
            if record["metric"] == metric:
                self.scores = {int(images): score for images, score in record["scores"]}
        except (I2IError, ValueError):  # also a row that is no pair
            best = best_of(folder)
            if best.get("metric") == metric and "score" in best and "images" in best:
                self.scores = {best["images"]: best["score"]}

    def allowed(self, last: bool = False) -> float:
        """Seconds that the next score may take. last: it is the one at the end of the run."""
        time_so_far = self.clock() - self.started
        return (2 if last else 1) * max(LEAST, SHARE / 2 * time_so_far) - self.spent

    def share(self) -> float:
        """The part of the time since the run was started or resumed that scores took."""
        return self.spent / max(1e-9, self.clock() - self.started)

    def may_be_due(self, images: int) -> bool:
        """False if the moment is one that an earlier session passed over."""
        return bool(self.every) or images in self.scores or images > max(self.scores, default=0)

    def is_due(self, images: int, seconds: float, last: bool = False) -> bool:
        """True if this moment is scored: it was before, or it is new and `seconds` are not too many."""
        if self.every or images in self.scores:
            return True
        return images > max(self.scores, default=0) and seconds <= self.allowed(last)

    def add(self, images: int, score: float) -> None:
        """Records a score. Raises OSError if the record cannot be written."""
        self.scores[images] = score
        content = {"metric": self.metric, "scores": sorted(map(list, self.scores.items()))}
        with atomic_write(self.path) as file:
            file.write(json.dumps(content).encode())

    def best(self, images: int | None = None) -> tuple[int, float] | None:
        """(images, score) of the first lowest score, of those until `images` if it is given; None without scores."""
        seen = [(moment, score) for moment, score in self.scores.items() if images is None or moment <= images]
        return min(seen, key=lambda item: (item[1], item[0])) if seen else None

    def stale(self, images: int) -> int:
        """How many scores until `images` came after the best one of them."""
        best = self.best(images)
        return 0 if best is None else sum(best[0] < moment <= images for moment in self.scores)
