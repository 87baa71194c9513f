"""RRDBNet, the generator of ESRGAN (Wang et al. 2018, arXiv 1809.00219) and Real-ESRGAN (2021, arXiv 2107.10833)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Blocks, Channels, Width
from i2i.core.errors import I2IError
from i2i.nets.blocks import upsample2x
from i2i.nets.registry import register
from i2i.nets.unit import UnitNetwork

SCALES = (1, 2, 4)
REACH = 32  # pixels at the blocks' size; the layers reach farther, but what lies there hardly matters
RESIDUAL = 0.2  # by which what a block adds is multiplied


def _leaky(x: Tensor) -> Tensor:
    return fn.leaky_relu(x, 0.2, inplace=not torch.is_grad_enabled())


class DenseBlock(nn.Module):
    """x + 0.2 f(x), where each of five convolutions sees x and the outputs of all before it."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv3: nn.Conv2d
    conv4: nn.Conv2d
    conv5: nn.Conv2d

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 6):
            self.add_module(f"conv{i}", nn.Conv2d(width + (i - 1) * growth, growth if i < 5 else width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        maps = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps = torch.cat([maps, _leaky(conv(maps))], 1)
        return torch.add(x, self.conv5(maps), alpha=RESIDUAL)


class ResidualDenseBlocks(nn.Module):
    """x + 0.2 f(x), where f is three dense blocks: the paper's RRDB."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL)


@register("rrdbnet")
class RRDBNet(UnitNetwork):
    """[B, channels_in, H, W] -> [B, channels_out, scale H, scale W], both in [-1, 1]; not limited to that range.

    scale: 4, 2 or 1. At 2 and 1 the image is first folded into channels (pixel-unshuffle by 2 or 4), so that the blocks
    always work at a quarter of the output's size; H and W must be multiples of `multiple` = 4 / scale. width: channels
    of the blocks' maps. blocks: their number (23, or 6 in the small published network). growth: channels of the inner
    convolutions. residual: the layers make what is missing in the bicubic enlargement of the input, which a new network
    gives unchanged. Raises I2IError for another scale, and with `residual` for other channels of the output.
    """

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        scale: int = 4,
        width: Width = 64,
        blocks: Blocks = 23,
        growth: Width = 32,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if scale not in SCALES:
            raise I2IError(f"An RRDBNet cannot enlarge {scale} times.", "Allowed scales: 1, 2 and 4.")
        if residual and channels_in != channels_out:
            raise I2IError(
                f"residual is on, and the images have {channels_in} and {channels_out} channels.",
                "Give --set residual=false.",
            )
        self.scale, self.multiple, self.residual = scale, 4 // scale, residual
        self.reach = min(REACH, 15 * blocks + 4) * self.multiple  # pixels, for cutting images into tiles
        self.conv_first = nn.Conv2d(channels_in * self.multiple**2, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualDenseBlocks(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels_out, 3, padding=1)
        self.start()

    @torch.no_grad()
    def start(self) -> None:
        """First weights as in the authors' code: Kaiming's, a tenth of them in the dense blocks; biases 0 there."""
        for block in self.body.modules():
            if isinstance(block, nn.Conv2d):
                nn.init.kaiming_normal_(block.weight)
                block.weight.mul_(0.1)
                assert block.bias is not None
                block.bias.zero_()
        if self.residual:
            self.conv_last.weight.zero_()
            assert self.conv_last.bias is not None
            self.conv_last.bias.zero_()

    def unit(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] in [0, 1] -> [B, channels_out, scale H, scale W] in about [0, 1]."""
        image = x
        if self.multiple > 1:
            x = fn.pixel_unshuffle(x, self.multiple)
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        x = _leaky(self.conv_up1(upsample2x(x)))
        x = _leaky(self.conv_up2(upsample2x(x)))
        x = self.conv_last(_leaky(self.conv_hr(x)))
        if not self.residual:
            return x
        return x + fn.interpolate(image, scale_factor=float(self.scale), mode="bicubic", align_corners=False)
