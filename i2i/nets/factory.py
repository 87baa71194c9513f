"""Generators and discriminators by name, with initial weights."""

from __future__ import annotations

from torch import nn

from i2i.core.errors import I2IError, among
from i2i.nets import PatchGAN, PixelGAN, ResNet, UNet, init_weights


def unet_depth(depth: int, size: int) -> int:
    """Levels of a U-Net for images of side `size`; depth 0 means fitted to it: the most that divide it, at most 8.

    Raises I2IError if `size` is no multiple of 2**depth."""
    fitted = 0
    while fitted < 8 and size % 2 ** (fitted + 1) == 0:
        fitted += 1
    chosen = depth or fitted
    if chosen < 2:
        raise I2IError(f"A U-Net cannot be fitted to images of {size} pixels.", "Choose a size such as 128 or 256.")
    if size % 2**chosen:
        raise I2IError(
            f"A U-Net of depth {chosen} needs images with sides that are multiples of {2**chosen}; size is {size}.",
            f"Choose depth {fitted} or less (0 fits it), or another size.",
        )
    return chosen


def generator(
    name: str,
    channels_in: int,
    channels_out: int,
    size: int,
    *,
    width: int,
    blocks: int,
    depth: int,
    norm: str,
    dropout: bool,
    upsample: str,
    init: str,
    gain: float,
) -> nn.Module:
    """A U-Net or ResNet with initial weights. `blocks` 0: 9 from 256 pixels on, 6 below; `depth` 0: fitted to `size`.

    Raises I2IError if the name is unknown or the sizes do not fit."""
    net: nn.Module
    if name == "unet":
        levels = unet_depth(depth, size)
        net = UNet(channels_in, channels_out, levels, width, norm, dropout, upsample)
    elif name == "resnet":
        if size < 16:
            raise I2IError(f"The ResNet generator needs images of at least 16 pixels; size is {size}.")
        blurred = upsample == "blur"
        count = blocks or (9 if size >= 256 else 6)
        net = ResNet(channels_in, channels_out, count, width, norm, dropout, upsample, antialias=blurred)
    else:
        raise I2IError(f"generator is {name!r}.", among(name, ("unet", "resnet")))
    return init_weights(net, init, gain)


def discriminator(
    name: str, channels: int, size: int, *, width: int, layers: int, norm: str, init: str, gain: float
) -> nn.Module:
    """A PatchGAN or pixel discriminator with initial weights. Raises I2IError if `size` is too small for its layers."""
    net: nn.Module
    if name == "patchgan":
        if layers < 1 or size // 2**layers < 3:
            raise I2IError(
                f"A PatchGAN of {layers} layers does not fit images of {size} pixels.",
                f"It needs at least 1 layer and {3 * 2 ** max(1, layers)} pixels.",
            )
        net = PatchGAN(channels, layers, width, norm)
    elif name == "pixel":
        net = PixelGAN(channels, width, norm)
    else:
        raise I2IError(f"discriminator is {name!r}.", among(name, ("patchgan", "pixel")))
    return init_weights(net, init, gain)
