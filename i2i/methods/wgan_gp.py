"""WGAN-GP: Improved Training of Wasserstein GANs.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, 2017, arXiv 1704.00028. WGAN with a penalty instead of clamped weights:

    max_D  E D(x) - E D(G(z)) - 10 E (|| grad D(m) ||_2 - 1)^2        min_G  -E D(G(z))        (equation 3, algorithm 1)

What is unusual: m is a random point on the line between a real image and a fake, one for each image. D has no batch
norm, with which the gradient of an image would depend on the other images (here it has layer norm, and no norm in the
ResNet). Adam has beta1 0. D makes five steps for each step of G, all on new images. The networks are those of DCGAN, or
the paper's ResNet for CIFAR-10.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from i2i.core.config import NonNegative, Repeats, UnderOne, Width
from i2i.core.random import counter_uniform
from i2i.losses import gradient_penalty, wasserstein
from i2i.methods import WASSERSTEIN, Batch, Generate, Now, Shape, Terms, adam_pair, linear, sample_ids
from i2i.nets import DCGANDiscriminator, DCGANGenerator, ResNetDiscriminator, ResNetGenerator
from i2i.nets.blocks import check


@dataclass(frozen=True)
class WGANGPSettings:
    """Settings of WGAN-GP; the defaults are those of algorithm 1."""

    z: Width = 100  # numbers in the noise vector z; the paper's ResNet has 128
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1]
    network: str = "dcgan"  # networks: dcgan, resnet
    width: Width = 64  # channels of G at the full size; resnet: of its blocks up to 32 pixels (paper: 128)
    d_width: Width = 64  # channels of D's first layer
    critic_steps: Repeats = 5  # steps of D for each step of G
    gp: NonNegative = 10.0  # weight of the gradient penalty
    lr: NonNegative = 1e-4  # learning rate of both Adams
    beta1: UnderOne = 0.0  # beta1 of both Adams
    beta2: UnderOne = 0.9  # beta2 of both Adams
    decay: str = "constant"  # learning-rate schedule: constant, linear (from the start down to 0, as for the ResNet)


class WGANGP(Generate):
    """WGAN-GP: a critic D with a penalty on the length of its gradient."""

    Config = WGANGPSettings
    config: WGANGPSettings
    term_notes = WASSERSTEIN
    middle = wasserstein.middle
    tiny = {"z": 8, "width": 4, "d_width": 4, "size": 16, "critic_steps": 2}
    double_backward = True

    def __init__(self, config: WGANGPSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        check("network", config.network, ("dcgan", "resnet"))
        self.G: nn.Module
        self.D: nn.Module
        if config.network == "resnet":
            self.G = ResNetGenerator(config.z, shape.channels_in, shape.size, config.width)
            self.D = ResNetDiscriminator(shape.channels_in, shape.size, config.d_width, spectral=False, mean=True)
        else:
            self.G = DCGANGenerator(config.z, shape.channels_in, shape.size, config.width)
            self.D = DCGANDiscriminator(shape.channels_in, shape.size, config.d_width, norm="layer")
        check("decay", config.decay, ("constant", "linear"))
        self.falls = config.decay == "linear"

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2)

    def lr_factor(self, fraction: float) -> float:
        """The schedule that `decay` names."""
        return linear(fraction, hold=0.0) if self.falls else 1.0

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D; then G, on the last of `critic_steps` steps."""
        real = batch.x
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"))

        alpha = counter_uniform(sample_ids(batch, now), 1, now.seed, "gp").to(real)
        yield (
            "D",
            {
                "real": wasserstein.real(self.D(real)),
                "fake": wasserstein.fake(self.D(fake)),
                "gp": self.config.gp * gradient_penalty(self.D, real, fake, alpha),
            },
        )

        if now.last_of(self.config.critic_steps):
            yield "G", {"adv": wasserstein.adv(self.D(self.G(self.draw(batch, now, "G"))))}
