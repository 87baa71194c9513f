"""Layers that read or make an image compute in float32, where the rest of a network computes in bf16.

bfloat16 has 8 bits of precision, so the 256 levels of an image already lose by being read. The first and the last
convolution have few channels on one side, and take about 2 % of a network's work.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_CHANNELS = 4  # of an image


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
        if type(layer) is nn.Conv2d and _is_edge(layer):
            layer.__class__ = Float32Conv2d
        elif type(layer) is nn.ConvTranspose2d and _is_edge(layer):
            layer.__class__ = Float32ConvTranspose2d


def _is_edge(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """True if a layer has few enough channels on one side to read or make an image."""
    return layer.weight.dtype == torch.float32 and min(layer.in_channels, layer.out_channels) <= MOST_CHANNELS
