"""InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets.

Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel, 2016, arXiv 1606.03657. Part of the noise is a code c, a category
and some numbers, and G must make images from which Q can read it:

    min_{G, Q} max_D  V(D, G) - lambda L_I(G, Q),    L_I = E log Q(c | G(z, c)) + H(c) <= I(c; G(z, c))   (5 and 6)

What is unusual: without any label, the category learns to mean the digit, and the numbers learn its slant and width. Q
reads the code from features that it shares with D. Q's own layers learn with G, the shared layers with D, and Q never
sees a real image. H(c) is constant, so the terms below are -log Q alone: `category` starts at log K, and is 0 when
every code is read correctly. The networks are the paper's for MNIST (table 1); sides are multiples of 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import Channels, NonNegative, OptionalWidth, Side, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.losses import Adversarial, category, gaussian_nll, vanilla
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair
from i2i.nets import Network, init_weights, register
from i2i.nets.latent import Latent


@dataclass(frozen=True)
class InfoGANSettings:
    """Settings of InfoGAN; the defaults are the paper's for MNIST."""

    z: OptionalWidth = 62  # numbers in the noise vector z, without the codes
    noise: str = "uniform"  # distribution of the noise: uniform on [-1, 1], or normal
    categories: Width = 10  # values that the categorical code can have
    numbers: OptionalWidth = 2  # number of continuous codes, each uniform on [-1, 1]
    units: Width = 1024  # units of the dense layers; the maps have an eighth and a sixteenth as many channels
    slope: NonNegative = 0.1  # slope of the leaky ReLU in D and Q
    mutual: NonNegative = 1.0  # weight lambda of the information about the categorical code
    mutual_numbers: NonNegative = 1.0  # weight lambda of the information about the continuous codes
    lr: NonNegative = 1e-3  # learning rate of the Adam of G and Q
    d_lr: NonNegative = 2e-4  # learning rate of D's Adam; if it is as high as G's, the codes lose their meaning
    beta1: UnderOne = 0.5  # beta1 of both Adams


@register("infogan_g")
class InfoGANGenerator(Network):
    """(z, c) -> dense -> dense -> maps of size/4, then two transposed convolutions 4/2/1."""

    def __init__(self, z: Width = 74, channels: Channels = 1, size: Side = 28, units: Width = 1024) -> None:
        super().__init__()
        if size % 4:
            raise I2IError(
                f"size is {size}, but InfoGAN makes images whose side is a multiple of 4.", "Choose 28 or 32."
            )
        self.side, wide, thin = size // 4, units // 8, units // 16
        self.dense = nn.Sequential(
            *[nn.Linear(z, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()],
            *[nn.Linear(units, wide * self.side**2, bias=False), nn.BatchNorm1d(wide * self.side**2), nn.ReLU()],
        )
        self.main = nn.Sequential(
            *[nn.ConvTranspose2d(wide, thin, 4, 2, 1, bias=False), nn.BatchNorm2d(thin), nn.ReLU()],
            *[nn.ConvTranspose2d(thin, channels, 4, 2, 1), nn.Tanh()],
        )

    def forward(self, z: Tensor) -> Tensor:
        """z and code side by side [B, z] -> [B, channels, size, size]."""
        return self.main(self.dense(z).view(len(z), -1, self.side, self.side))


def trunk(channels: int, size: int, units: int, slope: float) -> nn.Sequential:
    """The layers that D and Q share: [B, channels, size, size] -> features [B, units]."""
    wide, thin = units // 8, units // 16
    return nn.Sequential(
        *[nn.Conv2d(channels, thin, 4, 2, 1), nn.LeakyReLU(slope)],
        *[nn.Conv2d(thin, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(slope), nn.Flatten()],
        *[nn.Linear(wide * (size // 4) ** 2, units, bias=False), nn.BatchNorm1d(units), nn.LeakyReLU(slope)],
    )


class InfoGAN(Generate):
    """InfoGAN: Q reads the code back from the image, on features that it shares with D."""

    Config = InfoGANSettings
    config: InfoGANSettings
    discriminators = ("shared",)
    term_notes = {
        "category": "How well the category in the noise can be read from the images (cross-entropy, times its weight). "
        "Lower is better; the logarithm of the number of categories is guessing.",
        "numbers": "How well the continuous codes can be read from the images (negative log-likelihood, times its "
        "weight). Lower is better.",
    }
    tiny = {"z": 6, "categories": 3, "units": 32, "size": 16}
    loss: Adversarial

    def __init__(self, config: InfoGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        self.loss = vanilla
        channels, size, units, k = shape.channels_in, shape.size, config.units, config.categories
        self.G = init_weights(InfoGANGenerator(self.latent.width, channels, size, units))
        self.shared = init_weights(trunk(channels, size, units, config.slope))
        self.D = init_weights(nn.Linear(units, 1))
        inner = units // 8
        self.Q = init_weights(
            nn.Sequential(
                *[nn.Linear(units, inner, bias=False), nn.BatchNorm1d(inner), nn.LeakyReLU(config.slope)],
                nn.Linear(inner, k + config.numbers),
            )
        )
        self.parts = (config.z, k, config.numbers)

    @classmethod
    def latent_of(cls, config: InfoGANSettings) -> Latent:
        """Noise, the categorical code, the continuous codes."""
        parts = [(config.noise, config.z), ("code", config.categories), ("uniform", config.numbers)]
        return Latent(tuple(part for part in parts if part[1]))

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D and the shared layers, Adam for G and Q."""
        c = self.config
        return adam_pair([self.shared, self.D], [self.G, self.Q], c.lr, c.beta1, d_lr=c.d_lr)

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """D's raw scores [B]."""
        return self.D(self.shared(x)).squeeze(1)

    def information(self, features: Tensor, z: Tensor) -> Terms:
        """-lambda log Q of the codes in z [B, width], read from the features [B, units] of the images made from z."""
        _, code, numbers = z.split(self.parts, 1)
        logits, means = self.Q(features).split(self.parts[1:], 1)
        terms = {"category": self.config.mutual * category(logits, code.argmax(1))}
        if self.parts[2]:
            terms["numbers"] = self.config.mutual_numbers * gaussian_nll(numbers, means)
        return terms

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D and the shared layers, then G and Q against them on the same noise and codes."""
        real = batch.x
        z = self.draw(batch, now, "G")
        fake = self.G(z)

        seen = self.shared(fake.detach())
        yield (
            "D",
            {
                "real": self.loss.real(self.D(self.shared(real))),
                "fake": self.loss.fake(self.D(seen)),
                **self.information(seen, z),
            },
        )

        seen = self.shared(fake)
        yield "G", {"adv": self.loss.adv(self.D(seen)), **self.information(seen, z)}
