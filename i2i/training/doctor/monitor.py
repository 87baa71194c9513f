"""The doctor while a run trains: an observer that looks at the sample grids, the losses and the weights."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from i2i.core.device import clock_of
from i2i.methods._method import Method
from i2i.training.collapse import MAX_VALUES, RealImages
from i2i.training.doctor.curves import Curves
from i2i.training.doctor.finding import Finding
from i2i.training.doctor.loader import WatchedData
from i2i.training.doctor.pixels import Real, judge_outputs
from i2i.training.doctor.remedy import remedy
from i2i.training.doctor.table import PIXELS
from i2i.training.report import ForwardingObserver, Observer

CHECKS = 3  # checks in a row that must show a sign of the outputs
EARLY, EARLY_NOOP = 0.1, 0.25  # parts of the run in which outputs, and the sign no-op, are not judged yet
EARLY_STEPS = 200  # steps in which outputs are not judged, however short the run is
REAL_IMAGES = 64  # real images to compare with, at most
MOST_TIME = 0.01  # of the run's time; a check that would make the doctor cost more is left out
LEAST_TIME = 0.5  # seconds that the doctor may take in any case
# Columns of a sample grid: inputs, outputs, targets (of pairs), side of the real images to compare with
COLUMNS = (
    ("input", "translated", "real", "y"),
    ("A", "A to B", "", "y"),
    ("B", "B to A", "", "x"),
    ("", "samples", "", "x"),
)


class Doctor(ForwardingObserver):
    """An observer that judges what the loop makes, on its way to another observer.

    Each check adds an event "doctor" {numbers, suspects, weights, waited}. A sign that lasts is one warning, with a
    remedy that names a setting; each sign warns once in a run, also in one that is resumed.

    gradients: the norm of the gradient of each optimizer, as the training step measured it last; it may be read late.

    method: whose weights are measured. settings: those of the run, by name. total: length of the run in images.
    real: images to compare the outputs with. data: the training data under watch; None: it is not watched."""

    def __init__(
        self,
        inner: Observer,
        method: Method,
        settings: Mapping[str, Any],
        total: int,
        real: RealImages,
        data: WatchedData | None = None,
    ) -> None:
        super().__init__(inner)
        self.method, self.settings, self.total = method, settings, total
        self.data, self._source = data, real
        self.real: dict[str, Real | None] = {}  # by side, x or y
        self.curves = Curves(int(settings.get("batch") or 1))
        self.streaks: dict[str, int] = {}  # checks in a row that showed a sign
        self.warned: set[str] = set()
        self.clock = clock_of(str(settings.get("device") or "auto"))
        self.began, self.checked = self.clock(), time.monotonic()
        self.waited = 0.0  # by data, until the last check
        self.seconds = self.check_seconds = 0.0  # that the doctor took; that its last check took
        self.gradients: Mapping[str, Tensor] = {}  # the session gives those of the training step

    # ---- what the loop calls -----------------------------------------------------------------------------------

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        """Passes the losses on, and remembers them."""
        self.inner.losses(images, terms, rates, speed)
        start = self.clock()
        self.curves.add({"kind": "losses", "images": images, "terms": terms})
        self.curves.add_gradients(self._norms())
        for finding in self.curves.judge_growth():
            if finding.found:
                self._warn(images, finding)
        self.seconds += self.clock() - start

    def event(self, images: int, kind: str, **facts: Any) -> None:
        """Passes the event on; when the run is resumed, learns from the log what was seen before."""
        self.inner.event(images, kind, **facts)
        if kind == "resumed":
            self._learn(images)
        else:
            live = {name: fact for name, fact in facts.items() if name != "gradients"}  # they are known already
            self.curves.add({**live, "kind": kind, "images": images})

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Passes the sample grid on, and looks at it unless it was drawn before training."""
        self.inner.samples(images, columns)
        start = self.clock()
        allowed = max(LEAST_TIME, MOST_TIME * (start - self.began))
        if images and self.seconds + self.check_seconds <= allowed:
            self.check(images, columns)
            self.check_seconds = self.clock() - start
            self.seconds += self.check_seconds

    # ---- a check -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def check(self, images: int, columns: dict[str, Tensor]) -> list[Finding]:
        """Judges a sample grid and the log so far, and tells what lasts. Returns all findings."""
        outputs = self._judge_outputs(columns)
        for finding in outputs:
            begun = self.total * (EARLY_NOOP if finding.sign == "no-op" else EARLY)
            early = images < max(begun, EARLY_STEPS * self.curves.batch)
            streak = self.streaks.get(finding.sign, 0)
            self.streaks[finding.sign] = streak + 1 if finding.found and not early else 0
        self._tell_check(images, outputs)
        curves = self.curves.judge()
        for finding in [*outputs, *curves]:
            if finding.found and (finding.sign not in PIXELS or self.streaks[finding.sign] >= CHECKS):
                self._warn(images, finding)
        return [*outputs, *curves]

    def _judge_outputs(self, columns: dict[str, Tensor]) -> list[Finding]:
        """The findings of the columns of a grid: of both directions, if there are two, the worse one."""
        by_sign: dict[str, Finding] = {}
        for inputs, outputs, targets, side in COLUMNS:
            if outputs not in columns or (inputs and inputs not in columns):
                continue
            real = columns.get(targets)
            shown = columns[outputs]
            findings = judge_outputs(columns.get(inputs), shown, self._real(side, shown), real)
            for finding in findings:
                if finding.sign not in by_sign or finding.found:
                    by_sign[finding.sign] = finding
        return list(by_sign.values())

    def _real(self, side: str, outputs: Tensor) -> Real | None:
        """The real images of a side, read once; None if the data has no such side."""
        if side not in self.real:
            size = self._source.size
            batch = self._source.fixed(max(2, min(REAL_IMAGES, MAX_VALUES // (3 * size * size), self._source.count)))
            images = getattr(batch, side)
            self.real[side] = Real.of(images) if images is not None and len(images) > 1 else None
        return self.real[side]

    def _tell_check(self, images: int, outputs: list[Finding]) -> None:
        """Adds the line of this check to the log."""
        facts: dict[str, Any] = {
            "numbers": {f"{f.sign}/{name}": value for f in outputs for name, value in f.numbers.items()},
            "suspects": [sign for sign, streak in self.streaks.items() if streak],
            "weights": weight_sizes(self.method),
            "gradients": self._norms(),
            "spent": round(self.seconds, 3),
        }
        if self.data is not None:
            now = time.monotonic()
            waited, elapsed = self.data.waited - self.waited, now - self.checked
            self.waited, self.checked = self.data.waited, now
            facts |= {"waited": round(min(1.0, waited / max(1e-6, elapsed)), 4), "dead": self.data.dead}
        self.event(images, "doctor", **facts)

    def _norms(self) -> dict[str, float | None]:
        """The gradients' norms with four digits; None: not finite."""
        norms = {name: float(norm) for name, norm in self.gradients.items()}
        return {name: float(f"{norm:.4g}") if math.isfinite(norm) else None for name, norm in norms.items()}

    def _warn(self, images: int, finding: Finding) -> None:
        if finding.sign in self.warned:
            return
        self.warned.add(finding.sign)
        helps = remedy(finding.sign, self.settings, bool(self.method.discriminators))
        text = f"{finding.text} {helps}"
        self.inner.event(images, "warning", text=text, sign=finding.sign, numbers=finding.numbers, remedy=helps)

    def _learn(self, images: int) -> None:
        """Takes from the log, of which later lines are gone, what an earlier session knew."""
        for line in self.inner.lines():
            if line["images"] > images:
                continue
            self.curves.add(line)
            if line["kind"] == "warning":
                self.warned.add(str(line.get("sign", "")))
            elif line["kind"] == "doctor":
                suspects = line.get("suspects")
                self.streaks = {s: self.streaks.get(s, 0) + 1 for s in suspects} if isinstance(suspects, list) else {}


@torch.no_grad()
def weight_sizes(method: Method) -> dict[str, float]:
    """The root mean square of the weights of each network, with four digits."""
    sizes = {}
    for name, network in method.networks().items():
        squares = [p.detach().float().square().sum() for p in network.parameters()]
        count = sum(p.numel() for p in network.parameters())
        if count:
            sizes[name] = float(f"{float(torch.stack(squares).sum() / count) ** 0.5:.4g}")
    return sizes
