"""Flat images: norms of a map that is one value everywhere are nothing, not the rounding of whoever computes it.

A norm divides by the spread of its map. Where that is no more than rounding it is blown up some 300 times, by the next
norm again, and after three of them a blank page or a black frame of a video has become a texture that differs from one
machine, thread count or program to the next. A flat map is therefore given what the norm makes of it exactly: its bias.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from i2i.nets.blocks import BatchNorm

RELATIVE, ABSOLUTE = 1e-5, 1e-6  # of float32 rounding after sums of some thousand terms


def own_norms(network: nn.Module) -> list[str]:
    """Names of the norms that use an image's own statistics."""
    return [n for n, m in network.named_modules() if _is_own(m)]


def _is_own(module: nn.Module) -> bool:
    if isinstance(module, BatchNorm):
        return module.own and not module.training
    instance = isinstance(module, nn.InstanceNorm2d)
    return instance and (module.training or not module.track_running_stats)


def exact_on_flat(network: nn.Module) -> nn.Module:
    """The same network with the same tensors in modules of its own, which can be changed beside other threads."""
    shared = {id(t): t for t in [*network.parameters(), *network.buffers()]}
    return copy.deepcopy(network, shared)


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Puts `module` in the place called `name`."""
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


class _Steady(nn.Module):
    """A norm with own statistics that sees when a map is flat."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        high, low = x.amax((2, 3), keepdim=True), x.amin((2, 3), keepdim=True)
        flat = high - low <= RELATIVE * torch.maximum(high.abs(), low.abs()) + ABSOLUTE
        bias = getattr(self.norm, "bias", None)
        exact = torch.zeros_like(high) if bias is None else bias.to(x.dtype)[:, None, None].expand_as(high)
        y: Tensor = torch.where(flat, exact, self.norm(x))
        return y


def steady(network: nn.Module) -> nn.Module:
    """A twin of `network` that makes of flat images what exact arithmetic would, and of others what it makes."""
    made = exact_on_flat(network)
    for name in own_norms(network):
        replace(made, name, _Steady(made.get_submodule(name)))
    return made


def is_flat(picture: Tensor) -> bool:
    """Whether each channel of an image [C, H, W] is one value everywhere."""
    low, high = torch.aminmax(picture.flatten(1), dim=1)
    return bool((low == high).all())
