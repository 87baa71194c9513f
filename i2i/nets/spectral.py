"""Spectral normalisation: W / sigma(W), sigma the largest singular value (Miyato et al. 2018, arXiv 1802.05957)."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.nn.utils import parametrize

Layer = TypeVar("Layer", bound=nn.Module)


class SpectralNorm(nn.Module):
    """The map W -> W / sigma(W) of a weight [any shape], sigma followed by power iteration from the kept u and v.

    The matrix has the output features as rows: dimension `dim` of the weight, the others flattened. In training mode
    each call makes one iteration first (v = M^T u, u = M v, both normalised, without gradient); in eval mode nothing
    moves, but with `fresh` one iteration is made and not kept, as in the authors' code of BigGAN. Computed in at least
    float32. Copies and saved files carry u and v.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, dim: int = 0, eps: float = 1e-12, fresh: bool = False, warm: int = 15) -> None:
        super().__init__()
        self.dim, self.eps, self.fresh = dim, eps, fresh
        matrix = self._matrix(weight.detach())
        self.register_buffer("u", self._unit(torch.randn(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)))
        self.register_buffer("v", self._unit(torch.randn(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)))
        for _ in range(0 if weight.is_meta else warm):  # a fresh estimate would be far too low
            self.u, self.v = self._next(matrix)

    def _unit(self, x: Tensor) -> Tensor:
        return fn.normalize(x, dim=0, eps=self.eps)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def _next(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """(u, v) after one more iteration."""
        v = self._unit(matrix.T @ self.u)
        return self._unit(matrix @ v), v

    def sigma(self, weight: Tensor) -> Tensor:
        """The estimate u . M v, a scalar that can be differentiated in the weight."""
        matrix = self._matrix(weight)
        u, v = self.u, self.v
        with torch.no_grad():
            if self.training:
                u, v = self._next(matrix)
                self.u.copy_(u)
                self.v.copy_(v)
            elif self.fresh:
                u, v = self._next(matrix)
            # copies: several calls may come before one backward, which must not meet vectors changed in place
            u, v = u.clone(), v.clone()
        return torch.dot(u, torch.mv(matrix, v))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by its largest singular value, the same shape."""
        with torch.autocast(weight.device.type, enabled=False):
            made: Tensor = weight / self.sigma(weight)
        return made

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What assigning to the layer's weight keeps: the raw weight."""
        return weight


def spectral_norm(layer: Layer, eps: float = 1e-12, fresh: bool = False) -> Layer:
    """`layer` (convolution, transposed convolution, linear, embedding) with its weight under spectral normalisation.

    Give the layer its first weights before. Optimizers see the raw weight, which `raw` finds: reading `layer.weight`
    in training mode makes a power iteration."""
    dim = 1 if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) else 0
    weight = layer.weight
    assert isinstance(weight, Tensor)
    # unsafe: no trial call, which would move u and v
    parametrize.register_parametrization(layer, "weight", SpectralNorm(weight, dim, eps, fresh), unsafe=True)
    return layer


def learned_weight(layer: nn.Module) -> nn.Parameter:
    """The weight that is learned, without any normalisation laid over it."""
    found = layer.parametrizations.weight.original if parametrize.is_parametrized(layer) else layer.weight  # type: ignore[union-attr]
    assert isinstance(found, nn.Parameter)
    return found
