"""Losses between the steps that made them and the log: kept on the device, read together, averaged."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist

from i2i.core.errors import I2IError
from i2i.training.step import Losses


class LossBuffer:
    """Collects the losses of steps. Reading a value waits for the device, so many are read at once by `flush`."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.pending: list[Losses] = []  # not read from the device yet
        self.values: dict[str, list[float]] = {}  # "optimizer/term": values since the last `pop_means`

    def add(self, losses: list[Losses]) -> None:
        """Keeps the losses of one step for the next `flush`."""
        self.pending += losses

    def flush(self) -> None:
        """Reads all kept losses, as means over the processes. Raises I2IError at the first one that is not finite."""
        if not self.pending:
            return
        values = torch.cat([losses.values for losses in self.pending])
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        numbers = iter(values.tolist())
        for images, optimizer, terms, _ in self.pending:
            for term in terms:
                number = next(numbers)
                if not math.isfinite(number):
                    raise I2IError(
                        f"The loss term {term!r} of optimizer {optimizer!r} became {number} at image {images}. "
                        "The run stops, and its last good checkpoint is kept.",
                        "Start a new run with a lower learning rate (--set lr=...), or with --precision fp32.",
                    )
                self.values.setdefault(f"{optimizer}/{term}", []).append(number)
        self.pending.clear()

    def pop_means(self) -> dict[str, float]:
        """Means by "optimizer/term" of all losses that were read since the last call; empty if there were none."""
        means = {term: sum(numbers) / len(numbers) for term, numbers in self.values.items()}
        self.values.clear()
        return means
