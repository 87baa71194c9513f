"""Networks used by two or more methods, and `build`, which makes one from its name and arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from i2i.core.errors import I2IError, nearest
from i2i.nets.attention import SelfAttention
from i2i.nets.blocks import init_weights
from i2i.nets.dcgan import DCGANDiscriminator, DCGANGenerator
from i2i.nets.image_pool import ImagePool
from i2i.nets.mlp import Maxout, MLPDiscriminator, MLPGenerator
from i2i.nets.patchgan import PatchGAN, PixelGAN
from i2i.nets.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from i2i.nets.resgan import ConditionalBatchNorm, DownBlock, ResNetDiscriminator, ResNetGenerator, UpBlock
from i2i.nets.resnet import ResNet
from i2i.nets.spectral import Spectral, spectral_norm
from i2i.nets.unet import UNet

__all__ = [
    "NETWORKS",
    "ConditionalBatchNorm",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DownBlock",
    "ImagePool",
    "MLPDiscriminator",
    "MLPGenerator",
    "Maxout",
    "PatchGAN",
    "PixelGAN",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "ResNet",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "SelfAttention",
    "Spectral",
    "UNet",
    "UpBlock",
    "build",
    "init_weights",
    "network_name",
    "register",
    "spectral_norm",
]

NETWORKS: dict[str, type[nn.Module]] = {
    "unet": UNet,
    "resnet": ResNet,
    "patchgan": PatchGAN,
    "pixel": PixelGAN,
    "dcgan_g": DCGANGenerator,
    "dcgan_d": DCGANDiscriminator,
    "resgan_g": ResNetGenerator,
    "resgan_d": ResNetDiscriminator,
    "progressive_g": ProgressiveGenerator,
    "progressive_d": ProgressiveDiscriminator,
    "mlp_g": MLPGenerator,
    "mlp_d": MLPDiscriminator,
}


def register(name: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Class decorator for a network that lives in a method's own file: saved models rebuild it by `name`.

    The network's `.arguments` must hold the arguments it was made with. Raises I2IError if another class has the name.
    """

    def keep(kind: type[nn.Module]) -> type[nn.Module]:
        known = NETWORKS.setdefault(name, kind)
        if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
            both = f"{known.__qualname__} and {kind.__qualname__}"
            raise I2IError(f"Two networks are called {name!r}: {both}.", "Rename one.")
        NETWORKS[name] = kind
        return kind

    return keep


def build(name: str, **arguments: Any) -> nn.Module:
    """The network `name` of NETWORKS, made with `arguments` (what a network's own `.arguments` holds).

    Raises I2IError if the name is unknown or an argument does not fit."""
    if name not in NETWORKS:
        raise I2IError(f"There is no network named {name!r}.", nearest(name, NETWORKS))
    try:
        return NETWORKS[name](**arguments)
    except TypeError as error:
        raise I2IError(f"The network {name} cannot be made: {error}.") from None


def network_name(net: nn.Module) -> str:
    """The name in NETWORKS of a network's type. Raises I2IError if it is none of them."""
    for name, kind in NETWORKS.items():
        if type(net) is kind:
            return name
    raise I2IError(f"{type(net).__name__} is not a network that can be rebuilt by name.", nearest("", NETWORKS))
