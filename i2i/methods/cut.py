"""CUT: Contrastive Learning for Unpaired Image-to-Image Translation.

Park, Efros, Zhang, Zhu, 2020, arXiv 2007.15651. From images x of one kind and y of another, without pairs, G learns to
translate x:

    L_GAN(G, D, x, y) + L_PatchNCE(G, H, x) + L_PatchNCE(G, H, y)        (equation 5)

Each patch of the translation must resemble the patch at the same position of the input more than it resembles the other
patches of that input. What is compared are features of G's own encoder, at 256 positions of five layers, after small
perceptrons H (equations 2 to 4).

What is unusual: there is no second generator and no cycle; the features come from inside G; down- and upsampling are
antialiased; the patch loss of y, through G(y), keeps what needs no change. FastCUT leaves the loss of y out, weights
that of x by 10, and mirrors the images in half of the steps (`identity`, `nce`, `mirror`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from i2i.core.config import Blocks, Count, Layers, Natural, NonNegative, Positive, Share, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.core.random import seed_of
from i2i.losses.adversarial import adversarial
from i2i.losses.contrastive import patch_nce
from i2i.methods import Batch, Judge, Now, Shape, Terms, Translate, adam_pair, linear
from i2i.nets import PatchGAN, ResNet, init_weights
from i2i.nets.factory import check_size
from i2i.nets.patches import PatchHeads


@dataclass(frozen=True)
class CUTSettings:
    """Settings of CUT; the defaults are the paper's."""

    blocks: Blocks = 9  # residual blocks of the generator
    width: Width = 64  # channels of the generator's first layer
    norm: str = "instance"  # normalisation: instance, batch, none
    dropout: bool = False  # dropout of 0.5 in each residual block
    antialias: bool = True  # blur before each subsampling in G and D, and upsample with a fixed filter
    init: str = "xavier"  # initial weights: normal, xavier, kaiming, orthogonal
    gain: NonNegative = 0.02  # standard deviation (normal) or scale (xavier, orthogonal) of the initial weights
    layers: Layers = 3  # strided layers of the PatchGAN; 3: patches of 70x70
    d_width: Width = 64  # channels of the discriminator's first layer
    loss: str = "lsgan"  # adversarial loss: lsgan, vanilla, hinge
    adv: NonNegative = 1.0  # weight of the adversarial loss
    nce: NonNegative = 1.0  # weight of the patch losses
    identity: bool = True  # add the patch loss of y; both patch losses then count half
    mirror: bool = False  # mirror G's input in half of the steps, and mirror its features back
    taps: tuple[Natural, ...] = (0, 4, 8, 12, 16)  # layers of G whose features are compared; 0 is the padded image
    patches: Count = 256  # positions compared in each layer
    dim: Width = 256  # numbers in the projection of a patch
    temperature: Positive = 0.07  # temperature of the softmax over patches
    all_negatives: bool = False  # take negatives from the other images of the batch (of one process), too
    lr: NonNegative = 2e-4  # learning rate of both Adams
    beta1: UnderOne = 0.5  # beta1 of both Adams
    hold: Share = 0.5  # share of the run with a constant learning rate, before it falls in a straight line to 0


