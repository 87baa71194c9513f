"""Discriminators of super-resolution: SRGAN's without a fixed size, ESRGAN's, and the U-Net of Real-ESRGAN.

SRGAN: Ledig et al. 2016, arXiv 1609.04802; ESRGAN: Wang et al. 2018, arXiv 1809.00219; Real-ESRGAN: Wang et al. 2021,
arXiv 2107.10833. All return logits, for images in any range; their methods give images in [0, 1].
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Channels, Count, Width
from i2i.core.errors import I2IError
from i2i.nets.blocks import BatchNorm, LeakyReLU
from i2i.nets.registry import Network, register
from i2i.nets.spectral import spectral_norm


@register("srgan_d")
class SRGANDiscriminator(Network):
    """[B, channels, H, W] -> logits [B]: SRGAN's discriminator with a global average in place of its dense layers, so
    that crops of any size fit. width: channels of the first layer."""

    def __init__(self, channels: Channels = 3, width: Width = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), LeakyReLU(0.2)]
        before = width
        for i, factor in enumerate((1, 2, 2, 4, 4, 8, 8)):
            after = factor * width
            stride = 2 if i % 2 == 0 else 1
            layers += [nn.Conv2d(before, after, 3, stride, padding=1), BatchNorm(after), LeakyReLU(0.2)]
            before = after
        layers += [nn.AdaptiveAvgPool2d(1), nn.Conv2d(before, 2 * before, 1), LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, nn.Conv2d(2 * before, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> logits [B]."""
        return self.net(x).flatten()


@register("esrgan_d")
class ESRGANDiscriminator(Network):
    """[B, channels, size, size] -> logits [B, 1]: ESRGAN's discriminator of VGG's style, for crops of one size.

    width: channels of the first layer. size: pixels, a multiple of 32. Raises I2IError for another size."""

    conv0_0: nn.Conv2d
    conv0_1: nn.Conv2d
    bn0_1: BatchNorm

    def __init__(self, channels: Channels = 3, width: Width = 64, size: Count = 128) -> None:
        super().__init__()
        if size % 32:
            raise I2IError(
                f"This discriminator cannot take crops of {size} pixels.", "Give a multiple of 32, such as 128."
            )
        before = channels
        for i, factor in enumerate((1, 2, 4, 8, 8)):
            after = factor * width
            self.add_module(f"conv{i}_0", nn.Conv2d(before, after, 3, padding=1, bias=i == 0))
            if i:
                self.add_module(f"bn{i}_0", BatchNorm(after))
            self.add_module(f"conv{i}_1", nn.Conv2d(after, after, 4, 2, padding=1, bias=False))
            self.add_module(f"bn{i}_1", BatchNorm(after))
            before = after
        self.linear1 = nn.Linear(before * (size // 32) ** 2, 100)
        self.linear2 = nn.Linear(100, 1)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, size, size] -> logits [B, 1]. Raises I2IError for images of another size."""
        if x.shape[-2:] != (self.size, self.size):
            raise I2IError(
                f"This discriminator takes crops of {self.size} pixels, not {x.shape[-1]}x{x.shape[-2]}.",
                f"Set crop={self.size}.",
            )
        x = fn.leaky_relu(self.conv0_0(x), 0.2)
        x = fn.leaky_relu(self.bn0_1(self.conv0_1(x)), 0.2)
        for i in range(1, 5):
            for j in (0, 1):
                conv, norm = getattr(self, f"conv{i}_{j}"), getattr(self, f"bn{i}_{j}")
                x = fn.leaky_relu(norm(conv(x)), 0.2)
        return self.linear2(fn.leaky_relu(self.linear1(x.flatten(1)), 0.2))


@register("unet_d")
class UNetDiscriminator(Network):
    """[B, channels, H, W] -> a logit for each pixel [B, 1, H, W]: Real-ESRGAN's U-Net with spectral normalization.

    H and W must be multiples of 8. width: channels of the first layer. skips: adds the maps of the way down on the way
    up."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv3: nn.Conv2d
    conv4: nn.Conv2d
    conv5: nn.Conv2d
    conv6: nn.Conv2d

    def __init__(self, channels: Channels = 3, width: Width = 64, skips: bool = True) -> None:
        super().__init__()
        self.skips = skips
        w = width
        self.conv0 = nn.Conv2d(channels, w, 3, padding=1)
        for i in range(3):  # down: w -> 8 w
            down = nn.Conv2d(w * 2**i, w * 2 ** (i + 1), 4, 2, padding=1, bias=False)
            self.add_module(f"conv{i + 1}", spectral_norm(down))
        for i in range(3):  # up: 8 w -> w
            up = nn.Conv2d(w * 2 ** (3 - i), w * 2 ** (2 - i), 3, padding=1, bias=False)
            self.add_module(f"conv{i + 4}", spectral_norm(up))
        self.conv7 = spectral_norm(nn.Conv2d(w, w, 3, padding=1, bias=False))
        self.conv8 = spectral_norm(nn.Conv2d(w, w, 3, padding=1, bias=False))
        self.conv9 = nn.Conv2d(w, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> logits [B, 1, H, W]."""
        down = [fn.leaky_relu(self.conv0(x), 0.2)]
        for conv in (self.conv1, self.conv2, self.conv3):
            down.append(fn.leaky_relu(conv(down[-1]), 0.2))
        x = down[3]
        for conv, skip in zip((self.conv4, self.conv5, self.conv6), reversed(down[:3])):
            x = fn.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = fn.leaky_relu(conv(x), 0.2)
            x = x + skip if self.skips else x
        for conv in (self.conv7, self.conv8):
            x = fn.leaky_relu(conv(x), 0.2)
        return self.conv9(x)
