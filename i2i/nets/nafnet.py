"""NAFNet, a generator for restoration without activation functions (Chen et al. 2022, arXiv 2204.04676)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Blocks, Channels, Width
from i2i.core.errors import I2IError
from i2i.nets.registry import register
from i2i.nets.unit import UnitNetwork


class PositionNorm(nn.Module):
    """Layer norm over the channels of each position, with a gain and a bias for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        x = (x - mean) * (variance + 1e-6).rsqrt()
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def gate(x: Tensor) -> Tensor:
    """[B, 2 C, H, W] -> [B, C, H, W]: the first half of the channels times the second."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """Two residual parts: a depthwise convolution with channel attention, and a layer for each position.

    inner, outer: how many times wider the maps are before the gates of the two parts."""

    def __init__(self, width: int, inner: int = 2, outer: int = 2) -> None:
        super().__init__()
        wide = inner * width
        self.norm1 = PositionNorm(width)
        self.conv1 = nn.Conv2d(width, wide, 1)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide // 2, wide // 2, 1))
        self.conv3 = nn.Conv2d(wide // 2, width, 1)
        self.norm2 = PositionNorm(width)
        self.conv4 = nn.Conv2d(width, outer * width, 1)
        self.conv5 = nn.Conv2d(outer * width // 2, width, 1)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))  # 0: a new block changes nothing
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        h = gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.beta * self.conv3(h * self.sca(h))
        h = gate(self.conv4(self.norm2(x)))
        return x + self.gamma * self.conv5(h)


@register("nafnet")
class NAFNet(UnitNetwork):
    """[B, channels_in, H, W] -> the same shape, both in [-1, 1]: a U-Net of NAF blocks that learns what to add.

    width: channels at the full size, twice as many at each level below. down, middle, up: NAF blocks at each level on
    the way down, at the lowest one, and on the way up. Sides that are not multiples of `multiple` are padded with black
    inside. Raises I2IError if `down` and `up` do not have the same number of levels, or the channels differ.
    """

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        width: Width = 32,
        down: tuple[Blocks, ...] = (1, 1, 1, 28),
        middle: Blocks = 1,
        up: tuple[Blocks, ...] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        if len(down) != len(up):
            raise I2IError(f"A NAFNet cannot go down {len(down)} levels and up {len(up)}.", "Give lists of one length.")
        if channels_in != channels_out:
            raise I2IError(
                f"A NAFNet adds to its input, so it cannot make {channels_out} channels of {channels_in}.",
                "Give channels_in and channels_out the same value.",
            )

        def level(count: int, channels: int) -> nn.Sequential:
            return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))

        self.scale, self.multiple = 1, 2 ** len(down)
        # Without the channel attention, which looks at the mean of the whole image or tile.
        levels = sum(2**i * (a + b + 2) for i, (a, b) in enumerate(zip(down, reversed(up))))
        self.reach = min(512, 2 + levels + self.multiple * middle)
        self.intro = nn.Conv2d(channels_in, width, 3, padding=1)
        self.ending = nn.Conv2d(width, channels_out, 3, padding=1)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        for count in down:
            self.encoders.append(level(count, width))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, 2))
            width *= 2
        self.middle_blks = level(middle, width)
        self.ups, self.decoders = nn.ModuleList(), nn.ModuleList()
        for count in up:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(level(count, width))

    def unit(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] in [0, 1] -> the same shape, in about [0, 1]."""
        height, width = x.shape[-2:]
        image = fn.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        x = self.intro(image)
        kept = []
        for encoder, down in zip(self.encoders, self.downs):
            x = encoder(x)
            kept.append(x)
            x = down(x)
        x = self.middle_blks(x)
        for up, decoder, skip in zip(self.ups, self.decoders, reversed(kept)):
            x = decoder(up(x) + skip)
        return (self.ending(x) + image)[..., :height, :width]
