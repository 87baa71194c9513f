"""Regularization of whole networks: orthogonal filters, and discriminators divided by the size of their gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from i2i.losses.adversarial import at_least_float32


def orthogonal(weights: Iterable[Tensor]) -> Tensor:
    """Half the sum over `weights` [out, ...] of || W W^T * (1 - I) ||_F^2; the rows of W are the filters; a scalar.

    Equation 3 of Brock et al. 2018 (arXiv 1809.11096): it makes filters orthogonal and leaves their lengths free. Its
    gradient is 2 (W W^T * (1 - I)) W, which is what the authors' code adds to the gradient. Weights of fewer than two
    axes have no filters and are left out.
    """
    total: Tensor | None = None
    for weight in weights:
        if weight.ndim < 2:
            continue
        with torch.autocast(weight.device.type, enabled=False):
            rows = at_least_float32(weight).flatten(1)
            gram = rows @ rows.T
            eye = torch.eye(len(rows), dtype=gram.dtype, device=gram.device)
            term = 0.5 * (gram * (1 - eye)).square().sum()
        total = term if total is None else total + term
    return torch.zeros(()) if total is None else total


def gradient_normalized(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x) / (|| grad f(x) ||_2 + |f(x)|) for samples x [B, ...] -> [B] in (-1, 1); f(x) is D's score, or its mean if
    D gives a map.

    Equation 7 of Wu et al. 2021 (arXiv 2109.02235): if D is piecewise linear, the gradient of the result has a length
    of at most 1, whatever D's weights are. Gradients flow through both parts, into D, and into x if it has a history. D
    must treat samples independently (no batch norm). Computed in at least float32, without autocast.
    """
    with torch.autocast(x.device.type, enabled=False), torch.enable_grad():
        x = at_least_float32(x)
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        f = at_least_float32(D(x)).view(len(x), -1).mean(1)
        (gradient,) = torch.autograd.grad(f.sum(), x, create_graph=True)
        return f / (gradient.flatten(1).norm(dim=1) + f.abs())
