"""Layers that read or make an image compute in float32, where the rest of a network computes in a lower precision.

bfloat16 has 8 bits of precision, so the 256 levels of an image already lose by being read. The first and the last
convolution have few channels on one side, and take about 2 % of a network's work. On a CPU the two convolutions before
the last compute in float32, too, if a norm lies before the last one: nothing else averages over their roundings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_CHANNELS = 4  # of an image
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm)  # instance norm is one of the first
Conv = nn.Conv2d | nn.ConvTranspose2d


class Float32Conv2d(nn.Conv2d):
    """An `nn.Conv2d` that computes in the type of its weights, without autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, K, H', W']."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


class Float32ConvTranspose2d(nn.ConvTranspose2d):
    """An `nn.ConvTranspose2d` that computes in the type of its weights, without autocast."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """x [B, C, H, W] -> [B, K, H', W']."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype), output_size)


def keep_edges_exact(network: nn.Module) -> None:
    """Changes the class of the convolutions that read or make an image, in place; float32 weights stay as they are.

    Without autocast they compute as before."""
    for layer in network.modules():
        if type(layer) is nn.Conv2d and is_edge(layer):
            layer.__class__ = Float32Conv2d
        elif type(layer) is nn.ConvTranspose2d and is_edge(layer):
            layer.__class__ = Float32ConvTranspose2d


def is_edge(layer: Conv) -> bool:
    """True if a layer has few enough channels on one side to read or make an image."""
    return layer.weight.dtype == torch.float32 and min(layer.in_channels, layer.out_channels) <= MOST_CHANNELS


def last_hidden(network: nn.Module) -> list[Conv]:
    """The last two convolutions before the one that makes an image, if a norm lies between; otherwise none."""
    kinds = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, *NORMS))]
    layers = [m for m in kinds if isinstance(m, Conv)]
    if len(layers) < 3 or isinstance(kinds[kinds.index(layers[-1]) - 1], Conv) or not is_edge(layers[-1]):
        return []
    return layers[-3:-1]
