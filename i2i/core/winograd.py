"""Winograd's minimal filtering: convolution with fewer multiplications, as a few large matrix products.

A tile of m x m outputs of an r x r kernel takes (m + r - 1)^2 products instead of m^2 r^2 (Winograd 1980; Lavin and
Gray 2015, arXiv 1509.09308). The rounding error in float32 is a few times that of the direct sum. Cutting maps into
tiles and adding tiles up are linear and each other's adjoint; everything else is matrix products. So the result can be
differentiated any number of times, and torch leaves out gradients that nobody asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)  # of the interpolation, and infinity: six products a side


def correlate(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int] = (0, 0)) -> Tensor:
    """Correlation of x [N, C, H, W] with weight [K, C, r, r], r 3 or 4, of stride 1 by minimal filtering.

    `padding`: zeros on each side of height and width. Adds bias [K]. Returns [N, K, H', W']."""
    k, r = weight.shape[0], weight.shape[2]
    m, to_input, to_kernel, to_output = transforms(r)
    cut = WinogradTiles.of(x, r, padding)
    a, c, tiles = cut.a, cut.channels, cut.tiles
    v = (to_input @ _Cut.apply(x, cut)).view(a * a, c, tiles)
    u = (to_kernel @ weight.permute(2, 3, 0, 1).reshape(r * r, k * c)).view(a * a, k, c)
    y = (to_output @ torch.bmm(u, v).view(a * a, k * tiles)).view(m, m, k, cut.images, cut.rows, cut.columns)
    y = y.permute(3, 2, 4, 0, 5, 1).reshape(cut.images, k, cut.rows * m, cut.columns * m)
    y = y[:, :, : cut.height + 2 * padding[0] - r + 1, : cut.width + 2 * padding[1] - r + 1]
    return y.contiguous() if bias is None else y + bias.view(1, -1, 1, 1)


def tile_side(kernel: int) -> int:
    """Outputs along one side of a tile, m, for a `kernel` x `kernel` filter: 4 for 3x3, 3 for 4x4."""
    return len(POINTS) + 2 - kernel


@cache
def transforms(kernel: int) -> tuple[int, Tensor, Tensor, Tensor]:
    """(m, input, kernel, output) of the two-dimensional algorithm for a `kernel` x `kernel` filter.

    input [a^2, a^2], kernel [a^2, r^2] and output [m^2, a^2] act on flattened tiles (Toom-Cook at POINTS, infinity);
    a = 6 = m + r - 1."""
    # The tensors are kept, so they must not belong to the inference mode or the device context of the first caller.
    with torch.inference_mode(False), torch.device("cpu"):
        a, m = len(POINTS) + 1, tile_side(kernel)
        outputs = torch.zeros(m, a, dtype=torch.float64)
        kernels = torch.zeros(a, kernel, dtype=torch.float64)
        inputs = torch.zeros(a, a, dtype=torch.float64)
        for j, p in enumerate(POINTS):
            others = [q for q in POINTS if q != p]
            scale = math.prod(p - q for q in others)
            outputs[:, j] = torch.tensor([p**i for i in range(m)])
            kernels[j] = torch.tensor([p**k / scale for k in range(kernel)])
            inputs[j, : a - 1] = torch.tensor(_polynomial(others))
        outputs[m - 1, a - 1] = kernels[a - 1, kernel - 1] = 1.0
        inputs[a - 1] = torch.tensor(_polynomial(list(POINTS)))
        i, k, o = (torch.kron(t, t).float().contiguous() for t in (inputs, kernels, outputs))
    return m, i, k, o


def _polynomial(roots: list[float]) -> list[float]:
    """Coefficients of the polynomial with these roots, lowest power first."""
    p = [1.0]
    for root in roots:
        p = [(p[i - 1] if i else 0.0) - root * (p[i] if i < len(p) else 0.0) for i in range(len(p) + 1)]
    return p


@dataclass(frozen=True)
class WinogradTiles:
    """How maps [images, channels, height, width] are cut in tiles of a x a that overlap by a - m pixels."""

    images: int
    channels: int
    height: int
    width: int
    padding: tuple[int, int]  # zeros on each side of height and width
    m: int
    a: int
    rows: int  # of tiles in a map
    columns: int

    @classmethod
    def of(cls, x: Tensor, kernel: int, padding: tuple[int, int]) -> WinogradTiles:
        """The tiles that cover the outputs of a `kernel` x `kernel` filter on x."""
        n, c, height, width = x.shape
        a, m = len(POINTS) + 1, tile_side(kernel)
        rows, columns = (-(-(side + 2 * p - kernel + 1) // m) for side, p in zip((height, width), padding, strict=True))
        return cls(n, c, height, width, padding, m, a, rows, columns)

    @property
    def tiles(self) -> int:
        """Tiles of the whole batch."""
        return self.images * self.rows * self.columns


class _Cut(torch.autograd.Function):
    """Maps [N, C, H, W] -> their tiles [a a, C T], T tiles in the batch. Linear; `_Add` is its adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cut: WinogradTiles) -> Tensor:
        ctx.cut = cut
        a, m, (top, left) = cut.a, cut.m, cut.padding
        below = cut.rows * m + a - m - cut.height - top
        right = cut.columns * m + a - m - cut.width - left
        x = F.pad(x, (left, right, top, below)).contiguous()
        s = x.stride()
        shape = (a, a, cut.channels, cut.images, cut.rows, cut.columns)
        return x.as_strided(shape, (s[2], s[3], s[1], s[0], m * s[2], m * s[3])).reshape(a * a, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Add.apply(grad, ctx.cut), None


class _Add(torch.autograd.Function):
    """Tiles [a a, C T] -> maps [N, C, H, W], added up where tiles overlap. Linear; `_Cut` is its adjoint."""

    @staticmethod
    def forward(ctx: Any, tiles: Tensor, cut: WinogradTiles) -> Tensor:
        ctx.cut = cut
        a, m, n, c = cut.a, cut.m, cut.images, cut.channels
        parts = tiles.reshape(a, a, c, n, cut.rows, cut.columns)
        # First over rows of tiles, then over columns: what sticks out of a tile lies within the next one.
        down = parts.new_zeros(m, a, c, n, cut.rows + 1, cut.columns)
        down[..., : cut.rows, :] = parts[:m]
        down[: a - m, ..., 1:, :] += parts[m:]
        both = down.new_zeros(m, m, c, n, cut.rows + 1, cut.columns + 1)
        both[..., : cut.columns] = down[:, :m]
        both[:, : a - m, ..., 1:] += down[:, m:]
        x = both.permute(3, 2, 4, 0, 5, 1).reshape(n, c, (cut.rows + 1) * m, (cut.columns + 1) * m)
        top, left = cut.padding
        return x[:, :, top : top + cut.height, left : left + cut.width].contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Cut.apply(grad, ctx.cut), None
