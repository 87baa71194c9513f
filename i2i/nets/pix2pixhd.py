"""Generators of pix2pixHD (Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional
GANs, 2018, arXiv 1711.11585): a global one, and one with enhancers for the full size around a global trunk.

Names of attributes are those of the authors' files, whose weights fit without renaming. Every convolution has a bias.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Blocks, Channels, Range, Width
from i2i.nets.blocks import ReflectionPad2d, ReLU, norm_layer
from i2i.nets.registry import Network, register
from i2i.nets.resnet import ResidualBlock

Downs = Annotated[int, Range(1, 8)]  # halvings of the size
Enhancers = Annotated[int, Range(1, 4)]


def normed(norm: str, channels: int) -> list[nn.Module]:
    """A norm and its ReLU."""
    return [norm_layer(norm, channels), ReLU()]


def first(channels_in: int, width: int, norm: str) -> list[nn.Module]:
    """Convolution 7x7 at the full size, in front of everything."""
    return [ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7), *normed(norm, width)]


def down(width: int, norm: str) -> list[nn.Module]:
    """Half the size, twice the channels."""
    return [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), *normed(norm, 2 * width)]


def up(width: int, norm: str) -> list[nn.Module]:
    """Twice the size, from 2 * width channels to `width`."""
    layer = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1)
    return [layer, *normed(norm, width)]


def last(width: int, channels_out: int) -> list[nn.Module]:
    """Convolution 7x7 to the image."""
    return [ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh()]


def trunk(channels_in: int, downs: int, blocks: int, width: int, norm: str) -> list[nn.Module]:
    """The global generator up to its last convolution: `width` channels at the full size."""
    layers = first(channels_in, width, norm)
    for k in range(downs):
        layers += down(width * 2**k, norm)
    layers += [ResidualBlock(width * 2**downs, norm, False, bias=True) for _ in range(blocks)]
    for k in reversed(range(downs)):
        layers += up(width * 2**k, norm)
    return layers


def half_size(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, ceil(H/2), ceil(W/2)]: the next level of an image pyramid."""
    return fn.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


@register("pix2pixhd_global")
class GlobalGenerator(Network):
    """G1: [B, channels_in, H, W] -> [B, channels_out, H, W] in [-1, 1], by residual blocks at 1 / 2**downs of the size.

    H and W must be multiples of 2**downs, and larger than that; `multiple` is twice as much. width: channels of the
    first layer. blocks: residual blocks. norm: instance, batch or none."""

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        downs: Downs = 4,
        blocks: Blocks = 9,
        width: Width = 64,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (downs + 1)  # maps of the blocks have two pixels a side, which reflection needs
        self.model = nn.Sequential(*trunk(channels_in, downs, blocks, width, norm), *last(width, channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, H, W] in [-1, 1]."""
        return self.model(x)


@register("pix2pixhd_local")
class LocalEnhancer(Network):
    """G = {G1, G2}: [B, channels_in, H, W] -> [B, channels_out, H, W] in [-1, 1].

    G1, without its last convolution, sees the image at 1 / 2**enhancers of its size; each enhancer adds its own
    features at twice the size of the one before. H and W must be multiples of 2**(downs + enhancers), and larger than
    that; `multiple` is twice as much.
    width: channels of the finest enhancer; G1 has width * 2**enhancers. downs, blocks: of G1. local_blocks: residual
    blocks of each enhancer. norm: instance, batch or none. head: gives G1 a last convolution of its own, with which it
    can learn first (`coarse`)."""

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        downs: Downs = 4,
        blocks: Blocks = 9,
        enhancers: Enhancers = 1,
        local_blocks: Blocks = 3,
        width: Width = 32,
        norm: str = "instance",
        head: bool = False,
    ) -> None:
        super().__init__()
        self.enhancers = enhancers
        self.multiple = 2 ** (downs + enhancers + 1)
        self.model = nn.Sequential(*trunk(channels_in, downs, blocks, width * 2**enhancers, norm))
        for k in range(1, enhancers + 1):
            c = width * 2 ** (enhancers - k)
            blocks_of: list[nn.Module] = [ResidualBlock(2 * c, norm, False, bias=True) for _ in range(local_blocks)]
            end = last(c, channels_out) if k == enhancers else []
            self.add_module(f"model{k}_1", nn.Sequential(*first(channels_in, c, norm), *down(c, norm)))
            self.add_module(f"model{k}_2", nn.Sequential(*blocks_of, *up(c, norm), *end))
        self.head = nn.Sequential(*last(width * 2**enhancers, channels_out)) if head else nn.Identity()

    def coarse(self, x: Tensor) -> Tensor:
        """G1 by itself, at its own size: [B, channels_in, h, w] -> [B, channels_out, h, w] in [-1, 1]."""
        return self.head(self.model(x))

    def forward(self, x: Tensor, fixed: bool = False) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, H, W] in [-1, 1]. fixed: no gradient goes into G1."""
        pyramid = [x]
        for _ in range(self.enhancers):
            pyramid.append(half_size(pyramid[-1]))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not fixed):
            h = self.model(pyramid[-1])
        for k in range(1, self.enhancers + 1):
            before, after = getattr(self, f"model{k}_1"), getattr(self, f"model{k}_2")
            h = after(before(pyramid[self.enhancers - k]) + h)
        return h
