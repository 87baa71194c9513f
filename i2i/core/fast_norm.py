"""Instance norm of channels-last bf16 maps on a CPU, with a gradient in the same layout.

torch's own gradient of group norm reads channels-last maps value by value: 13 ms for 256 maps of 64x64 on a Xeon with
AMX, where the sums and products below take 1 ms. Contiguous maps are faster in the norm, but take twice as long in the
convolutions.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def can_use(x: Tensor) -> bool:
    """True if x [B, C, H, W] is bf16, lies channels last in memory and has a gradient, and no tracer is at work."""
    if x.dtype != torch.bfloat16 or not (x.requires_grad and torch.is_grad_enabled()):
        return False
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return x.is_contiguous(memory_format=torch.channels_last) and not tracing


def instance_norm(x: Tensor, eps: float) -> Tensor:
    """Each map of x [B, C, H, W] minus its mean, by its deviation. It can be differentiated any number of times."""
    return cast(Tensor, _InstanceNorm.apply(x, eps))


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, eps: float) -> Tensor:
        batch, channels, height, width = x.shape
        y, center, scale = torch.native_group_norm(x, None, None, batch, channels, height * width, channels, eps)
        context.save_for_backward(x, center, scale)  # not y: an activation may change it in place
        context.eps = eps
        return y

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, center, scale = context.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again: the statistics depend on x
            center = x.mean((2, 3), keepdim=True, dtype=torch.float32)
            scale = ((x - center).square().mean((2, 3), keepdim=True) + context.eps).rsqrt()
        else:  # of torch, [B, C]
            center, scale = (value[:, :, None, None].float() for value in (center, scale))
        y = torch.addcmul((-center * scale).to(x.dtype), x, scale.to(x.dtype))
        # the gradient of x: scale * (g - mean(g) - y * mean(g * y))
        g = gradient.to(x.dtype, memory_format=torch.channels_last)
        mean = g.mean((2, 3), keepdim=True, dtype=torch.float32)
        along = (g * y).mean((2, 3), keepdim=True, dtype=torch.float32)
        centered = torch.addcmul((-scale * mean).to(g.dtype), g, scale.to(g.dtype))
        return torch.addcmul(centered, y, (-scale * along).to(g.dtype)), None
