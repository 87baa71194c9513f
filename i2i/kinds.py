"""Thin bases of the methods and the parts they are put together from: networks by name, Adam, learning-rate curves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from i2i.errors import I2IError, nearest
from i2i.method import Batch, Method
from i2i.nets import PatchGAN, PixelGAN, ResNet, UNet, init_weights
from i2i.nets.blocks import as_tested


class Translate(Method):
    """x -> y by one generator G."""

    G: nn.Module

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] in [-1, 1]."""
        y: Tensor = self.G(batch.x)
        return y


class Swap(Method):
    """x <-> y by two generators, G: x -> y and F: y -> x."""

    needs: ClassVar[str] = "unpaired"
    averaged: ClassVar[tuple[str, ...]] = ("G", "F")
    G: nn.Module
    F: nn.Module

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] in [-1, 1]."""
        y: Tensor = self.G(batch.x)
        return y

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Both directions: the picture, its translation, and the way back."""
        fake_y = self.G(batch.x)
        columns = {"A": batch.x, "A to B": fake_y, "and back": self.F(fake_y)}
        if batch.y is not None:
            fake_x = self.F(batch.y)
            columns |= {"B": batch.y, "B to A": fake_x, "and back ": self.G(fake_x)}
        return columns


# ---- networks by name ----------------------------------------------------------------------------------------------


def unet_depth(depth: int, size: int) -> int:
    """Levels of a U-Net for pictures of side `size`; depth 0 means fitted to it: the most that divide it, at most 8.

    Raises I2IError if `size` is no multiple of 2**depth."""
    fitted = 0
    while fitted < 8 and size % 2 ** (fitted + 1) == 0:
        fitted += 1
    chosen = depth or fitted
    if chosen < 2:
        raise I2IError(f"A U-Net cannot be fitted to pictures of {size} pixels.", "Choose a size such as 128 or 256.")
    if size % 2**chosen:
        raise I2IError(
            f"A U-Net of depth {chosen} needs pictures with sides that are multiples of {2**chosen}; size is {size}.",
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
            raise I2IError(f"The ResNet generator needs pictures of at least 16 pixels; size is {size}.")
        blurred = upsample == "blur"
        count = blocks or (9 if size >= 256 else 6)
        net = ResNet(channels_in, channels_out, count, width, norm, dropout, upsample, antialias=blurred)
    else:
        raise I2IError(f"generator is {name!r}.", f"{nearest(name, ('unet', 'resnet'))} Allowed: unet, resnet.")
    return init_weights(net, init, gain)


def critic(
    name: str, channels: int, size: int, *, width: int, layers: int, norm: str, init: str, gain: float
) -> nn.Module:
    """A PatchGAN or pixel critic with initial weights. Raises I2IError if `size` is too small for its layers."""
    net: nn.Module
    if name == "patchgan":
        if layers < 1 or size // 2**layers < 3:
            raise I2IError(
                f"A PatchGAN of {layers} layers does not fit pictures of {size} pixels.",
                f"It needs at least 1 layer and {3 * 2 ** max(1, layers)} pixels.",
            )
        net = PatchGAN(channels, layers, width, norm)
    elif name == "pixel":
        net = PixelGAN(channels, width, norm)
    else:
        raise I2IError(
            f"discriminator is {name!r}.", f"{nearest(name, ('patchgan', 'pixel'))} Allowed: patchgan, pixel."
        )
    return init_weights(net, init, gain)


def adam(nets: list[nn.Module], lr: float, beta1: float) -> torch.optim.Adam:
    """Adam over whole networks, all updates in one fused kernel."""
    return torch.optim.Adam([p for net in nets for p in net.parameters()], lr=lr, betas=(beta1, 0.999), fused=True)


# ---- learning rate as a pure function of time ----------------------------------------------------------------------


def linear(at: float, hold: float = 0.5, end: float = 1.0) -> float:
    """1 until `hold`, then straight down to 0 at `end`."""
    return 1.0 if at <= hold else max(0.0, 1.0 - (at - hold) / (end - hold))


def cosine(at: float, end: float = 1.0) -> float:
    """Half a cosine from 1 down to 0 at `end`."""
    return 0.5 * (1.0 + math.cos(math.pi * at / end))


def steps(at: float, every: float = 0.25, factor: float = 0.1, hold: float = 0.0) -> float:
    """Times `factor` after each `every`, counted from `hold`."""
    return float(factor ** math.floor(max(0.0, at - hold) / every))


def constant(at: float) -> float:
    """Always 1."""
    return 1.0


RATES: dict[str, Callable[[float], float]] = {
    "linear": linear,
    "cosine": cosine,
    "step": steps,
    "constant": constant,
}


def curve(name: str) -> Callable[[float], float]:
    """The learning-rate curve `name` of RATES over progress in [0, 1]. Raises I2IError if there is none."""
    if name not in RATES:
        raise I2IError(f"decay is {name!r}.", f"{nearest(name, RATES)} Allowed: {', '.join(RATES)}.")
    return RATES[name]


def tested(net: nn.Module, x: Tensor, own: bool, dropout: bool) -> Tensor:
    """`net(x)` in the way a model is tested: in eval mode, or as `as_tested` changes it."""
    training = net.training
    try:
        y: Tensor = as_tested(net, own, dropout)(x)
        return y
    finally:
        as_tested(net, False, False).train(training)
