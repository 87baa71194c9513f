"""Exponential moving average (EMA) of networks, with a decay that is a pure function of the images seen."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from i2i.methods._method import Method


class EMA:
    """Averaged copies of the networks `method.averaged`, for sample grids, evaluation and the saved model.

    half_life: in images. The decay of a step of `batch` images is 0.5 ** (batch / half_life). ramp: limits the
    half-life to this share of the images seen, so that the average leaves its random start quickly. Buffers, such as
    batch-norm statistics, are copied. With half_life 0 there are no copies, and the networks themselves are used.
    """

    def __init__(self, method: Method, half_life: float, ramp: float = 0.05) -> None:
        self.half_life, self.ramp = half_life, ramp
        self.networks: dict[str, nn.Module] = {}
        if half_life > 0:
            for name in method.averaged:
                self.networks[name] = copy.deepcopy(getattr(method, name)).requires_grad_(False).eval()

    def decay(self, images: int, batch: int) -> float:
        """The weight in [0, 1] of the old average in the step that ends at `images` images."""
        life = min(self.half_life, self.ramp * images)
        return 0.5 ** (batch / life) if life > 0 else 0.0

    @torch.no_grad()
    def update(self, method: Method, images: int, batch: int) -> None:
        """Moves the averages towards the weights of `method`, after a step of `batch` images that ends at `images`."""
        if not self.networks:
            return
        weight = 1.0 - self.decay(images, batch)
        for name, average in self.networks.items():
            live = getattr(method, name)
            torch._foreach_lerp_(list(average.parameters()), list(live.parameters()), weight)
            for a, b in zip(average.buffers(), live.buffers(), strict=True):
                a.copy_(b)

    @contextmanager
    def applied(self, method: Method) -> Iterator[Method]:
        """Inside, `method` has its averaged networks and is in eval mode; afterwards it is as before."""
        live = {name: getattr(method, name) for name in self.networks}
        training = method.training
        try:
            for name, average in self.networks.items():
                setattr(method, name, average)
            method.eval()
            yield method
        finally:
            for name, network in live.items():
                setattr(method, name, network)
            method.train(training)
