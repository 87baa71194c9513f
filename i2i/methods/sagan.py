"""SAGAN: Self-Attention Generative Adversarial Networks.

Zhang, Goodfellow, Metaxas, Odena, 2018, arXiv 1805.08318. In one layer of G and of D each place looks at all others
(`nets.SelfAttention`, the released code's form), so that far parts of an image fit together:

    min_D  E max(0, 1 - D(x, c)) + E max(0, 1 + D(G(z, c), c))        min_G  -E D(G(z, c), c)        (equation 4)

What is unusual: the attention's weight gamma starts at 0, so that the network is first a plain residual one; spectral
normalisation in G too; instead of more steps D has a four times larger learning rate (two time-scales, section 4).
Classes come in by conditional batch norm in G and by projection in D. Fakes are asked for the classes of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from i2i.core.config import Count, Natural, NonNegative, UnderOne
from i2i.losses import hinge
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair
from i2i.nets import ResNetDiscriminator, ResNetGenerator


@dataclass(frozen=True)
class SAGANSettings:
    """Settings of SAGAN; the defaults are the paper's for ImageNet at 128 pixels."""

    z: Count = 128  # numbers in the noise
    noise: str = "normal"  # normal, uniform (on [-1, 1])
    width: Count = 64  # channels of G's last block, doubled for each halving; up to 32 pixels of all its blocks
    d_width: Count = 64  # the same for D's blocks, above 32 pixels of the first one
    attention: Natural = 32  # side in pixels of the maps that attend, in G and in D; 0: none
    critic_steps: Count = 1  # steps of D for one of G
    lr: NonNegative = 1e-4  # learning rate of G's Adam
    d_lr: NonNegative = 4e-4  # learning rate of D's Adam
    beta1: UnderOne = 0.0  # first momentum of both Adams
    beta2: UnderOne = 0.9  # second momentum of both Adams (released code: 0.999)


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
        """A step of D, then one of G on fresh noise."""
        real, c = batch.x, batch.c
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"), c)

        yield "D", {"real": hinge.real(self.D(real, c)), "fake": hinge.fake(self.D(fake, c))}

        if now.last_of(self.config.critic_steps):
            yield "G", {"adv": hinge.adv(self.D(self.G(self.draw(batch, now, "G"), c), c))}
