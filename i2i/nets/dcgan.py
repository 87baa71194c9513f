"""The networks of DCGAN (Radford et al. 2015, arXiv 1511.06434): strided convolutions, no hidden linear layer.

The order of the layers is that of the PyTorch example, for any side of 4 times a power of two. At 64 pixels and width
64 the generator has 3,576,704 parameters and the discriminator 2,765,568.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from i2i.core.config import Channels, Classes, Side, Width
from i2i.nets.blocks import InstanceNorm, LeakyReLU, check, doublings, init_weights, one_hot
from i2i.nets.registry import Network, register

DISCRIMINATOR_NORMS = ("batch", "layer", "instance", "none")


@register("dcgan_g")
class DCGANGenerator(Network):
    """z [B, z] (and a class c [B]) -> images [B, channels, size, size] in [-1, 1] by transposed convolutions 4/2/1.

    width: channels before the last layer; each halving of the size doubles them, up to 16 * width. project: a linear
    layer with bias makes the 4x4 map, without norm and ReLU after it. classes: above 0, the class is joined to z as
    a one-hot row. std: standard deviation of the first weights.
    """

    def __init__(
        self,
        z: Width = 100,
        channels: Channels = 3,
        size: Side = 64,
        width: Width = 64,
        project: bool = False,
        classes: Classes = 0,
        std: float = 0.02,
    ) -> None:
        super().__init__()
        self.classes = classes
        count = doublings(size)
        widths = [width * min(16, 2**k) for k in range(count - 1, -1, -1)]
        layers: list[nn.Module] = []
        if project:
            self.project: nn.Module = nn.Linear(z + classes, widths[0] * 16)
        else:
            self.project = nn.Identity()
            layers += [nn.ConvTranspose2d(z + classes, widths[0], 4, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for before, after in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        init_weights(self, "normal", std)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [B, z] and, with classes, c int64 [B] -> [B, channels, size, size]."""
        if self.classes:
            z = torch.cat([z, one_hot(c, self.classes, z.dtype)], 1)
        side = 1 if isinstance(self.project, nn.Identity) else 4
        return self.main(self.project(z).view(len(z), -1, side, side))


@register("dcgan_d")
class DCGANDiscriminator(Network):
    """Images [B, channels, size, size] (and a class c [B]) -> raw scores [B], or [B, outputs] with several outputs.

    width: channels of the first layer; each halving of the size doubles them, up to 16 * width. norm: batch, layer,
    instance or none, in all but the first and last layer. A gradient penalty needs one of the last three: under batch
    norm the gradient of an image depends on the others. classes: above 0, the class is shown as constant maps, one per
    class, beside the image. outputs: scores per image. std: standard deviation of the first weights.
    """

    def __init__(
        self,
        channels: Channels = 3,
        size: Side = 64,
        width: Width = 64,
        norm: str = "batch",
        classes: Classes = 0,
        outputs: Width = 1,
        std: float = 0.02,
    ) -> None:
        super().__init__()
        check("norm of the discriminator", norm, DISCRIMINATOR_NORMS)
        self.classes, self.outputs = classes, outputs
        widths = [width * min(16, 2**k) for k in range(doublings(size))]
        layers: list[nn.Module] = [nn.Conv2d(channels + classes, widths[0], 4, 2, 1, bias=False)]
        layers += [LeakyReLU(0.2)]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), discriminator_norm(norm, after)]
            layers += [LeakyReLU(0.2)]
        layers += [nn.Conv2d(widths[-1], outputs, 4, bias=False)]
        self.main = nn.Sequential(*layers)
        init_weights(self, "normal", std)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """x [B, channels, size, size] and, with classes, c int64 [B] -> [B] or [B, outputs]."""
        if self.classes:
            maps = one_hot(c, self.classes, x.dtype)[..., None, None]
            x = torch.cat([x, maps.expand(-1, -1, *x.shape[2:])], 1)
        scores = self.main(x).flatten(1)
        return scores.squeeze(1) if self.outputs == 1 else scores


def discriminator_norm(kind: str, channels: int) -> nn.Module:
    """A norm of CRITIC_NORMS for maps of `channels`. Layer norm is over channels and space, with a gain per channel."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    return InstanceNorm(channels, affine=True) if kind == "instance" else nn.Identity()
