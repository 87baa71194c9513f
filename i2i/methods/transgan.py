"""TransGAN: Two Pure Transformers Can Make One Strong GAN, and That Can Scale Up.

Jiang, Chang, Wang, 2021, arXiv 2102.07074 (second version and released code). The only convolutions are those that cut
images into patches. G grows a map of tokens, 8x8 at first, by pixel shuffles between transformer blocks. D reads
patches of two or three sizes, of which the larger join after its first blocks, and scores by a class token.

    min_D  E D(G(z)) - E D(x) + 10 E (|| grad D(m) ||_2 - 1)^2 + 0.001 (E D(x))^2        min_G  -E D(G(z))

What is unusual: maps above 32x32 tokens attend only within windows (grid attention), with learned biases for relative
positions. G ends without tanh. D makes four steps for each step of G, which has twice as many fakes. The recipe
augments everything that D sees (`diffaugment`) and clips gradients at 5 (`clip`); training needs both.

What the released code has for other sizes: pixel norm in G at 48 pixels and more (`norm: pn`), in D at 48 (`d_norm:
pn`); noise of a learned strength, which starts at 0, on the tokens of G at 256 pixels (`token_noise`), of D at 32 and
48 (`d_token_noise`); a third size of patches in D for LSUN Church (`patch_sizes: 3`); and in G for CelebA-HQ, attention
of each block to tokens made of z (`modulate`). The D for CelebA-HQ (patches that overlap, windows of 4, other widths)
is not here. The paper's first version also has co-training with super-resolution and growing windows, which are neither
in the released code nor here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.optim import Optimizer

from i2i.core.config import Blocks, Channels, NonNegative, Range, Repeats, Side, UnderOne, Width
from i2i.core.distributed import gather_rows
from i2i.core.errors import I2IError
from i2i.core.random import counter_uniform
from i2i.losses import gradient_penalty, wasserstein
from i2i.methods import WASSERSTEIN, Batch, Generate, Now, Shape, Terms, adam_pair, sample_ids
from i2i.nets import Network, register
from i2i.nets.transformer import (
    BlockStack,
    TransformerBlock,
    init_xavier,
    map_to_tokens,
    pixel_shuffle,
    pos_embed,
    token_norm,
    tokens_to_map,
)


@dataclass(frozen=True)
class TransGANSettings:
    """Settings of TransGAN; the defaults are the released code's for CIFAR-10."""

    z: Width = 256  # numbers in the noise vector z
    noise: str = "normal"  # distribution of the noise: normal, or uniform on [-1, 1]
    width: Width = 1024  # channels of G's first tokens; each pixel shuffle divides them by 4
    depths: tuple[Blocks, ...] = (5, 4, 2)  # transformer blocks of G at each size; each size is twice the one before
    positions: bool = False  # learned biases for relative positions in all maps of G, as released; no: in windows only
    shuffles: Blocks = 2  # the last N upsamplings are pixel shuffles, those before are bicubic (256 px: 3)
    d_width: Width = 384  # channels of D's tokens
    d_depth: Blocks = 3  # transformer blocks of D at each of its sizes (at the third, one more)
    patch: Width = 2  # side of D's smallest patches in pixels
    patch_sizes: Annotated[int, Range(2, 3)] = 2  # sizes of D's patches, each twice the one before: 2, or 3 (256 px)
    heads: Width = 4  # attention heads of every block
    norm: str = "ln"  # norm in G's blocks: ln (layer norm), or pn (pixel norm, as released for 48 pixels and more)
    token_noise: bool = False  # noise of learned strength on the tokens of G, as released for 256 pixels
    modulate: bool = False  # each block of G attends to tokens made of z first, as released for CelebA-HQ
    d_norm: str = "ln"  # norm in D's blocks: ln, or pn (as released for 48 pixels)
    d_token_noise: bool = False  # noise of learned strength on the tokens of D, as released for 32 and 48 pixels
    largest: Side = 32  # side of the largest maps with full attention; larger maps attend in windows of half of it
    critic_steps: Repeats = 4  # steps of D for each step of G
    g_batch: Repeats = 2  # batches of fakes in each step of G
    gp: NonNegative = 10.0  # weight of the gradient penalty
    drift: NonNegative = 1e-3  # weight of the squared mean score of real images
    lr: NonNegative = 1e-4  # learning rate of both Adams
    beta1: UnderOne = 0.0  # beta1 of both Adams
    beta2: UnderOne = 0.99  # beta2 of both Adams


