"""DeOldify: colors for gray images, by NoGAN training (Antic, Howard and Manor 2019; github.com/jantic/DeOldify).

G makes a color image y from a gray one x. It learns in three parts of one run:

    1. G alone:  | G(x) - y |_1 + sum over k of w_k | F_k(G(x)) - F_k(y) |_1       F: a network trained on ImageNet
    2. D alone:  real images against those of the finished G, as a classifier of patches
    3. both:     - log D(G(x)) + 1.5 * the loss of part 1, for a short time

What is unusual: nearly all learning is without a discriminator, so there is little to go wrong; the third part is a few
percent of the run, and brings the colors to life. In it each batch trains one network. It is D's turn until D's loss
falls under a threshold; then G has one turn. Whoever keeps the checkpoints of that part can take the best one: the
authors stop before skins turn orange. In translation only the colors are G's: the brightness is that of the input.

Differences: the authors start from a ResNet trained on ImageNet; here that is `encoder_weights`. Their F is a VGG16
with batch norm. They train G at 64, 128 and 192 pixels in turn; here that is three runs, with `init_from`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from i2i.core.config import NonNegative, Range, Share, UnderOne, Width
from i2i.core.distributed import gather_rows
from i2i.core.errors import I2IError
from i2i.losses import Adversarial, l1, map_distances, vanilla
from i2i.media import luma
from i2i.methods import Batch, Content, Judge, Now, Shape, Terms, Translate, adamw, eval_forward, one_cycle
from i2i.models import encoder_weights
from i2i.nets import DeOldifyDiscriminator, DeOldifyUNet
from i2i.nets.deoldify import DEVIATION, MEAN
from i2i.nets.factory import check_size

# Weights of the last three maps of F. Those of VGG16 are the authors'; the others give terms of the same size.
MAP_WEIGHTS = {"vgg16": (20.0, 70.0, 10.0), "alex": (25.0, 37.0, 4.9), "effnet": (2.9, 4.6, 0.31)}
RISE = (0.8, 0.3)  # share of the cycles of parts 1 and 2 in which the learning rate rises


@dataclass(frozen=True)
class ColorizeSettings:
    """Settings of DeOldify; the defaults are those of the authors' "artistic" model, except for `content`."""

    form: str = "deep"  # generator: deep (two convolutions in each decoder block) or wide (one)
    encoder: str = "resnet34"  # encoder of the generator: small, resnet18, resnet34, resnet50, resnet101
    encoder_weights: str = ""  # its first weights: a file with torchvision's names, or torchvision (downloads); none
    width: Width = 1024  # wide form: twice the channels of the decoder blocks; a multiple of 4
    depth: Annotated[float, Range(1, 4)] = 1.5  # deep form: channels of a decoder block, as a multiple of what comes in
    d_width: Width = 256  # channels of the discriminator's first layer
    d_blocks: Annotated[int, Range(1, 6)] = 3  # pairs of layers of the discriminator that halve the size
    d_dropout: UnderOne = 0.15  # share of the discriminator's maps that are dropped in training
    content: str = "effnet"  # network of the feature loss: vgg16, alex, effnet, none, or a file of weights
    merged: bool = False  # the losses see G's colors under the brightness of x, as in translation
    alone: Share = 0.85  # share of the run that trains the generator alone
    d_alone: Share = 0.12  # share of the run, after that, that trains the discriminator alone
    threshold: NonNegative = 0.65  # loss of the discriminator under which the generator has a turn
    adv: NonNegative = 1.0  # weight of the adversarial loss in the third part
    feature: NonNegative = 1.5  # weight of the loss of the first part in the third part
    lr: NonNegative = 1e-3  # highest learning rate of the generator alone
    d_lr: NonNegative = 1e-3  # highest learning rate of the discriminator alone
    gan_lr: NonNegative = 1e-5  # learning rate of the generator in the third part
    d_factor: NonNegative = 5.0  # learning rate of the discriminator in the third part, as a multiple of gan_lr
    decay: NonNegative = 1e-3  # decoupled weight decay of both Adams
    render_factor: Annotated[int, Range(0, 256)] = 0  # colors are made at 16 times as many pixels; 0: training size


