"""Faster convolutions on a CPU, in float32 and under bf16 autocast, for networks made of plain torch layers.

`speed_up(network)` changes the class of those convolutions that can gain; parameters, state dict and results (to
rounding) stay. Two ways are used, each where it is the faster one:

- minimal filtering (`i2i.core.winograd`) for 3x3 and 4x4 kernels of stride 1 with many channels;
- one matrix product of all positions in the batch for small maps with many channels, as deep in a U-Net: reading the
  weights is what costs there, and the product reads them once. torch's own way takes up to five times as long.
  Positions are the rows of the product: for 2 to 16 of them, BLAS can take ten times as long for the transposed one.
  Under bf16 autocast the smallest maps are computed so too, in float32: torch's bf16 convolution reorders all weights
  for them, forward and backward, which takes two to five times as long on a Xeon with AMX.

Both can be differentiated any number of times.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from i2i.core import winograd
from i2i.core.errors import I2IError

Net = TypeVar("Net", bound=nn.Module)

LEAST_CHANNELS = 64  # with fewer, moving data costs more than the products saved
LEAST_TILES = 48
MOST_BYTES = 1 << 30  # of the transformed input
MOST_POSITIONS = 256  # of all maps of a batch on their smaller side, for one matrix product
MOST_POSITIONS_BF16 = 128  # the same under bf16 autocast
LEAST_WEIGHTS = 1 << 20


def speed_up(network: Net) -> Net:
    """Makes the convolutions of `network` faster on a CPU, in place; returns `network`.

    Changes the class of `nn.Conv2d` and `nn.ConvTranspose2d` layers (and of subclasses, spectral norm and other
    parametrizations included) that have enough weights. Under bf16 autocast only layers with the smallest maps gain. On
    another device, in another precision, and when traced, exported or compiled, they compute as before. Register
    parametrizations before, not after."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not isinstance(layer, Fast) and _can_gain(layer):
            layer.__class__ = _fast_class(type(layer))
    return network


def slow_down(network: Net) -> Net:
    """Undoes `speed_up` in place; returns `network`.

    Raises I2IError for a layer that was parametrized after `speed_up`."""
    for layer in network.modules():
        while isinstance(layer, Fast):
            plain = type(layer).__dict__.get("plain")
            if plain is None:
                raise I2IError(
                    f"{type(layer).__name__} was parametrized after speed_up.", "Call speed_up after parametrizations."
                )
            layer.__class__ = plain
    return network


