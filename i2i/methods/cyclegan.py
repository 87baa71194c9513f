"""CycleGAN: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Zhu, Park, Isola, Efros, 2017, arXiv 1703.10593. From images x of one kind and y of another, without pairs, G learns to
translate x and F to translate y:

    L(G, D_y) + L(F, D_x) + 10 * (E || F(G(x)) - x ||_1 + E || G(F(y)) - y ||_1)         (equations 1 to 3)

with least-squares adversarial losses, and for photographs the identity loss 0.5 * 10 * || G(y) - y ||_1 (section 5.2),
which keeps colors.

What is unusual: both generators share one optimizer and one backward pass. The discriminators then see the fakes from
before that update, half of them replaced by older ones from a pool of 50. Their objectives are halved.

`cycle_noise` is the defense of Bashkirova, Usman and Saenko (2019, arXiv 1908.01517): where a translation has less to
show than its source, as a night has of a day, the generators hide the source in patterns too faint for the
discriminator (Chu, Zhmoginov, Sandler 2017, arXiv 1712.02950). Noise of standard deviation `cycle_noise`, in values of
[-1, 1], on what is translated back makes such patterns useless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import Natural, NonNegative, UnderOne
from i2i.core.random import counter_normal, hashed_uniform
from i2i.losses.adversarial import adversarial
from i2i.losses.penalties import gradient_penalty
from i2i.losses.reconstruction import l1
from i2i.methods import Batch, Judge, Now, Shape, Terms, TwoWay, adam, sample_ids, schedule
from i2i.nets import ImagePool, factory


@dataclass(frozen=True)
class CycleGANSettings(factory.TranslationNets):
    """Settings of CycleGAN; the defaults are the paper's."""

    loss: str = "lsgan"  # adversarial loss: lsgan, vanilla, wasserstein, hinge
    cycle_x: NonNegative = 10.0  # weight of |F(G(x)) - x|
    cycle_y: NonNegative = 10.0  # weight of |G(F(y)) - y|
    identity: NonNegative = 0.5  # weight of |G(y) - y| and |F(x) - x|, times the cycle weight of that side
    cycle_noise: NonNegative = 0.0  # deviation of the noise on G(x) and F(y) before the way back; 0 as in the paper
    pool: Natural = 50  # size of each discriminator's pool of earlier fakes; 0: no pool
    gp: NonNegative = 10.0  # weight of the gradient penalty; it is used by the loss wasserstein only
    lr: NonNegative = 2e-4  # learning rate of both Adams
    beta1: UnderOne = 0.5  # beta1 of both Adams
    decay: str = "linear"  # learning-rate schedule: linear (to 0 over the second half), cosine, step, constant


