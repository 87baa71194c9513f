"""Progressive GAN: Progressive Growing of GANs for Improved Quality, Stability, and Variation.

Karras, Aila, Laine, Lehtinen, 2017, arXiv 1710.10196. Training starts at 4x4 pixels, and doubles the size several
times. Each time, new layers of both networks are faded in by a weight alpha that rises from 0 to 1 (figure 2):

    min_D  E D(G(z)) - E D(x) + 10 E (|| grad D(m) ||_2 - 1)^2 + 0.001 E D(x)^2        min_G  -E D(G(z))

What is unusual: weights are scaled when they are used (equalised learning rate), G normalises each pixel, and D sees
how much the images of a group differ. G ends without tanh. Real images are averaged down to the current size, and
blended with their half-size versions by the same alpha.

Here all blocks exist from the start, and size and alpha are pure functions of the images seen. So growing needs no new
optimizer, and a resumed run cannot differ. The paper resets Adam at each new size. Here Adam keeps its moments; with
betas of 0 and 0.99 they fade within some hundred steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as fn
from torch.optim import Optimizer

from i2i.core.config import Count, Natural, NonNegative, Repeats, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.core.random import counter_uniform
from i2i.losses import gradient_penalty, wasserstein
from i2i.methods import WASSERSTEIN, Batch, Generate, Now, Shape, Terms, adam_pair, sample_ids
from i2i.nets import ProgressiveDiscriminator, ProgressiveGenerator
from i2i.nets.blocks import upsample2x
from i2i.nets.progressive import growth_level, size_and_alpha, sizes


@dataclass(frozen=True)
class ProgressiveSettings:
    """Settings of Progressive GAN; the defaults are the paper's for CelebA-HQ."""

    z: Width = 512  # numbers in the noise vector z
    noise: str = "normal"  # distribution of the noise: normal; G scales each z to length sqrt(z)
    base: Width = 8192  # channels of the maps of side N: base / (N / 2), but at most `most`
    most: Width = 512  # largest number of channels
    train: Natural = 800_000  # images seen at each size after its fade-in (released code: 600,000)
    fade: Natural = 800_000  # images seen during the fade-in of the next size
    start: int = 4  # side of the first images in pixels
    minibatch: tuple[Count, ...] = ()  # images in an update at 4, 8, 16, ... pixels; empty: the whole batch
    group: Width = 4  # images in a group of the minibatch standard deviation
    critic_steps: Repeats = 1  # steps of D for each step of G
    gp: NonNegative = 10.0  # weight of the gradient penalty
    drift: NonNegative = 1e-3  # weight of the mean squared score of real images
    lr: NonNegative = 1e-3  # learning rate of both Adams
    beta1: UnderOne = 0.0  # beta1 of both Adams
    beta2: UnderOne = 0.99  # beta2 of both Adams


class Progressive(Generate):
    """Progressive GAN: both networks grow from 4x4 pixels to the full size during the run."""

    Config = ProgressiveSettings
    config: ProgressiveSettings
    per_process_note = "the deviation over groups of images"
    term_notes = WASSERSTEIN
    middle = wasserstein.middle
    tiny = {"z": 8, "base": 64, "most": 8, "train": 4, "fade": 8, "size": 16}
    double_backward = True
    grows = True
    G: ProgressiveGenerator

    def __init__(self, config: ProgressiveSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        self.sizes = sizes(shape.size)
        if config.start not in self.sizes:
            raise I2IError(f"start is {config.start}.", f"Allowed: {', '.join(map(str, self.sizes))}.")
        if not config.train and not config.fade:
            raise I2IError("train is 0, and so is fade.", "Set one of them: they say how long each size is trained.")
        self.G = ProgressiveGenerator(config.z, shape.channels_in, shape.size, config.base, config.most)
        self.D = ProgressiveDiscriminator(shape.channels_in, shape.size, config.base, config.most, config.group)
        self.train_for, self.fade_for, self.start = config.train, config.fade, self.sizes.index(config.start)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2)

    def level(self, images: int) -> float:
        """How far the networks have grown after `images` images; see `nets.progressive.growth_level`."""
        last = len(self.sizes) - 1
        return min(last, self.start + growth_level(images, self.train_for, self.fade_for, last))

    def notes(self) -> list[str]:
        """Tells how many images the whole growth takes."""
        doublings = len(self.sizes) - 1 - self.start
        whole = doublings * (self.train_for + self.fade_for)
        return [f"The images reach their full size of {self.sizes[-1]} pixels after {whole:,} images."]

    def parts(self, batch: Batch, size: int) -> list[Batch]:
        """The batch, cut into the updates that `minibatch` asks for at this size."""
        if not self.config.minibatch:
            return [batch]
        wanted, n = self.config.minibatch[min(self.sizes.index(size), len(self.config.minibatch) - 1)], len(batch)
        return batch.split(next(k for k in range(1, n + 1) if n % k == 0 and n // k <= max(1, wanted)))

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """D's raw scores [B] of images of the full size, scaled to the current one."""
        size, alpha = size_and_alpha(float(self.G.level))
        return self.D(shrunk(x, size, alpha), alpha)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """At the current size, for each of `parts`: D, then G on new noise."""
        level = self.level(now.images)
        self.G.level.fill_(level)
        size, alpha = size_and_alpha(level)
        updates = self.parts(batch, size)
        for k, part in enumerate(updates):
            real = shrunk(part.x, size, alpha)
            with torch.no_grad():
                fake = self.G(self.draw(part, now, "D"), size, alpha)

            def D(x: Tensor) -> Tensor:
                return self.D(x, alpha)

            mix = counter_uniform(sample_ids(part, now), 1, now.seed, "gp").to(real)
            scores = D(real)
            yield (
                "D",
                {
                    "real": wasserstein.real(scores),
                    "fake": wasserstein.fake(D(fake)),
                    "gp": self.config.gp * gradient_penalty(D, real, fake, mix),
                    "drift": self.config.drift * scores.square().mean(),
                },
            )

            if (now.step * len(updates) + k) % self.config.critic_steps == self.config.critic_steps - 1:
                yield "G", {"adv": wasserstein.adv(D(self.G(self.draw(part, now, "G"), size, alpha)))}


def shrunk(x: Tensor, size: int, alpha: float) -> Tensor:
    """Images [B, C, N, N] averaged down to `size`, and blended by 1 - alpha with their halves of that size."""
    y = fn.avg_pool2d(x, x.shape[-1] // size) if size < x.shape[-1] else x
    return y if alpha == 1 else alpha * y + (1 - alpha) * upsample2x(fn.avg_pool2d(y, 2))