def enlarged(x: Tensor, times: int) -> Tensor:
    """A map [B, C, H, W], bicubic -> [B, C, times H, times W]."""
    return fn.interpolate(x, scale_factor=float(times), mode="bicubic", align_corners=False)


@register("transgan_g")
class TransGANGenerator(Network):
    """z [B, z] -> images [B, channels, size, size], without a final tanh; each entry of `depths` after the first
    doubles the map.

    token_noise, modulate: see TransGANSettings. With `modulate`, maps are also smoothed before each pixel shuffle but
    the first: made four times as large (bicubic), and averaged down again."""

    def __init__(
        self,
        z: Width,
        channels: Channels = 3,
        size: Side = 32,
        width: Width = 1024,
        depths: tuple[Blocks, ...] = (5, 4, 2),
        shuffles: Blocks = 2,
        heads: Width = 4,
        largest: Side = 32,
        norm: str = "ln",
        positions: bool = False,
        token_noise: bool = False,
        modulate: bool = False,
    ) -> None:
        super().__init__()
        if not depths:
            raise I2IError("depths is empty.", "Give the number of blocks of G at each size.")
        doublings = len(depths) - 1
        self.side = size >> doublings
        if self.side < 2 or self.side << doublings != size:
            raise I2IError(
                f"depths has {len(depths)} entries, which double a map {doublings} times: never to {size} pixels.",
                "Give another --size, or another number of depths.",
            )
        shuffles = min(shuffles, doublings)
        if width % (4**shuffles * heads):
            raise I2IError(f"width is {width}.", f"It must be a multiple of {4**shuffles * heads}.")
        self.shuffled_from = doublings - shuffles  # index of the first upsampling that is a pixel shuffle
        plan = [width // 4 ** max(0, k - self.shuffled_from) for k in range(len(depths))]
        sides = [self.side << k for k in range(len(depths))]
        self.dense = nn.Linear(z, width * self.side**2)
        self.places = nn.ParameterList([pos_embed(s * s, w) for s, w in zip(sides, plan, strict=True)])
        more = (largest, positions, norm, token_noise, width if modulate else 0)
        self.stages = nn.ModuleList(
            [BlockStack(w, d, heads, s, *more) for w, d, s in zip(plan, depths, sides, strict=True)]
        )
        self.modulation = nn.Linear(z, width * self.side**2) if modulate else None
        if modulate:
            self.modulation_places = pos_embed(self.side**2, width)
        self.to_picture = nn.Conv2d(plan[-1], channels, 1)
        init_xavier(self)

    def forward(self, z: Tensor) -> Tensor:
        """z [B, z] -> [B, channels, size, size]."""
        h = self.dense(z).view(len(z), self.side**2, -1)
        y = None
        if self.modulation is not None:
            y = self.modulation(z).view(len(z), self.side**2, -1) + self.modulation_places
        for k, (position, blocks) in enumerate(zip(self.places, self.stages, strict=True)):
            if k > self.shuffled_from + 1 and y is not None:
                h = map_to_tokens(fn.avg_pool2d(enlarged(tokens_to_map(h), 4), 4))
            if k > self.shuffled_from:
                h = pixel_shuffle(h)
            elif k:
                h = map_to_tokens(enlarged(tokens_to_map(h), 2))
            h = blocks(h + position, y)
        return self.to_picture(tokens_to_map(h))


class TransGANDiscriminator(nn.Module):
    """Images [B, channels, size, size] -> raw scores [B]. It reads patches of side `patch`, of twice that side, and
    with `patch_sizes` 3 of four times that side; then the last block before the first pooling attends to the whole
    map."""

    def __init__(
        self,
        channels: int = 3,
        size: int = 32,
        width: int = 384,
        depth: int = 3,
        patch: int = 2,
        heads: int = 4,
        largest: int = 32,
        patch_sizes: int = 2,
        norm: str = "ln",
        token_noise: bool = False,
    ) -> None:
        super().__init__()
        unit, coarsest = 4 * heads * (patch_sizes - 1), patch << (patch_sizes - 1)
        if width % unit or size % coarsest:
            raise I2IError(
                f"d_width is {width} and patch {patch} for images of {size} pixels.",
                f"d_width must be a multiple of {unit}, and {size} a multiple of {coarsest // patch} times the patch.",
            )
        three = patch_sizes == 3
        side, fine = size // patch, width * 3 // 4
        middle = width * 7 // 8 if three else width
        self.fine = nn.Conv2d(channels, fine, patch, patch)
        self.coarse = nn.Conv2d(channels, middle - fine, 2 * patch, 2 * patch)
        self.places = nn.ParameterList([pos_embed(side**2, fine), pos_embed((side // 2) ** 2, middle)])
        self.token = pos_embed(1, width)
        more = (largest, True, norm, token_noise)
        number = 99 if token_noise else None  # of the blocks that stand alone
        self.stage1 = BlockStack(fine, depth - three, heads, side, *more)
        self.stage2 = BlockStack(middle, depth, heads, side // 2, *more)
        if three:
            self.stage1.append(TransformerBlock(fine, heads, side, side, norm, number))
            self.coarsest = nn.Conv2d(channels, width - middle, 4 * patch, 4 * patch)
            self.places.append(pos_embed((side // 4) ** 2, width))
            self.stage3 = BlockStack(width, depth + 1, heads, side // 4, *more)
        self.three = three
        self.last = TransformerBlock(width, heads, norm=norm, noise=number)
        self.norm = token_norm(norm, width)
        self.score = nn.Linear(width, 1)
        init_xavier(self)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, channels, size, size] -> [B]."""
        h = self.stage1(map_to_tokens(self.fine(x)) + self.places[0])
        h = self.stage2(self.joined(h, self.coarse(x)) + self.places[1])
        if self.three:
            h = self.stage3(self.joined(h, self.coarsest(x)) + self.places[2])
        h = self.last(torch.cat([self.token.expand(len(x), -1, -1), h], 1))
        return self.score(self.norm(h)[:, 0]).squeeze(1)

    def joined(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Tokens [B, N, C] of a map, pooled to half of its side, beside patches of it: [B, N / 4, C + more]."""
        return torch.cat([map_to_tokens(fn.avg_pool2d(tokens_to_map(tokens), 2)), map_to_tokens(patches)], 2)


class TransGAN(Generate):
    """TransGAN: G and D are transformers."""

    Config = TransGANSettings
    config: TransGANSettings
    term_notes = WASSERSTEIN
    middle = wasserstein.middle
    tiny = {"z": 8, "width": 32, "depths": (1, 1), "d_width": 16, "d_depth": 1, "heads": 2}
    tiny |= {"largest": 4, "critic_steps": 2, "size": 16}
    double_backward = True

    def __init__(self, config: TransGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        channels, size = shape.channels_in, shape.size
        heads, largest = config.heads, config.largest
        tokens = (config.width, config.depths, config.shuffles, heads, largest, config.norm, config.positions)
        self.G = TransGANGenerator(config.z, channels, size, *tokens, config.token_noise, config.modulate)
        patches = (config.d_width, config.d_depth, config.patch, heads, largest, config.patch_sizes)
        self.D = TransGANDiscriminator(channels, size, *patches, config.d_norm, config.d_token_noise)

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        c = self.config
        return adam_pair(self.D, self.G, c.lr, c.beta1, c.beta2)

    def infer(self, batch: Batch) -> Tensor:
        """As `Generate.infer`, clamped to [-1, 1]."""
        return super().infer(batch).clamp(-1, 1)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D; then G, on the last of `critic_steps` steps."""
        real = batch.x
        with torch.no_grad():
            fake = self.G(self.draw(batch, now, "D"))

        alpha = counter_uniform(sample_ids(batch, now), 1, now.seed, "gp").to(real)
        scores = self.D(real)
        # The mean m over all processes: 2 m E D - m^2 has the value and the gradient of (E D)^2 at E D = m.
        mean = gather_rows(scores).mean()
        terms = {
            "real": wasserstein.real(scores),
            "fake": wasserstein.fake(self.D(fake)),
            "gp": self.config.gp * gradient_penalty(self.D, real, fake, alpha),
            "drift": self.config.drift * (2 * mean * scores.mean() - mean.square()),
        }
        yield "D", terms

        if now.last_of(self.config.critic_steps):
            z = torch.cat([self.draw(batch, now, f"G/{k}") for k in range(self.config.g_batch)])
            yield "G", {"adv": wasserstein.adv(self.D(self.G(z)))}
