"""LSGAN: Least Squares Generative Adversarial Networks.

Mao, Li, Xie, Lau, Wang, Smolley, 2016, arXiv 1611.04076. Squares instead of logarithms (equation 2):

    min_D  1/2 E (D(x) - b)^2 + 1/2 E (D(G(z)) - a)^2        min_G  1/2 E (D(G(z)) - c)^2

What is unusual: D has no sigmoid, so that fakes which D takes for real, but which lie far from the boundary, still get
a gradient. The targets (a, b, c) = (0, 1, 1) are the usual ones (equation 9, the default); (-1, 1, 0) minimises
Pearson's chi-square between p_data + p_g and 2 p_g (equation 8). The networks are those of DCGAN; the paper's networks
for LSUN at 112 pixels have 5x5 kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch.optim import Optimizer

from i2i.core.config import NonNegative, UnderOne, Width
from i2i.losses import Adversarial, least_squares
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair
from i2i.nets import DCGANDiscriminator, DCGANGenerator


@dataclass(frozen=True)
class LSGANSettings:
    """Settings of LSGAN; the defaults are the paper's for images other than LSUN."""

    z: Width = 100  # numbers in the noise vector z
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1]
    width: Width = 64  # channels of G at the full size; they double at each halving of the size
    d_width: Width = 64  # channels of D's first layer
    a: float = 0.0  # D's target for fakes
    b: float = 1.0  # D's target for real images
    c: float = 1.0  # G's target
    lr: NonNegative = 2e-4  # learning rate of both Adams; the paper has 1e-3 for LSUN
    beta1: UnderOne = 0.5  # beta1 of both Adams


class LSGAN(Generate):
    """LSGAN: the networks of DCGAN with squared distances to the targets a, b and c."""

    Config = LSGANSettings
    config: LSGANSettings
    tiny = {"z": 8, "width": 4, "d_width": 4, "size": 16}
    loss: Adversarial

    def __init__(self, config: LSGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        self.G = DCGANGenerator(config.z, shape.channels_in, shape.size, config.width)
        self.D = DCGANDiscriminator(shape.channels_in, shape.size, config.d_width)
        self.loss = least_squares(config.a, config.b, config.c)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, then G against the updated D on the same noise."""
        real = batch.x
        fake = self.G(self.draw(batch, now, "G"))

        yield "D", {"real": self.loss.real(self.D(real)), "fake": self.loss.fake(self.D(fake.detach()))}

        yield "G", {"adv": self.loss.adv(self.D(fake))}
