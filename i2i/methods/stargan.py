"""StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation.

Choi, Choi, Kim, Ha, Kim, Choo, 2017, arXiv 1711.09020. One generator G(x, c) translates into every domain c; D scores
images and names their domain. With L_cls the classification loss (section 3.1, equations 1 to 6, Wasserstein form 8),

    L_D = -D(x) + D(G(x, c)) + L_cls(x, c') + 10 L_gp
    L_G = -D(G(x, c)) + L_cls(G(x, c), c) + 10 |x - G(G(x, c), c')|

where c' is the image's own domain and c another one: the labels of the batch in a random order. Attributes (bits) take
binary cross-entropy, summed over all and divided by the batch; classes take cross-entropy. With two data sets
(section 3.2) each makes a whole step, one after the other, and only its own part of the label is learnt.

What is unusual: the released code lowers the learning rate so slowly that it ends at 0.999 of its start, where the
paper means 0; `decay` has both. G makes one step for five of D.

Two options are not the paper's, and help short trainings: `mask` lets G keep pixels of its input, and `identity` weighs
|x - G(x, c')|, which an image of that domain already should not change by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.optim import Optimizer

from i2i.core.config import Blocks, NonNegative, Range, Repeats, UnderOne, Width
from i2i.core.distributed import gather_rows, local_rows
from i2i.core.errors import I2IError
from i2i.core.random import counter_uniform
from i2i.losses import attributes, category, gradient_penalty, l1, wasserstein
from i2i.methods import WASSERSTEIN, Batch, Judge, Method, Now, Shape, Terms, adam_pair, sample_ids
from i2i.nets import StarGANDiscriminator, StarGANGenerator
from i2i.nets.blocks import check
from i2i.nets.factory import check_size

ITERATIONS, DECAY, EVERY = 200_000, 100_000, 1000  # steps of D in the paper: all, with a falling rate, between changes
DECAYS = ("paper", "released", "constant")


@dataclass(frozen=True)
class StarGANSettings:
    """Settings of StarGAN; the defaults are the paper's for faces of 128 pixels."""

    width: Width = 64  # channels of G's first layer
    blocks: Blocks = 6  # residual blocks of G
    d_width: Width = 64  # channels of D's first layer
    d_layers: Annotated[int, Range(0, 12)] = 0  # layers of D, which halve the size; 0: down to 2 pixels, 6 at most
    cls: NonNegative = 1.0  # weight of the classification losses
    rec: NonNegative = 10.0  # weight of the reconstruction loss
    gp: NonNegative = 10.0  # weight of the gradient penalty
    identity: NonNegative = 0.0  # weight of the L1 distance of an image to its translation into its own domain
    mask: bool = False  # let G keep pixels of its input: it makes a mask, too (GANimation, arXiv 1807.09251)
    upsample: str = "transposed"  # upsampling of G: transposed, resize (no checkerboard)
    critic_steps: Repeats = 5  # steps of D for one of G
    lr: NonNegative = 1e-4  # learning rate of G's Adam
    d_lr: NonNegative = 1e-4  # learning rate of D's Adam
    beta1: UnderOne = 0.5  # beta1 of both Adams
    decay: str = "paper"  # learning rate: paper (to 0 in the second half), released (hardly falls), constant


@dataclass(frozen=True)
class Known:
    """What a step knows of the images of one data set."""

    x: Tensor  # [B, C, H, W]
    own: Tensor  # the labels that G gets, [B, width]
    answers: Tensor  # the targets of D's class scores: bits [B, k], or classes int64 [B]
    outputs: slice  # of D's class scores: those of this data set
    suffix: str  # of the names of its losses


