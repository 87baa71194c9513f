"""SAGAN: Self-Attention Generative Adversarial Networks.

Zhang, Goodfellow, Metaxas, Odena, 2018, arXiv 1805.08318. In one layer of G and of D, each position attends to all
others (`nets.SelfAttention`, as in the released code), so that distant parts of an image fit together:

    min_D  E max(0, 1 - D(x, c)) + E max(0, 1 + D(G(z, c), c))        min_G  -E D(G(z, c), c)        (equation 4)

What is unusual: the weight gamma of the attention starts at 0, so that the networks first are plain residual networks.
G has spectral normalisation, too. D does not make more steps, but has a four times larger learning rate (two
time-scales, section 4). The class enters G by conditional batch norm, and D by projection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from i2i.core.config import NonNegative, OptionalSide, Repeats, UnderOne, Width
from i2i.losses import hinge
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair
from i2i.nets import ResNetDiscriminator, ResNetGenerator


@dataclass(frozen=True)
class SAGANSettings:
    """Settings of SAGAN; the defaults are the paper's for ImageNet at 128 pixels."""

    z: Width = 128  # numbers in the noise vector z
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1]
    width: Width = 64  # channels of G's blocks; above 32 pixels of the last block, doubled backwards
    d_width: Width = 64  # channels of D's blocks; above 32 pixels of the first block, doubled forwards
    attention: OptionalSide = 32  # side in pixels of the maps with self-attention, in G and in D; 0: no attention
    critic_steps: Repeats = 1  # steps of D for each step of G
    lr: NonNegative = 1e-4  # learning rate of G's Adam
    d_lr: NonNegative = 4e-4  # learning rate of D's Adam
    beta1: UnderOne = 0.0  # beta1 of both Adams
    beta2: UnderOne = 0.9  # beta2 of both Adams (released code: 0.999)


class SAGAN(Generate):
    """SAGAN: residual networks with one attention layer each, spectral normalisation and the hinge loss."""

    Config = SAGANSettings
    config: SAGANSettings
    needs = "labelled"
    tiny = {"z": 8, "width": 8, "d_width": 8, "attention": 8, "size": 16}

    def __init__(self, config: SAGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        channels, size, classes = shape.channels_in, shape.size, shape.classes
        attention = config.attention
        self.G = ResNetGenerator(config.z, channels, size, config.width, classes, spectral=True, attention=attention)
        self.D = ResNetDiscriminator(channels, size, config.d_width, classes, attention=attention)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G, at two learning rates."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2, d_lr=c.d_lr)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, then G on new noise, on the last of `critic_steps` steps. The fakes have the classes of the batch."""
        real, c = batch.x, batch.c
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"), c)

        yield "D", {"real": hinge.real(self.D(real, c)), "fake": hinge.fake(self.D(fake, c))}

        if now.last_of(self.config.critic_steps):
            yield "G", {"adv": hinge.adv(self.D(self.G(self.draw(batch, now, "G"), c), c))}
