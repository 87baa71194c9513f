"""A generator in CIE Lab: lightness in, the two color channels out (pix2pix's `colorization` model)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from i2i.core.config import Channels
from i2i.media import lab, luma
from i2i.nets.registry import Network, build, network_arguments, network_name, register


@register("lab_colorizer")
class LabColorizer(Network):
    """Images [B, channels_in, H, W] in [-1, 1] -> color images [B, 3, H, W] in [-1, 1] of the same lightness.

    generator: the name of a registered network of one input and two output channels, made with `arguments`: from
    L / 50 - 1 to ab / 110. channels_in: 1 or 3; of three channels only the brightness counts. H and W must be
    multiples of what the generator needs."""

    def __init__(self, generator: str, arguments: dict[str, Any], channels_in: Channels = 3) -> None:
        super().__init__()
        self.generator = build(generator, **arguments)
        self.multiple = int(getattr(self.generator, "multiple", 1))

    @classmethod
    def around(cls, net: nn.Module, channels_in: int) -> LabColorizer:
        """A generator in Lab with the network `net` inside, whose weights it keeps."""
        colorizer = cls(network_name(net), network_arguments(net), channels_in)
        colorizer.generator = net
        return colorizer

    def lightness(self, x: Tensor) -> Tensor:
        """Images [B, 1 or 3, H, W] in [-1, 1] -> the generator's input [B, 1, H, W]."""
        return lab.lightness(luma.gray(x))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] in [-1, 1] -> [B, 3, H, W] in [-1, 1]."""
        with torch.autocast(x.device.type, enabled=False):  # a conversion of colors needs all digits
            lightness = self.lightness(x)
        colors = self.generator(lightness)
        with torch.autocast(x.device.type, enabled=False):
            return lab.joined(lightness, colors.to(lightness.dtype))
