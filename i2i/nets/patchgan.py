"""Discriminators that score each patch (PatchGAN) or each pixel of an image (Isola et al. 2016, arXiv 1611.07004)."""

from __future__ import annotations

from torch import Tensor, nn

from i2i.core.config import Blocks, Channels, Width
from i2i.nets.blocks import BlurDown, LeakyReLU, norm_layer, uses_bias
from i2i.nets.registry import Network, register


@register("patchgan")
class PatchGAN(Network):
    """[B, channels, H, W] in [-1, 1] -> raw scores [B, 1, h, w], one for each patch.

    layers: strided layers; with 3, a score sees a patch of 70x70 pixels, and 256 pixels give 30x30 scores. width:
    channels of the first layer; they double up to 8 * width. norm: batch, instance or none, in all but the first and
    the last layer. antialias: blurs before each subsampling, as in CUT.
    """

    def __init__(
        self,
        channels: Channels = 3,
        layers: Blocks = 3,
        width: Width = 64,
        norm: str = "instance",
        antialias: bool = False,
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        before = channels
        for k in range(layers + 1):
            after = width * min(2**k, 8)
            halve = k < layers
            stride = 2 if halve and not antialias else 1
            bias = k == 0 or uses_bias(norm)
            parts += [nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=bias)]
            parts += [norm_layer(norm, after)] if k else []
            parts += [LeakyReLU(0.2)]
            parts += [BlurDown(after)] if halve and antialias else []
            before = after
        self.model = nn.Sequential(*parts, nn.Conv2d(before, 1, 4, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] in [-1, 1] -> raw scores [B, 1, h, w]."""
        return self.model(x)


@register("pixel")
class PixelGAN(Network):
    """Scores each pixel by 1x1 convolutions: [B, channels, H, W] in [-1, 1] -> raw scores [B, 1, H, W].

    width: channels of the first layer. norm: batch, instance or none."""

    def __init__(self, channels: Channels = 3, width: Width = 64, norm: str = "instance") -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            norm_layer(norm, 2 * width),
            LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] in [-1, 1] -> raw scores [B, 1, H, W]."""
        return self.net(x)
