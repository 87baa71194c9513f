"""The networks of Progressive GAN (Karras, Aila, Laine, Lehtinen 2017, arXiv 1710.10196) and their parts.

All blocks for all sizes exist from the start. `size` and `alpha` of a call say which of them take part, so growing
changes no network. `alpha` is the weight of the newest block: 0 is the image of the earlier stage with each pixel
repeated 2x2, 1 is the newest block alone.
"""

from __future__ import annotations

import itertools
import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.nn.utils import parametrize

from i2i.core.config import Channels, Side, Width
from i2i.core.errors import I2IError
from i2i.nets.blocks import upsample2x
from i2i.nets.registry import Network, register

Layer = TypeVar("Layer", bound=nn.Module)
GAIN = math.sqrt(2)


# ---- parts ---------------------------------------------------------------------------------------------------------


class ScaledWeight(nn.Module):
    """The map W -> scale * W of a weight of any shape."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The learned weight -> the weight that the layer uses, the same shape."""
        return weight * self.scale

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Assigning to the layer's weight sets the learned weight to it."""
        return weight


def equalized(layer: Layer, gain: float = GAIN) -> Layer:
    """Gives `layer` an equalized learning rate (section 4.1), in place; returns `layer`.

    layer: a convolution, transposed convolution or linear layer. Its learned weight starts as N(0, 1) and is multiplied
    by gain / sqrt(fan in) whenever it is used. So an optimizer that divides by the gradient's size, such as Adam,
    changes all layers at one speed. Biases start at 0 and are not scaled."""
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    fan_in = weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):
        fan_in = weight.shape[0] * weight[0, 0].numel()
    nn.init.normal_(weight)
    if isinstance(layer.bias, Tensor):
        nn.init.zeros_(layer.bias)
    parametrize.register_parametrization(layer, "weight", ScaledWeight(gain / math.sqrt(fan_in)), unsafe=True)
    return layer


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x [B, C, ...] divided by the root mean square over channels at each position (section 4.2).

    Half precision is squared as float32: its squares overflow above 255, and eps would be 0."""
    wide = x.float() if x.dtype == torch.float16 else x
    return (wide * (wide.square().mean(1, keepdim=True) + eps).rsqrt()).to(x.dtype)


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """How much samples differ from each other: x [B, C, H, W] -> [B, 1, H, W], one value for each group (section 3).

    The standard deviation over the samples of a group, for each channel and position, averaged over both. Group g of
    B / group groups holds every (B / group)-th sample from g on. If `group` does not divide B, the next smaller number
    that does is taken."""
    count, channels, height, width = x.shape
    group = next(g for g in range(min(group, count), 0, -1) if count % g == 0)
    parts = x.view(group, count // group, channels, height, width)
    centered = parts - parts.mean(0)
    deviation = (centered.square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))  # [groups]
    return deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width)


def lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2."""
    return fn.leaky_relu(x, 0.2)


# ---- stages --------------------------------------------------------------------------------------------------------


def growth_level(images: float, train: float, fade: float, last: int) -> float:
    """How far a network has grown after `images` images: 0 at 4 pixels, 1 at 8 pixels, up to `last`.

    Each size is trained for `train` images, then the next one fades in over `fade` images (figure 2)."""
    phase, within = divmod(images, train + fade)
    return min(float(last), phase + max(0.0, within - train) / fade if fade else phase)


def size_and_alpha(level: float) -> tuple[int, float]:
    """(size in pixels, alpha) of the newest block at a level: (4, 1) at 0, (8, 0.5) at 0.5, (8, 1) at 1."""
    newest = math.ceil(level)
    return 4 * 2**newest, level - newest + 1


def sizes(largest: int) -> list[int]:
    """4, 8, ... up to `largest` pixels. Raises I2IError if `largest` is not one of them."""
    count = largest.bit_length() - 2
    if largest < 4 or 4 * 2 ** (count - 1) != largest:
        raise I2IError(
            f"size is {largest}, and a growing network cannot make it.", "Choose a power of two: 4, 8, 16, ..."
        )
    return [4 * 2**k for k in range(count)]


