"""DeOldify's generator: a U-Net on the convolutions of a ResNet (Antic 2018, github.com/jantic/DeOldify).

Names of weights follow the authors' code: layers.0 the encoder, 1 to 3 the middle, 4 to 7 the decoder blocks, 8 the
last enlargement, 10 a residual block with the input, 11 the output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Channels, Width
from i2i.core.errors import I2IError
from i2i.nets.attention import FullAttention
from i2i.nets.blocks import BatchNorm, check
from i2i.nets.registry import register
from i2i.nets.resnet_encoder import ENCODERS, ResNetEncoder
from i2i.nets.shuffle import BlurredShuffle
from i2i.nets.spectral import spectral_norm
from i2i.nets.unit import UnitNetwork

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's images in [0, 1]
ATTENDS = 1  # decoder block with self-attention, counted from 0
REACH = 160  # pixels; the maps at 1/32 see farther, and attention sees everything


def _conv(before: int, after: int, attends: bool = False) -> nn.Sequential:
    """Convolution 3x3 with spectral normalization, ReLU, batch norm, and perhaps self-attention."""
    layers: list[nn.Module] = [_spectral(before, after), nn.ReLU(), BatchNorm(after)]
    return nn.Sequential(*layers, *([FullAttention(after, spectral_norm)] if attends else []))


def _spectral(before: int, after: int, kernel: int = 3, bias: bool = False) -> nn.Conv2d:
    conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return spectral_norm(conv)


class DecoderBlock(nn.Module):
    """Enlarges a map to the size of a map of the encoder, joins both, and convolves: once (wide) or twice (deep).

    below, skip: channels of the map and of the encoder's. up: channels after the enlargement. after: of the output."""

    def __init__(self, below: int, skip: int, up: int, after: int, deep: bool, attends: bool) -> None:
        super().__init__()
        self.shuf = BlurredShuffle(below, up)
        self.bn = BatchNorm(skip)
        self.deep = deep
        if deep:
            self.conv1, self.conv2 = _conv(up + skip, after), _conv(after, after, attends)
        else:
            self.conv = _conv(up + skip, after, attends)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """[B, below, h, w] and [B, skip, H, W] -> [B, after, H, W]."""
        x = fn.interpolate(self.shuf(x), skip.shape[-2:], mode="nearest")  # no change where the sizes agree
        x = torch.cat([x, self.bn(skip)], 1).relu()
        return self.conv2(self.conv1(x)) if self.deep else self.conv(x)


class ResidualPair(nn.Module):
    """x + two convolutions 3x3, each with a ReLU behind it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Sequential(_spectral(width, width, bias=True), nn.ReLU()) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        return self.layers(x) + x


@register("deoldify_unet")
class DeOldifyUNet(UnitNetwork):
    """Gray images [B, channels_in, H, W] in [-1, 1] -> color images [B, 3, H, W] in about [-1.4, 1.4]; H and W even.

    form: wide (one convolution in each decoder block, `width` / 2 channels) or deep (two, with `depth` times the
    channels that come in). encoder: small, resnet18, resnet34, resnet50 or resnet101. widths, blocks: of the encoder's
    five maps and four stages, in place of its own. channels_in: 1, or 3 equal ones. Raises I2IError for a form, encoder
    or width that is not allowed.
    """

    def __init__(
        self,
        form: str = "wide",
        encoder: str = "resnet34",
        width: Width = 1024,
        depth: float = 1.5,
        widths: list[int] | None = None,
        blocks: list[int] | None = None,
        channels_in: Channels = 3,
    ) -> None:
        super().__init__()
        check("form", form, ("wide", "deep"))
        check("encoder", encoder, tuple(ENCODERS))
        if form == "wide" and (width % 4 or width < 16):
            raise I2IError(f"width is {width}.", "Allowed in the wide form: multiples of 4, from 16 on.")
        if form == "deep" and not 1 <= depth <= 4:
            raise I2IError(f"depth is {depth}.", "Allowed in the deep form: 1 to 4.")
        self.scale, self.multiple, self.reach = 1, 2, REACH
        own_widths, own_blocks, bottleneck = ENCODERS[encoder]
        body = ResNetEncoder(widths or own_widths, blocks or own_blocks, bottleneck)
        sizes = list(widths or own_widths)
        inner = sizes[-1]
        middle = nn.Sequential(_conv(inner, 2 * inner), _conv(2 * inner, inner))
        layers: list[nn.Module] = [body, BatchNorm(inner), nn.ReLU(), middle]
        below = inner
        for i, skip in enumerate(reversed(sizes[:-1])):
            if form == "wide":
                up = after = width // (4 if i == 3 else 2)
            else:
                up = below // 2
                after = int(((up + skip) // (2 if i == 3 else 1)) * depth)
            layers.append(DecoderBlock(below, skip, up, after, form == "deep", i == ATTENDS))
            below = after
        layers += [BlurredShuffle(below, below, normed=False), nn.Identity(), ResidualPair(below + 3)]
        layers.append(nn.Sequential(_spectral(below + 3, 3, 1, bias=True)))
        self.layers = nn.ModuleList(layers)

    @property
    def encoder(self) -> ResNetEncoder:
        """The ResNet's part."""
        body = self.layers[0]
        assert isinstance(body, ResNetEncoder)
        return body

    def normalized(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, 3, H, W] in [-3, 3], both in units of ImageNet's mean and deviation."""
        *skips, y = self.encoder.maps(x)
        y = self.layers[3](self.layers[1](y).relu())
        for i, skip in enumerate(reversed(skips)):
            y = self.layers[4 + i](y, skip)
        y = torch.cat([self.layers[8](y), x], 1)
        return 6 * self.layers[11](self.layers[10](y)).sigmoid() - 3

    def unit(self, x: Tensor) -> Tensor:
        """[B, 1 or 3, H, W] in [0, 1] -> [B, 3, H, W] in about [-0.2, 1.2]."""
        mean, deviation = (x.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
        return self.normalized((x.expand(-1, 3, -1, -1) - mean) / deviation) * deviation + mean
