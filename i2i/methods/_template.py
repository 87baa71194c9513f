"""Template: one sentence that says what the method does.

Author, year, arXiv 0000.00000. What it minimises, as its paper writes it:

    min_G max_D  E log D(x, y) + E log(1 - D(x, G(x))) + l1 * E || y - G(x) ||_1
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.losses import l1, lsgan
from i2i.methods import Batch, Now, Shape, Terms, Translate, adam_pair
from i2i.nets import PatchGAN, init_weights


@dataclass(frozen=True)
class Settings:
    """Each field is a setting, `--set width=32`; its comment is the help that `i2i methods show` prints."""

    width: int = 32  # channels of the generator
    l1: float = 100.0  # weight of the distance to y
    lr: float = 2e-4  # learning rate of both Adams


class Generator(nn.Module):
    """A network of your own. A saved model keeps its arguments, so they must be numbers, texts or lists of them."""

    def __init__(self, channels_in: int, channels_out: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *[nn.Conv2d(channels_in, width, 7, padding=3), nn.ReLU()],
            *[nn.Conv2d(width, width, 5, padding=2), nn.ReLU()],
            *[nn.Conv2d(width, channels_out, 7, padding=3), nn.Tanh()],  # Tanh: images lie in [-1, 1]
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, H, W]."""
        return self.layers(x)


class Template(Translate):  # Translate: G turns x into y; others are TwoWay, Generate (from noise) and Method
    """One sentence on the method."""

    Config = Settings
    needs = "paired"  # layout of the data: paired, unpaired, images or labelled

    def __init__(self, config: Settings, shape: Shape) -> None:
        super().__init__(config, shape)
        self.G = Generator(shape.channels_in, shape.channels_out, config.width)
        self.D = init_weights(PatchGAN(shape.channels_in + shape.channels_out, layers=2, width=config.width))

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G; each optimizer owns whole networks."""
        return adam_pair(self.D, self.G, self.config.lr, beta1=0.5)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """Each `yield` names an optimizer and the losses of its networks; the loop then updates these networks."""
        x, y = batch.x, batch.y
        assert y is not None  # as it is for data without pairs
        fake = self.G(x)

        real_scores, fake_scores = self.D(torch.cat([x, y], 1)), self.D(torch.cat([x, fake.detach()], 1))
        yield "D", {"real": lsgan.real(real_scores), "fake": lsgan.fake(fake_scores)}

        # Code below a yield runs with the updated weights: this D has just learned.
        scores = self.D(torch.cat([x, fake], 1))
        yield "G", {"adv": lsgan.adv(scores), "l1": self.config.l1 * l1(fake, y)}
