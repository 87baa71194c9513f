"""Residual GANs: the blocks, the conditional batch norm and the networks that SN-GAN, WGAN-GP and their heirs share.

Blocks as in Gulrajani et al. 2017 (arXiv 1704.00028), Miyato et al. 2018 (arXiv 1802.05957) and Brock et al. 2018
(arXiv 1809.11096). `wrap` is applied to each convolution and linear layer: `spectral_norm`, or `unwrapped` for nothing.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Channels, Classes, OptionalSide, Side, Width
from i2i.core.errors import I2IError
from i2i.nets.attention import SelfAttention
from i2i.nets.blocks import check, doublings, one_hot, upsample2x
from i2i.nets.registry import Network, register
from i2i.nets.spectral import learned_weight, spectral_norm

Wrap = Callable[[nn.Module], nn.Module]
Norm = Callable[[int], nn.Module]


# ---- layers --------------------------------------------------------------------------------------------------------


def unwrapped(layer: nn.Module) -> nn.Module:
    """The layer itself: the `wrap` of networks without spectral normalization."""
    return layer


def conv(wrap: Wrap, before: int, after: int, kernel: int = 3, gain: float = 1.0, bias: bool = True) -> nn.Module:
    """A wrapped convolution of stride 1 that keeps the size; weights Xavier uniform times `gain`, biases 0."""
    return _xavier(wrap, nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias), gain)


def linear(wrap: Wrap, before: int, after: int, gain: float = 1.0, bias: bool = True) -> nn.Module:
    """A wrapped linear layer; weights Xavier uniform times `gain`, biases 0."""
    return _xavier(wrap, nn.Linear(before, after, bias=bias), gain)


def _xavier(wrap: Wrap, layer: nn.Conv2d | nn.Linear, gain: float) -> nn.Module:
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return wrap(layer)


def weight_init(init: str) -> Wrap:
    """A function that draws the learned weight of a layer in place and returns the layer. Biases stay as they are.

    init: xavier (no change), orthogonal, normal (N(0, 0.02)) or kaiming (N(0, 2 / fan in)). Raises I2IError for another
    name."""
    draw: dict[str, Callable[[Tensor], Tensor]] = {
        "orthogonal": nn.init.orthogonal_,
        "normal": functools.partial(nn.init.normal_, std=0.02),
        "kaiming": functools.partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    }
    check("init", init, ("xavier", *draw))

    def initialized(layer: nn.Module) -> nn.Module:
        if init in draw:
            draw[init](learned_weight(layer))
        return layer

    return initialized


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and bias come from a condition c: (1 + gain(c)) * norm(x) + bias(c), per channel.

    c [B, width] is a one-hot class (gain and bias are then tables), or an embedding, alone or beside a part of z. With
    c = 0 it is plain batch norm (Dumoulin et al. 2016, arXiv 1610.07629; de Vries et al. 2017, arXiv 1707.00683)."""

    def __init__(self, channels: int, width: int, wrap: Wrap = unwrapped) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        gain, bias = nn.Linear(width, channels, bias=False), nn.Linear(width, channels, bias=False)
        nn.init.normal_(gain.weight, 0.0, 0.02)
        nn.init.normal_(bias.weight, 0.0, 0.02)
        self.gain, self.bias = wrap(gain), wrap(bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x [B, C, H, W], c [B, width] -> [B, C, H, W]."""
        return self.norm(x) * (1 + self.gain(c))[..., None, None] + self.bias(c)[..., None, None]


# ---- blocks --------------------------------------------------------------------------------------------------------


class UpBlock(nn.Module):
    """Twice the size: norm, ReLU, nearest x2, conv3, norm, ReLU, conv3, added to conv1 of nearest x2.

    `norm(channels)` makes a norm, which is called with the block's condition, if there is one."""

    def __init__(self, before: int, after: int, norm: Norm, wrap: Wrap = unwrapped) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(before), norm(after)
        self.conv1 = conv(wrap, before, after, gain=math.sqrt(2))
        self.conv2 = conv(wrap, after, after, gain=math.sqrt(2))
        self.shortcut = conv(wrap, before, after, 1)

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        """[B, before, H, W] (and c [B, width]) -> [B, after, 2H, 2W]."""
        h = self.conv1(upsample2x(self.norm1(x, *condition).relu()))
        h = self.conv2(self.norm2(h, *condition).relu())
        # a 1x1 convolution and repeating pixels commute; this order makes a quarter of the products
        return h + upsample2x(self.shortcut(x))


class DownBlock(nn.Module):
    """ReLU, conv3, ReLU, conv3 and, with `down`, 2x2 averages; added to conv1 of x (with `down` averaged).

    The `first` block of a discriminator starts without ReLU. The shortcut of a block that changes neither size nor
    width is x itself."""

    def __init__(self, before: int, after: int, down: bool = True, first: bool = False, wrap: Wrap = unwrapped) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1 = conv(wrap, before, after, gain=math.sqrt(2))
        self.conv2 = conv(wrap, after, after, gain=math.sqrt(2))
        self.shortcut = conv(wrap, before, after, 1) if down or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] -> [B, after, H/2, W/2]; without `down` [B, after, H, W]."""
        h = self.conv2(self.conv1(x if self.first else x.relu()).relu())
        if not self.down:
            return h + self.shortcut(x)
        # averaging commutes with the 1x1 convolution too
        return fn.avg_pool2d(h, 2) + self.shortcut(fn.avg_pool2d(x, 2))


# ---- networks ------------------------------------------------------------------------------------------------------


def block_widths(size: int, width: int) -> list[int]:
    """Channels of the maps from 4 pixels up to `size`, one more than there are doublings.

    Up to 32 pixels all are `width`. Above, the largest maps have `width`, and each halving of the size doubles it, up
    to 16 * width."""
    count = doublings(size)
    return [width if size <= 32 else width * min(16, 2 ** (count - k)) for k in range(count + 1)]


def attention_index(sides: Sequence[int], side: int) -> int:
    """The index of the first of the maps' `sides` that equals `side`, the place of self-attention; -1 for side 0.

    Raises I2IError if no map has that side."""
    if side and side not in sides:
        listed = ", ".join(map(str, sorted(set(sides))))
        raise I2IError(f"attention is {side}, but the network has no maps of that side.", f"Allowed: 0, {listed}.")
    return list(sides).index(side) if side else -1


@register("resgan_g", former={"eps": 1e-5})
class ResNetGenerator(Network):
    """z [B, z] (and a class c [B]) -> images [B, channels, size, size] in [-1, 1] by residual up-blocks.

    classes: above 0, conditional batch norm with a table of gains and biases. spectral: spectral normalization of all
    layers except these tables. attention: side in pixels of the maps after which self-attention is inserted; 0: none.
    init: first weights of all layers except the tables, see `weight_init`.
    """

    def __init__(
        self,
        z: Width = 128,
        channels: Channels = 3,
        size: Side = 32,
        width: Width = 256,
        classes: Classes = 0,
        spectral: bool = False,
        attention: OptionalSide = 0,
        init: str = "xavier",
    ) -> None:
        super().__init__()
        initialized = weight_init(init)

        def wrap(layer: nn.Module) -> nn.Module:
            return spectral_norm(initialized(layer)) if spectral else initialized(layer)

        def norm(count: int) -> nn.Module:
            return ConditionalBatchNorm(count, classes) if classes else nn.BatchNorm2d(count)

        self.classes = classes
        widths = block_widths(size, width)
        self.project = linear(wrap, z, widths[0] * 16)
        self.blocks = nn.ModuleList([UpBlock(a, b, norm, wrap) for a, b in itertools.pairwise(widths)])
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_picture = conv(wrap, widths[-1], channels)
        self.at = attention_index([8 * 2**k for k in range(len(self.blocks))], attention)
        self.attention = SelfAttention(widths[self.at + 1], wrap) if attention else nn.Identity()

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [B, z] and, with classes, c int64 [B] or float [B, classes] (a mixture) -> [B, channels, size, size]."""
        condition = (one_hot(c, self.classes, z.dtype),) if self.classes else ()
        h = self.project(z).view(len(z), -1, 4, 4)
        for k, block in enumerate(self.blocks):
            h = block(h, *condition)
            if k == self.at:
                h = self.attention(h)
        return self.to_picture(self.norm(h).relu()).tanh()


