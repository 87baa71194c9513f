"""pix2pix: Image-to-Image Translation with Conditional Adversarial Networks.

Isola, Zhu, Zhou, Efros, 2016, arXiv 1611.07004. From pairs (x, y), G learns to make y from x:

    min_G max_D  E log D(x, y) + E log(1 - D(x, G(x))) + 100 * E || y - G(x) ||_1        (equations 1 to 4)

What is unusual: D sees the source beside the image that it judges, and judges patches of 70x70 pixels. Its objective is
halved, which slows it down against G. In translation, batch norm uses the statistics of the image itself. In the paper,
dropout stays on in translation as the only noise. Here it is off by default (`dropout_at_test`), so that an image
always gets the same translation.

Discriminators on an image pyramid with feature matching (`scales`, `features`) and a perceptual loss (`perceptual`) are
those of pix2pixHD (Wang et al. 2018, arXiv 1711.11585).

`space=lab` is the colorization of section 4 as the authors released it: from L / 50 - 1 to ab / 110 of CIE Lab, with
the same networks and losses. Use it with `make=grey`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import NonNegative, UnderOne
from i2i.core.errors import I2IError
from i2i.core.random import hashed_uniform
from i2i.losses.adversarial import adversarial
from i2i.losses.features import Maps, feature_matching, over_scales
from i2i.losses.penalties import gradient_penalty
from i2i.losses.reconstruction import l1
from i2i.media import lab, luma
from i2i.methods import Batch, Content, Now, Shape, Terms, Translate, adam_pair, eval_forward, sample_ids, schedule
from i2i.nets import MultiScale, factory, init_weights
from i2i.nets.blocks import check
from i2i.nets.lab import LabColorizer
from i2i.nets.labels import without_labels
from i2i.nets.multiscale import Scales


@dataclass(frozen=True)
class Pix2PixSettings(factory.TranslationNets):
    """Settings of pix2pix; the defaults are the paper's."""

    generator: str = "unet"  # generator: unet, resnet
    norm: str = "batch"  # normalisation: batch, instance, none
    dropout: bool = True  # dropout of 0.5 in the widest decoder levels (U-Net) or in each block (ResNet)
    space: str = "rgb"  # rgb, or lab: from the lightness of x to the two color channels of y (colorization)
    loss: str = "vanilla"  # adversarial loss: vanilla, lsgan, wasserstein, hinge
    l1: NonNegative = 100.0  # weight of the L1 distance to y
    scales: Scales = 1  # discriminators on an image pyramid: 1 as in the paper, 2 or 3 as in pix2pixHD
    features: NonNegative = 0.0  # weight of the distance between D's features of G(x) and y, as in pix2pixHD; 0: none
    perceptual: NonNegative = 0.0  # weight of the distance between a trained network's features of G(x) and y; 0: none
    content: str = "effnet"  # that network: effnet, alex, vgg16, or a file of weights
    gp: NonNegative = 10.0  # weight of the gradient penalty; it is used by the loss wasserstein only
    lr: NonNegative = 2e-4  # learning rate of both Adams
    beta1: UnderOne = 0.5  # beta1 of both Adams
    decay: str = "linear"  # learning-rate schedule: linear (to 0 over the second half), cosine, step, constant
    own_statistics: bool = True  # in translation, batch norm uses the statistics of each image itself
    dropout_at_test: bool = False  # keep dropout on in translation, as noise


