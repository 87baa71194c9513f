"""AC-GAN: Conditional Image Synthesis with Auxiliary Classifier GANs.

Odena, Olah, Shlens, 2016, arXiv 1610.09585. D tells real images from fakes (source) and names their class. With

    L_S = E log P(real | x) + E log P(fake | G(z, c))        L_C = E log P(c | x) + E log P(c | G(z, c))

D maximises L_S + L_C, and G maximises L_C - L_S (equations 2 and 3; the source term of G is -log P(real)).

What is unusual: D does not get the class as an input, but must see it in the image. Both class terms train D, as in the
paper; `fake_class` 0 leaves out the term of the fakes, so that bad samples do not teach D. The networks are the paper's
for CIFAR-10 (the one-hot class joins z, kernels 5x5 in G, dropout and noise in D), or a small pair that multiplies the
embedded class with z.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import Channels, Classes, NonNegative, Side, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.losses import Adversarial, category, vanilla
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair
from i2i.nets import DCGANDiscriminator, Network, init_weights, register
from i2i.nets.blocks import check, one_hot


@dataclass(frozen=True)
class ACGANSettings:
    """Settings of AC-GAN; the defaults are the paper's for CIFAR-10."""

    z: Width = 100  # numbers in the noise vector z
    noise: str = "uniform"  # distribution of the noise: uniform on [-1, 1], or normal
    network: str = "paper"  # pair of networks: paper (of the paper), small
    width: Width = 384  # channels of G's first map; 128 suits the small pair
    d_width: Width = 16  # channels of D's first layer
    dropout: UnderOne = 0.5  # paper: dropout probability in D
    std: NonNegative = 0.0  # paper: standard deviation of noise added to D's maps; the paper tried 0, 0.1 and 0.2
    cls: NonNegative = 1.0  # weight of the class terms
    fake_class: NonNegative = 1.0  # weight of D's class term on fakes, times cls; 0: no such term
    lr: NonNegative = 2e-4  # learning rate of both Adams
    beta1: UnderOne = 0.5  # beta1 of both Adams


