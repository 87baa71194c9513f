"""How a CPU computes networks in bf16 under autocast: with weights that are cast once, in layouts that are fast.

Autocast alone casts every weight at every call. Which layers stay in float32 says
`i2i.models.exact_edges`. On a CPU that has no bf16 hardware the same values are rounded in the same places, and the
products are computed in float32, which is faster there and differs in the last bits only.
"""

from __future__ import annotations

import functools
from typing import Any, cast

import torch
from torch import Tensor, nn

from i2i.core.device import cpu_has_bf16
from i2i.core.fast_conv import Fast, without_autocast
from i2i.models.exact_edges import is_edge, last_hidden
from i2i.nets.blocks import BlurDown, BlurUp
from i2i.nets.resnet import ResidualBlock

WEIGHT = "bf16_weight"  # buffer of a lowered layer: its weight, rounded


def lower(network: nn.Module) -> None:
    """Changes the classes of convolutions of a network on a CPU in place, for calls in bf16.

    Without autocast they compute as before. Their weights must not change later: the rounded ones are copies."""
    hidden = last_hidden(network)
    summed = [layer for block in network.modules() if isinstance(block, ResidualBlock) for layer in _last(block)]
    for layer in list(network.modules()):
        if isinstance(layer, Lowered):
            continue
        if type(layer) is BlurUp:
            layer.__class__ = LoweredBlurUp
        elif type(layer) is BlurDown:
            layer.__class__ = LoweredBlurDown
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and _can_lower(layer):
            base = LoweredTransposed if isinstance(layer, nn.ConvTranspose2d) else LoweredConv
            exact = is_edge(layer) or layer in hidden
            layer.__class__ = _lowered_class(base, type(layer))
            layer.register_buffer(WEIGHT, None if exact else rounded(layer.weight.detach()), persistent=False)
            cast(Any, layer).output_type = torch.float32 if exact or layer in summed else torch.bfloat16


def rounded(weight: Tensor) -> Tensor:
    """A kernel [K, C, r, s] in bf16, channels last. What a position loses is given to the next one of its kernel:
    pixels side by side are alike, so that the losses cancel."""
    result, lost = torch.empty_like(weight, dtype=torch.bfloat16), torch.zeros(())
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            wanted = weight[:, :, row, column] + lost
            result[:, :, row, column] = wanted
            lost = wanted - result[:, :, row, column]
    return result.contiguous(memory_format=torch.channels_last)


def _last(block: nn.Module) -> list[nn.Conv2d]:
    """The last convolution of a block, whose sum is kept in float32: there it collects the roundings of all blocks."""
    return [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)][-1:]


def _can_lower(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """True for layers with a weight of their own in float32; computed ones stay with autocast."""
    weight = layer._parameters.get("weight")
    return weight is not None and weight.dtype == torch.float32 and not weight.is_meta


@functools.cache
def _has_hardware() -> bool:
    return cpu_has_bf16()


class Lowered:
    """Marks the classes that `lower` gives to layers. `plain` is the class that the layer had before."""

    plain: type[nn.Module]
    bf16_weight: Tensor | None  # None: the layer computes in float32
    output_type: torch.dtype

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickles and copies layers by the class that they had before."""
        reduced: Any = super().__reduce_ex__(protocol)
        kind = type(self)
        if "plain" not in kind.__dict__:  # a blur
            return reduced
        return (_new, (kind.__bases__[0], kind.__dict__["plain"]), *reduced[2:])


class LoweredBlurUp(Lowered, BlurUp):
    """Enlarges in the precision of its input; autocast would make it bf16."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2H, 2W]."""
        with without_autocast():
            return super().forward(x)


class LoweredBlurDown(Lowered, BlurDown):
    """Reduces in the precision of its input; autocast would make it bf16."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H/2), ceil(W/2)]."""
        with without_autocast():
            return super().forward(x)


class LoweredConv(Lowered, nn.Conv2d):
    """A convolution that is given bf16 maps and returns them, or float32 for both."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        by_product = isinstance(self, Fast) and cast(Any, self).uses_product(input)
        if by_product or not _is_bf16(input):
            return cast(Tensor, super()._conv_forward(input, weight, bias))
        with without_autocast():
            rounded = self.bf16_weight
            if rounded is None:
                return cast(Tensor, super()._conv_forward(input.float(), weight, bias))
            x, bias = input.bfloat16(), None if bias is None else bias.bfloat16()
            if _has_hardware():
                return nn.Conv2d._conv_forward(self, x, rounded, bias).to(self.output_type)
            bias = None if bias is None else bias.float()
            y = cast(Tensor, super()._conv_forward(x.float(), rounded.float(), bias))
            return y.bfloat16().to(self.output_type)


class LoweredTransposed(Lowered, nn.ConvTranspose2d):
    """A transposed convolution that is given bf16 maps and returns them, or float32 for both."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """x [B, C, H, W] -> [B, K, H', W'] as nn.ConvTranspose2d."""
        by_product = isinstance(self, Fast) and cast(Any, self).uses_product(input)
        if output_size is not None or by_product or not _is_bf16(input):
            return super().forward(input, output_size)
        with without_autocast():
            rounded = self.bf16_weight
            if rounded is None:
                return super().forward(input.float())
            x, bias = input.bfloat16(), None if self.bias is None else self.bias.bfloat16()
            if not _has_hardware():
                x, rounded, bias = x.float(), rounded.float(), None if bias is None else bias.float()
            shape = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
            y = nn.functional.conv_transpose2d(x, rounded, bias, *cast(Any, shape))
            return y.bfloat16().to(self.output_type)


def _is_bf16(x: Tensor) -> bool:
    """True if x is on a CPU, under bf16 autocast, and neither a gradient, a tracer nor a compiler needs torch's own."""
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or torch.is_grad_enabled():
        return False
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and not (tracing or torch.compiler.is_compiling())


def _lowered_class(base: type[Any], kind: type[nn.Module]) -> type[Any]:
    """The lowered class of layers of class `kind`."""
    return type(f"Lowered{kind.__name__}", (base, kind), {"plain": kind})


def _new(base: type[Any], kind: type[nn.Module]) -> nn.Module:
    """An empty layer, which pickle and deepcopy then fill."""
    return cast(nn.Module, object.__new__(_lowered_class(base, kind)))
