"""Signs in the lines of a run's log: losses, scores, weights and the time that training waited for images."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from i2i.core.reading import has_form
from i2i.training.doctor.finding import NOT_FOUND, Finding, judged, unknown

CERTAIN = 0.005  # sum of D's losses on real and fake images, below which it is never wrong
CERTAIN_STEPS, CERTAIN_LINES = 200, 4  # ... for so many steps, and lines of the log
SWING_LINES = 32  # lines that a judgement of swings needs
SWING_GROWTH, SWING = 2.5, 0.5  # of the swings from the second quarter to the last; and their share of the mean
SCORES = 6  # scores that a judgement of overfitting needs
WORSE, BETTER = 1.1, 0.9  # score now against the best; training loss now against that at the best score
EXPLODED, EXPLOSION_LINES = 100.0, 8  # of the median of a loss; lines that are needed
GRADIENT_GROWTH, GRADIENT = 100.0, 100.0  # norm of a gradient now, against its median before; and in itself
WEIGHT_GROWTH = 20.0  # root mean square of a network's weights now, against the first
WAITED, WAIT_CHECKS = 0.5, 3  # share of the time that training waits for images, at so many checks in a row
LINES = 4096  # lines of losses that are remembered
FORM = {
    "kind": str,
    "images": int,
    "terms?": {str: float | None},
    "score?": float | None,
    "metric?": str,
    "weights?": {str: float},
    "gradients?": {str: float | None},
}
NO_LOG = "There is no log of a training."


@dataclass
class Curves:
    """What the log of a run says. Lines are added as they come."""

    batch: int = 1
    losses: list[tuple[int, dict[str, float]]] = field(default_factory=list)  # images, means by "optimizer/term"
    scores: list[tuple[int, float]] = field(default_factory=list)  # images, score on held-out pairs; lower is better
    metric: str = ""  # of the scores
    weights: list[dict[str, float]] = field(default_factory=list)  # root mean square of each network's weights
    gradients: dict[str, list[float]] = field(default_factory=dict)  # norms by optimizer
    waits: list[float] = field(default_factory=list)  # share of the time that training waited for images
    dead: str = ""  # what is wrong with the images that came

    def add(self, record: Mapping[str, Any]) -> None:
        """Adds a line of log.jsonl. Lines of other kinds change nothing."""
        kind, images = record["kind"], record["images"]
        if kind == "losses":
            terms = {name: value for name, value in (record.get("terms") or {}).items() if value is not None}
            self.losses.append((images, terms))
            if len(self.losses) > LINES:  # every second line of the first half
                self.losses[: LINES // 2] = self.losses[: LINES // 2 : 2]
        elif kind == "score" and record.get("score") is not None:
            self._add_score(images, record["score"], str(record.get("metric") or "l1"))
        elif kind == "doctor":
            if record.get("weights"):
                self.weights = [*self.weights[:1], record["weights"]]
            self.add_gradients(record.get("gradients") or {})
            if isinstance(record.get("waited"), int | float):
                self.waits = [*self.waits[1 - WAIT_CHECKS :], float(record["waited"])]
            self.dead = str(record.get("dead") or "")

    def add_gradients(self, norms: Mapping[str, float | None]) -> None:
        """Adds the norms of gradients by optimizer; None: it was not finite."""
        for name, norm in norms.items():
            values = self.gradients.setdefault(name, [])
            values.append(math.inf if norm is None else norm)
            if len(values) > LINES:
                values[: LINES // 2] = values[: LINES // 2 : 2]

    def _add_score(self, images: int, score: float, metric: str) -> None:
        """Adds a score on held-out pairs. KID compares sets of images, so it tells nothing of pairs."""
        if metric == "kid":
            return
        if metric != self.metric:  # an earlier version scored by L1
            self.metric, self.scores = metric, []
        self.scores.append((images, score))

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]], batch: int) -> Curves:
        """The curves of the lines of a log; lines of another form are left out."""
        curves = cls(batch)
        for record in records:
            if has_form(record, FORM):
                curves.add(record)
        return curves

    def judge(self) -> list[Finding]:
        """The signs in the lines so far."""
        judges = (self._d_wins, self._oscillation, self._overfitting)
        return [*(judge() for judge in judges), *self.judge_growth(), self._slow_data(), self._dead_data()]

    def judge_growth(self) -> list[Finding]:
        """The signs of which a run dies within moments: losses, weights or gradients that grow without end."""
        return [self._explosion(), self._weights(), self._gradients()]

    # ---- the two sides of the game -----------------------------------------------------------------------------

    def _of(self, optimizer: str, terms: tuple[str, ...]) -> list[tuple[int, float]]:
        """(images, sum) of the terms whose names begin so, a mean over their sides, in each line that has them."""
        rows = []
        for images, values in self.losses:
            sums = []
            for term in terms:
                sides = [v for n, v in values.items() if n.startswith(optimizer) and n.split("/")[-1].startswith(term)]
                if sides:
                    sums.append(statistics.fmean(sides))
            if len(sums) == len(terms):
                rows.append((images, sum(sums)))
        return rows

    def _has_signed_scores(self) -> bool:
        """Whether D's terms are raw scores, as in WGAN: then 0 means nothing."""
        return any(
            value < 0
            for _, values in self.losses
            for name, value in values.items()
            if name.startswith("D") and name.split("/")[-1].startswith(("real", "fake"))
        )

    def _d_wins(self) -> Finding:
        rows = self._of("D", ("real", "fake"))
        if not rows:
            return unknown("D wins", NO_LOG if not self.losses else "The log has no losses of a discriminator.")
        if self._has_signed_scores():
            return unknown("D wins", "The losses are scores of a critic, which have no zero.")
        certain = 0
        for _, value in reversed(rows):
            if value > CERTAIN:
                break
            certain += 1
        steps = (rows[-1][0] - rows[-1 - certain][0] if certain < len(rows) else rows[-1][0]) / self.batch
        last = statistics.fmean(value for _, value in rows[-CERTAIN_LINES:])
        return judged(
            "D wins",
            certain >= CERTAIN_LINES and steps >= CERTAIN_STEPS,
            {"loss": last, "steps": steps if certain else 0},
            f"The discriminator's loss is {last:.2g}, and under {CERTAIN:g} for {steps:,.0f} steps.",
        )

    def _oscillation(self) -> Finding:
        sides = [rows for rows in (self._of("D", ("real", "fake")), self._of("G", ("adv",))) if rows]
        if len(sides) < 2:
            return unknown("oscillation", NO_LOG if not self.losses else "The log has no losses of two sides.")
        shortest = min(map(len, sides))
        if shortest < SWING_LINES:
            return unknown("oscillation", f"Lines of losses in the log: {shortest}; {SWING_LINES} are needed.")
        growths, swings = [], []
        for rows in sides:
            quarter = len(rows) // 4
            values = [value for _, value in rows]
            before, now = values[quarter : 2 * quarter], values[-quarter:]
            swings.append(_swing(now) / max(1e-9, abs(statistics.fmean(now))))
            growths.append(_swing(now) / max(1e-9, _swing(before)))
        growth, swing = min(growths), min(swings)
        return judged(
            "oscillation",
            growth > SWING_GROWTH and swing > SWING,
            {"growth": growth, "swing": swing},
            f"The losses of both sides swing {growth:.1f} times as much as before, by {swing:.0%} of their mean.",
        )

    # ---- the rest of the log -----------------------------------------------------------------------------------

    def _overfitting(self) -> Finding:
        if len(self.scores) < SCORES:
            why = f"Scores on held-out images in the log: {len(self.scores)}; {SCORES} are needed."
            return unknown("overfitting", why if self.losses else NO_LOG)
        best_images, best = min(self.scores, key=lambda s: s[1])
        now = statistics.fmean(score for _, score in self.scores[-3:])
        name, at_best, at_end = self._training_loss(best_images)
        ratio = now / best if best > 0 else 1.0
        trained = at_end / at_best if at_best > 0 else 1.0
        late = best_images < 0.6 * self.scores[-1][0]
        return judged(
            "overfitting",
            late and ratio > WORSE and trained < BETTER,
            {"score": ratio, "training": trained, "best at": best_images},
            f"Since {best_images:,} images the score on held-out images has become {ratio - 1:.0%} worse, while the "
            f"training loss {name} fell by {1 - trained:.0%}. The best checkpoint is kept.",
        )

    def _training_loss(self, images: int) -> tuple[str, float, float]:
        """(name, its mean around `images`, its mean at the end) of the term that compares with the true images."""
        names = [n for n in (self.losses[-1][1] if self.losses else {}) if n.startswith("G/") and "adv" not in n]
        if not names:
            return "", 1.0, 1.0
        name = next((n for n in names if n.endswith("l1")), names[0])
        rows = [(at, values[name]) for at, values in self.losses if name in values]
        near = sorted(rows, key=lambda row: abs(row[0] - images))[:3]
        return name, statistics.fmean(v for _, v in near), statistics.fmean(v for _, v in rows[-3:])

    def _explosion(self) -> Finding:
        if len(self.losses) < EXPLOSION_LINES:
            why = f"Lines of losses in the log: {len(self.losses)}; {EXPLOSION_LINES} are needed."
            return unknown("explosion", why if self.losses else NO_LOG)
        largest, worst = 0.0, ""
        for name in self.losses[-1][1]:
            values = [abs(values[name]) for _, values in self.losses if name in values]
            usual = statistics.median(values[: max(EXPLOSION_LINES // 2, len(values) // 2)])
            growth = min(values[-3:]) / max(usual, 0.1)
            if growth > largest:
                largest, worst = growth, name
        return judged(
            "explosion",
            largest > EXPLODED,
            {"growth": largest},
            f"The loss {worst} is {largest:,.0f} times as large as it was.",
        )

    def _weights(self) -> Finding:
        if len(self.weights) < 2:
            return unknown("weights", "The log does not say how the weights grew." if self.losses else NO_LOG)
        first, now = self.weights[0], self.weights[-1]
        growth = {name: now[name] / max(first[name], 1e-4) for name in now if name in first}
        name = max(growth, key=lambda n: growth[n], default="")
        largest = growth.get(name, 0.0)
        return judged(
            "weights",
            largest > WEIGHT_GROWTH,
            {"growth": largest},
            f"The weights of {name} are {largest:,.0f} times as large as at the start.",
        )

    def _gradients(self) -> Finding:
        longest = max((len(values) for values in self.gradients.values()), default=0)
        if longest < EXPLOSION_LINES:
            why = f"Gradients in the log: {longest}; {EXPLOSION_LINES} are needed."
            return unknown("gradients", why if self.losses else NO_LOG)
        largest, norm, worst = 0.0, 0.0, ""
        for name, values in self.gradients.items():
            usual = statistics.median(values[: max(EXPLOSION_LINES // 2, len(values) // 2)])
            now = min(values[-3:])
            if now / max(usual, 1e-3) > largest:
                largest, norm, worst = min(now / max(usual, 1e-3), 1e9), now, name
        return judged(
            "gradients",
            largest > GRADIENT_GROWTH and norm > GRADIENT,
            {"growth": largest, "norm": min(norm, 1e30)},
            f"The gradient of {worst} is {largest:,.0f} times as large as it was: its norm is {norm:,.4g}.",
        )

    def _slow_data(self) -> Finding:
        if len(self.waits) < WAIT_CHECKS:
            return unknown("slow data", "The log does not say how long training waited." if self.losses else NO_LOG)
        waited = min(self.waits)
        text = f"Training waits for images {waited:.0%} of the time."
        return judged("slow data", waited > WAITED, {"waited": waited}, text)

    def _dead_data(self) -> Finding:
        if not self.waits and not self.dead:
            return unknown("dead data", "The log does not say which images came." if self.losses else NO_LOG)
        return judged("dead data", True, {}, self.dead) if self.dead else Finding("dead data", NOT_FOUND)


def _swing(values: Sequence[float]) -> float:
    """Standard deviation of the values around the straight line through them."""
    count = len(values)
    middle, mean = (count - 1) / 2, statistics.fmean(values)
    slope = sum((i - middle) * (v - mean) for i, v in enumerate(values)) / sum((i - middle) ** 2 for i in range(count))
    return statistics.pstdev(v - mean - slope * (i - middle) for i, v in enumerate(values))
