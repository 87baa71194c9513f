"""pix2pixHD: High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs.

Wang, Liu, Zhu, Tao, Kautz, Catanzaro, 2018, arXiv 1711.11585. From pairs (x, y), such as label maps and photos:

    min_G  sum_k max_{D_k} GAN(G, D_k) + 10 sum_k FM(G, D_k) + 10 perceptual(G(x), y)        (equation 5)

What is unusual: the discriminators D_k have one form and see the images of a pyramid. FM is the distance between their
features of G(x) and of y (equation 4); it takes the place of pix2pix's L1. The paper's perceptual loss compares five
layers of VGG19; here it is one of the networks that i2i knows (`content`). G is made coarse to fine: first G1 learns at
half of the size, then an enhancer around it learns alone, then both together. G is updated before D, from one forward
pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from i2i.core.config import Blocks, Layers, NonNegative, Share, UnderOne, Width
from i2i.core.errors import I2IError, among
from i2i.losses import feature_matching, over_scales
from i2i.losses.adversarial import adversarial
from i2i.methods import Batch, Content, Now, Shape, Terms, Translate, adam_pair, schedule
from i2i.nets import init_weights
from i2i.nets.labels import without_labels
from i2i.nets.multiscale import MultiScale, Scales
from i2i.nets.pix2pixhd import Downs, Enhancers, GlobalGenerator, LocalEnhancer, half_size


@dataclass(frozen=True)
class Pix2PixHDSettings:
    """Settings of pix2pixHD; the defaults are the authors'."""

    generator: str = "global"  # generator: global (one size), local (coarse to fine, with enhancers for the full size)
    width: Width = 64  # channels of the first layer of G1; each enhancer has half as many as the one before
    downs: Downs = 4  # halvings of the size in G1
    blocks: Blocks = 9  # residual blocks of G1
    enhancers: Enhancers = 1  # enhancers around G1; each doubles the size
    local_blocks: Blocks = 3  # residual blocks of each enhancer
    coarse: Share = 0.5  # local: share of the run in which G1 learns by itself, at a part of the size
    alone: Share = 0.1  # local: share of the run after that, in which the enhancers learn around a fixed G1
    d_width: Width = 64  # channels of the discriminators' first layer
    layers: Layers = 3  # strided layers of each discriminator
    scales: Scales = 2  # discriminators on an image pyramid
    norm: str = "instance"  # normalisation: instance, none
    init: str = "normal"  # initial weights: normal, xavier, kaiming, orthogonal
    gain: NonNegative = 0.02  # standard deviation (normal) or scale (xavier, orthogonal) of the initial weights
    loss: str = "lsgan"  # adversarial loss: lsgan, vanilla, hinge
    features: NonNegative = 10.0  # weight of the feature matching
    perceptual: NonNegative = 10.0  # weight of the distance between a trained network's features of G(x) and y
    content: str = "effnet"  # that network: effnet, alex, vgg16, none, or a file of weights
    lr: NonNegative = 2e-4  # learning rate of both Adams
    beta1: UnderOne = 0.5  # beta1 of both Adams
    decay: str = "linear"  # learning-rate schedule: linear (to 0 over the second half), cosine, step, constant


class Pix2PixHD(Translate):
    """pix2pixHD: a coarse-to-fine generator against discriminators at several scales, with feature matching."""

    Config = Pix2PixHDSettings
    config: Pix2PixHDSettings
    tiny = {
        "generator": "local",
        "width": 8,
        "downs": 1,
        "blocks": 1,
        "local_blocks": 1,
        "coarse": 0.02,
        "alone": 0.01,
        "d_width": 4,
        "layers": 1,
        "content": "none",
        "size": 16,
    }

    def __init__(self, config: Pix2PixHDSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        c = config
        if c.norm == "batch":
            raise I2IError("norm is 'batch', which mixes real images and fakes here.", "Allowed: instance, none.")
        if c.generator not in ("global", "local"):
            raise I2IError(f"generator is {c.generator!r}.", among(c.generator, ("global", "local")))
        ends = (shape.channels_seen, shape.channels_out, c.downs, c.blocks)
        if c.generator == "global":
            G: GlobalGenerator | LocalEnhancer = GlobalGenerator(*ends, c.width, c.norm)
        else:
            finest = c.width // 2**c.enhancers
            if not finest:
                raise I2IError(f"width is {c.width}, too few for {c.enhancers} enhancers.", "Set a larger width.")
            G = LocalEnhancer(*ends, c.enhancers, c.local_blocks, finest, c.norm, head=True)
        if shape.size % (G.multiple // 2) or shape.size < G.multiple:
            raise I2IError(
                f"size is {shape.size}, which this generator cannot halve often enough.",
                f"Give a multiple of {G.multiple // 2} from {G.multiple} pixels on, or fewer downs or enhancers.",
            )
        self.G = self.labelled(init_weights(G, c.init, c.gain))
        self.content = Content(c.content if c.perceptual else "none", shape.size)
        judge = (shape.channels_seen + shape.channels_out, c.scales, c.layers, c.d_width, c.norm)
        self.D = init_weights(MultiScale(*judge), c.init, c.gain)
        self.loss_of, self.curve = adversarial(c.loss), schedule(c.decay)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1)

    def lr_factor(self, fraction: float) -> float:
        """The schedule that `decay` names."""
        return self.curve(fraction)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """G, then D, from one forward pass."""
        c, gan = self.config, self.loss_of
        x, y = batch.x, batch.y
        assert y is not None
        x, y, fake = self.staged(x, y, now.fraction)
        seen = self.D(torch.cat([x, fake.to(x.dtype)], 1))
        real = self.D(torch.cat([x, y], 1))
        terms = {"adv": over_scales(gan.adv, seen), "features": c.features * feature_matching(seen, real)}
        if self.content and y.shape[-1] >= self.content.least:
            terms["perceptual"] = c.perceptual * self.content(fake, y)
        yield "G", terms

        seen = self.D(torch.cat([x, fake.detach().to(x.dtype)], 1))
        yield "D", {"fake": 0.5 * over_scales(gan.fake, seen), "real": 0.5 * over_scales(gan.real, real)}

    def staged(self, x: Tensor, y: Tensor, fraction: float) -> tuple[Tensor, Tensor, Tensor]:
        """x as networks see it, y and the fake, at the size of this stage of the run."""
        G, seen = without_labels(self.G), self.seen(x)
        if not isinstance(G, LocalEnhancer) or fraction >= self.config.coarse + self.config.alone:
            return seen, y, self.G(x)
        if fraction >= self.config.coarse:
            return seen, y, self.G(x, True)
        for _ in range(G.enhancers):
            seen, y = half_size(seen), half_size(y)
        return seen, y, G.coarse(seen)
