"""SN-GAN: Spectral Normalization for Generative Adversarial Networks.

Miyato, Kataoka, Koyama, Yoshida, 2018, arXiv 1802.05957. Every weight of D is divided by its largest singular value.
One step of power iteration in each forward pass estimates it (algorithm 1). So D is Lipschitz by construction:

    min_D  E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))        min_G  -E D(G(z))        (equations 16 and 17)

What is unusual: there is no penalty and no clamping. Real images and fakes go through D separately, each with a step of
power iteration. D makes five steps for each step of G, which has twice as many fakes. Both learning rates fall to 0 in
a straight line. The networks are the paper's residual networks (table 4), or its plain convolutions (table 3), for
which the paper has one step of D, one batch of fakes, and betas of 0.5 and 0.999. The recipe tells what small
discriminators need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import Channels, NonNegative, Repeats, Side, UnderOne, Width
from i2i.losses import hinge
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair, linear
from i2i.nets import Network, ResNetDiscriminator, ResNetGenerator, init_weights, register, spectral_norm
from i2i.nets.blocks import check, doublings


@dataclass(frozen=True)
class SNGANSettings:
    """Settings of SN-GAN; the defaults are the paper's for CIFAR-10."""

    z: Width = 128  # numbers in the noise vector z
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1]
    network: str = "resnet"  # networks: resnet (table 4), plain (table 3)
    width: Width = 256  # channels of G's blocks; above 32 pixels of the last block, doubled backwards; plain: 64
    d_width: Width = 128  # channels of D's blocks; above 32 pixels of the first block, doubled forwards; plain: 64
    critic_steps: Repeats = 5  # steps of D for each step of G
    g_batch: Repeats = 2  # batches of fakes in each step of G
    lr: NonNegative = 2e-4  # learning rate of G's Adam
    d_lr: NonNegative = 2e-4  # learning rate of D's Adam
    beta1: UnderOne = 0.0  # beta1 of both Adams
    beta2: UnderOne = 0.9  # beta2 of both Adams


@register("sngan_plain_g")
class SNGANPlainGenerator(Network):
    """z -> dense -> 4x4, transposed convolutions 4/2/1 up to `width` channels, a convolution 3x3 (table 3)."""

    def __init__(self, z: Width, channels: Channels = 3, size: Side = 32, width: Width = 64) -> None:
        super().__init__()
        count = doublings(size)
        self.dense = nn.Linear(z, width * 2**count * 16)
        layers: list[nn.Module] = []
        for k in reversed(range(count)):
            after = width * 2**k
            layers += [nn.ConvTranspose2d(2 * after, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh())
        init_weights(self)

    def forward(self, z: Tensor) -> Tensor:
        """z [B, z] -> [B, channels, size, size]."""
        return self.main(self.dense(z).view(len(z), -1, 4, 4))


class SNGANPlainDiscriminator(nn.Module):
    """Convolutions 3x3 and 4/2/1 in turn down to 4x4, one more 3x3, dense; all normalised (table 3)."""

    def __init__(self, channels: int = 3, size: int = 32, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for k in range(doublings(size)):
            wide = width * 2**k
            layers += [nn.Conv2d(before, wide, 3, 1, 1), nn.LeakyReLU(0.1)]
            layers += [nn.Conv2d(wide, wide, 4, 2, 1), nn.LeakyReLU(0.1)]
            before = wide
        layers += [nn.Conv2d(before, 2 * before, 3, 1, 1), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(32 * before, 1)]
        self.main = nn.Sequential(*layers)
        init_weights(self)
        for layer in layers:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spectral_norm(layer)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, channels, size, size] -> [B]."""
        return self.main(x).squeeze(1)


class SNGAN(Generate):
    """SN-GAN: every weight of D is divided by its largest singular value."""

    Config = SNGANSettings
    config: SNGANSettings
    tiny = {"z": 8, "width": 8, "d_width": 8, "size": 16, "critic_steps": 2}

    def __init__(self, config: SNGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        check("network", config.network, ("resnet", "plain"))
        self.G: nn.Module
        self.D: nn.Module
        if config.network == "resnet":
            self.G = ResNetGenerator(config.z, shape.channels_in, shape.size, config.width)
            self.D = ResNetDiscriminator(shape.channels_in, shape.size, config.d_width)
        else:
            self.G = SNGANPlainGenerator(config.z, shape.channels_in, shape.size, config.width)
            self.D = SNGANPlainDiscriminator(shape.channels_in, shape.size, config.d_width)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2, d_lr=c.d_lr)

    def lr_factor(self, fraction: float) -> float:
        """In a straight line down to 0."""
        return linear(fraction, hold=0.0)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D; then G, on the last of `critic_steps` steps."""
        real = batch.x
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"))

        yield "D", {"real": hinge.real(self.D(real)), "fake": hinge.fake(self.D(fake))}

        if now.last_of(self.config.critic_steps):
            z = torch.cat([self.draw(batch, now, f"G/{k}") for k in range(self.config.g_batch)])
            yield "G", {"adv": hinge.adv(self.D(self.G(z)))}
