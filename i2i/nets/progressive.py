"""The pair of Progressive GAN (Karras, Aila, Laine, Lehtinen 2017, arXiv 1710.10196) and its small parts.

All blocks of all sizes exist from the start; `size` and `alpha` of a call say which take part, so that growing changes
no network. `alpha` is the weight of the newest block, from 0 (the image of the earlier stage, pixels doubled) to 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.nn.utils import parametrize

from i2i.core.errors import I2IError
from i2i.nets.blocks import upsample2x
from i2i.nets.registry import Network, register

Layer = TypeVar("Layer", bound=nn.Module)
GAIN = math.sqrt(2)


class ScaledWeight(nn.Module):
    """The map W -> scale * W."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as it is used, the same shape."""
        return weight * self.scale

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What assigning to the layer's weight keeps: the weight that is learned."""
        return weight


def equalized(layer: Layer, gain: float = GAIN) -> Layer:
    """`layer` (convolution, transposed convolution, linear) under an equalised learning rate (section 4.1).

    The weight that is learned starts as N(0, 1) and is multiplied by gain / sqrt(fan in) whenever it is used, so that
    an optimizer which divides by the gradient's size, such as Adam, moves all layers at one speed. Biases start at 0
    and are not scaled."""
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
    """x [B, C, ...] divided by the root mean square over its channels at each place (section 4.2)."""
    return x * (x.square().mean(1, keepdim=True) + eps).rsqrt()