class CycleGAN(TwoWay):
    """CycleGAN: two generators that undo each other, G: x -> y and F: y -> x, and a discriminator for each side."""

    Config = CycleGANSettings
    config: CycleGANSettings
    discriminators = ("D_y", "D_x")
    tiny = {"width": 4, "d_width": 4, "layers": 1, "blocks": 1, "pool": 2, "size": 16}

    def __init__(self, config: CycleGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)

        x_channels, y_channels, size = shape.channels_in, shape.channels_out, shape.size
        self.G = factory.generator(config, x_channels, y_channels, size)
        self.F = factory.generator(config, y_channels, x_channels, size)
        self.D_y = factory.discriminator(config, y_channels, size)
        self.D_x = factory.discriminator(config, x_channels, size)
        self.history_y = ImagePool(config.pool, (y_channels, size, size), "y")
        self.history_x = ImagePool(config.pool, (x_channels, size, size), "x")
        self.adversarial = adversarial(config.loss)
        self.curve = schedule(config.decay)
        self.left_out = config.identity > 0 and shape.channels_in != shape.channels_out
        self.identity = 0.0 if self.left_out else config.identity
        self.gp = config.gp if config.loss == "wasserstein" else 0.0
        self.double_backward = self.gp > 0
        # Batch norm would mix the statistics of the two kinds in one batch.
        self.joint = config.norm != "batch"

    def notes(self) -> list[str]:
        """Tells that the identity loss is left out, if it is."""
        if self.left_out:
            return ["The identity loss is left out, because the two sides have different numbers of channels."]
        return []

    def term_weights(self) -> dict[str, float]:
        """The weights of the cycle and of the identity loss."""
        return {"cycle": self.config.cycle_y, "identity": self.config.cycle_y * self.identity}

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for both generators, one for both discriminators."""
        c = self.config
        return {"G": adam([self.G, self.F], c.lr, c.beta1), "D": adam([self.D_y, self.D_x], c.lr, c.beta1)}

    def lr_factor(self, fraction: float) -> float:
        """The schedule that `decay` names."""
        return self.curve(fraction)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """Both generators, then both discriminators on the fakes from before that update."""
        x, y = batch.x, batch.y
        assert y is not None
        same_x = same_y = None
        if self.identity > 0 and self.joint and x.shape == y.shape:
            fake_y, same_y = self.G(torch.cat([x, y])).chunk(2)
            fake_x, same_x = self.F(torch.cat([y, x])).chunk(2)
            back_x, back_y = self.F(self._noisy(fake_y, batch, now, "y")), self.G(self._noisy(fake_x, batch, now, "x"))
        else:
            fake_y = self.G(x)
            back_x = self.F(self._noisy(fake_y, batch, now, "y"))
            fake_x = self.F(y)
            back_y = self.G(self._noisy(fake_x, batch, now, "x"))
            if self.identity > 0:
                same_y, same_x = self.G(y), self.F(x)
        terms = {
            "adv_y": self.adversarial.adv(self.D_y(fake_y)),
            "adv_x": self.adversarial.adv(self.D_x(fake_x)),
            "cycle_x": self.config.cycle_x * l1(back_x, x),
            "cycle_y": self.config.cycle_y * l1(back_y, y),
        }
        if same_x is not None and same_y is not None:
            terms["identity_y"] = self.config.cycle_y * self.identity * l1(same_y, y)
            terms["identity_x"] = self.config.cycle_x * self.identity * l1(same_x, x)
        yield "G", terms

        shown_y = self.history_y.query(fake_y).to(y.dtype)
        shown_x = self.history_x.query(fake_x).to(x.dtype)
        ids = torch.arange(len(x)) + now.images if batch.ids is None else batch.ids
        yield (
            "D",
            self._judge(self.D_y, y, shown_y, ids, now.seed, "y")
            | self._judge(self.D_x, x, shown_x, ids, now.seed, "x"),
        )

    def _noisy(self, fake: Tensor, batch: Batch, now: Now, side: str) -> Tensor:
        """`fake` with the noise that hides what is too faint to be seen, if `cycle_noise` asks for it."""
        if not self.config.cycle_noise:
            return fake
        noise = counter_normal(sample_ids(batch, now), fake.shape[1:], now.seed, f"cyclegan/noise/{side}")
        return fake + self.config.cycle_noise * noise.to(fake)

    @property
    def middle(self) -> float | None:
        """The score between "real" and "fake"."""
        return self.adversarial.middle

    def judging(self, batch: Batch, now: Now) -> dict[str, Judge]:
        """Both discriminators, each with the images of its side."""
        assert batch.y is not None
        return {"_y": (self.D_y, batch.y), "_x": (self.D_x, batch.x)}

    def _judge(self, D: nn.Module, real: Tensor, fake: Tensor, ids: Tensor, seed: int, side: str) -> Terms:
        """The terms of one discriminator, all halved."""
        if self.joint:
            real_scores, fake_scores = D(torch.cat([real, fake])).chunk(2)
        else:
            real_scores, fake_scores = D(real), D(fake)
        terms = {
            f"real_{side}": 0.5 * self.adversarial.real(real_scores),
            f"fake_{side}": 0.5 * self.adversarial.fake(fake_scores),
        }
        if self.gp > 0:
            alpha = hashed_uniform(ids, seed, f"cyclegan/gp/{side}").to(real.device)
            terms[f"gp_{side}"] = 0.5 * self.gp * gradient_penalty(D, real, fake, alpha)
        return terms
