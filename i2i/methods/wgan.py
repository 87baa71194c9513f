"""WGAN: Wasserstein GAN.

Arjovsky, Chintala, Bottou, 2017, arXiv 1701.07875. The critic D estimates the Wasserstein distance, up to a constant:

    max_D  E D(x) - E D(G(z))  over Lipschitz D        min_G  -E D(G(z))        (equations 2 and 3, algorithm 1)

What is unusual: D has no sigmoid and no logarithm. After each of its steps, all its weights are clamped to [-0.01,
0.01], which keeps it Lipschitz. The optimizer is RMSProp, because momentum makes training unstable. D makes five steps
for each step of G, all on new images; before each of G's first 25 steps, and later before each 500th, it makes a
hundred, as in the authors' code. Minus the loss of D measures progress: it falls as the samples get better. The
networks are those of DCGAN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from i2i.core.config import Count, Natural, NonNegative, Positive, Repeats, Width
from i2i.core.eager import RMSprop
from i2i.losses import wasserstein
from i2i.methods import WASSERSTEIN, Batch, Generate, Now, Shape, Terms
from i2i.nets import DCGANDiscriminator, DCGANGenerator


@dataclass(frozen=True)
class WGANSettings:
    """Settings of WGAN; the defaults are the paper's."""

    z: Width = 100  # numbers in the noise vector z
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1]
    width: Width = 64  # channels of G at the full size; they double at each halving of the size
    d_width: Width = 64  # channels of D's first layer
    critic_steps: Repeats = 5  # steps of D for each step of G
    burst: Repeats = 100  # steps of D before G's first steps, and before each `again`-th step of G
    first: Natural = 25  # steps of G at the start that have such a burst before them; 0: no bursts at all
    again: Count = 500  # later: steps of G from one burst to the next
    clamp: Positive = 0.01  # largest absolute weight of D
    lr: NonNegative = 5e-5  # learning rate of both RMSProps


class WGAN(Generate):
    """WGAN: a critic D whose weights are clamped after each of its steps."""

    Config = WGANSettings
    config: WGANSettings
    term_notes = WASSERSTEIN
    middle = wasserstein.middle
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
        """True if G learns in this step: after `critic_steps` steps of D, or after a burst."""
        if step < self.config.first * self.config.burst:
            return step % self.config.burst == self.config.burst - 1
        step -= self.config.first * self.config.burst
        if self.config.first:
            step = step % (self.config.burst + (self.config.again - 1) * self.config.critic_steps) - self.config.burst
            if step < 0:
                return step == -1
        return step % self.config.critic_steps == self.config.critic_steps - 1

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, whose weights are then clamped; then G, if it is its turn."""
        real = batch.x
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"))

        yield "D", {"real": wasserstein.real(self.D(real)), "fake": wasserstein.fake(self.D(fake))}
        with torch.no_grad():
            for p in self.D.parameters():
                p.clamp_(-self.config.clamp, self.config.clamp)

        if self.turn(now.step):
            yield "G", {"adv": wasserstein.adv(self.D(self.G(self.draw(batch, now, "G"))))}