class Pix2Pix(Translate):
    """pix2pix: a U-Net (or ResNet) G and a discriminator that sees source and target side by side."""

    Config = Pix2PixSettings
    config: Pix2PixSettings
    tiny = {"width": 4, "d_width": 4, "layers": 1, "norm": "instance", "size": 16}

    def __init__(self, config: Pix2PixSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        check("space", config.space, ("rgb", "lab"))
        self.lab = config.space == "lab"
        channels_in, channels_out = (1, 2) if self.lab else (shape.channels_seen, shape.channels_out)
        net = factory.generator(config, channels_in, channels_out, shape.size)
        self.G: nn.Module = self._in_lab(net) if self.lab else self.labelled(net)
        self.D = self._discriminator(channels_in + channels_out)
        self.content = Content(config.content if config.perceptual else "none", shape.size)
        self.adversarial = adversarial(config.loss)
        self.curve = schedule(config.decay)
        self.gp = config.gp if config.loss == "wasserstein" else 0.0
        self.double_backward = self.gp > 0
        # Batch norm would mix the statistics of real and fake in one batch.
        self.joint = config.norm != "batch"
        self.own, self.noisy = config.own_statistics, config.dropout_at_test

    @classmethod
    def facts(cls, config: Pix2PixSettings) -> dict[str, Any]:
        """Tells a saved model which statistics batch norm uses, and whether dropout stays on."""
        own = config.norm == "batch" and config.own_statistics
        facts = {"train_mode_norm": own, "dropout_at_test": config.dropout and config.dropout_at_test}
        return {**facts, "colorizes": True} if config.space == "lab" else facts

    def notes(self) -> list[str]:
        """Tells that the U-Net is shallow, if it is."""
        net = self.G.generator if isinstance(self.G, LabColorizer) else without_labels(self.G)
        depth = getattr(net, "arguments", {}).get("depth", 8)
        if depth < 5:
            return [
                f"The U-Net has only {depth} levels, as the size can be halved no more: it sees little of the image."
            ]
        return []

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1)

    def lr_factor(self, fraction: float) -> float:
        """The schedule that `decay` names."""
        return self.curve(fraction)

    def judged(self, x: Tensor, image: Tensor) -> Maps:
        """D's maps for images beside x, by scale and layer; the last ones of each scale are scores."""
        maps: Tensor | Maps = self.D(torch.cat([x, image], 1))
        return [[maps]] if isinstance(maps, Tensor) else maps

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, then G against the updated D."""
        x, y = batch.x, batch.y
        assert y is not None
        if isinstance(self.G, LabColorizer):  # lightness and colors take the places of x and y
            x, y = self.G.lightness(x), lab.chroma(y)
            fake = self.G.generator(x)
        else:
            fake = self.G(x)
        x = self.seen(x)

        shown = fake.detach().to(y.dtype)
        real: Maps
        judged_fake: Maps
        if self.joint:
            both = self.judged(torch.cat([x, x]), torch.cat([y, shown]))
            real, judged_fake = ([[m.chunk(2)[half] for m in maps] for maps in both] for half in (0, 1))
        else:
            judged_fake, real = self.judged(x, shown), self.judged(x, y)
        terms = {
            "real": 0.5 * over_scales(self.adversarial.real, real),
            "fake": 0.5 * over_scales(self.adversarial.fake, judged_fake),
        }
        if self.gp > 0:
            alpha = hashed_uniform(sample_ids(batch, now), now.seed, "pix2pix/gp").to(x.device)
            terms["gp"] = 0.5 * self.gp * gradient_penalty(lambda m: self.D(torch.cat([x, m], 1)), y, shown, alpha)
        yield "D", terms

        judged_fake = self.judged(x, fake.to(x.dtype))
        terms = {"adv": over_scales(self.adversarial.adv, judged_fake), "l1": self.config.l1 * l1(fake, y)}
        if self.config.features:
            with torch.no_grad():
                real = self.judged(x, y)
            terms["features"] = self.config.features * feature_matching(judged_fake, real)
        if self.content:
            images = (lab.joined(x, fake), batch.y) if self.lab else (fake, y)
            terms["perceptual"] = self.config.perceptual * self.content(*images)
        yield "G", terms

    def _in_lab(self, net: nn.Module) -> nn.Module:
        """The generator `net`, from lightness to two channels, as one of images. Raises I2IError without colors."""
        if self.shape.channels_out != 3:
            raise I2IError("The target images are all gray: there is no color to learn.", "Give color images.")
        return LabColorizer.around(net, self.shape.channels_in)

    def _discriminator(self, channels: int) -> nn.Module:
        """The paper's, or one on an image pyramid that gives features."""
        c, size = self.config, self.shape.size
        if c.scales == 1 and not c.features:
            return factory.discriminator(c, channels, size)
        if c.discriminator != "patchgan" or c.loss == "wasserstein":
            name, value = ("loss", c.loss) if c.loss == "wasserstein" else ("discriminator", c.discriminator)
            raise I2IError(
                f"{name} is {value!r}, which does not go together with scales and features.",
                "Set scales=1 and features=0, or leave it out.",
            )
        return init_weights(MultiScale(channels, c.scales, c.layers, c.d_width, c.norm), c.init, c.gain)

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] in [-1, 1], with `own_statistics` and `dropout_at_test` as the settings say.

        In Lab it has the brightness of x, to which G gives the colors."""
        if self.lab:
            return luma.colored(batch.x, eval_forward(self.G, luma.gray(batch.x), self.own, self.noisy))
        return eval_forward(self.G, batch.x, self.own, self.noisy)
