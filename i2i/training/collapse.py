"""Warns of mode collapse and of copies: measures the samples of a generator at every sample grid.

Both numbers are 1 for samples that are like real images.

- `spread`: the mean distance between two samples of a column, divided by that between two real images (of one class,
  where columns are classes).
- `nearest`: the mean distance from a sample to the nearest training image, divided by that from a held-out image (or,
  without held-out images, from a training image to another one).

Distances are root mean squares over the pixels of images shrunk to SIDE.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.data.batch import Batch
from i2i.metrics.collapse import nearest_distance, pairwise_distance
from i2i.training.report import ForwardingObserver, Observer

SIDE = 32  # pixels, side of the compared images, at most
TRAIN_IMAGES, HELD_OUT_IMAGES = 1024, 128  # real images to compare with, at most
MAX_VALUES = 1 << 24  # pixel values of real images in memory at once, at most
MIN_SPREAD = 0.2  # below it, at MIN_CHECKS checks in a row, G counts as collapsed
MIN_CHECKS = 3
MIN_NEAREST = 0.5  # below it, samples count as copies


class RealImages(Protocol):
    """What the monitor asks of a data set; `i2i.data.Data` is one."""

    @property
    def size(self) -> int: ...
    @property
    def count(self) -> int: ...
    def fixed(self, n: int) -> Batch: ...


class CollapseMonitor(ForwardingObserver):
    """An observer that judges the samples on their way to another observer.

    Each sample grid adds an event "signs" {spread, nearest}, and a warning when a number is below its limit. In the
    first `early` images the spread is not judged, because an average of weights starts with samples that look alike. A
    resumed run warns where an uninterrupted one does: the monitor learns from the log what was seen before."""

    def __init__(self, inner: Observer, train: RealImages, held_out: RealImages | None = None, early: int = 0) -> None:
        super().__init__(inner)
        self.train, self.held_out, self.early = train, held_out, early
        self.real: tuple[float, float] | None = None  # spread and nearest distance of real images
        self.train_images = torch.empty(0)
        self.low_checks = 0  # checks in a row with a spread below the limit
        self.has_varied = False  # True once the spread was above the limit
        self.warned: set[str] = set()  # kinds of warnings that the user has read

    def event(self, images: int, kind: str, **facts: Any) -> None:
        """Passes the event on; when the run is resumed, learns from the log what was seen before."""
        self.inner.event(images, kind, **facts)
        if kind != "resumed":
            return
        for line in self.inner.lines():
            if line["images"] <= images and line["kind"] == "signs":
                self._count(line["images"], math.nan if line["spread"] is None else line["spread"])
            elif line["images"] <= images and line["kind"] == "warning":
                self.warned.add(line.get("sign", ""))

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Passes the sample grid on, and judges it unless it was drawn before training."""
        self.inner.samples(images, columns)
        if images:
            self.look(images, [shrunk(column) for column in columns.values()])

    def look(self, images: int, columns: list[Tensor]) -> dict[str, float]:
        """Judges columns of samples [B, C, H, W], reports what it finds, and returns {"spread", "nearest"}."""
        # Measure.
        real_spread, real_nearest = self._measure_real(by_class=len(columns) > 1)
        spread = sum(pairwise_distance(column) for column in columns) / len(columns)
        nearest = nearest_distance(torch.cat(columns), self.train_images)
        signs = {
            "spread": round(spread / max(real_spread, 1e-12), 4),
            "nearest": round(nearest / max(real_nearest, 1e-12), 4),
        }
        self.inner.event(images, "signs", **signs)
        self._count(images, signs["spread"])

        # Warn.
        if self.low_checks >= MIN_CHECKS:
            cause = "G has collapsed. Go back to an earlier checkpoint, with"
            if not self.has_varied:
                cause = "G has collapsed, or has not begun to vary. If this does not change, try"
            self._warn(
                images,
                "alike",
                f"The samples look alike: their spread is {signs['spread']:.2g} of that of real images, at "
                f"{self.low_checks} checks in a row. {cause} a lower learning rate, r1 or another loss.",
            )
        if signs["nearest"] < MIN_NEAREST:
            self._warn(
                images,
                "copies",
                "The samples are close to training images: their distance is "
                f"{signs['nearest']:.2g} of that of held-out images. They may be copies. More images, or augmentation "
                "of what D sees (diffaugment, ada), would help.",
            )
        return signs

    def _count(self, images: int, spread: float) -> None:
        self.has_varied = self.has_varied or spread >= MIN_SPREAD
        self.low_checks = self.low_checks + 1 if spread < MIN_SPREAD and images >= self.early else 0

    def _warn(self, images: int, sign: str, text: str) -> None:
        if sign not in self.warned:
            self.warned.add(sign)
            self.inner.event(images, "warning", text=text, sign=sign)

    def _measure_real(self, by_class: bool) -> tuple[float, float]:
        """Spread and nearest distance of real images; computed once."""
        if self.real is not None:
            return self.real
        self.train_images, classes = self._read(self.train, TRAIN_IMAGES)
        groups = [self.train_images]
        if by_class and classes is not None:
            groups = [self.train_images[classes == k] for k in torch.unique(classes)]
        spreads = [pairwise_distance(group[:HELD_OUT_IMAGES]) for group in groups if len(group) > 1]
        if self.held_out is not None:
            nearest = nearest_distance(self._read(self.held_out, HELD_OUT_IMAGES)[0], self.train_images)
        else:
            first, rest = self.train_images[:HELD_OUT_IMAGES], self.train_images[HELD_OUT_IMAGES:]
            nearest = nearest_distance(first, rest) if len(rest) else 0.0
            nearest = nearest or nearest_distance(self.train_images, self.train_images, same=True)
        self.real = sum(spreads) / max(1, len(spreads)), nearest
        return self.real

    def _read(self, data: RealImages, limit: int) -> tuple[Tensor, Tensor | None]:
        """Up to `limit` shrunk images, and their classes if there are any."""
        n = max(2, min(limit, MAX_VALUES // max(1, 3 * data.size**2), data.count))
        batch = data.fixed(n)
        return shrunk(batch.x), batch.c


def shrunk(x: Tensor) -> Tensor:
    """Images [B, C, H, W] shrunk to SIDE x SIDE by averages; smaller ones unchanged."""
    if max(x.shape[-2:]) <= SIDE:
        return x.float()
    return fn.adaptive_avg_pool2d(x.float(), SIDE)
