"""cGAN: Conditional Generative Adversarial Nets.

Mirza and Osindero, 2014, arXiv 1411.1784. Both networks get the class c as a second input:

    min_G max_D  E log D(x | c) + E log(1 - D(G(z | c) | c))        (equation 2)

What is unusual: only the condition. In the paper's perceptrons, noise and one-hot class have layers of their own before
they meet. In the convolutional form, which makes better images, the class joins z, and D sees it as constant maps
beside the image. The fakes have the classes of the real images in the batch, so that D cannot tell them by their
classes. G minimises -log D.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import Channels, Classes, NonNegative, Positive, Side, UnderOne, Width
from i2i.losses import Adversarial, vanilla
from i2i.methods import Batch, Generate, Now, Shape, Terms, sgd_or_adam_pair
from i2i.nets import DCGANDiscriminator, DCGANGenerator, Maxout, Network, register
from i2i.nets.blocks import check, one_hot


@dataclass(frozen=True)
class CGANSettings:
    """Settings of cGAN; the defaults are the paper's for MNIST."""

    z: Width = 100  # numbers in the noise vector z
    noise: str = "uniform"  # distribution of the noise: uniform on [-1, 1], or normal
    network: str = "mlp"  # networks: mlp (the paper's perceptrons), dcgan (convolutions)
    width: Width = 64  # dcgan: channels of G at the full size
    d_width: Width = 64  # dcgan: channels of D's first layer
    units: Positive = 1.0  # mlp: factor on all widths of the paper
    dropout: UnderOne = 0.5  # mlp: dropout probability in the hidden layers of both
    optimizer: str = "sgd"  # optimizer: sgd (its learning rate falls to a hundred-thousandth), adam
    lr: NonNegative = 0.1  # learning rate of both optimizers
    momentum: UnderOne = 0.5  # momentum of sgd at the start; beta1 of adam
    last_momentum: UnderOne = 0.7  # momentum of sgd at the end; it rises in a straight line


@register("cgan_g")
class CGANGenerator(Network):
    """z -> 200 and c -> 1000 units, together -> 1200 -> image; ReLU, and tanh at the end (section 4.1)."""

    def __init__(
        self, z: Width, classes: Classes, channels: Channels, size: Side, units: float = 1.0, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.classes, self.shape = classes, (channels, size, size)
        a, b, both = (max(1, round(n * units)) for n in (200, 1000, 1200))
        self.of_z = nn.Sequential(nn.Linear(z, a), nn.ReLU(), nn.Dropout(dropout))
        self.of_c = nn.Sequential(nn.Linear(classes, b), nn.ReLU(), nn.Dropout(dropout))
        self.joint = nn.Sequential(
            nn.Linear(a + b, both), nn.ReLU(), nn.Dropout(dropout), nn.Linear(both, math.prod(self.shape)), nn.Tanh()
        )

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z [B, z], c int64 [B] -> [B, channels, size, size]."""
        return self.joint(torch.cat([self.of_z(z), self.of_c(one_hot(c, self.classes, z.dtype))], 1)).view(
            -1, *self.shape
        )


class CGANDiscriminator(nn.Module):
    """x -> 240 units of 5 pieces and c -> 50 of 5, together -> 240 of 4 -> raw score [B]; maxout (section 4.1)."""

    def __init__(self, classes: int, channels: int, size: int, units: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        self.classes = classes
        a, b, both = (max(1, round(n * units)) for n in (240, 50, 240))
        self.of_x = nn.Sequential(nn.Flatten(), Maxout(channels * size * size, a, 5), nn.Dropout(dropout))
        self.of_c = nn.Sequential(Maxout(classes, b, 5), nn.Dropout(dropout))
        self.joint = nn.Sequential(Maxout(a + b, both, 4), nn.Dropout(dropout), nn.Linear(both, 1))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x [B, channels, size, size], c int64 [B] -> [B]."""
        h = torch.cat([self.of_x(x), self.of_c(one_hot(c, self.classes, x.dtype))], 1)
        return self.joint(h).squeeze(1)


class CGAN(Generate):
    """cGAN: G and D get the class as an input, as perceptrons (the paper's) or as convolutions."""

    Config = CGANSettings
    config: CGANSettings
    needs = "labelled"
    tiny = {"z": 8, "units": 0.05, "size": 16}
    loss: Adversarial

    def __init__(self, config: CGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        self.loss = vanilla
        channels, size, k = shape.channels_in, shape.size, shape.classes
        check("network", config.network, ("mlp", "dcgan"))
        check("optimizer", config.optimizer, ("sgd", "adam"))
        self.D: nn.Module
        if config.network == "dcgan":
            self.G = DCGANGenerator(config.z, channels, size, config.width, classes=k)
            self.D = DCGANDiscriminator(channels, size, config.d_width, classes=k)
        else:
            self.G = CGANGenerator(config.z, k, channels, size, config.units, config.dropout)
            self.D = CGANDiscriminator(k, channels, size, config.units, config.dropout)

    def optimizers(self) -> dict[str, Optimizer]:
        """Gradient descent (or Adam) for D, and for G."""
        c = self.config
        return sgd_or_adam_pair(self.D, self.G, c.optimizer, c.lr, c.momentum)

    def lr_factor(self, fraction: float) -> float:
        """With sgd, from 1 down to 1e-5 exponentially, as by the paper's divisor of 1.00004 in each step."""
        return 1.0 if self.config.optimizer == "adam" else float(1e-5**fraction)

    def momentum_at(self, fraction: float) -> float | None:
        """With sgd, from `momentum` to `last_momentum` in a straight line, as in the authors' 250 epochs."""
        c = self.config
        return None if c.optimizer == "adam" else c.momentum + (c.last_momentum - c.momentum) * fraction

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, then G against the updated D on the same noise, all with the classes of the batch."""
        real, c = batch.x, batch.c
        fake = self.G(self.draw(batch, now, "G"), c)

        yield "D", {"real": self.loss.real(self.D(real, c)), "fake": self.loss.fake(self.D(fake.detach(), c))}

        yield "G", {"adv": self.loss.adv(self.D(fake, c))}
