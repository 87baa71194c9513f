"""BigGAN: Large Scale GAN Training for High Fidelity Natural Image Synthesis.

Brock, Donahue, Simonyan, 2018, arXiv 1809.11096. SAGAN's pair, wider, on larger batches, with the hinge loss and

    R = beta || W^T W * (1 - I) ||_F^2        (equation 3, on G's weights but the embedding)

What is unusual: z is cut in chunks, the first of which starts the image while each block's batch norm is conditioned
on the next one beside the class (skip-z); all norms share one class embedding; orthogonal first weights; D makes two
steps for one of G. Once trained, numbers of z that exceed a threshold are drawn again (truncation: better images of
fewer kinds), with batch norm's statistics taken anew (standing statistics); `i2i generate --truncation` does both. R is
counted with the half that makes its gradient that of the authors' code. Batches too large for the memory are computed
in micro-batches (`accumulate`): spectral and batch norm then move once a micro-batch.
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

from i2i.core.config import Count, Natural, NonNegative, UnderOne
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

    z: Count = 120  # numbers in the noise, a multiple of the number of chunks: one and one for each block of G
    noise: str = "normal"  # normal, uniform (on [-1, 1])
    width: Count = 96  # channels of G's last block; others are 1 to 16 times as wide
    d_width: Count = 96  # the same for D's first block
    shared: Count = 128  # numbers in the class embedding that G's norms share
    attention: Natural = 64  # side in pixels of the maps that attend, in G and in D; 0: none
    critic_steps: Count = 2  # steps of D for one of G
    ortho: NonNegative = 1e-4  # weight of the orthogonal regularisation of G; 0: none
    init: str = "orthogonal"  # first weights: orthogonal, normal (N(0, 0.02), as for CIFAR)
    lr: NonNegative = 5e-5  # learning rate of G's Adam
    d_lr: NonNegative = 2e-4  # learning rate of D's Adam
    beta1: UnderOne = 0.0  # first momentum of both Adams
    beta2: UnderOne = 0.999  # second momentum of both Adams
    adam_eps: NonNegative = 1e-8  # added to the root of the second momentum (the public recipe for one node: 1e-6)


def plan_for(plans: dict[int, tuple[int, ...]], size: int, width: int) -> list[int]:
    """The channels of the maps for images of side `size`; below 32 pixels as at 32. Raises I2IError if unknown."""
    count = doublings(size)
    if size < 32:
        return [width * 4] * (count + 1 if plans is G_PLANS else 4)
    if size not in plans:
        raise I2IError(f"BigGAN makes no images of {size} pixels.", f"Choose 8, 16, {', '.join(map(str, plans))}.")
    return [width * k for k in plans[size]]


@register("biggan_g", former={"eps": 1e-5})
class BigGANGenerator(Network):
    """(z, c) -> images [B, channels, size, size] in [-1, 1]; chunks of z and the embedded class steer each block."""

    def __init__(
        self,
        z: int,
        classes: int,
        channels: int = 3,
        size: int = 128,
        width: int = 96,
        shared: int = 128,
        attention: int = 64,
        init: str = "orthogonal",
    ) -> None:
        super().__init__()
        plan = plan_for(G_PLANS, size, width)
        self.chunk = z // len(plan)
        if z % len(plan) or not z:
            near = max(1, round(z / len(plan))) * len(plan)
            raise I2IError(f"z is {z}, which cannot be cut in {len(plan)} equal chunks.", f"Choose {near}.")
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
        """The learned weights under orthogonal regularisation: all of two axes and more, but the embedding's."""
        return [p for name, p in self.named_parameters() if p.ndim > 1 and not name.startswith("shared.")]


class BigGAN(Generate):
    """BigGAN: wide class-conditional residual networks with attention, skip-z and orthogonal regularisation."""

    Config = BigGANSettings
    config: BigGANSettings
    needs = "labelled"
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
        """Truncated noise asks for statistics of batch norm taken anew, over sixteen batches."""
        return {**super().facts(config), "standing": 16}

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2, d_lr=c.d_lr, eps=c.adam_eps)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """A step of D; then G, each time D has made its two. Fakes are asked for the classes of the batch."""
        real, c = batch.x, batch.c
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"), c)

        yield "D", {"real": hinge.real(self.D(real, c)), "fake": hinge.fake(self.D(fake, c))}

        if now.last_of(self.config.critic_steps):
            terms = {"adv": hinge.adv(self.D(self.G(self.draw(batch, now, "G"), c), c))}
            if self.config.ortho:
                terms["ortho"] = self.config.ortho * orthogonal(self.G.filters())
            yield "G", terms
