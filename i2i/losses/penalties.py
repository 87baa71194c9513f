"""Penalties on the gradient of a critic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from i2i.losses.adversarial import wide


def gradient_penalty(
    D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor, center: float = 1.0
) -> Tensor:
    """Mean over the batch of (|| d sum(D(m)) / dm ||_2 - center)^2 at m = alpha * real + (1 - alpha) * fake.

    Equation 3 of Gulrajani et al. 2017 (arXiv 1704.00028), without its weight. real, fake [B, ...]; alpha [B] in
    [0, 1]: all ones puts the penalty at the reals, all zeros at the fakes. The result can be differentiated. Computed
    in at least float32, with autocast off.
    """
    with torch.autocast(real.device.type, enabled=False):
        real, fake = wide(real.detach()), wide(fake.detach())
        alpha = alpha.to(real).view(-1, *[1] * (real.ndim - 1))
        mixed = (alpha * real + (1 - alpha) * fake).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(D(mixed).sum(), mixed, create_graph=True)
        # The norm's own derivative is not finite at exactly zero.
        length = (slope.flatten(1) + 1e-16).norm(dim=1)
        return (length - center).square().mean()
