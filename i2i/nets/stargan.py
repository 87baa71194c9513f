"""StarGAN's networks: one generator for all domains, and a discriminator that names the domain (arXiv 1711.09020).

Names of layers are those of the released checkpoints. What is unusual: the label is laid out as maps behind the image's
channels, and padding is with zeros: with reflection, the first norm would remove the label, a constant, exactly. The
released code tracks running statistics in its norms and never uses them; here the norms have none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from i2i.core.config import Blocks, Channels, Layers, Side, Width
from i2i.core.errors import I2IError
from i2i.nets.blocks import InstanceNorm, ResizeConv, check
from i2i.nets.choice import Choice, Choosing
from i2i.nets.domains import Domains
from i2i.nets.registry import Network, register

SLOPE = 0.01  # of the discriminator's leaky ReLU
MOST_LAYERS = 6  # of the discriminator: for images of 128 pixels and more


def _norm(width: int) -> nn.Module:
    return InstanceNorm(width, affine=True)


class _Block(nn.Module):
    """x + [conv3, norm, ReLU, conv3, norm]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *[nn.Conv2d(width, width, 3, 1, 1, bias=False), _norm(width), nn.ReLU()],
            *[nn.Conv2d(width, width, 3, 1, 1, bias=False), _norm(width)],
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)


@register("stargan")
class StarGANGenerator(Choosing):
    """(x, label) -> the image in the domain of the label. width: channels of the first layer.

    bits, classes, exclusive: see i2i.nets.domains.Domains. upsample: transposed, or resize (no checkerboard). mask: one
    more map says which part of each pixel is made, and the rest is the input's (Pumarola et al. 2018, arXiv
    1807.09251)."""

    choices = ("to",)
    multiple = 4  # of which the sides of images must be multiples

    def __init__(
        self,
        bits: list[str],
        classes: list[str],
        exclusive: list[list[str]],
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        width: Width = 64,
        blocks: Blocks = 6,
        upsample: str = "transposed",
        mask: bool = False,
    ) -> None:
        super().__init__()
        check("upsample", upsample, ("transposed", "resize"))
        self.mask = mask
        self.labels = Domains(tuple(bits), tuple(classes), tuple(map(tuple, exclusive)))
        if not self.labels.names:
            raise I2IError(
                "A StarGAN generator needs a domain, but bits and classes are empty.", "Give bits or classes."
            )
        layers: list[nn.Module] = [nn.Conv2d(channels_in + self.labels.width, width, 7, 1, 3, bias=False)]
        layers += [_norm(width), nn.ReLU()]
        for w in (width, 2 * width):
            layers += [nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), _norm(2 * w), nn.ReLU()]
        layers += [_Block(4 * width) for _ in range(blocks)]
        for w in (4 * width, 2 * width):
            if upsample == "resize":
                up: nn.Module = ResizeConv(w, w // 2, False)
            else:
                up = nn.ConvTranspose2d(w, w // 2, 4, 2, 1, bias=False)
            layers += [up, _norm(w // 2), nn.ReLU()]
        layers += [nn.Conv2d(width, channels_out + mask, 7, 1, 3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        self.register_buffer("first", self.labels.label(), persistent=False)
        self.first: Tensor

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the attributes, then of the classes."""
        return self.labels.names

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """x [B, C, H, W], labels c [B, width] -> [B, C, H, W]. Without labels: into the first domain."""
        label = self.first.to(x)[None].expand(len(x), -1) if c is None else c.to(x)
        maps = label[:, :, None, None].expand(-1, -1, *x.shape[2:])
        y = self.main(torch.cat([x, maps], 1))
        if not self.mask:
            return y
        share = (y[:, -1:] + 1) / 2  # of each pixel that is made, 0 to 1
        return share * y[:, :-1] + (1 - share) * x

    def chosen(self, choice: Choice) -> nn.Module:
        """The translation into the attributes or the class that `choice.to` names. Raises I2IError for other names."""
        return _Labelled(self, self.labels.label(choice.to))


class _Labelled(nn.Module):
    """A generator with one label for all images."""

    def __init__(self, generator: StarGANGenerator, label: Tensor) -> None:
        super().__init__()
        self.generator, self.multiple = generator, generator.multiple
        self.register_buffer("label", label, persistent=False)
        self.label: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        return self.generator(x, self.label[None].expand(len(x), -1))


@register("stargan_d")
class StarGANDiscriminator(Network):
    """Image -> (score map [B, 1, h, w], raw scores of the domains [B, outputs]).

    layers: each halves the size; 0: down to a map of two pixels a side, six at most."""

    def __init__(
        self, outputs: Width, channels: Channels = 3, size: Side = 128, width: Width = 64, layers: Layers | int = 0
    ) -> None:
        super().__init__()
        layers = layers or _layers_for(size)
        if size % 2**layers:
            raise I2IError(
                f"size is {size}, and a StarGAN discriminator of {layers} layers halves it {layers} times.",
                f"Give a multiple of {2**layers}.",
            )
        main: list[nn.Module] = []
        before = channels
        for i in range(layers):
            main += [nn.Conv2d(before, width * 2**i, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            before = width * 2**i
        self.main = nn.Sequential(*main)
        self.conv1 = nn.Conv2d(before, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(before, outputs, size // 2**layers, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, channels, size, size] -> the score map and the raw scores of the domains."""
        h = self.main(x)
        return self.conv1(h), self.conv2(h).flatten(1)


def _layers_for(size: int) -> int:
    """The most layers, up to MOST_LAYERS, that leave whole maps of two pixels a side or more."""
    layers = 1
    while layers < MOST_LAYERS and size % 2 ** (layers + 1) == 0 and size >> (layers + 1) >= 2:
        layers += 1
    return layers
