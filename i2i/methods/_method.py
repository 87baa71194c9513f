"""The contract between a training method and everything else.

A method is a set of networks plus `step`, a generator that reads like its paper's algorithm and yields
`(optimizer name, {term: scalar loss})`. Whoever iterates it (only the training loop) sums the terms, back-propagates
into that optimizer's parameters alone, steps, and resumes it; code after a `yield` runs with updated weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.data.batch import Batch, Shape

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Now:
    """The moment in training. Time is counted in images seen by all processes together."""

    images: int = 0  # images seen before this step
    total: int = 1  # images of the whole run
    batch: int = 1  # images per step, all processes together
    seed: int = 0

    @property
    def step(self) -> int:
        """Steps made before this one."""
        return self.images // self.batch

    @property
    def fraction(self) -> float:
        """Progress in [0, 1]."""
        return min(1.0, self.images / max(1, self.total))

    def every(self, n: int) -> bool:
        """True on the first step and on each n-th after it."""
        return self.step % n == 0


class Method(nn.Module):
    """Base class of all methods; see the module's docstring. Sub-classes set the class variables and four functions.

    Every method says in `tiny` how it is made so small that a step takes milliseconds on a CPU: values of its Config,
    without batch norm and dropout where they are settings, and optionally "size", the side of the images (32 without
    it), and other values of Shape: `tiny = {"width": 4, "norm": "instance", "size": 16}`. The contract tests run every
    registered method in that form; within six steps of four images each optimizer must have had its turn.
    """

    Config: ClassVar[type]  # frozen dataclass: the paper's numbers as defaults
    needs: ClassVar[str] = "paired"  # layout of the data: paired, unpaired, images, labelled
    averaged: ClassVar[tuple[str, ...]] = ("G",)  # networks that get an EMA copy and go into the saved model
    sparse: ClassVar[bool] = False  # True if a step may leave owned parameters without gradient
    local: ClassVar[str] = ""  # what a step computes over one process's share of a batch, so that processes matter
    tiny: ClassVar[dict[str, Any]] = {}  # settings (and "size") of the smallest form, for tests
    double_backward: bool = False  # True if a loss differentiates through a gradient: then nothing is compiled

    def __init__(self, config: Any, shape: Shape) -> None:
        super().__init__()

    def optimizers(self) -> dict[str, Optimizer]:
        """{"D": Adam(...), "G": Adam(...)}; each owns whole networks. Called once, after the move to the device."""
        raise NotImplementedError("a method defines optimizers()")

    def rate(self, fraction: float) -> float:
        """Factor on every learning rate as a pure function of progress in [0, 1]."""
        return 1.0

    def momentum_at(self, fraction: float) -> float | None:
        """Momentum of gradient descent as a pure function of progress in [0, 1]; None: as the optimizers were made."""
        return None

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """One step of the algorithm: yields (optimizer name, {term: weighted scalar loss})."""
        raise NotImplementedError("a method defines step()")

    def infer(self, batch: Batch) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] for a batch; what previews and evaluation call."""
        raise NotImplementedError("a method defines infer()")

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of the sample grid: {title: images [B, C, H, W] in [-1, 1]}."""
        columns = {"input": batch.x, "translated": self.infer(batch)}
        if self.needs == "paired" and batch.y is not None:
            columns["real"] = batch.y
        return columns

    def example(self, shape: Shape) -> tuple[Tensor, ...]:
        """Inputs of an averaged network for one image, to measure its memory by."""
        return (torch.zeros(1, shape.channels_in, shape.size, shape.size),)

    def notes(self) -> list[str]:
        """Sentences the user should read before training (a loss left out and why, ...)."""
        return []

    def networks(self) -> dict[str, nn.Module]:
        """The direct sub-modules by name."""
        return dict(self.named_children())

    def owned(self, optimizer: Optimizer) -> list[nn.Parameter]:
        """The parameters that `optimizer` updates, in its order."""
        return [p for group in optimizer.param_groups for p in group["params"]]