def minibatch_deviation(
    x: Tensor, group: int = 4, features: int = 1, contiguous: bool = False, unbiased: bool = False
) -> Tensor:
    """How much samples differ from each other: x [B, C, H, W] -> [B, features, H, W], constant over space (section 3).

    The standard deviation over each group of samples, for every channel and place, averaged over these; with `features`
    over as many equal parts of the channels. Group g holds every (B / group)-th sample from g on, or, `contiguous`,
    neighbours. Where `group` does not divide B the next smaller divisor is taken. unbiased: squares over n - 1."""
    count, channels, high, wide = x.shape
    group = next(g for g in range(min(group, count), 0, -1) if count % g == 0)
    order = (count // group, group) if contiguous else (group, count // group)
    parts = x.view(*order, features, channels // features, high, wide)
    axis = 1 if contiguous else 0
    centred = parts - parts.mean(axis, keepdim=True)
    variance = centred.square().sum(axis) / max(1, group - unbiased)
    made = (variance + 1e-8).sqrt().mean((2, 3, 4))  # [groups, features]
    made = made.repeat_interleave(group, 0) if contiguous else made.repeat(group, 1)
    return made[..., None, None].expand(-1, -1, high, wide)


def growth_level(images: float, train: float, fade: float, last: int) -> float:
    """How far a network has grown after `images`, as a pure function of it: 0 at 4 pixels, 1 at 8, up to `last`.

    Each size is trained for `train` images, then the next one fades in over `fade` images (figure 2)."""
    phase, within = divmod(images, train + fade)
    return min(float(last), phase + max(0.0, within - train) / fade if fade else phase)


def size_and_alpha(level: float) -> tuple[int, float]:
    """(size, alpha) of the newest block at a level: (4, 1) at 0, (8, 0.5) at 0.5, (8, 1) at 1."""
    newest = math.ceil(level)
    return 4 * 2**newest, level - newest + 1


def sizes(largest: int) -> list[int]:
    """4, 8, ... up to `largest`. Raises I2IError if it is none of them."""
    count = largest.bit_length() - 2
    if largest < 4 or 4 * 2 ** (count - 1) != largest:
        raise I2IError(f"A growing network makes sides that are powers of two from 4 on; size is {largest}.")
    return [4 * 2**k for k in range(count)]


def channels_at(size: int, base: int = 8192, most: int = 512) -> int:
    """Channels of the maps of a side of `size`: base / (size / 2), at most `most`."""
    return max(1, min(base // (size // 2), most))


def lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2."""
    return fn.leaky_relu(x, 0.2)


class GrowBlock(nn.Module):
    """conv3, leaky ReLU, pixel norm, twice; after each pixel was repeated 2 x 2."""

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


@register("progressive_g")
class ProgressiveGenerator(Network):
    """z [B, z] -> images [B, channels, N, N], N from 4 to `size`; linear at the end (values may leave [-1, 1]).

    base and most: widths as in `channels_at`; plan: the widths from 4 pixels on instead. The buffer `level` (see
    `level_at`) tells how far training has come; the method that trains the network sets it."""

    level: Tensor
    first_norm = True  # of the 4x4 map before its convolution; not in the layout of some public weights

    def __init__(
        self,
        z: int = 512,
        channels: int = 3,
        size: int = 1024,
        base: int = 8192,
        most: int = 512,
        plan: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.size = size
        plan = list(plan) or [channels_at(s, base, most) for s in sizes(size)]
        self.dense = equalized(nn.Linear(z, 16 * plan[0], bias=False), GAIN / 4)
        self.bias = nn.Parameter(torch.zeros(plan[0], 1, 1))
        self.conv = equalized(nn.Conv2d(plan[0], plan[0], 3, padding=1))
        self.blocks = nn.ModuleList([GrowBlock(a, b) for a, b in itertools.pairwise(plan)])
        self.to_picture = nn.ModuleList([equalized(nn.Conv2d(width, channels, 1), 1.0) for width in plan])
        self.register_buffer("level", torch.tensor(float(len(plan) - 1)))

    @property
    def sizes(self) -> list[int]:
        """The sizes that training has reached, and the full one."""
        reached = size_and_alpha(float(self.level))[0]
        return [s for s in sizes(self.size) if s <= reached or s == self.size]

    def forward(self, z: Tensor, size: int | None = None, alpha: float = 1.0) -> Tensor:
        """z [B, z] -> [B, channels, size, size], the newest block faded in by `alpha`.

        Without size: as far as training has come, in [-1, 1], with pixels repeated up to the full size."""
        if size is None:
            reached, alpha = size_and_alpha(float(self.level))
            made = self(z, reached, alpha).clamp(-1, 1)
            return fn.interpolate(made, scale_factor=float(self.size // reached), mode="nearest")
        newest = sizes(self.size).index(size)
        h = lrelu(self.dense(pixel_norm(z)).view(len(z), -1, 4, 4) + self.bias)
        h = pixel_norm(lrelu(self.conv(pixel_norm(h) if self.first_norm else h)))
        before = h
        for block in self.blocks[:newest]:
            before, h = h, block(h)
        made = self.to_picture[newest](h)
        if newest and alpha < 1:
            made = alpha * made + (1 - alpha) * upsample2x(self.to_picture[newest - 1](before))
        return made


@register("progressive_d")
class ProgressiveDiscriminator(Network):
    """Images [B, channels, N, N], N from 4 to `size`, -> raw scores [B]; the mirror image of the generator.

    Before the last convolution one channel tells how much the samples of a `group` differ (in the layout of some public
    weights of `contiguous` groups, `unbiased`). No normalisation."""

    contiguous = unbiased = False

    def __init__(
        self,
        channels: int = 3,
        size: int = 1024,
        base: int = 8192,
        most: int = 512,
        group: int = 4,
        plan: Sequence[int] = (),
        hidden: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.group = size, group
        plan = list(plan) or [channels_at(s, base, most) for s in sizes(size)]
        hidden = hidden or min(base, most)
        self.from_picture = nn.ModuleList([equalized(nn.Conv2d(channels, width, 1)) for width in plan])
        self.blocks = nn.ModuleList([ShrinkBlock(b, a) for a, b in itertools.pairwise(plan)])
        self.conv = equalized(nn.Conv2d(plan[0] + 1, plan[0], 3, padding=1))
        self.dense = equalized(nn.Linear(16 * plan[0], hidden))
        self.score = equalized(nn.Linear(hidden, 1), 1.0)

    def forward(self, x: Tensor, alpha: float = 1.0) -> Tensor:
        """x [B, channels, N, N] -> [B]; N says which block is the newest, `alpha` how far it is faded in."""
        newest = sizes(self.size).index(x.shape[-1])
        h = lrelu(self.from_picture[newest](x))
        for k in range(newest, 0, -1):
            h = self.blocks[k - 1](h)
            if k == newest and alpha < 1:
                old = lrelu(self.from_picture[k - 1](fn.avg_pool2d(x, 2)))
                h = alpha * h + (1 - alpha) * old
        h = torch.cat([h, minibatch_deviation(h, self.group, 1, self.contiguous, self.unbiased)], 1)
        h = lrelu(self.dense(lrelu(self.conv(h)).flatten(1)))
        scores: Tensor = self.score(h).squeeze(1)
        return scores
