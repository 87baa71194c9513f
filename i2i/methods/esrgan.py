"""ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks, and Real-ESRGAN.

Wang et al., 2018, arXiv 1809.00219; Real-ESRGAN: Wang, Xie, Dong, Shan, 2021, arXiv 2107.10833. From a small image x, G
makes y, which is `scale` times as large. G is trained by L1 first (`warmup`; Real-ESRNet is `warmup=1`), then by

    content(G(x), y) + 10^-2 |G(x) - y| + 5 * 10^-3 * adversarial        (equation 3)

What is unusual: D says how much more real an image is than the mean of the others (relativistic average), so that G
also learns from real images. G moves before D, and D judges the images of the old G. No batch norm in G. The content
loss compares feature maps before their activations; here they are those of one of the networks that i2i knows
(`content`). Real-ESRGAN is `make=real discriminator=unet loss=vanilla adv=0.1 pixel=1 sharpen=true`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import Blocks, NonNegative, Share, UnderOne, Width
from i2i.core.errors import I2IError, among
from i2i.data import degrade
from i2i.losses import l1, relativistic, vanilla
from i2i.methods import Batch, Content, Enlarge, Now, Shape, Terms, adam_pair
from i2i.nets import ESRGANDiscriminator, RRDBNet, UNetDiscriminator
from i2i.nets.unit import from_unit, to_unit

HALVED_AT = (0.125, 0.25, 0.5, 0.75)  # of the adversarial part, as in the authors' code


@dataclass(frozen=True)
class ESRGANSettings:
    """Settings of ESRGAN; the defaults are the paper's, except for the content loss."""

    width: Width = 64  # channels of the generator's maps
    blocks: Blocks = 23  # residual-in-residual dense blocks of the generator
    growth: Width = 32  # channels of the convolutions inside of a block
    residual: bool = False  # G makes what is missing in the bicubic enlargement: short runs start from there
    discriminator: str = "vgg"  # vgg: a score for each image, size a multiple of 32; unet: for each pixel (Real-ESRGAN)
    d_width: Width = 64  # channels of the discriminator's first layer
    loss: str = "relativistic"  # adversarial loss: relativistic, vanilla (Real-ESRGAN)
    warmup: Share = 0.5  # share of the run that trains G alone on the pixels; 1: all of it
    content: str = "effnet"  # network of the content loss: vgg16, alex, effnet, none, or a file of weights
    pixel: NonNegative = 0.01  # weight of the L1 distance of pixels, which are in [0, 1]; in the warm-up it is 1
    feature: NonNegative = 1.0  # weight of the content loss, after the warm-up
    adv: NonNegative = 0.005  # weight of the adversarial loss, after the warm-up
    sharpen: bool = False  # L1 and content loss compare with the sharpened target (Real-ESRGAN)
    lr: NonNegative = 1e-4  # learning rate of both Adams; it is halved four times in the adversarial part
    beta1: UnderOne = 0.9  # beta1 of both Adams
    beta2: UnderOne = 0.99  # beta2 of both Adams


class ESRGAN(Enlarge):
    """RRDBNet as G, and a discriminator that compares real images with fakes."""

    Config = ESRGANSettings
    config: ESRGANSettings
    scales = (4, 2, 1)
    per_process_note = "the mean scores of the relativistic loss"
    tiny = {
        **{"width": 4, "blocks": 1, "growth": 2, "d_width": 2, "size": 32, "scale": 4},
        **{"warmup": 0.01, "content": "none", "loss": "vanilla", "discriminator": "unet"},
    }

    def __init__(self, config: ESRGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        c = config
        self.G = RRDBNet(shape.channels_in, shape.channels_out, shape.scale, c.width, c.blocks, c.growth, c.residual)
        self.D = discriminator(c, shape)
        if c.loss not in ("relativistic", "vanilla"):
            raise I2IError(f"loss is {c.loss!r}.", among(c.loss, ("relativistic", "vanilla")))
        self.compares = c.loss == "relativistic"
        self.content = Content(c.content if c.warmup < 1 and c.feature else "none", shape.size)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2)

    def lr_factor(self, fraction: float) -> float:
        """1 in the warm-up, then halved after 1/8, 1/4, 1/2 and 3/4 of the adversarial part."""
        rest = 1 - self.config.warmup
        return 0.5 ** sum(fraction >= self.config.warmup + rest * at for at in HALVED_AT) if rest else 1.0

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """G alone during the warm-up; then G, and D on the images of the old G."""
        c, y = self.config, batch.y
        assert y is not None
        fake, real = to_unit(self.G(batch.x)), to_unit(y)
        wanted = degrade.sharpened(real) if c.sharpen else real
        if now.fraction < c.warmup:
            yield "G", {"pixel": l1(fake, wanted)}
            return

        shown = fake.to(y.dtype)
        terms = {"pixel": c.pixel * l1(fake, wanted), "adv": c.adv * self.adversarial(real, shown)}
        if self.content:
            terms["feature"] = c.feature * self.content(from_unit(fake), from_unit(wanted))
        yield "G", terms

        shown = shown.detach()
        if not self.compares:
            yield "D", {"real": vanilla.real(self.D(real)), "fake": vanilla.fake(self.D(shown))}
            return
        with torch.no_grad():  # fakes are judged twice, as in the authors' code: D's running statistics see them twice
            against = self.D(shown)
        real_scores, fake_scores = self.D(real), self.D(shown)
        yield (
            "D",
            {
                "real": 0.5 * relativistic(real_scores, against, 1),
                "fake": 0.5 * relativistic(fake_scores, real_scores.detach(), 0),
            },
        )

    def adversarial(self, real: Tensor, fake: Tensor) -> Tensor:
        """The adversarial loss of G on images in [0, 1], a scalar."""
        if not self.compares:
            return vanilla.adv(self.D(fake))
        with torch.no_grad():
            real_scores = self.D(real)
        fake_scores = self.D(fake)
        return 0.5 * (relativistic(real_scores, fake_scores, 0) + relativistic(fake_scores, real_scores, 1))


def discriminator(config: ESRGANSettings, shape: Shape) -> nn.Module:
    """The network that `discriminator` names. Raises I2IError for another name, and for a size that it cannot take."""
    if config.discriminator == "vgg":
        return ESRGANDiscriminator(shape.channels_out, config.d_width, shape.size)
    if config.discriminator != "unet":
        raise I2IError(f"discriminator is {config.discriminator!r}.", among(config.discriminator, ("vgg", "unet")))
    if shape.size % 8:
        raise I2IError(
            f"size is {shape.size} pixels, and the discriminator unet halves it three times.", "Give a multiple of 8."
        )
    return UNetDiscriminator(shape.channels_out, config.d_width)
