"""Spectral normalization: W / sigma(W), sigma the largest singular value (Miyato et al. 2018, arXiv 1802.05957)."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.nn.utils import parametrize

Layer = TypeVar("Layer", bound=nn.Module)

WARM_UP = 15  # power iterations at the start; the first estimate from random vectors would be far too low


class SpectralNorm(nn.Module):
    """The map W -> W / sigma(W) of a weight of any shape. sigma is estimated by power iteration (algorithm 1).

    The matrix has the output features as rows: dimension `dim` of the weight, the others flattened. In training mode
    each call makes one iteration first (v = M^T u, u = M v, both normalized, without gradient); in eval mode u and v
    stay. Computed in at least float32. u and v are buffers, so copies and saved files carry them.
    """

    eps = 1e-12  # least length that u and v are divided by
    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, dim: int = 0) -> None:
        super().__init__()
        self.dim = dim
        matrix = self.matrix(weight.detach())
        self.register_buffer("u", self._unit(torch.randn(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)))
        self.register_buffer("v", self._unit(torch.randn(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)))
        for _ in range(0 if weight.is_meta else WARM_UP):
            self.u, self.v = self.iterated(matrix)

    def _unit(self, x: Tensor) -> Tensor:
        return fn.normalize(x, dim=0, eps=self.eps)

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix [output features, all others]."""
        return weight.movedim(self.dim, 0).flatten(1)

    def iterated(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """(u, v) after one more power iteration."""
        v = self._unit(matrix.T @ self.u)
        return self._unit(matrix @ v), v

    def sigma(self, weight: Tensor) -> Tensor:
        """The estimate u . M v, a scalar with a gradient in the weight."""
        matrix = self.matrix(weight)
        with torch.no_grad():
            if self.training:
                u, v = self.iterated(matrix)
                self.u.copy_(u)
                self.v.copy_(v)
            # copies: several calls may come before one backward, which must not meet vectors changed in place
            u, v = self.u.clone(), self.v.clone()
        return torch.dot(u, torch.mv(matrix, v))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by its largest singular value, the same shape."""
        with torch.autocast(weight.device.type, enabled=False):
            return weight / self.sigma(weight)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Assigning to the layer's weight sets the learned weight to it."""
        return weight


def spectral_norm(layer: Layer) -> Layer:
    """Puts the weight of `layer` under spectral normalization, in place; returns `layer`.

    layer: a convolution, transposed convolution, linear layer or embedding, with its first weights. Optimizers see the
    learned weight; read it by `learned_weight`, since reading `layer.weight` in training mode makes a power iteration.
    """
    dim = 1 if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) else 0
    weight = layer.weight
    assert isinstance(weight, Tensor)
    # unsafe: no trial call, which would change u and v
    parametrize.register_parametrization(layer, "weight", SpectralNorm(weight, dim), unsafe=True)
    return layer


def learned_weight(layer: nn.Module) -> nn.Parameter:
    """The weight of `layer` that optimizers change, before any normalization."""
    weight = layer.parametrizations.weight.original if parametrize.is_parametrized(layer) else layer.weight  # type: ignore[union-attr]
    assert isinstance(weight, nn.Parameter)
    return weight
