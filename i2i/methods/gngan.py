"""GN-GAN: Gradient Normalization for Generative Adversarial Networks.

Wu, Shuai, Tam, Chiu, 2021, arXiv 2109.02235. The score f of D is divided by the length of its own gradient:

    f^(x) = f(x) / (|| grad f(x) ||_2 + |f(x)|)        (equation 7)

so that f^ lies in (-1, 1), and is 1-Lipschitz where D is piecewise linear.

What is unusual: the bound is exact (not a penalty), holds at every image (not at samples), and for D as a whole (not
for each layer, as spectral norm). It applies to real images and fakes, in the steps of D and of G, and gradients flow
through both numerator and denominator. D must have no batch norm; its last layer may have any size. D makes five steps
for each step of G, which has twice as many fakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import NonNegative, Repeats, UnderOne, Width
from i2i.losses import gradient_normalized
from i2i.losses.adversarial import Adversarial, adversarial
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair, linear
from i2i.nets import DCGANDiscriminator, DCGANGenerator, ResNetDiscriminator, ResNetGenerator
from i2i.nets.blocks import check


@dataclass(frozen=True)
class GNGANSettings:
    """Settings of GN-GAN; the defaults are the paper's for CIFAR-10 with residual networks."""

    z: Width = 128  # numbers in the noise vector z
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1]
    network: str = "resnet"  # networks: resnet, dcgan
    width: Width = 256  # channels of G's blocks; above 32 pixels of the last block, doubled backwards
    d_width: Width = 128  # channels of D's blocks; above 32 pixels of the first block, doubled forwards
    loss: str = "hinge"  # adversarial loss: hinge, vanilla (the paper's for plain convolutions), wasserstein
    critic_steps: Repeats = 5  # steps of D for each step of G
    g_batch: Repeats = 2  # batches of fakes in each step of G
    lr: NonNegative = 2e-4  # learning rate of G's Adam
    d_lr: NonNegative = 4e-4  # learning rate of D's Adam
    beta1: UnderOne = 0.0  # beta1 of both Adams
    beta2: UnderOne = 0.9  # beta2 of both Adams


class GNGAN(Generate):
    """GN-GAN: D's score is divided by the length of its own gradient."""

    Config = GNGANSettings
    config: GNGANSettings
    tiny = {"z": 8, "width": 8, "d_width": 8, "size": 16, "critic_steps": 2}
    double_backward = True
    loss: Adversarial

    def __init__(self, config: GNGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        channels, size = shape.channels_in, shape.size
        check("network", config.network, ("resnet", "dcgan"))
        self.G: nn.Module
        self.D: nn.Module
        if config.network == "resnet":
            self.G = ResNetGenerator(config.z, channels, size, config.width, init="kaiming")
            self.D = ResNetDiscriminator(channels, size, config.d_width, spectral=False, mean=True, init="kaiming")
        else:
            self.G = DCGANGenerator(config.z, channels, size, config.width)
            self.D = DCGANDiscriminator(channels, size, config.d_width, norm="none")
        self.loss = adversarial(config.loss)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2, d_lr=c.d_lr)

    def lr_factor(self, fraction: float) -> float:
        """In a straight line down to 0."""
        return linear(fraction, hold=0.0)

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """D's normalised scores [B] of images."""
        return gradient_normalized(self.D, x)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D; then G, on the last of `critic_steps` steps."""
        real = batch.x
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"))

        yield "D", {"real": self.loss.real(self.score(real)), "fake": self.loss.fake(self.score(fake))}

        if now.last_of(self.config.critic_steps):
            z = torch.cat([self.draw(batch, now, f"G/{k}") for k in range(self.config.g_batch)])
            yield "G", {"adv": self.loss.adv(self.score(self.G(z)))}