@register("acgan_g")
class ACGANGenerator(Network):
    """(z, one-hot c) -> dense -> width x size/8 x size/8, then three transposed convolutions 5x5 (appendix A)."""

    def __init__(self, z: Width, classes: Classes, channels: Channels = 3, size: Side = 32, width: Width = 384) -> None:
        super().__init__()
        if size % 8:
            raise I2IError(
                f"size is {size}, but AC-GAN makes images whose side is a multiple of 8.", "Choose 32 or 64."
            )
        self.classes, self.side = classes, size // 8
        self.dense = nn.Sequential(nn.Linear(z + classes, width * self.side**2), nn.ReLU())
        a, b = max(1, width // 2), max(1, width // 4)
        self.main = nn.Sequential(
            *[nn.ConvTranspose2d(width, a, 5, 2, 2, 1, bias=False), nn.BatchNorm2d(a), nn.ReLU()],
            *[nn.ConvTranspose2d(a, b, 5, 2, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()],
            *[nn.ConvTranspose2d(b, channels, 5, 2, 2, 1), nn.Tanh()],
        )

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z [B, z], c int64 [B] -> [B, channels, size, size]."""
        h = self.dense(torch.cat([z, one_hot(c, self.classes, z.dtype)], 1))
        return self.main(h.view(len(z), -1, self.side, self.side))


class ACGANDiscriminator(nn.Module):
    """Six convolutions 3x3 that halve the size three times, dropout and noise; -> [B, 1 + classes] (appendix A)."""

    def __init__(
        self, classes: int, channels: int = 3, size: int = 32, width: int = 16, dropout: float = 0.5, std: float = 0.0
    ) -> None:
        super().__init__()
        self.std = std
        layers: list[nn.Module] = []
        before = channels
        for k in range(6):
            after = width * 2**k
            layers.append(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, 1 + (k % 2 == 0), 1, bias=k == 0),
                    nn.BatchNorm2d(after) if k else nn.Identity(),
                    nn.LeakyReLU(0.2),
                    nn.Dropout(dropout),
                )
            )
            before = after
        self.layers = nn.ModuleList(layers)
        self.heads = nn.Linear(before * (size // 8) ** 2, 1 + classes)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, channels, size, size] -> raw source score and raw class scores [B, 1 + classes]."""
        for layer in self.layers:
            if self.std and self.training:
                x = x + self.std * torch.randn_like(x)
            x = layer(x)
        return self.heads(x.flatten(1))


@register("acgan_small_g", former={"eps": 1e-5})
class ACGANSmallGenerator(Network):
    """embedding(c) * z -> dense -> width x size/4 x size/4, doubled twice by repeating pixels before convolutions."""

    def __init__(self, z: Width, classes: Classes, channels: Channels = 3, size: Side = 32, width: Width = 128) -> None:
        super().__init__()
        if size % 4:
            raise I2IError(
                f"size is {size}, but AC-GAN's small pair makes images whose side is a multiple of 4.", "Choose 32."
            )
        self.side = size // 4
        self.embedding = nn.Embedding(classes, z)
        self.dense = nn.Linear(z, width * self.side**2)
        half = max(1, width // 2)
        self.main = nn.Sequential(
            *[nn.BatchNorm2d(width), nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, 1, 1)],
            *[nn.BatchNorm2d(width), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2)],
            *[nn.Conv2d(width, half, 3, 1, 1), nn.BatchNorm2d(half), nn.LeakyReLU(0.2)],
            *[nn.Conv2d(half, channels, 3, 1, 1), nn.Tanh()],
        )

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z [B, z], c int64 [B] -> [B, channels, size, size]."""
        h = self.dense(self.embedding(c) * z)
        return self.main(h.view(len(z), -1, self.side, self.side))


class ACGAN(Generate):
    """AC-GAN: D names the class of each image beside judging it; both class terms train D and G."""

    Config = ACGANSettings
    config: ACGANSettings
    needs = "labelled"
    term_notes = {
        "D/cls": "How well the discriminator tells the classes of real images (cross-entropy, times its weight). Lower "
        "is better; the logarithm of the number of classes is guessing.",
        "D/fake_cls": "How well the discriminator recognizes the class that each generated image should have. "
        "Lower is better.",
        "G/cls": "How well the discriminator finds the classes that the generator was asked for. Lower is better: the "
        "images show their class.",
    }
    tiny = {"z": 8, "width": 16, "d_width": 2, "size": 16}
    loss: Adversarial

    def __init__(self, config: ACGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        self.loss = vanilla
        channels, size, k = shape.channels_in, shape.size, shape.classes
        check("network", config.network, ("paper", "small"))
        self.D: nn.Module
        if config.network == "paper":
            self.G = init_weights(ACGANGenerator(config.z, k, channels, size, config.width))
            self.D = init_weights(ACGANDiscriminator(k, channels, size, config.d_width, config.dropout, config.std))
        else:
            self.G = init_weights(ACGANSmallGenerator(config.z, k, channels, size, config.width))
            self.D = DCGANDiscriminator(channels, size, config.d_width, outputs=1 + k)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1)

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """D's raw source scores [B]."""
        return self.judge(x)[0]

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D's raw source scores [B] and raw class scores [B, classes] of images."""
        scores = self.D(x)
        return scores[:, 0], scores[:, 1:]

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, then G against the updated D on the same noise. The fakes have the classes of the batch."""
        real, c, cls = batch.x, batch.c, self.config.cls
        assert c is not None
        fake = self.G(self.draw(batch, now, "G"), c)

        real_source, real_class = self.judge(real)
        fake_source, fake_class = self.judge(fake.detach())
        terms = {
            "real": self.loss.real(real_source),
            "fake": self.loss.fake(fake_source),
            "cls": cls * category(real_class, c),
        }
        if self.config.fake_class:
            terms["fake_cls"] = cls * self.config.fake_class * category(fake_class, c)
        yield "D", terms

        source, named = self.judge(fake)
        yield "G", {"adv": self.loss.adv(source), "cls": cls * category(named, c)}