@register("resgan_d", former={"eps": 1e-12})
class ResNetDiscriminator(Network):
    """Images [B, channels, size, size] (and a class c [B]) -> raw scores [B] by residual down-blocks.

    width: channels of the blocks (above 32 pixels: of the first one, see `block_widths`). plan: the channels of each
    block instead. Up to 32 pixels two of four blocks halve the size; above, all but the last do.
    classes: above 0, projection: score = linear(h) + <embedding(c), h> (Miyato and Koyama 2018, arXiv 1802.05637).
    mean: h is the mean over positions (WGAN-GP) instead of the sum. spectral: spectral normalization of all layers.
    attention: side in pixels of the maps after which self-attention is inserted; 0: none. init: first weights, see
    `weight_init`.
    """

    def __init__(
        self,
        channels: Channels = 3,
        size: Side = 32,
        width: Width = 128,
        classes: Classes = 0,
        spectral: bool = True,
        mean: bool = False,
        attention: OptionalSide = 0,
        plan: Sequence[Width] = (),
        init: str = "xavier",
    ) -> None:
        super().__init__()
        initialized = weight_init(init)

        def wrap(layer: nn.Module) -> nn.Module:
            return spectral_norm(initialized(layer)) if spectral else initialized(layer)

        self.mean = mean
        widths = list(plan) or ([width] * 4 if size <= 32 else block_widths(size, width)[::-1])
        halvings = min(2, doublings(size)) if size <= 32 else len(widths) - 1
        pairs = enumerate(itertools.pairwise([channels, *widths]))
        self.blocks = nn.ModuleList([DownBlock(a, b, k < halvings, k == 0, wrap) for k, (a, b) in pairs])
        self.score = linear(wrap, widths[-1], 1)
        self.embedding: nn.Module | None = None
        if classes:
            table = nn.Embedding(classes, widths[-1])
            nn.init.xavier_uniform_(table.weight)
            self.embedding = wrap(table)
        self.at = attention_index([size // 2 ** min(k + 1, halvings) for k in range(len(widths))], attention)
        self.attention = SelfAttention(widths[self.at], wrap) if attention else nn.Identity()

    def features(self, x: Tensor) -> Tensor:
        """Images [B, channels, size, size] -> the pooled features h [B, width]."""
        h = x
        for k, block in enumerate(self.blocks):
            h = block(h)
            if k == self.at:
                h = self.attention(h)
        h = h.relu()
        return h.mean((2, 3)) if self.mean else h.sum((2, 3))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """x [B, channels, size, size] and, with classes, c int64 [B] -> raw scores [B]."""
        h = self.features(x)
        score = self.score(h).squeeze(1)
        return score if self.embedding is None else score + (self.embedding(c) * h).sum(1)
