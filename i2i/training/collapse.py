"""Watching a generator for mode collapse and for copies, at every sample grid.

Two numbers, both 1 for samples that are like real images: `spread`, the mean distance between two samples of a column
over that between two real images (of one class, where columns are classes); `nearest`, the mean distance of a sample
to the nearest of up to SEEN training images over that of held-out ones (or, without any, of training images to each
other). Distances are root mean squares over pixels of images shrunk to SIDE.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.metrics.collapse import nearest_distance, pairwise_distance
from i2i.training.report import ForwardingObserver, Observer

SIDE = 32  # pixels, at most
SEEN, HELD = 1024, 128  # real images compared with, at most
NUMBERS = 1 << 24  # pixel values of real images in memory at once, at most
ALIKE = 0.2  # of the real spread; under it, at TIMES checks in a row, G counts as collapsed
TIMES = 3
COPIED = 0.5  # of the held-out distance; under it samples count as copies


class CollapseMonitor(ForwardingObserver):
    """An observer that judges the samples on their way to another one.

    Each grid adds a line "signs" {spread, nearest} to the log, and a warning where a number stays under its limit. In
    the first `early` images, when an average of weights still lags behind, samples may be alike. A resumed run warns
    where a whole one would: what was seen before it is read from the log, so what is judged is what stands there."""

    def __init__(self, inner: Observer, train: Any, held: Any = None, early: int = 0) -> None:
        super().__init__(inner)
        self.train, self.held, self.early = train, held, early
        self.real: tuple[float, float] | None = None  # spread, nearest of real images
        self.seen = torch.empty(0)
        self.low = 0
        self.varied = False  # whether samples were ever as unlike as they should be
        self.told: set[str] = set()

    def event(self, images: int, kind: str, **facts: Any) -> None:
        """Passes the event on; at a resumption the guard learns what it had seen and told by then."""
        self.inner.event(images, kind, **facts)
        if kind == "resumed":
            for line in self.inner.lines():
                if line["images"] <= images and line["kind"] == "signs":
                    self._count(line["images"], math.nan if line["spread"] is None else line["spread"])
                elif line["images"] <= images and line["kind"] == "warning":
                    self.told.add(line.get("sign", ""))

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Passes the grid on, and judges it (but for the one before training)."""
        self.inner.samples(images, columns)
        if images:
            self.look(images, [small(c) for c in columns.values()])

    def look(self, images: int, columns: list[Tensor]) -> dict[str, float]:
        """Judges columns of samples [B, C, H, W] and tells what it found."""
        whole, near = self._real(by_class=len(columns) > 1)
        every = torch.cat(columns)
        signs = {
            "spread": round(sum(pairwise_distance(c) for c in columns) / len(columns) / max(whole, 1e-12), 4),
            "nearest": round(nearest_distance(every, self.seen) / max(near, 1e-12), 4),
        }
        self.inner.event(images, "signs", **signs)
        self._count(images, signs["spread"])
        if self.low >= TIMES:
            self._warn(
                images,
                "alike",
                f"The samples look alike: their spread is {signs['spread']:.2g} of that of real images, "
                f"at {self.low} checks in a row. "
                + (
                    "G has collapsed: go back to a checkpoint before, with"
                    if self.varied
                    else "G has collapsed, or has not begun to vary: if it stays so, try"
                )
                + " a lower learning rate, r1 or another loss.",
            )
        if signs["nearest"] < COPIED:
            self._warn(
                images,
                "copies",
                f"The samples are close to training images: {signs['nearest']:.2g} of the distance of held-out ones. "
                "They may be copies: more images, or variation of what D sees, would help.",
            )
        return signs

    def _count(self, images: int, spread: float) -> None:
        self.varied = self.varied or spread >= ALIKE
        self.low = self.low + 1 if spread < ALIKE and images >= self.early else 0

    def _warn(self, images: int, sign: str, text: str) -> None:
        if sign not in self.told:
            self.told.add(sign)
            self.inner.event(images, "warning", text=text, sign=sign)

    def _real(self, by_class: bool) -> tuple[float, float]:
        """Spread and nearest distance of real images, found once."""
        if self.real is None:
            self.seen, classes = self._read(self.train, SEEN)
            labels = classes if by_class else None
            parts = [self.seen[labels == k] for k in labels.unique()] if labels is not None else [self.seen]
            spreads = [pairwise_distance(p[:HELD]) for p in parts if len(p) > 1]
            if self.held is None:
                near = nearest_distance(self.seen[:HELD], self.seen[HELD:]) if len(self.seen) > HELD else 0.0
                near = near or nearest_distance(self.seen, self.seen, same=True)
            else:
                near = nearest_distance(self._read(self.held, HELD)[0], self.seen)
            self.real = sum(spreads) / max(1, len(spreads)), near
        return self.real

    def _read(self, data: Any, most: int) -> tuple[Tensor, Tensor | None]:
        n = max(2, min(most, NUMBERS // max(1, 3 * int(data.size) ** 2), data.count))
        batch = data.fixed(n)
        return small(batch.x), batch.c


def small(pictures: Tensor) -> Tensor:
    """[B, C, H, W] shrunk to SIDE pixels by averages; smaller ones as they are."""
    if max(pictures.shape[-2:]) <= SIDE:
        return pictures.float()
    return fn.adaptive_avg_pool2d(pictures.float(), SIDE)
