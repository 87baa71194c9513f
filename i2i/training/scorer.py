"""The score of a method during training, on images that stay the same, with averaged weights; lower is better.

Pairs: LPIPS, because L1 prefers blurred images. Sets, so images without pairs and images from noise: KID, which is
unbiased for few images.
"""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.core.device import clock_of
from i2i.core.errors import I2IError
from i2i.data.batch import Batch
from i2i.inference.set_scores import kid_1000, level_images
from i2i.methods._bases import Generate
from i2i.methods._method import Method
from i2i.metrics.feature_networks import FeatureNetwork
from i2i.metrics.perceptual import LPIPS
from i2i.models import feature_weights
from i2i.training.run import Run

PAIRS = 64  # held-out pairs, at most
SETS = 128  # images of each set, at most
LEAST_REAL = 32  # held-out images; with fewer, the training images are compared with
BATCH = 8  # images in one pass of the network
LEAST_SECONDS = {"lpips": 0.1, "kid": 1.0}  # that the first score takes, at least: weights are read, real images seen


def metric_of(run: Run) -> str:
    """The metric that fits a run: "lpips" or "kid"; "" if nothing can be measured, as on pairs without a test split."""
    if run.method.needs == "paired":
        return "lpips" if run.held_out is not None else ""
    if run.method.needs == "unpaired" or issubclass(run.method, Generate):
        return "kid"
    return ""


def check_scored(run: Run) -> None:
    """Raises I2IError if the settings ask for scores, and the run has none."""
    for name in ("patience", "score_every"):
        value = getattr(run.training, name)
        if value and not metric_of(run):
            why = "the pairs have no test split" if run.method.needs == "paired" else "no metric fits its method"
            hint = f"Leave {name} out" + (
                ", or put some pairs into a folder test/ beside train/." if run.method.needs == "paired" else "."
            )
            raise I2IError(f"{name} is {value}, but this run has no scores: {why}.", hint)


def scored_images(run: Run) -> int:
    """How many images the generator makes for a score."""
    metric = metric_of(run)
    if metric == "lpips":
        return min(PAIRS, run.held_out.count) if run.held_out else 0
    return SETS if metric else 0


class Scorer:
    """Computes the scores of a run: called with a method that has its averaged weights, in eval mode.

    Images and networks are loaded at the first score, and kept. metric: its name; "" if the run has no score. metrics:
    the last score as the header of a model holds it, {"val_lpips": 0.3}; empty if the last model was not scored. count:
    images that the generator makes for a score."""

    def __init__(self, run: Run) -> None:
        self.run, self.metric, self.clock = run, metric_of(run), clock_of(run.training.device)
        self.count = scored_images(run)
        self.fixed: Batch | None = None
        self.lpips: LPIPS | None = None
        self.network: FeatureNetwork | None = None
        self.real: Tensor | None = None  # features of the real images
        self.predicted = LEAST_SECONDS.get(self.metric, 0.0)  # seconds that a score takes
        self.is_measured = False
        self.metrics: dict[str, float] = {}

    def seconds(self, method: Method, allowed: float) -> float:
        """Seconds that a score will take; measured on one batch, unless more than the `allowed` seconds are certain."""
        if self.metric and not self.is_measured and self.predicted <= allowed:
            self.is_measured = True
            start = self.clock()
            self._value(method, BATCH)
            taken, sets = self.clock() - start, 1 if self.metric == "lpips" else 2
            self.predicted = max(self.predicted, taken * self.count / BATCH * sets / 2)
        return self.predicted

    def __call__(self, method: Method) -> float | None:
        """The score, lower is better; None if the run has none.

        LPIPS: the mean over the held-out pairs. KID: times 1000; it may be a little below 0."""
        if not self.metric:
            return None
        start = self.clock()
        score = self._value(method, self.count)
        self.predicted, self.is_measured = self.clock() - start, True
        self.metrics = {f"val_{self.metric}": score}
        return score

    def _value(self, method: Method, count: int) -> float:
        return self._lpips(method, count) if self.metric == "lpips" else self._kid(method, count)

    def _lpips(self, method: Method, count: int) -> float:
        weight = next(method.parameters())
        self.lpips = self.lpips or feature_weights.lpips("alex", weight.device)
        if self.fixed is None:
            self.fixed = self.pairs(method)
        assert self.fixed.y is not None
        total, count = 0.0, min(count, len(self.fixed))
        for i in range(0, count, BATCH):
            x, y = self.fixed.x[i : min(i + BATCH, count)], self.fixed.y[i : min(i + BATCH, count)]
            fake = method.infer(Batch(x.to(weight.device, weight.dtype)))
            pair = [_colors(side.to(weight.device).float(), self.lpips.trunk.least) for side in (fake, y)]
            total += float(self.lpips(*pair).sum())
        return total / count

    def pairs(self, method: Method) -> Batch:
        """Inputs and the truth that their translations are compared with by LPIPS."""
        assert self.run.held_out is not None
        return self.run.held_out.fixed(self.count)

    def _kid(self, method: Method, count: int) -> float:
        weight = next(method.parameters())
        self.network = self.network or feature_weights.find("effnet", weight.device)
        if self.fixed is None:
            held_out = self.run.held_out
            enough = held_out is not None and min(map(len, held_out.sides)) >= LEAST_REAL
            self.fixed = (held_out if held_out is not None and enough else self.run.data).fixed(SETS)
        make = self._generated if isinstance(method, Generate) else self._translated
        fakes = torch.cat([
            self.network(level_images(list(make(method, i, min(i + BATCH, count)).float().cpu()))).features
            for i in range(0, count, BATCH)
        ])  # fmt: skip
        if count < SETS:  # a measurement of the time
            return 0.0
        if self.real is None:
            real = self.fixed.x if self.fixed.y is None else self.fixed.y
            self.real = self.network(level_images(list(real))).features
            self.fixed = Batch(self.fixed.x)
        return kid_1000(self.real, fakes)

    def _generated(self, method: Method, start: int, stop: int) -> Tensor:
        weight = next(method.parameters())
        ids = torch.arange(start, stop, device=weight.device)
        return method.infer(Batch(weight.new_zeros(stop - start, 1, 1, 1), ids=ids))

    def _translated(self, method: Method, start: int, stop: int) -> Tensor:
        """Outputs of the first images; if there are fewer than SETS, they come again."""
        assert self.fixed is not None
        weight = next(method.parameters())
        rows = torch.arange(start, stop) % len(self.fixed)
        return method.infer(Batch(self.fixed.x[rows].to(weight.device, weight.dtype)))


def _colors(images: Tensor, least: int) -> Tensor:
    """Images [B, 3, H, W] for LPIPS: without alpha, gray repeated, small ones enlarged to `least` pixels a side."""
    images = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    times = -(-least // min(images.shape[2:]))
    return images if times == 1 else images.repeat_interleave(times, 2).repeat_interleave(times, 3)