class CUT(Translate):
    """CUT: one generator, whose own encoder compares patches of the input and of the translation."""

    Config = CUTSettings
    config: CUTSettings
    needs = "unpaired"
    discriminators = ("D",)
    term_notes = {
        "nce": "Contrast of patches: whether a patch of the output finds its own place in the input. Lower is better; "
        "a high value means that the content is lost.",
        "nce_identity": "The same for images of the target side, which should stay as they are. Lower is better.",
    }
    tiny = {
        "blocks": 1,
        "width": 4,
        "d_width": 4,
        "layers": 1,
        "taps": (0, 4, 8, 12),
        "patches": 16,
        "dim": 8,
        "size": 16,
    }

    def __init__(self, config: CUTSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        channels = shape.channels_in
        if channels != shape.channels_out:
            raise I2IError(
                f"CUT has one encoder for both sides, but they have {channels} and {shape.channels_out} channels.",
                "Set channels_in and channels_out to the same number, or train cyclegan.",
            )
        if not config.taps:
            raise I2IError("taps is empty.", "Give at least one layer of G, by its position.")
        upsample = "blur" if config.antialias else "transposed"
        G = ResNet(
            channels, channels, config.blocks, config.width, config.norm, config.dropout, upsample, config.antialias
        )
        check_size(shape.size, G.multiple)
        with torch.no_grad():  # channels do not depend on the size
            tapped = G.eval()(torch.zeros(1, channels, 16, 16), self.config.taps)
        H = PatchHeads([f.shape[1] for f in tapped], config.dim)
        D = PatchGAN(channels, config.layers, config.d_width, config.norm, config.antialias)
        self.G, self.H, self.D = (init_weights(net, config.init, config.gain).train() for net in (G, H, D))
        self.adversarial = adversarial(config.loss)
        # Batch norm would mix the statistics of real and fake in one batch.
        self.joint = config.norm != "batch"

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G and the perceptrons."""
        c = self.config
        return adam_pair(self.D, [self.G, self.H], c.lr, c.beta1)

    def lr_factor(self, fraction: float) -> float:
        """Constant until `hold`, then in a straight line down to 0."""
        return linear(fraction, self.config.hold)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, then G and H against the updated D."""
        x, y = batch.x, batch.y
        assert y is not None
        mirrored = self.config.mirror and self.mirrored(now)
        seen = torch.cat([x, y]) if self.config.identity else x
        translated = self.G(seen.flip(3) if mirrored else seen)
        fake = translated[: len(x)]

        shown = fake.detach().to(y.dtype)
        if self.joint:
            real_scores, fake_scores = self.D(torch.cat([y, shown])).chunk(2)
        else:
            fake_scores, real_scores = self.D(shown), self.D(y)
        yield (
            "D",
            {
                "real": 0.5 * self.adversarial.real(real_scores),
                "fake": 0.5 * self.adversarial.fake(fake_scores),
            },
        )

        half = 0.5 if self.config.identity else 1.0
        terms = {
            "adv": self.config.adv * self.adversarial.adv(self.D(fake)),
            "nce": half * self.config.nce * self.contrast(x, fake, mirrored, now, "x"),
        }
        if self.config.identity:
            terms["nce_identity"] = half * self.config.nce * self.contrast(y, translated[len(x) :], mirrored, now, "y")
        yield "G", terms

    @property
    def middle(self) -> float | None:
        """The score between "real" and "fake"."""
        return self.adversarial.middle

    def judging(self, batch: Batch, now: Now) -> dict[str, Judge]:
        """D with the images of the side that G makes."""
        assert batch.y is not None
        return {"": (self.D, batch.y)}

    def contrast(self, source: Tensor, translated: Tensor, mirrored: bool, now: Now, side: str) -> Tensor:
        """L_PatchNCE (equation 4) of images [B, C, H, W] and their translations: the mean over the layers in `taps`."""
        queries = self.G(translated, self.config.taps)
        if mirrored:
            queries = [f.flip(3) for f in queries]
        positions = self.positions(queries, now, side)
        with torch.no_grad():
            keys = self.H(self.G(source, self.config.taps), positions)
        images = 1 if self.config.all_negatives else len(source)
        pairs = zip(self.H(queries, positions), keys, strict=True)
        return torch.stack([patch_nce(q, k, images, self.config.temperature) for q, k in pairs]).mean()

    def positions(self, features: list[Tensor], now: Now, side: str) -> list[Tensor]:
        """The positions to compare in each layer, int64 [P], the same for all images; a function of the images seen."""
        positions = []
        for i, f in enumerate(features):
            random = torch.Generator().manual_seed(seed_of(now.seed, "cut/places", now.images, side, i))
            chosen = torch.randperm(f.shape[2] * f.shape[3], generator=random)[: self.config.patches]
            positions.append(chosen.to(f.device, non_blocking=True))
        return positions

    def mirrored(self, now: Now) -> bool:
        """True if G sees mirrored images in this step; a function of the images seen."""
        return seed_of(now.seed, "cut/mirror", now.images) % 2 == 0
