"""Optimizers over whole networks, and learning-rate schedules as pure functions of progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import nn
from torch.optim import Optimizer

from i2i.core.eager import SGD, Adam, AdamW
from i2i.core.errors import I2IError, among

Networks = nn.Module | Sequence[nn.Module]


def adam(nets: Networks, lr: float, beta1: float, beta2: float = 0.999, eps: float = 1e-8) -> Adam:
    """One Adam over a network, or over several, all of them whole (Kingma and Ba 2014, arXiv 1412.6980)."""
    together = [nets] if isinstance(nets, nn.Module) else nets
    parameters = [p for net in together for p in net.parameters()]
    return Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)


def adam_pair(
    D: Networks,
    G: Networks,
    lr: float,
    beta1: float,
    beta2: float = 0.999,
    *,
    d_lr: float | None = None,
    eps: float = 1e-8,
) -> dict[str, Optimizer]:
    """{"D": Adam, "G": Adam}: what most GANs learn by. d_lr: learning rate of D; None: the same as G's."""
    return {
        "D": adam(D, lr if d_lr is None else d_lr, beta1, beta2, eps),
        "G": adam(G, lr, beta1, beta2, eps),
    }


def sgd_or_adam_pair(D: nn.Module, G: nn.Module, kind: str, lr: float, momentum: float) -> dict[str, Optimizer]:
    """{"D": ..., "G": ...}: Adam with `momentum` as beta1 if `kind` is "adam", else gradient descent with momentum."""
    if kind == "adam":
        return adam_pair(D, G, lr, momentum)
    return {"D": SGD(D.parameters(), lr, momentum), "G": SGD(G.parameters(), lr, momentum)}


def adamw(groups: Sequence[Sequence[nn.Parameter]], lr: float, decay: float, betas: tuple[float, float]) -> Optimizer:
    """One Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv 1711.05101) over groups of parameters."""
    named = [{"params": list(group)} for group in groups]
    return AdamW(named, lr=lr, betas=betas, weight_decay=decay, fused=True)


def one_cycle(done: float, rise: float, fall: float) -> tuple[float, float]:
    """(factor on the learning rate, beta1) of a cycle (Smith 2018, arXiv 1803.09820), with the constants of fastai.

    done: what is done of the cycle, in steps or in shares of a run. The factor rises from 1/25 to 1 along half a cosine
    for `rise`, then falls to 1/250,000 for `fall`; beta1 falls from 0.95 to 0.85 and rises again."""
    if done <= rise:
        share = done / rise
        return _half_cosine(1 / 25, 1.0, share), _half_cosine(0.95, 0.85, share)
    share = min(1.0, (done - rise) / fall)
    return _half_cosine(1.0, 1 / 250_000, share), _half_cosine(0.85, 0.95, share)


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)


# ---- learning-rate schedules: progress in [0, 1] -> factor on the learning rate ------------------------------------


def linear(fraction: float, hold: float = 0.5, end: float = 1.0) -> float:
    """1 until `hold`, then in a straight line down to 0 at `end`."""
    return 1.0 if fraction <= hold else max(0.0, 1.0 - (fraction - hold) / (end - hold))


def cosine(fraction: float, end: float = 1.0) -> float:
    """Half a cosine, from 1 down to 0 at `end`."""
    return 0.5 * (1.0 + math.cos(math.pi * fraction / end))


def steps(fraction: float, every: float = 0.25, factor: float = 0.1, hold: float = 0.0) -> float:
    """Multiplied by `factor` after each `every` of the run, counted from `hold`."""
    return float(factor ** math.floor(max(0.0, fraction - hold) / every))


def constant(fraction: float) -> float:
    """Always 1."""
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": linear,
    "cosine": cosine,
    "step": steps,
    "constant": constant,
}


def schedule(name: str) -> Callable[[float], float]:
    """The schedule `name` of SCHEDULES. Raises I2IError if there is none of that name."""
    if name not in SCHEDULES:
        raise I2IError(f"decay is {name!r}.", among(name, SCHEDULES))
    return SCHEDULES[name]
