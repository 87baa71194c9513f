"""SRResNet, the generator of SRGAN (Ledig et al. 2016, arXiv 1609.04802)."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Blocks, Channels, Width
from i2i.core.errors import I2IError, among
from i2i.nets.blocks import BatchNorm
from i2i.nets.registry import register
from i2i.nets.unit import UnitNetwork

STEPS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # scale -> factors of the pixel shuffles


NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": BatchNorm, "none": lambda width: nn.Identity()}


class ResidualBlock(nn.Module):
    """x + (conv, norm, PReLU, conv, norm)(x)."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.bn1 = NORMS[norm](width)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = NORMS[norm](width)

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
    up to the scale, convolution 9x9, tanh. scale: 1, 2, 3, 4 or 8. Each PReLU has one slope for all channels. norm:
    batch as in the paper, or none. residual: the layers make what is missing in the bicubic enlargement of the input,
    without a tanh; they begin with nothing. light: in place of the last layers, one convolution 3x3 makes all pixels at
    the size of the input, and one pixel shuffle lays them out: several times faster, and less memory. Raises I2IError
    for another scale or norm.
    """

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        scale: int = 4,
        width: Width = 64,
        blocks: Blocks = 16,
        norm: str = "batch",
        residual: bool = False,
        light: bool = False,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise I2IError(f"norm is {norm!r}.", among(norm, NORMS))
        if scale not in STEPS:
            raise I2IError(f"An SRResNet cannot enlarge {scale} times.", "Allowed scales: 1, 2, 3, 4 and 8.")
        if residual and channels_in != channels_out:
            raise I2IError(
                f"residual is on, and the images have {channels_in} and {channels_out} channels.",
                "Give --set residual=false.",
            )
        self.scale, self.multiple, self.residual = scale, 1, residual
        steps = () if light else STEPS[scale]
        *before, _ = itertools.accumulate(steps, operator.mul, initial=1)  # sizes of the maps that are enlarged
        self.reach = 4 + 2 * blocks + 1 + math.ceil(sum(1 / size for size in before) + (1 if light else 4 / scale))
        self.reach = max(self.reach, 3) if residual else self.reach  # of the bicubic enlargement
        self.first = nn.Sequential(nn.Conv2d(channels_in, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*(ResidualBlock(width, norm) for _ in range(blocks)))
        self.after = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), NORMS[norm](width))
        self.up = nn.Sequential(*(ShuffleUp(width, factor) for factor in steps))
        kernel, pixels = (3, scale**2) if light else (9, 1)
        self.last = nn.Conv2d(width, channels_out * pixels, kernel, padding=kernel // 2)
        self.shuffle = nn.PixelShuffle(scale if light else 1)
        if residual:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def unit(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] in [0, 1] -> [B, channels_out, scale H, scale W] in [0, 1]."""
        maps = self.first(x)
        maps = maps + self.after(self.body(maps))
        detail = self.shuffle(self.last(self.up(maps)))
        if not self.residual:
            return (torch.tanh(detail) + 1) / 2
        large = fn.interpolate(x, scale_factor=float(self.scale), mode="bicubic", align_corners=False)
        return large + detail
