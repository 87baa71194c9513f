"""DCGAN: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks.

Radford, Metz, Chintala, 2015, arXiv 1511.06434. The first convolutional GAN that trains reliably:

    min_D  -E log D(x) - E log(1 - D(G(z)))        min_G  -E log D(G(z))

What is unusual: all layers are strided convolutions, without pooling and hidden dense layers; batch norm is everywhere
except at G's output and D's input; the initial weights are from N(0, 0.02); Adam has beta1 0.5. Real images and fakes
go through D separately, because its batch norm must not mix them. The networks have the 4x4 kernels of the well-known
PyTorch example (the paper's figure shows 5x5 and wider layers), for sides of 8, 16, 32, 64, 128, ... In the variant of
the lecture notes (`project`, `real_target` 0.9), a dense layer projects z, and the real target is smoothed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch.optim import Optimizer

from i2i.core.config import NonNegative, Share, UnderOne, Width
from i2i.losses import Adversarial, smooth_targets
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair
from i2i.nets import DCGANDiscriminator, DCGANGenerator


@dataclass(frozen=True)
class DCGANSettings:
    """Settings of DCGAN; the defaults are those of the PyTorch example."""

    z: Width = 100  # numbers in the noise vector z
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1] (the paper's)
    width: Width = 64  # channels of G at the full size; they double at each halving of the size
    d_width: Width = 64  # channels of D's first layer
    project: bool = False  # make G's first map by a dense layer with bias, without norm and ReLU
    std: NonNegative = 0.02  # standard deviation of the initial weights
    real_target: Share = 1.0  # D's target for real images; 0.9: one-sided label smoothing
    adv_target: Share = 1.0  # G's target: what D shall say of fakes
    lr: NonNegative = 2e-4  # learning rate of both Adams
    beta1: UnderOne = 0.5  # beta1 of both Adams


class DCGAN(Generate):
    """DCGAN: strided convolutions with batch norm, and cross-entropy."""

    Config = DCGANSettings
    config: DCGANSettings
    tiny = {"z": 8, "width": 4, "d_width": 4, "size": 16}
    loss: Adversarial

    def __init__(self, config: DCGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        self.G = DCGANGenerator(config.z, shape.channels_in, shape.size, config.width, config.project, std=config.std)
        self.D = DCGANDiscriminator(shape.channels_in, shape.size, config.d_width, std=config.std)
        self.loss = smooth_targets(config.real_target, config.adv_target)

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
