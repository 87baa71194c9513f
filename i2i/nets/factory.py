"""Generators and discriminators of image-to-image methods, built from their settings, with initial weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from i2i.core.config import Blocks, Layers, NonNegative, OptionalWidth, Range, Width
from i2i.core.errors import I2IError, among
from i2i.nets import unet
from i2i.nets.blocks import init_weights
from i2i.nets.patchgan import PatchGAN, PixelGAN
from i2i.nets.resnet import ResNet
from i2i.nets.unet import UNet

FITTED_DEPTH = 8  # levels of a U-Net that is fitted to the image size


@dataclass(frozen=True)
class TranslationNets:
    """Settings of `generator` and `discriminator`. A method's Settings inherit from it and change some defaults."""

    generator: str = "resnet"  # resnet, unet
    blocks: Blocks = 0  # residual blocks of the ResNet; 0: 9 from 256 pixels on, 6 below
    depth: Annotated[int, Range(0, unet.MAX_DEPTH)] = 0  # levels of the U-Net; 0: fitted to the size, 8 for 256 pixels
    width: Width = 64  # channels of the generator's first layer
    detail: OptionalWidth = 0  # U-Net: channels of two last convolutions that also see the input: sharp edges; 0: none
    norm: str = "instance"  # instance, batch, none
    dropout: bool = False  # half of the units in each block (ResNet) or in the widest decoder levels (U-Net)
    upsample: str = "transposed"  # transposed, resize (no checkerboard), blur (ResNet: antialiased as in CUT)
    init: str = "normal"  # first weights: normal, xavier, kaiming, orthogonal
    gain: NonNegative = 0.02  # standard deviation (normal) or scale (xavier, orthogonal) of the first weights
    discriminator: str = "patchgan"  # patchgan, pixel
    layers: Layers = 3  # strided layers of the PatchGAN; 3: patches of 70x70
    d_width: Width = 64  # channels of the discriminator's first layer


def generator(settings: TranslationNets, channels_in: int, channels_out: int, size: int) -> nn.Module:
    """A U-Net or ResNet with initial weights, for images of `size` x `size` pixels.

    Raises I2IError if the name is unknown or the size does not fit."""
    s = settings
    if s.generator == "unet":
        depth = unet_depth(s.depth, size)
        net: nn.Module = UNet(channels_in, channels_out, depth, s.width, s.norm, s.dropout, s.upsample, detail=s.detail)
    elif s.generator == "resnet":
        if size < 16:
            raise I2IError(f"size is {size} pixels.", "The ResNet generator needs at least 16.")
        blocks = resnet_blocks(s.blocks, size)
        antialias = s.upsample == "blur"
        net = ResNet(channels_in, channels_out, blocks, s.width, s.norm, s.dropout, s.upsample, antialias)
        check_size(size, net.multiple)
    else:
        raise I2IError(f"generator is {s.generator!r}.", among(s.generator, ("unet", "resnet")))
    return init_weights(net, s.init, s.gain)


def discriminator(settings: TranslationNets, channels: int, size: int) -> nn.Module:
    """A PatchGAN or PixelGAN with initial weights, for images of `size` x `size` pixels.

    Raises I2IError if the name is unknown or the size is too small for the layers."""
    s = settings
    if s.discriminator == "patchgan":
        if s.layers < 1 or size // 2**s.layers < 3:
            raise I2IError(
                f"layers is {s.layers}, and the images have {size} x {size} pixels.",
                f"A PatchGAN of {max(1, s.layers)} layers needs at least {3 * 2 ** max(1, s.layers)} pixels a side.",
            )
        net: nn.Module = PatchGAN(channels, s.layers, s.d_width, s.norm)
    elif s.discriminator == "pixel":
        net = PixelGAN(channels, s.d_width, s.norm)
    else:
        raise I2IError(f"discriminator is {s.discriminator!r}.", among(s.discriminator, ("patchgan", "pixel")))
    return init_weights(net, s.init, s.gain)


def check_size(size: int, multiple: int) -> None:
    """Raises I2IError for training images whose sides are not a multiple of what a generator needs."""
    if size % multiple:
        near = max(1, size // multiple) * multiple
        raise I2IError(f"size is {size}, and this generator needs a multiple of {multiple}.", f"Give --size {near}.")


def resnet_blocks(blocks: int, size: int) -> int:
    """Residual blocks of a ResNet for images of `size` x `size` pixels; blocks 0: as the papers have them."""
    return blocks or (9 if size >= 256 else 6)


def unet_depth(depth: int, size: int) -> int:
    """Levels of a U-Net for images of `size` x `size` pixels.

    depth 0: fitted to the size, which is the largest number up to 8 so that 2**depth divides `size`. Raises I2IError if
    2**depth does not divide `size`, or if no depth of 2 or more does."""
    fitted = 0
    while fitted < FITTED_DEPTH and size % 2 ** (fitted + 1) == 0:
        fitted += 1
    chosen = depth or fitted
    if chosen < 2:
        raise I2IError(f"size is {size} pixels, which a U-Net cannot halve twice.", "Choose a size such as 128 or 256.")
    if size % 2**chosen:
        raise I2IError(
            f"depth is {chosen} and size is {size}; a U-Net of {chosen} levels needs a multiple of {2**chosen} pixels.",
            f"Choose depth {fitted} or less (0 fits it to the size), or another size.",
        )
    return chosen
