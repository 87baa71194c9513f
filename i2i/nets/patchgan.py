"""Discriminators that judge every patch (PatchGAN) or every pixel of an image (Isola et al. 2016, arXiv 1611.07004)."""

from __future__ import annotations

from torch import Tensor, nn

from i2i.nets.blocks import BlurDown, norm_layer, uses_bias
from i2i.nets.registry import Network, register


@register("patchgan")
class PatchGAN(Network):
    """[B, channels, H, W] -> raw scores [B, 1, h, w]; with 3 layers each judges a patch of 70x70 (256 -> 30x30).

    `layers` counts the strided ones; widths double up to 8 * width. `antialias` blurs before subsampling, as in CUT.
    """

    def __init__(
        self, channels: int = 3, layers: int = 3, width: int = 64, norm: str = "instance", antialias: bool = False
    ) -> None:
        super().__init__()
        found: list[nn.Module] = []
        before = channels
        for k in range(layers + 1):
            after = width * min(2**k, 8)
            halve = k < layers
            stride = 2 if halve and not antialias else 1
            bias = k == 0 or uses_bias(norm)
            found += [nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=bias)]
            found += [norm_layer(norm, after)] if k else []
            found += [nn.LeakyReLU(0.2, inplace=True)]
            found += [BlurDown(after)] if halve and antialias else []
            before = after
        self.model = nn.Sequential(*found, nn.Conv2d(before, 1, 4, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] in [-1, 1] -> raw scores [B, 1, h, w]."""
        scores: Tensor = self.model(x)
        return scores


@register("pixel")
class PixelGAN(Network):
    """Judges every pixel alone by 1x1 convolutions: [B, channels, H, W] -> raw scores [B, 1, H, W]."""

    def __init__(self, channels: int = 3, width: int = 64, norm: str = "instance") -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            norm_layer(norm, 2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] in [-1, 1] -> raw scores [B, 1, H, W]."""
        scores: Tensor = self.net(x)
        return scores