class Colorize(Translate):
    """DeOldify's U-Net and its discriminator of patches, trained in three parts."""

    Config = ColorizeSettings
    config: ColorizeSettings
    discriminators = ("D",)
    tiny = {"form": "wide", "encoder": "small", "width": 16, "d_width": 4, "d_blocks": 1, "d_dropout": 0.0} | {
        "content": "none", "alone": 0.01, "d_alone": 0.01, "threshold": 5.0, "size": 32,
    }  # fmt: skip
    G: DeOldifyUNet
    D: DeOldifyDiscriminator
    loss: Adversarial
    d_last: Tensor

    def __init__(self, config: ColorizeSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        if shape.channels_out != 3:
            raise I2IError(
                "The target images are all gray: there is no color to learn.",
                "Give color images. If only some are gray, --set channels_out=3.",
            )
        if config.alone + config.d_alone > 1:
            raise I2IError(
                f"alone is {config.alone:g} and d_alone {config.d_alone:g}.", "Together they may be 1 at most."
            )
        check_size(shape.size, 2)
        form = (config.form, config.encoder, config.width, config.depth)
        self.G = DeOldifyUNet(*form, channels_in=shape.channels_in)
        self.D = DeOldifyDiscriminator(config.d_width, config.d_blocks, config.d_dropout)
        if shape.size < self.D.least:
            raise I2IError(
                f"size is {shape.size} pixels; the discriminator with d_blocks={config.d_blocks} needs {self.D.least}.",
                "Choose a larger size, or fewer d_blocks.",
            )
        self.content = Content(config.content, shape.size)
        self.map_weights = MAP_WEIGHTS[self.content.loss.name] if self.content.loss else ()
        if config.encoder_weights and not next(self.G.parameters()).is_meta:
            encoder_weights.fill(self.G.encoder, config.encoder, config.encoder_weights)
        self.loss = vanilla
        self.register_buffer("d_last", torch.tensor(math.inf))  # D's last loss, which decides whose turn is next
        self.d_losses: tuple[int, list[Tensor]] = (-1, [])  # of the micro-batches of one step

    @classmethod
    def facts(cls, config: ColorizeSettings) -> dict[str, Any]:
        """Tells a saved model that it colors, and at which size."""
        return {"colorizes": True, "render_factor": config.render_factor}

    def optimizers(self) -> dict[str, Optimizer]:
        """Adams with decoupled weight decay; G's groups are the encoder's convolutions, its norms, and the decoder."""
        c = self.config
        norms = {id(p) for m in self.G.encoder.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
        encoder = list(self.G.encoder.parameters())
        inside = {id(p) for p in encoder}
        groups = [
            [p for p in encoder if id(p) not in norms],
            [p for p in encoder if id(p) in norms],
            [p for p in self.G.parameters() if id(p) not in inside],
        ]
        return {
            "G": adamw(groups, c.lr, c.decay, (0.9, 0.99)),
            "D": adamw([list(self.D.parameters())], c.d_lr, c.decay, (0.9, 0.99)),
        }

    # ---- the parts of a run ------------------------------------------------------------------------------------------

    def part(self, fraction: float) -> tuple[int, float, float]:
        """At progress `fraction`: the number of the part, what is done of it, and its length, as shares of the run."""
        c = self.config
        if fraction < c.alone:
            return 1, fraction, c.alone
        if fraction < c.alone + c.d_alone:
            return 2, fraction - c.alone, c.d_alone
        return 3, fraction - c.alone - c.d_alone, 1 - c.alone - c.d_alone

    def lr_factor(self, fraction: float) -> float:
        """That of G's decoder."""
        return self.lr_factors(fraction)["G"][-1]

    def lr_factors(self, fraction: float) -> dict[str, Sequence[float]]:
        """A cycle for G, a cycle for D, then constant; the encoder's convolutions rest in the third part.

        An encoder that was trained before learns at a tenth of the rate."""
        c = self.config
        encoder = 0.1 if c.encoder_weights else 1.0
        number, done, length = self.part(fraction)
        if number < 3:
            rise = RISE[number - 1] * length
            factor = one_cycle(done, rise, length - rise)[0]
            return {"G": (encoder * factor, encoder * factor, factor), "D": (factor,)}
        factor = c.gan_lr / c.lr if c.lr else 0.0
        d_factor = c.d_factor * c.gan_lr / c.d_lr if c.d_lr else 0.0
        return {"G": (0.0, encoder * factor, factor), "D": (d_factor,)}

    def betas_at(self, fraction: float) -> tuple[float, float]:
        """beta1 of a cycle; (0, 0.9) in the third part."""
        number, done, length = self.part(fraction)
        if number == 3:
            return 0.0, 0.9
        rise = RISE[number - 1] * length
        return one_cycle(done, rise, length - rise)[1], 0.99

    # ---- the algorithm -----------------------------------------------------------------------------------------------

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """G alone, D alone, or the one of them whose turn it is."""
        assert batch.y is not None
        x, y = luma.gray(batch.x), batch.y
        number = self.part(now.fraction)[0]
        if number == 1:
            yield "G", self.content_terms(self.output(x), y)
        elif number == 2:
            yield "D", self.classifier_terms(self.detached_output(x), y)
        elif float(self.d_last) < self.config.threshold:
            fake = self.output(x)
            scores = eval_forward(self.D, normalized(fake), False, False)  # D rests: no dropout, no power iteration
            terms = {k: self.config.feature * v for k, v in self.content_terms(fake, y).items()}
            yield "G", {"adv": self.config.adv * self.loss.adv(scores), **terms}
            self.d_last.fill_(math.inf)
        else:
            terms = self.discriminator_terms(self.detached_output(x), y)
            self.note_loss(terms["real"].detach() + terms["fake"].detach(), now)
            yield "D", terms
            self.d_last.copy_(torch.stack(self.d_losses[1]).mean())

    def output(self, x: Tensor) -> Tensor:
        """G(x), with the brightness of x if the settings say so."""
        return luma.colored(x, self.G(x)) if self.config.merged else self.G(x)

    def judging(self, batch: Batch, now: Now) -> dict[str, Judge]:
        """D with the color images."""
        assert batch.y is not None
        return {"": (lambda y: self.D(normalized(y)), batch.y)}

    def detached_output(self, x: Tensor) -> Tensor:
        """The output at rest and without gradient."""
        with torch.no_grad():
            fake = eval_forward(self.G, x, False, False)
            return luma.colored(x, fake) if self.config.merged else fake

    def content_terms(self, fake: Tensor, y: Tensor) -> Terms:
        """The loss that G learns alone by: distances of pixels and of feature maps."""
        terms = {"pixel": l1(normalized(fake), normalized(y))}
        if self.map_weights:
            terms["feature"] = torch.stack(self.map_terms(fake, y)).sum()
        return terms

    def map_terms(self, fake: Tensor, y: Tensor) -> list[Tensor]:
        """The distances of the last three feature maps."""
        loss = self.content.loss
        assert loss is not None
        maps = loss.to(y).maps
        with torch.no_grad():
            real = maps(y)[-3:]
        return map_distances(maps(fake.to(y.dtype))[-3:], real, self.map_weights)

    def classifier_terms(self, fake: Tensor, y: Tensor) -> Terms:
        """D as a classifier of saved images, which have 256 levels; both kinds in one batch."""
        saved = ((fake + 1) * 127.5).clamp(0, 255).floor() / 127.5 - 1
        fakes, reals = self.D(normalized(torch.cat([saved.to(y.dtype), y]))).chunk(2)
        return {"real": 0.5 * self.loss.real(reals), "fake": 0.5 * self.loss.fake(fakes)}

    def discriminator_terms(self, fake: Tensor, y: Tensor) -> Terms:
        """D beside G; each kind in a batch of its own, real images first."""
        reals, fakes = self.D(normalized(y)), self.D(normalized(fake.to(y.dtype)))
        return {"real": 0.5 * self.loss.real(reals), "fake": 0.5 * self.loss.fake(fakes)}

    def note_loss(self, loss: Tensor, now: Now) -> None:
        """Keeps D's loss of a micro-batch, which is the mean over the processes, until the step is done."""
        if self.d_losses[0] != now.images:
            self.d_losses = (now.images, [])
        self.d_losses[1].append(gather_rows(loss[None]).mean())

    def infer(self, batch: Batch) -> Tensor:
        """The brightness of x [B, 1 or 3, H, W] with the colors of G, [B, 3, H, W] in [-1, 1]."""
        return luma.colored(batch.x, eval_forward(self.G, luma.gray(batch.x), False, False).clamp(-1, 1))


def normalized(x: Tensor) -> Tensor:
    """[-1, 1] -> units of ImageNet's mean and deviation: [B, 3, H, W]."""
    mean, deviation = (x.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return ((x + 1) / 2 - mean) / deviation
