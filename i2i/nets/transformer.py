"""Transformer blocks over maps of tokens: attention within windows, with a learned bias for relative positions.

As in TransGAN (Jiang, Chang, Wang 2021, arXiv 2102.07074). Tokens are the positions of a map, row by row: [B, H*W, C].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.core.random import pixel_normal
from i2i.nets.blocks import check

TOKEN_NORMS = ("ln", "pn")


def split_windows(x: Tensor, side: int, window: int) -> Tensor:
    """Tokens of a map, [B, side^2, C] -> tokens of its windows, [B * (side / window)^2, window^2, C], row by row."""
    b, _, c = x.shape
    n = side // window
    return x.view(b, n, window, n, window, c).transpose(2, 3).reshape(b * n * n, window * window, c)


def join_windows(x: Tensor, side: int, window: int) -> Tensor:
    """The inverse of `split_windows`: [B * (side / window)^2, window^2, C] -> [B, side^2, C]."""
    n, c = side // window, x.shape[-1]
    return x.view(-1, n, n, window, window, c).transpose(2, 3).reshape(-1, side * side, c)


def map_to_tokens(x: Tensor) -> Tensor:
    """A map [B, C, H, W] -> tokens [B, H*W, C]."""
    return x.flatten(2).transpose(1, 2)


def tokens_to_map(x: Tensor) -> Tensor:
    """Tokens of a square map [B, H*H, C] -> the map [B, C, H, H]."""
    side = round(x.shape[1] ** 0.5)
    return x.transpose(1, 2).reshape(len(x), -1, side, side)


def pixel_shuffle(x: Tensor) -> Tensor:
    """Tokens [B, H*H, C] -> tokens of twice the side [B, 4*H*H, C/4]."""
    return map_to_tokens(fn.pixel_shuffle(tokens_to_map(x), 2))


def pos_embed(count: int, width: int) -> nn.Parameter:
    """A learned position embedding [1, count, width]; starts as N(0, 0.02), truncated to [-2, 2]."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, count, width), std=0.02))


class PixelNorm(nn.Module):
    """Tokens [B, N, C], each divided by the root of its mean square (plus 1e-8); it has no parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        return x * (x.square().mean(-1, keepdim=True) + 1e-8).rsqrt()


def token_norm(kind: str, width: int) -> nn.Module:
    """A norm of tokens of `width` channels: ln (layer norm) or pn (pixel norm). Raises I2IError for another kind."""
    check("norm", kind, TOKEN_NORMS)
    return nn.LayerNorm(width) if kind == "ln" else PixelNorm()


class TokenNoise(nn.Module):
    """Tokens [B, N, C] plus one normal number for each token, the same in all channels, times a learned strength.

    The strength starts at 0. Training draws new numbers each time, from torch's generator, as the released code does.
    Otherwise they are fixed for each position and each `number` of a block, so that an image repeats."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.strength = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        b, n, _ = x.shape
        if self.training:
            noise = torch.randn(b, n, 1, device=x.device)
        else:
            noise = pixel_normal(1, n, 1, "tokens", n, self.number, device=x.device)[0]
        return x + self.strength * noise.to(x.dtype)


def init_xavier(net: nn.Module) -> None:
    """Draws Xavier uniform weights for all convolutions and linear layers; sets biases of linear layers to 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B, N, C]: softmax(q k^T / sqrt(C / heads) + bias) v, then a projection.

    window > 0: N is window^2, and the scores get a learned bias for each head and each offset of rows and columns."""

    def __init__(self, width: int, heads: int, window: int = 0) -> None:
        super().__init__()
        if width % heads:
            raise I2IError(
                f"heads is {heads}, and {width} channels cannot be split into that many equal parts.",
                f"Choose a number of heads that divides {width}.",
            )
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        if window:
            self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
            nn.init.trunc_normal_(self.table, std=0.02)

    def bias(self) -> Tensor:
        """The bias of the scores for each pair of positions, [heads, N, N]."""
        side = torch.arange(self.window, device=self.table.device)
        rows, columns = side.repeat_interleave(self.window), side.repeat(self.window)
        down, across = (p[:, None] - p[None] + self.window - 1 for p in (rows, columns))
        return self.table[down * (2 * self.window - 1) + across].permute(2, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        # written out, because torch's fused attention cannot be differentiated twice
        scores = (q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5
        if self.window:
            scores = scores + self.bias()
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c))


class CrossAttention(nn.Module):
    """x + attention of tokens x [B, N, C] to other tokens y [B, M, E]: keys and values are made of y.

    The released TransGAN for CelebA-HQ begins each block with it, where y is made of z; its authors call it
    self-modulation."""

    def __init__(self, width: int, other: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.k, self.v = nn.Linear(other, width, bias=False), nn.Linear(other, width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, N, C], [B, M, E] -> [B, N, C]."""
        q, k, v = (h.unflatten(2, (self.heads, -1)).transpose(1, 2) for h in (self.q(x), self.k(y), self.v(y)))
        scores = (q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5
        return x + self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)), for tokens [B, side^2, C]; MLP: C -> 4C, exact GELU, -> C.

    window > 0: attention within windows of `window` x `window` positions, with relative positions; `window` must
    divide `side`. window 0: attention over all tokens, whose number is free. norm: see token_norm. noise: the number
    of the block's TokenNoise before the attention, if it has one. other: channels of the tokens y that x attends to
    first (CrossAttention); 0: none."""

    def __init__(
        self,
        width: int,
        heads: int,
        side: int = 0,
        window: int = 0,
        norm: str = "ln",
        noise: int | None = None,
        other: int = 0,
    ) -> None:
        super().__init__()
        if window and side % window:
            raise I2IError(
                f"A map of {side} x {side} cannot be split into windows of {window} x {window}.",
                f"Choose a window that divides {side}.",
            )
        self.side, self.window = side, window
        self.norm1, self.norm2 = token_norm(norm, width), token_norm(norm, width)
        self.attention = Attention(width, heads, window)
        self.noise = None if noise is None else TokenNoise(noise)
        self.cross = CrossAttention(width, other, heads) if other else None
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """[B, N, C] (and y [B, M, `other`]) -> [B, N, C]."""
        if self.cross is not None and y is not None:
            x = self.cross(x, y)
        h = self.norm1(x)
        if self.noise is not None:
            h = self.noise(h)
        if self.window and self.window < self.side:
            h = join_windows(self.attention(split_windows(h, self.side, self.window)), self.side, self.window)
        else:
            h = self.attention(h)
        x = x + h
        return x + self.mlp(self.norm2(x))


class BlockStack(nn.Sequential):
    """`depth` blocks for a map of `side` x `side`.

    Maps larger than `largest` attend within windows of half of it ("grid attention"), with relative positions. Smaller
    ones attend as a whole, with relative positions if `positions`. noise: each block has a TokenNoise. norm, other: see
    TransformerBlock."""

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        side: int,
        largest: int,
        positions: bool,
        norm: str = "ln",
        noise: bool = False,
        other: int = 0,
    ) -> None:
        window = largest // 2 if side > largest else (side if positions else 0)
        numbers = [k if noise else None for k in range(depth)]
        super().__init__(*[TransformerBlock(width, heads, side, window, norm, k, other) for k in numbers])

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """[B, side^2, width] (and y [B, M, `other`]) -> [B, side^2, width]."""
        for block in self:
            x = block(x, y)
        return x
