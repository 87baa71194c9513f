"""SRResNet, the generator of SRGAN (Ledig et al. 2016, arXiv 1609.04802)."""

from __future__ import annotations

import itertools
import math
import operator

import torch
from torch import Tensor, nn

from i2i.core.config import Blocks, Channels, Width
from i2i.core.errors import I2IError
from i2i.nets.blocks import BatchNorm
from i2i.nets.registry import register
from i2i.nets.unit import UnitNetwork

STEPS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # scale -> factors of the pixel shuffles


class ResidualBlock(nn.Module):
    """x + (conv, batch norm, PReLU, conv, batch norm)(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.bn1 = BatchNorm(width)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = BatchNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class ShuffleUp(nn.Module):
    """Enlarges `factor` times: a convolution makes the new pixels as channels, and a pixel shuffle lays them out."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width * factor**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(factor)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> [B, width, factor H, factor W]."""
        return self.prelu(self.shuffle(self.conv(x)))


@register("srresnet")
class SRResNet(UnitNetwork):
    """[B, channels_in, H, W] -> [B, channels_out, scale H, scale W], both in [-1, 1].

    Layers: convolution 9x9, `blocks` residual blocks with batch norm, one more convolution, a long skip, pixel shuffles
    up to the scale, convolution 9x9, tanh. scale: 1, 2, 3, 4 or 8. Each PReLU has one slope for all channels. Raises
    I2IError for another scale.
    """

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        scale: int = 4,
        width: Width = 64,
        blocks: Blocks = 16,
    ) -> None:
        super().__init__()
        if scale not in STEPS:
            raise I2IError(f"An SRResNet cannot enlarge {scale} times.", "Allowed scales: 1, 2, 3, 4 and 8.")
        self.scale, self.multiple = scale, 1
        *before, _ = itertools.accumulate(STEPS[scale], operator.mul, initial=1)  # sizes of the maps that are enlarged
        self.reach = 4 + 2 * blocks + 1 + math.ceil(sum(1 / size for size in before) + 4 / scale)
        self.first = nn.Sequential(nn.Conv2d(channels_in, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.after = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), BatchNorm(width))
        self.up = nn.Sequential(*(ShuffleUp(width, factor) for factor in STEPS[scale]))
        self.last = nn.Conv2d(width, channels_out, 9, padding=4)

    def unit(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] in [0, 1] -> [B, channels_out, scale H, scale W] in [0, 1]."""
        x = self.first(x)
        x = x + self.after(self.body(x))
        return (torch.tanh(self.last(self.up(x))) + 1) / 2
