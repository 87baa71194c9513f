"""Regularisation of whole networks: orthogonal filters, and discriminators divided by the size of their gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from i2i.losses.adversarial import at_least_float32


def orthogonal(weights: Iterable[Tensor], full: bool = False) -> Tensor:
    """Half the sum over `weights` [out, ...] of || W W^T * (1 - I) ||_F^2, rows of W the filters; a scalar.

    Equation 3 of Brock et al. 2018 (arXiv 1809.11096): filters are kept apart but their lengths are free. Its gradient
    is 2 (W W^T * (1 - I)) W, what the authors' code adds; the half makes the two agree. full: || W W^T - I ||_F^2
    instead (Brock et al. 2016, arXiv 1609.07093). Weights of fewer than two axes have no filters and are left out.
    """
    total: Tensor | None = None
    for weight in weights:
        if weight.ndim < 2:
            continue
        with torch.autocast(weight.device.type, enabled=False):
            rows = at_least_float32(weight).flatten(1)
            gram = rows @ rows.T
            eye = torch.eye(len(rows), dtype=gram.dtype, device=gram.device)
            off = gram - eye if full else gram * (1 - eye)
            term = 0.5 * off.square().sum()
        total = term if total is None else total + term
    return torch.zeros(()) if total is None else total


def gradient_normalized(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x) / (|| grad f(x) ||_2 + |f(x)|) for each sample, [B]; f is D's score, the mean of it where it is a map.

    Equation 7 of Wu et al. 2021 (arXiv 2109.02235): where D is piecewise linear the gradient of the result is at most
    1 long, whatever D's weights, and the result lies in (-1, 1). Gradients flow through both parts, into D and, where
    x [B, ...] has a history, into x. D must treat samples apart: no batch norm. Computed in at least float32.
    """
    with torch.autocast(x.device.type, enabled=False), torch.enable_grad():
        x = at_least_float32(x)
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        f = at_least_float32(D(x)).view(len(x), -1).mean(1)
        (slope,) = torch.autograd.grad(f.sum(), x, create_graph=True)
        return f / (slope.flatten(1).norm(dim=1) + f.abs())
