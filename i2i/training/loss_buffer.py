"""Losses between the steps that made them and the log: kept on the device, read together, averaged."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
import torch.distributed as dist

from i2i.core.errors import I2IError
from i2i.training.step import Losses

MOST_SKIPPED = 10  # steps in a row that may have no finite loss where a loss scaler leaves such steps out


class LossBuffer:
    """Collects the losses of steps. Reading a value waits for the device, so many are read at once by `flush`.

    may_skip: a loss scaler leaves out the steps whose gradients are not finite, as happens in float16 now and then.
    Their losses are left out, too, unless MOST_SKIPPED of an optimizer follow each other."""

    def __init__(self, world: int, may_skip: bool = False) -> None:
        self.world = world
        self.most_skipped = MOST_SKIPPED if may_skip else 1
        self.skipped: dict[str, int] = defaultdict(int)  # by optimizer: steps in a row
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
        for losses in self.pending:
            self._add(losses, dict(zip(losses.terms, numbers)))
        self.pending.clear()

    def _add(self, losses: Losses, numbers: dict[str, float]) -> None:
        wrong = {term: number for term, number in numbers.items() if not math.isfinite(number)}
        self.skipped[losses.optimizer] = self.skipped[losses.optimizer] + 1 if wrong else 0
        if self.skipped[losses.optimizer] >= self.most_skipped:
            term, number = next(iter(wrong.items()))
            raise I2IError(
                f"The loss term {term!r} of optimizer {losses.optimizer!r} became {number} at image {losses.images}. "
                "The run stops, and its last good checkpoint is kept.",
                "Start a new run with a lower learning rate (--set lr=...), or with --precision fp32.",
            )
        if not wrong:
            for term, number in numbers.items():
                self.values.setdefault(f"{losses.optimizer}/{term}", []).append(number)

    def pop_means(self) -> dict[str, float]:
        """Means by "optimizer/term" of all losses that were read since the last call; empty if there were none."""
        means = {term: sum(numbers) / len(numbers) for term, numbers in self.values.items()}
        self.values.clear()
        return means
