"""BigGAN: Large Scale GAN Training for High Fidelity Natural Image Synthesis.

Brock, Donahue, Simonyan, 2018, arXiv 1809.11096. The networks of SAGAN, wider, with larger batches, the hinge loss and

    R = beta || W^T W * (1 - I) ||_F^2        (equation 3, on all weights of G but the embedding)

What is unusual: z is cut into chunks. The first chunk starts the image; each other chunk joins the class and conditions
the batch norm of one block (skip-z). All norms share one class embedding. The initial weights are orthogonal. D makes
two steps for each step of G. After training, `i2i generate --truncation` draws the large numbers of z again (better
images, less variety) and recomputes the batch-norm statistics (standing statistics). R has a factor of one half, which
gives the gradient of the authors' code. A batch that is too large for the memory can be split (`accumulate`); spectral
norm and batch norm then change with each micro-batch.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import Channels, Classes, NonNegative, OptionalSide, Repeats, Side, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.losses import hinge, orthogonal
from i2i.methods import Batch, Generate, Now, Shape, Terms, adam_pair
from i2i.nets import ConditionalBatchNorm, Network, ResNetDiscriminator, SelfAttention, UpBlock, register, spectral_norm
from i2i.nets.blocks import doublings, one_hot
from i2i.nets.resgan import attention_index, conv, linear, weight_init

# Channels, in widths, of G's maps from 4 pixels on and of D's blocks (appendix B; 32 pixels: the authors' for CIFAR).
G_PLANS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
D_PLANS = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}


@dataclass(frozen=True)
class BigGANSettings:
    """Settings of BigGAN; the defaults are the paper's for ImageNet at 128 pixels."""

    z: Width = 120  # numbers in the noise vector z; a multiple of its chunks, 1 plus the blocks of G
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1]
    width: Width = 96  # channels of G's last block; the other blocks are 1 to 16 times as wide
    d_width: Width = 96  # channels of D's first block; the other blocks are 1 to 16 times as wide
    shared: Width = 128  # numbers in the class embedding, which all norms of G share
    attention: OptionalSide = 64  # side in pixels of the maps with self-attention, in G and in D; 0: no attention
    critic_steps: Repeats = 2  # steps of D for each step of G
    ortho: NonNegative = 1e-4  # weight of the orthogonal regularisation of G; 0: off
    init: str = "orthogonal"  # initial weights: orthogonal, or normal (N(0, 0.02), as for CIFAR)
    lr: NonNegative = 5e-5  # learning rate of G's Adam
    d_lr: NonNegative = 2e-4  # learning rate of D's Adam
    beta1: UnderOne = 0.0  # beta1 of both Adams
    beta2: UnderOne = 0.999  # beta2 of both Adams
    adam_eps: NonNegative = 1e-8  # epsilon of both Adams; the public recipe for one node has 1e-6


def plan_for(plans: dict[int, tuple[int, ...]], size: int, width: int) -> list[int]:
    """Channels of the maps for images of side `size`; below 32 pixels as at 32. Raises I2IError for other sides."""
    count = doublings(size)
    if size < 32:
        return [width * 4] * (count + 1 if plans is G_PLANS else 4)
    if size not in plans:
        raise I2IError(f"BigGAN cannot make images of {size} pixels.", f"Choose 8, 16, {', '.join(map(str, plans))}.")
    return [width * k for k in plans[size]]


@register("biggan_g", former={"eps": 1e-5})
class BigGANGenerator(Network):
    """(z, c) -> images [B, channels, size, size] in [-1, 1]; chunks of z and the embedded class steer each block."""

    def __init__(
        self,
        z: Width,
        classes: Classes,
        channels: Channels = 3,
        size: Side = 128,
        width: Width = 96,
        shared: Width = 128,
        attention: OptionalSide = 64,
        init: str = "orthogonal",
    ) -> None:
        super().__init__()
        plan = plan_for(G_PLANS, size, width)
        self.chunk = z // len(plan)
        if z % len(plan) or not z:
            near = max(1, round(z / len(plan))) * len(plan)
            raise I2IError(f"z is {z}, which cannot be cut into {len(plan)} equal chunks.", f"Choose {near}.")
        self.classes = classes
        first = weight_init(init)

        def wrap(layer: nn.Module) -> nn.Module:
            return spectral_norm(first(layer))

        norm = functools.partial(ConditionalBatchNorm, width=shared + self.chunk, wrap=wrap)
        self.shared = nn.Embedding(classes, shared)
        first(self.shared)
        self.project = linear(wrap, self.chunk, plan[0] * 16)
        self.blocks = nn.ModuleList([UpBlock(a, b, norm, wrap) for a, b in itertools.pairwise(plan)])
        self.norm = nn.BatchNorm2d(plan[-1])
        self.to_picture = conv(wrap, plan[-1], channels)
        self.at = attention_index([8 * 2**k for k in range(len(self.blocks))], attention)
        self.attention = SelfAttention(plan[self.at + 1], wrap) if attention else nn.Identity()

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z [B, z], c int64 [B] or float [B, classes] (a mixture) -> [B, channels, size, size]."""
        embedded = one_hot(c, self.classes, z.dtype) @ self.shared.weight if c.is_floating_point() else self.shared(c)
        chunks: Sequence[Tensor] = z.split(self.chunk, 1)
        h = self.project(chunks[0]).view(len(z), -1, 4, 4)
        for k, block in enumerate(self.blocks):
            h = block(h, torch.cat([embedded, chunks[k + 1]], 1))
            if k == self.at:
                h = self.attention(h)
        return self.to_picture(self.norm(h).relu()).tanh()

    def filters(self) -> list[Tensor]:
        """The weights that are regularised: all with two axes or more, without those of the embedding."""
        return [p for name, p in self.named_parameters() if p.ndim > 1 and not name.startswith("shared.")]


class BigGAN(Generate):
    """BigGAN: wide class-conditional residual networks with attention, skip-z and orthogonal regularisation."""

    Config = BigGANSettings
    config: BigGANSettings
    needs = "labelled"
    term_notes = {"ortho": "Penalty on filters of the generator that are not orthogonal. Good: small."}
    tiny = {"z": 9, "width": 4, "d_width": 4, "shared": 4, "attention": 8, "size": 16}
    G: BigGANGenerator

    def __init__(self, config: BigGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        channels, size, k = shape.channels_in, shape.size, shape.classes
        self.G = BigGANGenerator(
            config.z, k, channels, size, config.width, config.shared, config.attention, config.init
        )
        self.D = ResNetDiscriminator(
            channels,
            size,
            classes=k,
            attention=config.attention,
            plan=plan_for(D_PLANS, size, config.d_width),
            init=config.init,
        )

    @classmethod
    def facts(cls, config: BigGANSettings) -> dict[str, Any]:
        """With truncation, batch-norm statistics are recomputed over 16 batches (standing statistics)."""
        return {**super().facts(config), "standing": 16}

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2, d_lr=c.d_lr, eps=c.adam_eps)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D; then G, on the last of `critic_steps` steps. The fakes have the classes of the batch."""
        real, c = batch.x, batch.c
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"), c)

        yield "D", {"real": hinge.real(self.D(real, c)), "fake": hinge.fake(self.D(fake, c))}

        if now.last_of(self.config.critic_steps):
            terms = {"adv": hinge.adv(self.D(self.G(self.draw(batch, now, "G"), c), c))}
            if self.config.ortho:
                terms["ortho"] = self.config.ortho * orthogonal(self.G.filters())
            yield "G", terms
