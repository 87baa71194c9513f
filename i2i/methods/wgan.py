"""WGAN: Wasserstein GAN.

Arjovsky, Chintala, Bottou, 2017, arXiv 1701.07875. The critic D estimates the Wasserstein distance, up to a constant:

    max_D  E D(x) - E D(G(z))  over Lipschitz D        min_G  -E D(G(z))        (equations 2 and 3, algorithm 1)

What is unusual: D has no sigmoid and no logarithm; after each of its steps all its weights are clamped to
[-0.01, 0.01], which keeps it Lipschitz; RMSProp, for momentum makes it unstable; D makes five steps for one of G, each
on fresh images, and a hundred in G's first 25 turns and in each 500th, as in the authors' code. Minus D's loss is a
measure of progress: it falls as the samples get better. The networks are those of DCGAN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.optim import Optimizer, RMSprop

from i2i.core.config import Count, Natural, NonNegative, Positive
from i2i.losses import wasserstein
from i2i.methods import Batch, Generate, Now, Shape, Terms
from i2i.nets import DCGANDiscriminator, DCGANGenerator


@dataclass(frozen=True)
class WGANSettings:
    """Settings of WGAN; the defaults are the paper's."""

    z: Count = 100  # numbers in the noise
    noise: str = "normal"  # normal, uniform (on [-1, 1])
    width: Count = 64  # channels of G before its last layer; doubled for each halving of the size
    d_width: Count = 64  # channels of D's first layer
    critic_steps: Count = 5  # steps of D for one of G
    burst: Count = 100  # steps of D in the first turns of G and now and then
    first: Natural = 25  # turns of G at the start with a burst before each; 0: no bursts at all
    again: Count = 500  # turns of G from burst to burst later
    clamp: Positive = 0.01  # largest absolute weight of D
    lr: NonNegative = 5e-5  # learning rate of both RMSProps


class WGAN(Generate):
    """WGAN: a critic D whose weights are clamped after each of its steps."""

    Config = WGANSettings
    config: WGANSettings
    tiny = {"z": 8, "width": 4, "d_width": 4, "size": 16, "critic_steps": 2, "first": 0}

    def __init__(self, config: WGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        self.G = DCGANGenerator(config.z, shape.channels_in, shape.size, config.width)
        self.D = DCGANDiscriminator(shape.channels_in, shape.size, config.d_width)

    def optimizers(self) -> dict[str, Optimizer]:
        """RMSProp for D, RMSProp for G; without momentum."""
        lr = self.config.lr
        return {"D": RMSprop(self.D.parameters(), lr), "G": RMSprop(self.G.parameters(), lr)}

    def turn(self, step: int) -> bool:
        """Whether G moves in this step, a pure function of the steps made: after five of D, or after a burst."""
        if step < self.config.first * self.config.burst:
            return step % self.config.burst == self.config.burst - 1
        step -= self.config.first * self.config.burst
        if self.config.first:
            step = step % (self.config.burst + (self.config.again - 1) * self.config.critic_steps) - self.config.burst
            if step < 0:
                return step == -1
        return step % self.config.critic_steps == self.config.critic_steps - 1

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """A step of D; then G, if it is its turn."""
        real = batch.x
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"))

        yield "D", {"real": wasserstein.real(self.D(real)), "fake": wasserstein.fake(self.D(fake))}
        with torch.no_grad():
            for p in self.D.parameters():
                p.clamp_(-self.config.clamp, self.config.clamp)

        if self.turn(now.step):
            yield "G", {"adv": wasserstein.adv(self.D(self.G(self.draw(batch, now, "G"))))}