def channels_at(size: int, base: int = 8192, most: int = 512) -> int:
    """Channels of maps of `size` x `size` pixels: base / (size / 2), at most `most`, at least 1."""
    return max(1, min(base // (size // 2), most))


# ---- networks ------------------------------------------------------------------------------------------------------


class GrowBlock(nn.Module):
    """Nearest x2, then twice: conv3, leaky ReLU, pixel norm."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = equalized(nn.Conv2d(before, after, 3, padding=1))
        self.conv2 = equalized(nn.Conv2d(after, after, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] -> [B, after, 2H, 2W]."""
        h = pixel_norm(lrelu(self.conv1(upsample2x(x))))
        return pixel_norm(lrelu(self.conv2(h)))


class ShrinkBlock(nn.Module):
    """conv3, leaky ReLU, conv3 to the next width, leaky ReLU, 2x2 averages."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = equalized(nn.Conv2d(before, before, 3, padding=1))
        self.conv2 = equalized(nn.Conv2d(before, after, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] -> [B, after, H/2, W/2]."""
        return fn.avg_pool2d(lrelu(self.conv2(lrelu(self.conv1(x)))), 2)


@register("progressive_g", former={"plan": []})
class ProgressiveGenerator(Network):
    """z [B, z] -> images [B, channels, N, N] of N x N pixels, N from 4 to `size`.

    The last layer is linear, so values may leave [-1, 1]. base, most: widths, see `channels_at`. The buffer `level`
    (see `growth_level`) says how far training has come; the method that trains the network sets it."""

    level: Tensor

    def __init__(
        self, z: Width = 512, channels: Channels = 3, size: Side = 1024, base: Width = 8192, most: Width = 512
    ) -> None:
        super().__init__()
        self.size = size
        widths = [channels_at(s, base, most) for s in sizes(size)]
        self.dense = equalized(nn.Linear(z, 16 * widths[0], bias=False), GAIN / 4)
        self.bias = nn.Parameter(torch.zeros(widths[0], 1, 1))
        self.conv = equalized(nn.Conv2d(widths[0], widths[0], 3, padding=1))
        self.blocks = nn.ModuleList([GrowBlock(a, b) for a, b in itertools.pairwise(widths)])
        self.to_picture = nn.ModuleList([equalized(nn.Conv2d(width, channels, 1), 1.0) for width in widths])
        self.register_buffer("level", torch.tensor(float(len(widths) - 1)))

    @property
    def sizes(self) -> list[int]:
        """The sizes in pixels that training has reached, and the full one."""
        reached = size_and_alpha(float(self.level))[0]
        return [s for s in sizes(self.size) if s <= reached or s == self.size]

    def first_map(self, z: Tensor) -> Tensor:
        """z [B, z] -> the map [B, C, 4, 4] from which images grow."""
        h = lrelu(self.dense(pixel_norm(z)).view(len(z), -1, 4, 4) + self.bias)
        return pixel_norm(lrelu(self.conv(pixel_norm(h))))

    def forward(self, z: Tensor, size: int | None = None, alpha: float = 1.0) -> Tensor:
        """z [B, z] -> [B, channels, size, size]; alpha in [0, 1] fades in the newest block.

        size None: as far as training has come, in [-1, 1], with pixels repeated up to the full size."""
        if size is None:
            reached, alpha = size_and_alpha(float(self.level))
            image = self(z, reached, alpha).clamp(-1, 1)
            return fn.interpolate(image, scale_factor=float(self.size // reached), mode="nearest")
        newest = sizes(self.size).index(size)
        before = h = self.first_map(z)
        for block in self.blocks[:newest]:
            before, h = h, block(h)
        image = self.to_picture[newest](h)
        if newest and alpha < 1:
            image = alpha * image + (1 - alpha) * upsample2x(self.to_picture[newest - 1](before))
        return image


@register("progressive_d")
class ProgressiveDiscriminator(Network):
    """Images [B, channels, N, N] of N x N pixels, N from 4 to `size`, -> raw scores [B]. Mirrors the generator.

    base, most: widths, see `channels_at`. Before the last convolution one channel tells how much the samples of a
    `group` differ (`minibatch_deviation`). No normalization."""

    def __init__(
        self, channels: Channels = 3, size: Side = 1024, base: Width = 8192, most: Width = 512, group: Width = 4
    ) -> None:
        super().__init__()
        self.size, self.group = size, group
        widths, hidden = [channels_at(s, base, most) for s in sizes(size)], min(base, most)
        self.from_picture = nn.ModuleList([equalized(nn.Conv2d(channels, width, 1)) for width in widths])
        self.blocks = nn.ModuleList([ShrinkBlock(b, a) for a, b in itertools.pairwise(widths)])
        self.conv = equalized(nn.Conv2d(widths[0] + 1, widths[0], 3, padding=1))
        self.dense = equalized(nn.Linear(16 * widths[0], hidden))
        self.score = equalized(nn.Linear(hidden, 1), 1.0)

    def forward(self, x: Tensor, alpha: float = 1.0) -> Tensor:
        """x [B, channels, N, N] -> raw scores [B]. N says which block is the newest; alpha in [0, 1] fades it in."""
        newest = sizes(self.size).index(x.shape[-1])
        h = lrelu(self.from_picture[newest](x))
        for k in range(newest, 0, -1):
            h = self.blocks[k - 1](h)
            if k == newest and alpha < 1:
                earlier = lrelu(self.from_picture[k - 1](fn.avg_pool2d(x, 2)))
                h = alpha * h + (1 - alpha) * earlier
        h = torch.cat([h, minibatch_deviation(h, self.group)], 1)
        h = lrelu(self.dense(lrelu(self.conv(h)).flatten(1)))
        return self.score(h).squeeze(1)
