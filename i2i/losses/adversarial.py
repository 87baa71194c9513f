"""Adversarial losses on raw scores. Each has three functions of scores [any shape] to a scalar mean:

real(scores)  what the discriminator minimises on real images
fake(scores)  what the discriminator minimises on fakes
adv(scores)   what the generator minimises on fakes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.core.errors import I2IError, among


class Adversarial(NamedTuple):
    """The three sides of an adversarial loss."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    adv: Callable[[Tensor], Tensor]
    middle: float | None = 0.0  # a score above it says "real", one below it "fake"; None: only differences do


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in at least float32, because means of many half-precision numbers lose digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _low(s: Tensor) -> Tensor:
    return fn.softplus(-at_least_float32(s)).mean()  # -log sigmoid(s)


def _high(s: Tensor) -> Tensor:
    return fn.softplus(at_least_float32(s)).mean()  # -log(1 - sigmoid(s))


# Goodfellow et al. 2014 (arXiv 1406.2661), with the non-saturating loss of the generator.
vanilla = Adversarial(real=_low, fake=_high, adv=_low)

# The same with the generator's loss of the minimax game, mean log(1 - sigmoid(s)). Its gradient vanishes where D is
# certain.
minimax = vanilla._replace(adv=lambda s: -_high(s))


def smooth_targets(real: float = 0.9, adv: float = 1.0) -> Adversarial:
    """The vanilla loss with softer targets in [0, 1]: `real` for real images, `adv` for the generator.

    One-sided label smoothing (Salimans et al. 2016, arXiv 1606.03498). Fakes keep target 0: a higher one would reward
    them where there are no data."""
    return Adversarial(real=lambda s: bce(s, real), fake=_high, adv=lambda s: bce(s, adv))


def bce(s: Tensor, target: float | Tensor) -> Tensor:
    """Mean binary cross-entropy of logits s [any shape], a scalar. target: in [0, 1], one number or one per logit."""
    s = at_least_float32(s)
    return (fn.softplus(s) - target * s).mean()


def relativistic(s: Tensor, others: Tensor, target: float) -> Tensor:
    """`bce` of how much more real than the mean of the `others` the images with the logits s are, a scalar.

    The relativistic average loss (Jolicoeur-Martineau 2018, arXiv 1807.00734): D has target 1 for real images among
    fakes, and 0 for fakes among real images; G has the opposite."""
    return bce(at_least_float32(s) - at_least_float32(others).mean(), target)


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Adversarial:
    """Least-squares losses with factors of one half: targets a of fakes, b of real images, c of the generator.

    Equation 2 of Mao et al. 2017 (arXiv 1611.04076). (0, 1, 1) are the usual targets; (-1, 1, 0) minimize Pearson's
    chi-square divergence."""
    return Adversarial(
        real=lambda s: 0.5 * (at_least_float32(s) - b).square().mean(),
        fake=lambda s: 0.5 * (at_least_float32(s) - a).square().mean(),
        adv=lambda s: 0.5 * (at_least_float32(s) - c).square().mean(),
        middle=(a + b) / 2,
    )


# Mao et al. 2017 (arXiv 1611.04076), targets 1 and 0, without the factors one half.
lsgan = Adversarial(
    real=lambda s: (at_least_float32(s) - 1).square().mean(),
    fake=lambda s: at_least_float32(s).square().mean(),
    adv=lambda s: (at_least_float32(s) - 1).square().mean(),
    middle=0.5,
)

# Arjovsky et al. 2017 (arXiv 1701.07875). The critic must be Lipschitz: see penalties, or clip its weights.
wasserstein = Adversarial(
    real=lambda s: -at_least_float32(s).mean(),
    fake=lambda s: at_least_float32(s).mean(),
    adv=lambda s: -at_least_float32(s).mean(),
    middle=None,
)

# Lim and Ye 2017 (arXiv 1705.02894).
hinge = Adversarial(
    real=lambda s: fn.relu(1 - at_least_float32(s)).mean(),
    fake=lambda s: fn.relu(1 + at_least_float32(s)).mean(),
    adv=lambda s: -at_least_float32(s).mean(),
)

LOSSES: dict[str, Adversarial] = {
    "vanilla": vanilla,
    "minimax": minimax,
    "lsgan": lsgan,
    "wasserstein": wasserstein,
    "hinge": hinge,
}


def adversarial(name: str) -> Adversarial:
    """The loss called `name` in LOSSES. Raises I2IError for an unknown name."""
    if name not in LOSSES:
        raise I2IError(f"loss is {name!r}.", among(name, LOSSES))
    return LOSSES[name]
