"""Exact results for flat maps, whose norms would otherwise amplify rounding noise.

A norm divides a map by its standard deviation. Where the map is constant, that deviation is only rounding noise. The
norm then amplifies the noise about 300 times, and the next norm does so again. After three norms a blank page or a
black video frame has become a texture, which differs between machines, thread counts and programs. The wrappers here
return the exact result of a norm on a constant map instead: its bias.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from i2i.nets.blocks import BatchNorm, SyncBatchNorm

RELATIVE, ABSOLUTE = 1e-5, 1e-6  # float32 rounding after sums of some thousand terms


def per_image_norms(network: nn.Module) -> list[str]:
    """Names of the norm layers that use each image's own statistics."""
    return [name for name, module in network.named_modules() if _is_per_image(module)]


def _is_per_image(module: nn.Module) -> bool:
    if isinstance(module, BatchNorm | SyncBatchNorm):
        return module.per_image_stats and not module.training
    if isinstance(module, nn.GroupNorm):
        return True
    return isinstance(module, nn.InstanceNorm2d) and (module.training or not module.track_running_stats)


def copy_sharing_tensors(network: nn.Module) -> nn.Module:
    """A copy of `network` with modules of its own and the same tensors. Its modules can be replaced while other threads
    use the original."""
    shared = {id(t): t for t in [*network.parameters(), *network.buffers()]}
    return copy.deepcopy(network, shared)


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Sets the submodule called `name`, such as "model.1.norm", to `module`."""
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


class _ExactNorm(nn.Module):
    """A norm with per-image statistics that returns its bias for constant maps."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        high, low = x.amax((2, 3), keepdim=True), x.amin((2, 3), keepdim=True)
        is_constant = high - low <= RELATIVE * torch.maximum(high.abs(), low.abs()) + ABSOLUTE
        bias = getattr(self.norm, "bias", None)
        exact = torch.zeros_like(high) if bias is None else bias.to(x.dtype)[:, None, None].expand_as(high)
        return torch.where(is_constant, exact, self.norm(x))


def exact_on_flat(network: nn.Module) -> nn.Module:
    """A copy of `network` that shares its tensors, is exact on constant images and unchanged on others."""
    twin = copy_sharing_tensors(network)
    for name in per_image_norms(network):
        norm = twin.get_submodule(name)
        if not isinstance(norm, nn.GroupNorm):  # its groups differ between channels even where maps are constant
            replace(twin, name, _ExactNorm(norm))
    return twin


def is_flat(image: Tensor) -> bool:
    """True if each channel of an image [C, H, W] has one value everywhere."""
    first = image[:, :1, :1]
    return bool((image[:, 0] == first[:, 0]).all()) and bool((image == first).all())  # the first row tells of most
