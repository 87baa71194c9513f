"""Penalties on the gradient of a discriminator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from i2i.losses.adversarial import at_least_float32


def input_gradient(D: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """d sum(D(at)) / d at for samples [B, ...], as rows [B, numbers in a sample]. The result has a gradient."""
    at = at.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(D(at).sum(), at, create_graph=True)
    return gradient.flatten(1)


def gradient_penalty(D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """Mean over the batch of (|| d sum(D(m)) / dm ||_2 - 1)^2 at m = alpha * real + (1 - alpha) * fake; a scalar.

    Equation 3 of Gulrajani et al. 2017 (arXiv 1704.00028), without its weight. real, fake [B, ...]; alpha [B] in
    [0, 1]: ones put the penalty at the real images, zeros at the fakes. Computed in at least float32, without autocast.
    """
    with torch.autocast(real.device.type, enabled=False):
        real, fake = at_least_float32(real.detach()), at_least_float32(fake.detach())
        alpha = alpha.to(real).view(-1, *[1] * (real.ndim - 1))
        # The norm's own derivative is not finite at exactly zero, hence the tiny shift.
        length = (input_gradient(D, alpha * real + (1 - alpha) * fake) + 1e-16).norm(dim=1)
        return (length - 1).square().mean()


def r1(D: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """0.5 * mean over the batch of || d sum(D(x)) / dx ||^2 at real images x [B, ...]; a scalar.

    Equation 9 of Mescheder et al. 2018 (arXiv 1801.04406), without its weight. Computed in at least float32, without
    autocast."""
    with torch.autocast(real.device.type, enabled=False):
        return 0.5 * input_gradient(D, at_least_float32(real)).square().sum(1).mean()
