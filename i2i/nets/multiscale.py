"""Patch discriminators on an image pyramid, which also give the features of their layers.

pix2pixHD (Wang et al. 2018, arXiv 1711.11585) and BicycleGAN (Zhu et al. 2017, arXiv 1711.11586) judge with them.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from i2i.core.config import Blocks, Channels, Range, Width
from i2i.nets.blocks import LeakyReLU, norm_layer
from i2i.nets.pix2pixhd import half_size
from i2i.nets.registry import Network, register

MAX_SCALES = 6
Scales = Annotated[int, Range(1, MAX_SCALES)]  # levels of the image pyramid


def patch_layers(channels: int, layers: int, width: int, norm: str, padding: int) -> nn.ModuleList:
    """The layers of one patch discriminator: `layers` of stride 2, one of stride 1, and the scores."""
    parts = nn.ModuleList()
    before = channels
    for k in range(layers + 1):
        after = width * min(2**k, 8)
        convolution = nn.Conv2d(before, after, 4, stride=2 if k < layers else 1, padding=padding)
        middle = [norm_layer(norm, after)] if k else []
        parts.append(nn.Sequential(convolution, *middle, LeakyReLU(0.2)))
        before = after
    parts.append(nn.Sequential(nn.Conv2d(before, 1, 4, padding=padding)))
    return parts


@register("multiscale")
class MultiScale(Network):
    """[B, channels, H, W] in [-1, 1] -> for each scale, the full size first, the maps of all layers, scores last.

    scales: levels of the image pyramid; each next one sees half of the size. layers: layers of stride 2 in each
    discriminator. width: channels of the first layer; they double up to 8 * width. narrow: a scale has half the
    channels of the one before, as in BicycleGAN. padding: 2 as in pix2pixHD, or 1 as in BicycleGAN. norm: instance,
    batch or none; not in the first and the last layer. Every convolution has a bias."""

    def __init__(
        self,
        channels: Channels = 3,
        scales: Scales = 2,
        layers: Blocks = 3,
        width: Width = 64,
        norm: str = "instance",
        narrow: bool = False,
        padding: Annotated[int, Range(1, 2)] = 2,
    ) -> None:
        super().__init__()
        widths = [max(1, round(width / 2**s)) if narrow else width for s in range(scales)]
        self.scales = nn.ModuleList(patch_layers(channels, layers, w, norm, padding) for w in widths)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """[B, channels, H, W] in [-1, 1] -> the layers' maps for each scale; the last are raw scores [B, 1, h, w]."""
        maps: list[list[Tensor]] = []
        for layers in self.scales:
            if maps:
                x = half_size(x)
            h, features = x, []
            for layer in layers:  # type: ignore[attr-defined]
                h = layer(h)
                features.append(h)
            maps.append(features)
        return maps
