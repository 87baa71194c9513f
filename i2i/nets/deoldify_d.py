"""DeOldify's discriminator of patches (Antic 2018, github.com/jantic/DeOldify)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from i2i.core.config import Range, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.nets.attention import FullAttention
from i2i.nets.registry import Network, register
from i2i.nets.spectral import spectral_norm


def _conv(before: int, after: int, kernel: int, stride: int = 1, padding: int = 1, last: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, padding, bias=not last)
    nn.init.kaiming_normal_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(spectral_norm(conv), *([] if last else [nn.LeakyReLU(0.2)]))


@register("deoldify_d")
class DeOldifyDiscriminator(Network):
    """Images [B, 3, H, W] -> logits [B, N], one for each of N overlapping patches.

    A convolution that halves the sides, then `blocks` times one that keeps them and one that halves them and doubles
    the channels, self-attention after the first of these, and a score for each position. All have spectral
    normalization. width: channels of the first layer. dropout: share of the maps that are dropped in training (half of
    it after the first layer). least: the least side of an image in pixels; smaller images raise I2IError."""

    def __init__(self, width: Width = 256, blocks: Annotated[int, Range(1, 6)] = 3, dropout: UnderOne = 0.15) -> None:
        super().__init__()
        self.least = 4 * 2 ** (blocks + 1)
        layers: list[nn.Module] = [_conv(3, width, 4, 2), nn.Dropout2d(dropout / 2)]
        for i in range(blocks):
            strided = _conv(width, 2 * width, 4, 2)
            if i == 0:
                strided.append(FullAttention(2 * width, spectral_norm))
            layers += [_conv(width, width, 3), nn.Dropout2d(dropout), strided]
            width *= 2
        self.layers = nn.Sequential(*layers, _conv(width, width, 3), _conv(width, 1, 4, 1, 0, last=True))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> logits [B, N]."""
        if min(x.shape[-2:]) < self.least:
            raise I2IError(
                f"This discriminator needs images of at least {self.least} pixels a side, but they have "
                f"{x.shape[-1]}x{x.shape[-2]}.",
                "Choose a larger size, or fewer d_blocks.",
            )
        return self.layers(x).flatten(1)
