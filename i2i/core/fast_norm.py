"""Instance norm of channels-last maps on a CPU, with a gradient in the same layout.

torch has no instance norm for this layout. Group norm with one group per channel is one, but its gradient reads the
maps value by value: 13 ms for 256 maps of 64x64 in bf16 on a Xeon with AMX. Batch norm of one image is the same formula
too, and torch computes it channels last in 0.9 ms. So each image of a batch is taken as a batch.

Under bf16 autocast without a gradient there is `steady_norm`: torch's norms of this layout add up in as many parts as
there are threads, and bf16 makes levels of 255 of the last bits; its sums are the same for any number of threads.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

# Forward, group norm is the faster one for large maps in bf16. For smaller ones torch has another form of it, which
# takes 40 times as long. In float32 its variance, from sums of squares, loses digits if the mean is large.
LEAST_POSITIONS = 1024

PART = 1 << 16  # values that `steady_norm` adds up at a time

_backward = torch.ops.aten.native_batch_norm_backward


def can_use(x: Tensor) -> bool:
    """True if x [B, C, H, W] is bf16 or float32 on a CPU, lies channels last in memory, and no tracer is at work."""
    if x.device.type != "cpu" or x.dtype not in (torch.bfloat16, torch.float32):
        return False
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return last and len(x) > 0 and not (tracing or torch.compiler.is_compiling())


def with_dense_gradient(y: Tensor) -> Tensor:
    """`y` [B, C, H, W], the output of a batch norm, itself; its gradient will lie in memory as y does.

    Half of the gradient of a concatenation, as in a U-Net, does not. torch's batch norm then reads it value by value:
    160 ms for 4 x 64 maps of 128x128 channels last, where copying it takes 1 to 3 and the gradient itself 4 to 10."""
    if y.requires_grad and y.device.type == "cpu" and not torch.compiler.is_compiling():
        layout = torch.contiguous_format if y.is_contiguous() else torch.channels_last
        y.register_hook(lambda gradient: gradient.contiguous(memory_format=layout))
    return y


def instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Each map of x [B, C, H, W] minus its mean, by its deviation, times `weight` [C] plus `bias` [C].

    It can be differentiated twice."""
    weight = x.new_ones(x.shape[1], dtype=torch.float32) if weight is None else weight.float()
    bias = torch.zeros_like(weight) if bias is None else bias.float()
    return cast(Tensor, _InstanceNorm.apply(x, weight, bias, eps))


def can_steady(x: Tensor) -> bool:
    """True if x [1, C, H, W] lies channels last in memory, under autocast and without a gradient."""
    if len(x) != 1 or torch.is_grad_enabled() or not torch.is_autocast_enabled("cpu"):
        return False
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return x.is_contiguous(memory_format=torch.channels_last) and not tracing


def steady_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Instance norm of one image [1, C, H, W]: the same for any number of threads. Statistics are in float32."""
    channels = x.shape[1]
    values = x.permute(0, 2, 3, 1).reshape(-1, channels)
    total = squares = torch.zeros(channels, dtype=torch.float64)
    near: Tensor | None = None  # a value near the mean: sums of squares lose no digits then
    for part in values.split(max(1, PART // channels)):  # stays in the processor's cache
        inside = part.float()
        near = inside.mean(0) if near is None else near
        inside = inside - near
        total = total + inside.sum(0)
        squares = squares + inside.square_().sum(0)
    assert near is not None
    mean = total / len(values)
    variance = (squares / len(values) - mean.square()).clamp_(min=0).float()
    weight = torch.ones(channels) if weight is None else weight
    return F.batch_norm(x, (mean + near).float(), variance, weight, bias, False, 0.0, eps)


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        batch, channels, height, width = x.shape
        positions = height * width
        if x.dtype == torch.bfloat16 and positions >= LEAST_POSITIONS:
            y, mean, scale = torch.native_group_norm(x, weight, bias, batch, channels, positions, channels, eps)
        else:
            images = [torch.native_batch_norm(i, weight, bias, None, None, True, 0.0, eps) for i in x.split(1)]
            y, mean, scale = (_joined(parts) for parts in zip(*images, strict=True))
        # Not y: an activation may change it in place.
        context.save_for_backward(x, weight, mean.view(batch, -1), scale.view(batch, -1))
        context.eps = eps
        return y

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = context.saved_tensors
        gradient = gradient.to(x.dtype, memory_format=torch.channels_last)
        needed = context.needs_input_grad[:3]
        images = zip(gradient.split(1), x.split(1), mean, scale, strict=True)
        parts = [_backward(g, i, weight, None, None, m, s, True, context.eps, needed) for g, i, m, s in images]
        of_x, of_weight, of_bias = zip(*parts, strict=True)
        return (
            _joined(of_x) if needed[0] else None,
            sum(of_weight) if needed[1] else None,
            sum(of_bias) if needed[2] else None,
            None,
        )


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    """The parts of a batch as one tensor, without a copy if it is one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)
