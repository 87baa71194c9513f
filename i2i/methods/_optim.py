"""Adam over whole networks, and learning-rate schedules as pure functions of progress."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from i2i.core.errors import I2IError, among


def adam(nets: list[nn.Module], lr: float, beta1: float, beta2: float = 0.999, eps: float = 1e-8) -> torch.optim.Adam:
    """Adam over whole networks, all updates in one fused kernel."""
    parameters = [p for net in nets for p in net.parameters()]
    return torch.optim.Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)


def linear(at: float, hold: float = 0.5, end: float = 1.0) -> float:
    """1 until `hold`, then straight down to 0 at `end`."""
    return 1.0 if at <= hold else max(0.0, 1.0 - (at - hold) / (end - hold))


def cosine(at: float, end: float = 1.0) -> float:
    """Half a cosine from 1 down to 0 at `end`."""
    return 0.5 * (1.0 + math.cos(math.pi * at / end))


def steps(at: float, every: float = 0.25, factor: float = 0.1, hold: float = 0.0) -> float:
    """Times `factor` after each `every`, counted from `hold`."""
    return float(factor ** math.floor(max(0.0, at - hold) / every))


def constant(at: float) -> float:
    """Always 1."""
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": linear,
    "cosine": cosine,
    "step": steps,
    "constant": constant,
}


def schedule(name: str) -> Callable[[float], float]:
    """The learning-rate curve `name` of RATES over progress in [0, 1]. Raises I2IError if there is none."""
    if name not in SCHEDULES:
        raise I2IError(f"decay is {name!r}.", among(name, SCHEDULES))
    return SCHEDULES[name]