class StarGAN(Method):
    """StarGAN: one G for all domains; D scores images and names their domain."""

    Config = StarGANSettings
    config: StarGANSettings
    needs = "attributes"
    discriminators = ("D",)
    middle = wasserstein.middle
    term_notes = {
        **WASSERSTEIN,
        "D/cls": "How well the discriminator tells the domains of real images, times its weight. Lower is better; "
        "with classes, the logarithm of their number is guessing; with attributes, 0.69 times their number.",
        "G/cls": "How well the discriminator finds the domains that the generator was asked for. Lower is better: the "
        "images show their domain.",
        "G/rec": "Distance of an image from its translation and back, times its weight. Lower is better; 0 beside a "
        "high G/cls means that the generator changes nothing.",
    }
    tiny = {"width": 4, "blocks": 1, "d_width": 4, "size": 16, "critic_steps": 2}
    double_backward = True

    def __init__(self, config: StarGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        check("decay", config.decay, DECAYS)
        domains = shape.domains
        if domains is None:
            raise I2IError(
                "StarGAN needs images with attributes or classes, and the data has none.",
                "Give --labels attributes.csv, or a folder that holds one folder for each class.",
            )
        if len(domains.names) < 2 and not domains.bits:
            raise I2IError(
                f"StarGAN translates between domains, and the data has {len(domains.names)}.",
                "Give a folder that holds one folder for each class, or --labels attributes.csv.",
            )
        check_size(shape.size, StarGANGenerator.multiple)
        self.domains = domains
        self.G = StarGANGenerator(
            list(domains.bits),
            list(domains.classes),
            [list(group) for group in domains.exclusive],
            shape.channels_in,
            shape.channels_in,
            config.width,
            config.blocks,
            config.upsample,
            config.mask,
        )
        self.D = StarGANDiscriminator(
            len(domains.names), shape.channels_in, shape.size, config.d_width, config.d_layers
        )

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, d_lr=c.d_lr)

    def lr_factor(self, fraction: float) -> float:
        """The schedule that `decay` names, in the 200 steps of the paper's run."""
        if self.config.decay == "constant":
            return 1.0
        factor = paper_factor if self.config.decay == "paper" else released_factor
        return factor(int(fraction * ITERATIONS + 1e-6), ITERATIONS, DECAY, EVERY)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """For each data set: D; then G against the updated D, on the last of `critic_steps` steps."""
        w, ids = self.config, sample_ids(batch, now)
        for known in self.sets(batch):
            x, own, n = known.x, known.own, known.suffix
            order = self.order(ids, now, n)
            target, target_answers = self.shuffled(own, order), self.shuffled(known.answers, order)

            with torch.no_grad():
                fake = self.G(x, target)
            real_score, real_class = self.D(x)
            terms = {
                f"real{n}": wasserstein.real(real_score),
                f"fake{n}": wasserstein.fake(self.D(fake)[0]),
                f"cls{n}": w.cls * _classification(real_class[:, known.outputs], known.answers),
                f"gp{n}": w.gp * gradient_penalty(lambda m: self.D(m)[0], x, fake, self.alpha(ids, now, n).to(x)),
            }
            yield "D", terms

            if now.last_of(w.critic_steps):
                fake = self.G(x, target)
                score, fake_class = self.D(fake)
                back = self.G(fake, own)
                terms = {
                    f"adv{n}": wasserstein.adv(score),
                    f"rec{n}": w.rec * (x - back).abs().mean(),
                    f"cls{n}": w.cls * _classification(fake_class[:, known.outputs], target_answers),
                }
                if w.identity:
                    terms[f"identity{n}"] = w.identity * l1(self.G(x, own), x)
                yield "G", terms

    def sets(self, batch: Batch) -> list[Known]:
        """The images of a batch by data set: x with its attributes or classes, and with two data sets y with its
        classes."""
        domains, c = self.domains, batch.c
        k = len(domains.bits)
        assert c is not None
        if domains.both:
            assert batch.y is not None
            bits, rows = c[:, :k], c[:, k:]
            return [
                Known(batch.x, domains.of_bits(bits).to(batch.x), bits, slice(0, k), ""),
                Known(batch.y, domains.of_classes(rows).to(batch.y), rows.argmax(1), slice(k, None), "_2"),
            ]
        own = domains.of_bits(c) if k else domains.of_classes(c)
        return [Known(batch.x, own.to(batch.x), c, slice(None), "")]

    def order(self, ids: Tensor, now: Now, suffix: str) -> Tensor:
        """A random order of all images of the step, of all processes together: int64 [world * B]."""
        return gather_rows(counter_uniform(ids, 1, now.seed, f"target{suffix}")[:, 0]).argsort()

    def shuffled(self, rows: Tensor, order: Tensor) -> Tensor:
        """This process's rows of those of all processes in that order."""
        return local_rows(gather_rows(rows)[order])

    def alpha(self, ids: Tensor, now: Now, suffix: str) -> Tensor:
        """Where the gradient penalty looks between real (1) and fake (0) images, [B]."""
        return counter_uniform(ids, 1, now.seed, f"gp{suffix}")[:, 0]

    def infer(self, batch: Batch) -> Tensor:
        """Translations into the first domain, [B, C, H, W] in [-1, 1]: what a saved model makes by default."""
        return self.G(batch.x)

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """D's mean score [B] of each image."""
        return self.D(x)[0].flatten(1).mean(1)

    def judging(self, batch: Batch, now: Now) -> dict[str, Judge]:
        """D's mean score of each image, of both data sets if there are two."""
        return {"": (self.score, torch.cat([known.x for known in self.sets(batch)]))}

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """A sheet of all domains: the image, then each attribute changed (or set, in a group), then each class."""
        k = len(self.domains.bits)
        bits = batch.x.new_zeros(len(batch), k) if batch.c is None or not k else batch.c[:, :k].to(batch.x)
        targets = self.domains.targets(bits)
        return {"input": batch.x} | {
            name: self.G(batch.x, target) for name, target in zip(self.domains.names, targets, strict=True)
        }


def _classification(scores: Tensor, answers: Tensor) -> Tensor:
    """Binary cross-entropy for attributes [B, k], summed and divided by B; mean cross-entropy for classes [B]."""
    return attributes(scores, answers) if answers.is_floating_point() else category(scores, answers)


# ---- learning rate: the factor used by the update of iteration i ---------------------------------------------------


def paper_factor(i: int, total: int, decay: int, every: int) -> float:
    """1, then in steps of `every` iterations down to 0: over the last `decay` of `total` iterations."""
    done = i // every * every
    return min(1.0, (total - done) / decay) if done > total - decay else 1.0


def released_factor(i: int, total: int, decay: int, every: int) -> float:
    """What the released code does: each `every` iterations it takes away the share of one iteration, not of `every`."""
    changes = max(0, i // every - (total - decay) // every)
    return 1.0 - changes / decay