def _can_gain(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """True if `layer` is faster for inputs of some size."""
    if layer.groups != 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.bias is not None or (_many_weights(layer) and layer.output_padding == (0, 0))
    return _many_weights(layer) or _can_filter(layer)


def _many_weights(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return layer.in_channels * layer.out_channels * math.prod(layer.kernel_size) >= LEAST_WEIGHTS


def _can_filter(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """True if minimal filtering computes `layer` and has enough channels to be faster."""
    if layer.transposed or layer.kernel_size not in ((3, 3), (4, 4)) or layer.stride != (1, 1):
        return False
    return min(layer.in_channels, layer.out_channels) >= LEAST_CHANNELS


def _is_plain_float32(x: Tensor) -> bool:
    """True if x is float32 on a CPU and neither autocast nor a tracer or compiler is at work."""
    return x.dtype == torch.float32 and _is_plain(x) and not torch.is_autocast_enabled("cpu")


def _is_plain(x: Tensor) -> bool:
    """True if x is a batch of maps on a CPU, and neither a tracer nor a compiler is at work."""
    if x.device.type != "cpu" or x.dim() != 4:
        return False
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return not (tracing or torch.compiler.is_compiling())


def _most_positions(layer: nn.Module, x: Tensor) -> int:
    """Positions of maps up to which one matrix product is faster for x; 0 if the product cannot be used."""
    # Not `layer.weight`: computing a parametrized one may change state, such as the vectors of spectral norm.
    if next(layer.parameters()).dtype != torch.float32 or not _is_plain(x):
        return 0
    if not torch.is_autocast_enabled("cpu"):
        return MOST_POSITIONS if x.dtype == torch.float32 else 0
    is_bf16 = torch.get_autocast_dtype("cpu") == torch.bfloat16 and x.dtype in (torch.float32, torch.bfloat16)
    return MOST_POSITIONS_BF16 if is_bf16 else 0


@contextlib.contextmanager
def without_autocast() -> Iterator[None]:
    """Leaves autocast inside. (An autocast context that changes nothing would still empty the cache of weights.)"""
    if not torch.is_autocast_enabled("cpu"):
        yield
        return
    torch.set_autocast_enabled("cpu", False)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cpu", True)


def _padding(layer: nn.Conv2d | nn.ConvTranspose2d) -> tuple[int, int]:
    """The zeros on each side of height and width."""
    return int(layer.padding[0]), int(layer.padding[1])


def _output_size(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> tuple[int, int]:
    """Height and width of the output for x [N, C, H, W], without dilation and output padding."""
    parts = zip(x.shape[2:], layer.kernel_size, layer.stride, _padding(layer), strict=True)
    if layer.transposed:
        height, width = ((side - 1) * s - 2 * p + r for side, r, s, p in parts)
    else:
        height, width = ((side + 2 * p - r) // s + 1 for side, r, s, p in parts)
    return height, width


# ---- a convolution after pixels were repeated ----------------------------------------------------------------------

# What the three rows of a 3x3 kernel become for even and for odd rows of the output: two rows of the input, which was
# repeated, so that two of the kernel's rows meet the same one.
FOLDED = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
LEAST_POSITIONS = 256  # of an input map: for smaller ones the weights cost more than the positions


def enlarged(layer: nn.Conv2d, x: Tensor) -> Tensor | None:
    """x [N, C, H, W] with its pixels repeated 2x2, and then the 3x3 convolution `layer`: [N, K, 2H, 2W].

    Computed at the size of x, by a 2x2 kernel for each of the four positions in an output square: 16 products in the
    place of 36, and the large input is never made. None where this is not faster, or cannot be used: then compute it in
    two steps."""
    if torch.is_grad_enabled() or not _is_plain_float32(x) or x.shape[2] * x.shape[3] < LEAST_POSITIONS:
        return None
    if _get_current_dispatch_mode() is not None:  # work is counted as written
        return None
    count, _, height, width = x.shape
    folded = torch.einsum("pri,qsj,kcij->pqkcrs", FOLDED, FOLDED, layer.weight).flatten(0, 2)
    bias = None if layer.bias is None else layer.bias.repeat(4)
    y = F.conv2d(x, folded, bias, padding=1).view(count, 2, 2, -1, height + 1, width + 1)
    large = x.new_empty(count, y.shape[3], height, 2, width, 2)
    for p, q in itertools.product((0, 1), (0, 1)):  # odd rows and columns begin one position later
        large[:, :, :, p, :, q] = y[:, p, q, :, p : p + height, q : q + width]
    return large.view(count, -1, 2 * height, 2 * width)


# ---- layers --------------------------------------------------------------------------------------------------------


class Fast:
    """Marks the classes that `speed_up` gives to layers. `plain` is the class that the layer had before."""

    plain: type[nn.Module]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickles classes made by `_fast_class` by the class they were made of."""
        reduced: Any = super().__reduce_ex__(protocol)
        if type(self) in (FastConv2d, FastConvTranspose2d):
            return reduced
        return (_new_fast, (type(self).__dict__["plain"],), *reduced[2:])


class FastConv2d(Fast, nn.Conv2d):
    """An `nn.Conv2d` that uses minimal filtering or one matrix product where that is faster."""

    plain = nn.Conv2d

    def uses_filtering(self, x: Tensor) -> bool:
        """True if x [N, C, H, W] is large enough for minimal filtering, and its transform not too large."""
        if not _can_filter(self) or not _is_plain_float32(x):
            return False
        m = winograd.tile_side(self.kernel_size[0])
        rows, columns = (-(-side // m) for side in _output_size(self, x))
        tiles = len(x) * rows * columns
        return tiles >= LEAST_TILES and 4 * 36 * self.in_channels * tiles <= MOST_BYTES

    def uses_product(self, x: Tensor) -> bool:
        """True if x [N, C, H, W] is small enough for one matrix product."""
        if not _many_weights(self):
            return False
        return 0 < len(x) * math.prod(_output_size(self, x)) <= _most_positions(self, x)

    # nn.Conv2d.forward passes the weight to this method, once computed where it is parametrized; and subclasses that
    # change `forward`, such as ResizeConv, come by here too.
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.uses_filtering(input):
            return winograd.correlate(input, weight, bias, _padding(self))
        if not self.uses_product(input):
            return cast(Tensor, super()._conv_forward(input, weight, bias))
        height, width = _output_size(self, input)
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else input.dtype
        with without_autocast():
            x = input.float()
            patches = F.unfold(x, self.kernel_size, padding=_padding(self), stride=self.stride)  # [N, C r r, H' W']
            rows = patches.transpose(1, 2)
            if weight.is_contiguous():
                matrix = weight.float().view(self.out_channels, -1)
            else:  # channels last: r r C in the place of C r r, so that the weights need no copy
                rows = rows.unflatten(2, (self.in_channels, -1)).transpose(2, 3).flatten(2)
                matrix = weight.float().permute(0, 2, 3, 1).reshape(self.out_channels, -1)
            rows = rows.contiguous().view(-1, patches.shape[1])
            y = _with_rows(F.linear(rows, matrix, bias))  # [N H' W', K]
            return y.view(len(input), height, width, -1).permute(0, 3, 1, 2).contiguous().to(dtype)


class FastConvTranspose2d(Fast, nn.ConvTranspose2d):
    """An `nn.ConvTranspose2d` that uses one matrix product where that is faster."""

    plain = nn.ConvTranspose2d

    def uses_product(self, x: Tensor) -> bool:
        """True if x [N, C, H, W] is small enough for one matrix product."""
        if self.output_padding != (0, 0) or not _many_weights(self):
            return False
        return 0 < len(x) * x.shape[2] * x.shape[3] <= _most_positions(self, x)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """x [N, C, H, W] -> [N, K, H', W'] as nn.ConvTranspose2d."""
        if output_size is not None or not self.uses_product(input):
            if self.bias is None or output_size is not None or not _is_last_bf16(input):
                return super().forward(input, output_size)
            padding = (int(self.output_padding[0]), int(self.output_padding[1]))
            y = F.conv_transpose2d(input, self.weight, None, self.stride, _padding(self), padding)
            return cast(Tensor, _AddBias.apply(y, self.bias.to(y.dtype)))
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else input.dtype
        with without_autocast():
            rows = input.float().permute(0, 2, 3, 1).reshape(-1, self.in_channels)
            weight = self.weight.float()
            if weight.is_contiguous():
                products = _with_rows(rows @ weight.view(self.in_channels, -1))  # [N H W, K r r]
            else:  # channels last: r r K, so that the weights need no copy
                products = _with_rows(rows @ weight.permute(0, 2, 3, 1).reshape(self.in_channels, -1))
                products = products.unflatten(1, (-1, self.out_channels)).transpose(1, 2).flatten(1)
            patches = products.view(len(input), -1, products.shape[1]).transpose(1, 2)
            y = F.fold(patches, _output_size(self, input), self.kernel_size, padding=_padding(self), stride=self.stride)
            return (y if self.bias is None else y + self.bias.view(1, -1, 1, 1)).to(dtype)


def _is_last_bf16(x: Tensor) -> bool:
    """True if x would be computed in bf16, channels last, with a gradient."""
    if not torch.is_grad_enabled() or not _is_plain(x) or not torch.is_autocast_enabled("cpu"):
        return False
    is_bf16 = torch.get_autocast_dtype("cpu") == torch.bfloat16
    return is_bf16 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class _AddBias(torch.autograd.Function):
    """y [N, K, H, W] + bias [K], in place.

    torch's own gradient of the bias of a transposed convolution takes longer than all else of its backward pass where
    maps lie channels last in bf16: 28 ms of 34 for two images of 64 maps of 256x256 on a Xeon with AMX."""

    @staticmethod
    def forward(context: Any, y: Tensor, bias: Tensor) -> Tensor:
        context.mark_dirty(y)
        return y.add_(bias[:, None, None])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.sum((0, 2, 3))


def _fast_class(kind: type[nn.Module]) -> type[Any]:
    """The fast class of layers of class `kind`. It is not cached: a parametrized layer has a class of its own."""
    base = FastConvTranspose2d if issubclass(kind, nn.ConvTranspose2d) else FastConv2d
    if kind is base.plain:
        return base
    return type(f"Fast{kind.__name__}", (base, kind), {"plain": kind})


def _new_fast(kind: type[nn.Module]) -> nn.Module:
    """An empty layer, which pickle and deepcopy then fill."""
    return cast(nn.Module, object.__new__(_fast_class(kind)))


def _with_rows(product: Tensor) -> Tensor:
    """`product` itself; its gradient will lie row by row in memory, as matrix products want it."""
    if product.requires_grad:
        product.register_hook(Tensor.contiguous)
    return product
