"""UNSB: Unpaired Image-to-Image Translation via Neural Schroedinger Bridge.

Kim, Kwon, Kim, Ye, 2023, arXiv 2305.15086. From images x of one kind and y of another, without pairs, G learns a
chain X_0 = x, X_1, ..., X_T, each nearer to y, whose last evaluation is the translation. At a random step t of the
chain, with fake = G(X_t, t, z):

    min_G max_D  L_GAN(D(fake, t)) + sb * L_SB + nce * (L_PatchNCE(x, fake) + L_PatchNCE(y, G(Y_t, t, z))) / 2
    L_SB = tau * E || X_t - fake ||^2 - (T - t) / T * tau * H,        H = E E(a, a) - log sum exp E(a, b)

The square is a mean over the pixels. H estimates the entropy of (X_t, fake) by a network E that learns to tell two
equal pairs, a = (X_t, fake), from two different ones, a and b.

What is unusual: it is CUT, with E and a style z beside it, applied several times; the number of steps is chosen when
translating. `timed` False is the released code, whose G does not see the time (its figures are of that form); True is
what the paper means. The second pair b comes from the other images of the batch, so a batch has two images or more; the
authors draw another image for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from i2i.core.config import Blocks, Count, Layers, Natural, NonNegative, Positive, Share, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.core.random import counter_normal, seed_of
from i2i.losses.adversarial import at_least_float32, lsgan
from i2i.losses.contrastive import patch_nce
from i2i.methods import Batch, Judge, Now, Shape, Terms, Translate, adam, linear, sample_ids
from i2i.nets import init_weights
from i2i.nets.factory import check_size
from i2i.nets.patches import PatchHeads
from i2i.nets.unsb import StyleBlock, TimePatchGAN, Timesteps, UNSBGenerator


@dataclass(frozen=True)
class UNSBSettings:
    """Settings of UNSB; the defaults are those of the released code and its scripts."""

    timed: bool = False  # G sees the step: yes as the paper means it, no as in the released code
    timesteps: Timesteps = 5  # steps of the chain; translating takes 1 to this many
    tau: NonNegative = 0.01  # variance of the chain's noise, and weight inside the Schroedinger loss
    blocks: Blocks = 9  # residual blocks of the generator
    width: Width = 64  # channels of the generator's first layer
    style_layers: Layers = 3  # dense layers of the style network after its first
    init: str = "xavier"  # initial weights: normal, xavier, kaiming, orthogonal
    gain: NonNegative = 0.02  # standard deviation (normal) or scale (xavier, orthogonal) of the initial weights
    layers: Layers = 3  # halvings in D and in E; 3: patches of 70x70
    d_width: Width = 64  # channels of the first layer of D and of E
    adv: NonNegative = 1.0  # weight of the adversarial loss
    sb: NonNegative = 1.0  # weight of the Schroedinger loss
    nce: NonNegative = 1.0  # weight of the patch losses
    taps: tuple[Natural, ...] = (0, 4, 8, 12, 16)  # layers of G whose features are compared; 0: padded image
    patches: Count = 256  # positions compared in each layer
    dim: Width = 256  # numbers in the projection of a patch
    temperature: Positive = 0.07  # temperature of the softmax over patches
    lr: NonNegative = 2e-4  # learning rate of the Adams
    beta1: UnderOne = 0.5  # beta1 of the Adams
    hold: Share = 0.5  # share of the run with a constant learning rate, before it falls in a straight line to 0


class UNSB(Translate):
    """UNSB: a chain of generators that are one network, D, and the energy network E."""

    Config = UNSBSettings
    config: UNSBSettings
    G: UNSBGenerator
    needs = "unpaired"
    discriminators = ("D",)
    middle = lsgan.middle
    per_process_note = "the second pairs of the energy network are those of each process's own images"
    term_notes = {
        "energy": "How badly E tells equal pairs (image, translation) from different ones. It estimates an entropy and "
        "has no goal by itself.",
        "sb": "Schroedinger loss: how far a translation moves, minus its entropy. It is small beside the others.",
        "nce": "Contrast of patches: whether a patch of the output finds its own place in the input. Lower is better.",
        "nce_identity": "The same for images of the target side, which should stay as they are. Lower is better.",
    }
    tiny = {"blocks": 1, "width": 4, "d_width": 4, "layers": 1, "style_layers": 1, "timesteps": 3, "timed": True}
    tiny |= {"taps": (0, 4, 12), "patches": 16, "dim": 8, "size": 16}

    def __init__(self, config: UNSBSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        c, channels = config, shape.channels_in
        if channels != shape.channels_out:
            raise I2IError(
                f"UNSB moves an image step by step, but its sides have {channels} and {shape.channels_out} channels.",
                "Set channels_in and channels_out to the same number.",
            )
        if not c.taps or max(c.taps) > 11 + c.blocks:
            raise I2IError(f"taps is {list(c.taps)}.", f"Give layers of G by position: 0 to {11 + c.blocks}.")
        G = UNSBGenerator(channels, channels, c.blocks, c.width, c.style_layers, c.timed, c.timesteps, c.tau)
        check_size(shape.size, G.multiple)
        with torch.no_grad():  # channels do not depend on the size
            z = torch.zeros(1, G.net.z)
            tapped = G.net.eval().features(torch.zeros(1, channels, 16, 16), c.taps, z)
        H = PatchHeads([f.shape[1] for f in tapped], c.dim)
        D, E = (TimePatchGAN(n * channels, c.layers, c.d_width) for n in (1, 4))
        for net in (G, H, D, E):
            init_weights(net, c.init, c.gain).train()
        self.G, self.H, self.D, self.E = G, H, D, E
        for block in self.G.modules():
            if isinstance(block, StyleBlock):  # gains start at 1, shifts at 0
                torch.nn.init.ones_(block.style.bias[: 4 * c.width])

    def notes(self) -> list[str]:
        """Tells which of the two forms is trained."""
        if self.config.timed:
            return []
        return ["G does not see the step, as in the released code. --set timed=yes trains what the paper means."]

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, for E, and for G with the perceptrons."""
        c = self.config
        return {
            "D": adam(self.D, c.lr, c.beta1),
            "E": adam(self.E, c.lr, c.beta1),
            "G": adam([self.G, self.H], c.lr, c.beta1),
        }

    def lr_factor(self, fraction: float) -> float:
        """Constant until `hold`, then in a straight line down to 0."""
        return linear(fraction, self.config.hold)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, E, and G with H against the updated D and E."""
        x, y, c = batch.x, batch.y, self.config
        assert y is not None
        t = self.time(now)
        seen = self.walked(torch.cat([x, y]), t, batch, now)
        translated = self.G.net(seen, t, self.style(batch, now, "fake", 2))
        (x_t, _), (fake, fake_y) = seen.chunk(2), translated.chunk(2)

        shown = fake.detach().to(y.dtype)
        real_scores, fake_scores = self.D(torch.cat([y, shown]), t).chunk(2)
        yield "D", {"real": 0.5 * lsgan.real(real_scores), "fake": 0.5 * lsgan.fake(fake_scores)}

        other_x, other_fake = self.partners(x_t, fake, t, batch, now)
        same, log_sum = self.energies(x_t, fake.detach(), other_x, other_fake.detach(), t)
        yield "E", {"energy": -same + log_sum + log_sum.square()}

        same, log_sum = self.energies(x_t, fake, other_x, other_fake, t)
        entropy = (c.timesteps - t) / c.timesteps * c.tau * (same - log_sum)
        terms = {
            "adv": c.adv * lsgan.adv(self.D(fake, t)),
            "sb": c.sb * (c.tau * (x_t - fake).square().mean() - entropy),
            "nce": 0.5 * c.nce * self.contrast(x, fake, batch, now, "x"),
            "nce_identity": 0.5 * c.nce * self.contrast(y, fake_y, batch, now, "y"),
        }
        yield "G", terms

    def judging(self, batch: Batch, now: Now) -> dict[str, Judge]:
        """D at the step of this moment, with the images of the side that G makes."""
        assert batch.y is not None
        t = self.time(now)
        return {"": (lambda y: self.D(y, t), batch.y)}

    @torch.no_grad()
    def walked(self, x: Tensor, t: int, batch: Batch, now: Now) -> Tensor:
        """X_t of the images of both sides, [2 B, C, H, W]."""
        for k in range(t):
            answer = self.G.net(x, k, self.style(batch, now, f"walk/{k}", 2))
            x = self.G.moved(k, x, answer, self.noise(batch, now, k, x))
        return x

    def partners(self, x_t: Tensor, fake: Tensor, t: int, batch: Batch, now: Now) -> tuple[Tensor, Tensor]:
        """(X_t, fake) of another image for each image: of the next one of the batch."""
        if len(x_t) < 2:
            raise I2IError(
                "UNSB compares each image with another one of its batch, but the batch is 1.",
                "Give --set batch=2 or more: two images for each process and each part of an accumulated step.",
            )
        return x_t.roll(1, 0), fake.roll(1, 0)

    def energies(self, x: Tensor, fake: Tensor, other_x: Tensor, other_fake: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """(mean E(a, a), log of the sum of exp E(a, b)) over all scores, a = (x, fake), b = (other_x, other_fake)."""
        a, b = torch.cat([x, fake], 1), torch.cat([other_x, other_fake], 1)
        scores = at_least_float32(self.E(torch.cat([torch.cat([a, a], 1), torch.cat([a, b], 1)]), t))
        same, other = scores.chunk(2)
        return same.mean(), other.flatten().logsumexp(0)

    def contrast(self, source: Tensor, translated: Tensor, batch: Batch, now: Now, side: str) -> Tensor:
        """L_PatchNCE of images [B, C, H, W] and their translations: the mean over the layers in `taps`."""
        c, z = self.config, self.style(batch, now, f"nce/{side}")
        queries = self.G.net.features(translated, c.taps, z)
        positions = self.positions(queries, now, side)
        with torch.no_grad():
            keys = self.H(self.G.net.features(source, c.taps, z), positions)
        pairs = zip(self.H(queries, positions), keys, strict=True)
        return torch.stack([patch_nce(q, k, len(source), c.temperature) for q, k in pairs]).mean()

    # ---- draws, all of them functions of the seed and of the images' numbers ---------------------------------------

    def time(self, now: Now) -> int:
        """The step t of the chain that this step of training looks at, from 0."""
        return seed_of(now.seed, "unsb/time", now.images) % self.config.timesteps

    def style(self, batch: Batch, now: Now, salt: str, sides: int = 1) -> Tensor:
        """z [sides * B, 4 * width]."""
        ids = sample_ids(batch, now)
        draws = [counter_normal(ids, (self.G.net.z,), now.seed, f"unsb/z/{salt}/{i}") for i in range(sides)]
        return torch.cat(draws).to(batch.x)

    def noise(self, batch: Batch, now: Now, k: int, like: Tensor) -> Tensor:
        """The chain's noise of step k for the images of both sides, [2 B, C, H, W]."""
        ids = sample_ids(batch, now)
        draws = [counter_normal(ids, like.shape[1:], now.seed, f"unsb/noise/{k}/{i}") for i in range(2)]
        return torch.cat(draws).to(like)

    def positions(self, features: list[Tensor], now: Now, side: str) -> list[Tensor]:
        """The positions to compare in each layer, int64 [P], the same for all images."""
        positions = []
        for i, f in enumerate(features):
            random = torch.Generator().manual_seed(seed_of(now.seed, "unsb/places", now.images, side, i))
            chosen = torch.randperm(f.shape[2] * f.shape[3], generator=random)[: self.config.patches]
            positions.append(chosen.to(f.device, non_blocking=True))
        return positions
