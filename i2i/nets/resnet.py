"""ResNet generator of CycleGAN (Zhu et al. 2017, arXiv 1703.10593, after Johnson et al. 2016, arXiv 1603.08155)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from i2i.core.config import Blocks, Channels, Width
from i2i.core.errors import I2IError
from i2i.nets.blocks import (
    UPSAMPLES,
    BlurDown,
    BlurUp,
    ReflectionPad2d,
    ReLU,
    ResizeConv,
    SeparableConv,
    check,
    norm_layer,
    uses_bias,
)
from i2i.nets.registry import Network, register


class ResidualBlock(nn.Module):
    """x + (pad, conv, norm, ReLU, [dropout,] pad, conv, norm)(x), without an activation after the sum.

    bias: of the convolutions; None: as `uses_bias` says. separable: each of them is a `SeparableConv`."""

    def __init__(self, width: int, norm: str, dropout: bool, bias: bool | None = None, separable: bool = False) -> None:
        super().__init__()
        bias = uses_bias(norm) if bias is None else bias

        def conv() -> list[nn.Module]:
            full = SeparableConv(width, width) if separable else nn.Conv2d(width, width, 3, bias=bias)
            return [ReflectionPad2d(1), full, norm_layer(norm, width)]

        middle: list[nn.Module] = [ReLU()]
        if dropout:
            middle += [nn.Dropout(0.5)]
        self.conv_block = nn.Sequential(*conv(), *middle, *conv())

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        return x + self.conv_block(x)


@register("resnet")
class ResNet(Network):
    """[B, channels_in, H, W] -> [B, channels_out, H, W] in [-1, 1], by residual blocks at a quarter of the size.

    Layers: convolution 7x7, two of stride 2, `blocks` residual blocks, two upsamplings, convolution 7x7. H and W should
    be multiples of `multiple` = 4; other sides are rounded up to one. width: channels of the first layer. norm: batch,
    instance or none. dropout: 0.5 in each block. upsample: transposed, resize (no checkerboard) or blur (fixed
    filter).
    antialias: blurs before each subsampling; with upsample "blur" it is CUT's generator (Park et al. 2020, arXiv
    2007.15651). Raises I2IError for an unknown `upsample`.
    """

    separable = False  # of the residual blocks

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        blocks: Blocks = 9,
        width: Width = 64,
        norm: str = "instance",
        dropout: bool = False,
        upsample: str = "transposed",
        antialias: bool = False,
    ) -> None:
        super().__init__()
        check("upsample", upsample, UPSAMPLES)
        self.multiple = 4
        bias = uses_bias(norm)

        def normed(channels: int) -> list[nn.Module]:
            return [norm_layer(norm, channels), ReLU()]

        layers: list[nn.Module] = [ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7, bias=bias), *normed(width)]
        for c in (width, 2 * width):
            stride = 1 if antialias else 2
            layers += [nn.Conv2d(c, 2 * c, 3, stride=stride, padding=1, bias=bias), *normed(2 * c)]
            if antialias:
                layers += [BlurDown(2 * c)]
        layers += [ResidualBlock(4 * width, norm, dropout, separable=self.separable) for _ in range(blocks)]
        for c in (2 * width, width):
            if upsample == "blur":
                layers += [BlurUp(2 * c), nn.Conv2d(2 * c, c, 3, padding=1, bias=bias)]
            elif upsample == "resize":
                layers += [ResizeConv(2 * c, c, bias)]
            else:
                layers += [nn.ConvTranspose2d(2 * c, c, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            layers += normed(c)
        layers += [ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor, layers: Sequence[int] = ()) -> Tensor | list[Tensor]:
        """[B, channels_in, H, W] in [-1, 1] -> [B, channels_out, H, W] in [-1, 1].

        layers: positions in `model`, ascending; then the list of their outputs is returned instead, and layers after
        the last of them are not computed. The output of a norm includes the ReLU after it, which works in place, except
        at the last position. Raises I2IError if there is no such position."""
        if not layers:
            return self.model(x)
        if not 0 <= min(layers) <= max(layers) < len(self.model):
            raise I2IError(f"layers is {list(layers)}.", f"Allowed: 0 to {len(self.model) - 1}.")
        outputs = []
        for i, layer in enumerate(self.model[: max(layers) + 1]):
            x = layer(x)
            if i in layers:
                outputs.append(x)
        return outputs


@register("mobile_resnet")
class MobileResNet(ResNet):
    """A ResNet whose residual blocks have separable convolutions: a fifth to a ninth of their weights and work.

    The student of GAN Compression (Li et al. 2020, arXiv 2003.08936). Shapes and arguments are those of ResNet."""

    separable = True
