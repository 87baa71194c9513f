"""U-Net generator of pix2pix (Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2016,
arXiv 1611.07004), of any depth."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from i2i.core.config import Channels, OptionalWidth, Range, Width
from i2i.core.errors import I2IError
from i2i.nets.blocks import LeakyReLU, ReLU, ResizeConv, SeparableConv, SeparableUp, check, norm_layer, uses_bias
from i2i.nets.registry import Network, register

MAX_DEPTH = 14  # levels; the sides of images are then multiples of 16,384 pixels


class UNetLevel(nn.Module):
    """One level of the U: down, the levels inside, up. All but the outermost level join their input to the output."""

    def __init__(self, layers: list[nn.Module], outermost: bool = False) -> None:
        super().__init__()
        self.model, self.outermost = nn.Sequential(*layers), outermost

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C + C', H, W]; the outermost level -> [B, C', H, W]."""
        # The first layer applies its ReLU to x in place: it needs no copy, and a ReLU follows the skip anyway.
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


@register("unet")
class UNet(Network):
    """Encoder and decoder of `depth` levels with skips: [B, channels_in, H, W] -> [B, channels_out, H, W] in [-1, 1].

    H and W must be multiples of `multiple` = 2**depth. Level k has min(width * 2**k, max_width) channels; max_width 0:
    8 * width. norm: batch, instance or none; not in the outermost and the innermost encoder layer. dropout: 0.5 in the
    decoder levels that are widest on both sides. upsample: transposed, or resize (no checkerboard). detail: channels of
    two more convolutions at the full size, which also see the input, so that edges stay sharp; 0: none, as in the
    paper. Depths 8 and 7 are the authors' unet_256 and unet_128. Raises I2IError for a depth under 2 or an unknown
    `upsample`.
    """

    separable = False  # of all levels but the outermost

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        depth: Annotated[int, Range(2, MAX_DEPTH)] = 8,
        width: Width = 64,
        norm: str = "batch",
        dropout: bool = False,
        upsample: str = "transposed",
        max_width: OptionalWidth = 0,
        detail: OptionalWidth = 0,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise I2IError(f"depth is {depth}.", "A U-Net needs at least 2 levels.")
        check("upsample", upsample, ("transposed", "resize"))
        self.multiple = 2**depth
        bias, widest = uses_bias(norm), max_width or 8 * width
        widths = [min(width * 2**k, widest) for k in range(depth)]

        def up(inside: int, outside: int, bias: bool, inner: bool = True) -> nn.Module:
            if self.separable and inner:
                return SeparableUp(inside, outside)
            if upsample == "resize":
                return ResizeConv(inside, outside, bias)
            return nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1, bias=bias)

        def down(outside: int, inside: int, inner: bool = True, deepest: bool = False) -> nn.Module:
            if self.separable and inner:
                return SeparableConv(outside, inside, 4, 2, 1, normed=not deepest)
            return nn.Conv2d(outside, inside, 4, stride=2, padding=1, bias=bias)

        level = None
        for k in range(depth - 1, 0, -1):  # from the innermost level outwards
            outer, inner = widths[k - 1], widths[k]
            layers: list[nn.Module] = [LeakyReLU(0.2), down(outer, inner, deepest=level is None)]
            if level is None:
                layers += [ReLU(), up(inner, outer, bias), norm_layer(norm, outer)]
            else:
                layers += [norm_layer(norm, inner), level, ReLU(), up(2 * inner, outer, bias)]
                layers += [norm_layer(norm, outer)]
                if dropout and outer == inner:
                    layers += [nn.Dropout(0.5)]
            level = UNetLevel(layers)
        assert level is not None
        last: list[nn.Module] = [ReLU(), up(2 * width, detail or channels_out, True, False)]
        self.model = UNetLevel([down(channels_in, width, False), level, *last, *([] if detail else [nn.Tanh()])], True)
        self.detail: nn.Module | None = None
        if detail:  # the paper's skips start at half of the size
            first = nn.Conv2d(detail + channels_in, detail, 3, padding=1)
            self.detail = nn.Sequential(
                LeakyReLU(0.2), first, LeakyReLU(0.2), nn.Conv2d(detail, channels_out, 3, padding=1), nn.Tanh()
            )

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] in [-1, 1] -> [B, channels_out, H, W] in [-1, 1].

        Raises I2IError if H or W is not a multiple of `multiple`."""
        check_sides(x, self.multiple)
        y = self.model(x)
        return y if self.detail is None else self.detail(torch.cat([y, x], 1))


def check_sides(x: Tensor, multiple: int) -> None:
    """Raises I2IError if a side of images [B, C, H, W] is not a multiple of `multiple`."""
    height, width = x.shape[-2:]
    if width % multiple or height % multiple:
        raise I2IError(
            f"This U-Net got an image of {width} x {height} pixels.",
            f"Both sides must be multiples of {multiple}. Fewer levels (depth) allow smaller images.",
        )


@register("mobile_unet")
class MobileUNet(UNet):
    """A U-Net whose levels, but the outermost, have separable convolutions: a small part of their weights and work.

    Shapes and arguments are those of UNet; upsampling inside is by resizing, whatever `upsample` says."""

    separable = True
