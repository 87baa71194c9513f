"""Convolutions on the CPU with fewer multiplications (Winograd's minimal filtering, Lavin & Gray 2016), or as products
of matrices where maps are small.

A tile of m x m outputs of an r x r kernel needs (m + r - 1)^2 products instead of m^2 r^2; the products of all tiles
and channels are a few large matrix products, which a CPU does at full speed. Forward and both gradients use the same
transforms. In float32 the rounding error is a few times that of the direct sum.

On small maps with many channels, as deep in a U-Net, reading the weights is what costs, and one matrix product for all
places of the batch reads them once; torch's own way takes up to five times as long there. Places are its rows: for 2 to
16 of them, BLAS can take ten times as long for the transposed product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)  # and infinity: six products a side
LEAST_CHANNELS = 64  # with fewer, moving data costs more than the products saved
LEAST_TILES = 48
MOST_BYTES = 1 << 30  # of the transformed input
MOST_PLACES = 256  # of all maps of a batch on their smaller side, for one matrix product
LEAST_WEIGHTS = 1 << 20

_enabled = True


@contextmanager
def direct() -> Iterator[None]:
    """Inside, every convolution is the direct one (which can be differentiated twice)."""
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


@cache
def transforms(kernel: int) -> tuple[int, Tensor, Tensor, Tensor]:
    """(m, input, kernel, output) of the two-dimensional algorithm for a `kernel` x `kernel` filter.

    input [a^2, a^2], kernel [a^2, r^2] and output [m^2, a^2] act on flattened tiles (Toom-Cook at POINTS, infinity);
    a = 6 = m + r - 1."""
    a = len(POINTS) + 1
    m = a - kernel + 1
    outputs = torch.zeros(m, a, dtype=torch.float64)
    kernels = torch.zeros(a, kernel, dtype=torch.float64)
    inputs = torch.zeros(a, a, dtype=torch.float64)

    def product(points: list[float]) -> list[float]:
        """Coefficients of the polynomial with these roots, lowest power first."""
        made = [1.0]
        for p in points:
            made = [(made[i - 1] if i else 0.0) - p * (made[i] if i < len(made) else 0.0) for i in range(len(made) + 1)]
        return made

    for j, p in enumerate(POINTS):
        others = [q for q in POINTS if q != p]
        scale = math.prod(p - q for q in others)
        outputs[:, j] = torch.tensor([p**i for i in range(m)])
        kernels[j] = torch.tensor([p**k / scale for k in range(kernel)])
        inputs[j, : a - 1] = torch.tensor(product(others))
    outputs[m - 1, a - 1] = kernels[a - 1, kernel - 1] = 1.0
    inputs[a - 1] = torch.tensor(product(list(POINTS)))
    both = (torch.kron(t, t).float().contiguous() for t in (inputs, kernels, outputs))
    i, k, o = both
    return m, i, k, o


def _wanted(ctx: Any, number: int) -> bool:
    """Whether this backward pass uses the gradient of input `number`.

    `needs_input_grad` alone is also true for weights that `backward(inputs=...)` left out, such as D's while the
    generator learns."""
    if not ctx.needs_input_grad[number]:
        return False
    follows, asks = ctx.next_functions[number][0], getattr(torch._C, "_will_engine_execute_node", None)
    return follows is None or asks is None or bool(asks(follows))


class _Correlate(torch.autograd.Function):
    """Correlation of x [N, C, H, W] with weight [K, C, r, r], stride 1, no padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        n, c, height, width = x.shape
        k, r = weight.shape[0], weight.shape[2]
        m, to_input, to_kernel, to_output = transforms(r)
        a = m + r - 1
        out_h, out_w = height - r + 1, width - r + 1
        rows, columns = -(-out_h // m), -(-out_w // m)
        tiles = n * rows * columns
        x = F.pad(x, (0, columns * m + r - 1 - width, 0, rows * m + r - 1 - height)).contiguous()
        s = x.stride()
        cut = x.as_strided((a, a, c, n, rows, columns), (s[2], s[3], s[1], s[0], m * s[2], m * s[3]))
        v = (to_input @ cut.reshape(a * a, c * tiles)).view(a * a, c, tiles)
        u = (to_kernel @ weight.permute(2, 3, 0, 1).reshape(r * r, k * c)).view(a * a, k, c)
        y = (to_output @ torch.bmm(u, v).view(a * a, k * tiles)).view(m, m, k, n, rows, columns)
        y = y.permute(3, 2, 4, 0, 5, 1).reshape(n, k, rows * m, columns * m)[:, :, :out_h, :out_w]
        y = y.contiguous() if bias is None else y + bias.view(1, -1, 1, 1)
        ctx.save_for_backward(v if ctx.needs_input_grad[1] else None, u if ctx.needs_input_grad[0] else None)
        ctx.facts = (n, c, k, r, height, width, rows, columns)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # type: ignore[override]
        n, c, k, r, height, width, rows, columns = ctx.facts
        v, u = ctx.saved_tensors
        m, to_input, to_kernel, to_output = transforms(r)
        a, tiles = m + r - 1, n * rows * columns
        full = F.pad(grad, (0, columns * m - grad.shape[3], 0, rows * m - grad.shape[2])).contiguous()
        cut = full.view(n, k, rows, m, columns, m).permute(3, 5, 1, 0, 2, 4).reshape(m * m, k * tiles)
        products = (to_output.T @ cut).view(a * a, k, tiles)
        dx = dw = db = None
        if _wanted(ctx, 1):
            du = torch.bmm(products, v.transpose(1, 2)).view(a * a, k * c)
            dw = (to_kernel.T @ du).view(r, r, k, c).permute(2, 3, 0, 1).contiguous()
        if _wanted(ctx, 0):
            dv = torch.bmm(u.transpose(1, 2), products).view(a * a, c * tiles)
            parts = (to_input.T @ dv).view(a, a, c, n, rows, columns)
            down = parts.new_zeros(m, a, c, n, rows + 1, columns)  # tiles overlap by r - 1: first add along columns
            down[..., :rows, :] = parts[:m]
            down[: r - 1, ..., 1:, :] += parts[m:]
            both = down.new_zeros(m, m, c, n, rows + 1, columns + 1)
            both[..., :columns] = down[:, :m]
            both[:, : r - 1, ..., 1:] += down[:, m:]
            dx = both.permute(3, 2, 4, 0, 5, 1).reshape(n, c, (rows + 1) * m, (columns + 1) * m)
            dx = dx[:, :, :height, :width].contiguous()
        if _wanted(ctx, 2):
            db = grad.sum((0, 2, 3))
        return dx, dw, db


def _eligible(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    """Whether `layer` may go another way than torch's: plain float32 on a CPU, neither traced, compiled nor in
    `direct()`."""
    if not _enabled or x.device.type != "cpu" or x.dtype != torch.float32 or x.dim() != 4:
        return False
    if layer.groups != 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    return not (torch.is_autocast_enabled("cpu") or torch.jit.is_tracing() or torch.compiler.is_compiling())


def _padding(layer: nn.Conv2d | nn.ConvTranspose2d) -> tuple[int, int]:
    """The zeros beside each axis of an eligible layer."""
    return int(layer.padding[0]), int(layer.padding[1])


def _extent(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> tuple[int, int]:
    """Height and width of what a convolution without dilation makes of x."""
    parts = zip(x.shape[2:], layer.kernel_size, layer.stride, _padding(layer), layer.output_padding, strict=True)
    if layer.transposed:
        down, across = ((side - 1) * s - 2 * p + r + o for side, r, s, p, o in parts)
    else:
        down, across = ((side + 2 * p - r) // s + 1 for side, r, s, p, _ in parts)
    return down, across


def _rows(product: Tensor) -> Tensor:
    """`product` itself, whose gradient will lie row by row in memory."""
    if product.requires_grad:
        product.register_hook(Tensor.contiguous)
    return product


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` (same arguments, same weights) that takes a fast way where there is one.

    That is in float32 on a CPU, without dilation and groups, with zero padding, and neither traced, compiled nor in
    `direct()`: minimal filtering for kernel 3 or 4 of stride 1 with many channels, one matrix product for small maps.
    Everything else is `nn.Conv2d` itself.
    """

    def _fast(self, x: Tensor) -> bool:
        r = self.kernel_size[0]
        if not _eligible(self, x) or self.kernel_size not in ((3, 3), (4, 4)) or self.stride != (1, 1):
            return False
        if min(self.in_channels, self.out_channels) < LEAST_CHANNELS:
            return False
        m = 7 - r
        rows, columns = (-(-side // m) for side in _extent(self, x))
        tiles = len(x) * rows * columns
        return tiles >= LEAST_TILES and 4 * 36 * self.in_channels * tiles <= MOST_BYTES

    def _small(self, x: Tensor) -> bool:
        # the cheap question first: parametrised layers compute their weight whenever it is read
        if self.in_channels * self.out_channels * math.prod(self.kernel_size) < LEAST_WEIGHTS or not _eligible(self, x):
            return False
        return 0 < len(x) * math.prod(_extent(self, x)) <= MOST_PLACES

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] -> [N, K, H', W'] as nn.Conv2d."""
        if self._fast(x):
            down, across = _padding(self)
            if down or across:
                x = F.pad(x, (across, across, down, down))
            made: Tensor = _Correlate.apply(x, self.weight, self.bias)
            return made
        if not self._small(x):
            return super().forward(x)
        height, width = _extent(self, x)
        places = F.unfold(x, self.kernel_size, padding=_padding(self), stride=self.stride)  # [N, C r r, H' W']
        rows = places.transpose(1, 2).contiguous().view(-1, places.shape[1])
        y = _rows(F.linear(rows, self.weight.reshape(self.out_channels, -1), self.bias))  # [N H' W', K]
        return y.view(len(x), height, width, -1).permute(0, 3, 1, 2).contiguous()


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` (same arguments, same weights) that takes one matrix product for small maps, where `Conv2d`
    does. Everything else is `nn.ConvTranspose2d` itself."""

    def _small(self, x: Tensor) -> bool:
        if self.in_channels * self.out_channels * math.prod(self.kernel_size) < LEAST_WEIGHTS or not _eligible(self, x):
            return False
        return 0 < len(x) * x.shape[2] * x.shape[3] <= MOST_PLACES

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """x [N, C, H, W] -> [N, K, H', W'] as nn.ConvTranspose2d."""
        if output_size is not None or self.output_padding != (0, 0) or not self._small(x):
            return super().forward(x, output_size)
        rows = x.permute(0, 2, 3, 1).reshape(-1, self.in_channels)
        made = _rows(rows @ self.weight.reshape(self.in_channels, -1))  # [N H W, K r r]
        places = made.view(len(x), -1, made.shape[1]).transpose(1, 2)
        y = F.fold(places, _extent(self, x), self.kernel_size, padding=_padding(self), stride=self.stride)
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)
