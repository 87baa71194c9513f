"""Self-attention over the positions of a feature map (Zhang et al. 2018, SAGAN, arXiv 1805.08318)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

Wrap = Callable[[nn.Module], nn.Module]


class SelfAttention(nn.Module):
    """y = x + gamma * o: maps [B, C, H, W] to the same shape; gamma is 0 at the start.

    o is a weighted sum of all positions: softmax(query . key) over values, without scaling. query and key have C/8
    channels. As in the authors' released code, keys and values are pooled 2x2 by their maximum, values have C/2
    channels, and a last convolution brings them back to C.

    wrap: applied to each 1x1 convolution, such as `spectral_norm`.
    """

    def __init__(self, channels: int, wrap: Wrap | None = None) -> None:
        super().__init__()
        inner, half = max(1, channels // 8), max(1, channels // 2)

        def conv1(before: int, after: int) -> nn.Module:
            layer = nn.Conv2d(before, after, 1, bias=False)
            nn.init.xavier_uniform_(layer.weight)
            return wrap(layer) if wrap else layer

        self.query, self.key = conv1(channels, inner), conv1(channels, inner)
        self.value: nn.Module = conv1(channels, half)
        self.out: nn.Module = conv1(half, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def pooled(self, x: Tensor) -> Tensor:
        """Keys or values [B, C, H, W] -> [B, C, H/2, W/2]."""
        return fn.max_pool2d(x, 2)

    def weights(self, x: Tensor) -> Tensor:
        """How much each position attends to each pooled one, [B, HW, HW/4]; rows sum to 1."""
        query, key = self.query(x).flatten(2), self.pooled(self.key(x)).flatten(2)
        with torch.autocast(x.device.type, enabled=False):  # a softmax over a thousand positions, in float32 at least
            scores = query.transpose(1, 2) @ key
            return (scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores).softmax(2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]; H and W must be even."""
        value = self.pooled(self.value(x)).flatten(2)
        attended = value @ self.weights(x).to(value.dtype).transpose(1, 2)
        return x + self.gamma * self.out(attended.view(*attended.shape[:2], *x.shape[2:]))


class FullAttention(nn.Module):
    """y = x + gamma * o as in DeOldify's U-Net: maps [B, C, H, W] to the same shape; gamma is 0 at the start.

    All positions take part, without pooling: o at a position is the sum of the values at all positions, each weighted
    by softmax(query there . key here) over the positions there. Values keep the C channels, and no convolution follows.
    Memory grows with (H W)^2. wrap: applied to each 1x1 convolution, such as `spectral_norm`."""

    def __init__(self, channels: int, wrap: Wrap | None = None) -> None:
        super().__init__()

        def conv1(after: int) -> nn.Module:
            layer = nn.Conv2d(channels, after, 1, bias=False)
            nn.init.kaiming_normal_(layer.weight)
            return wrap(layer) if wrap else layer

        self.query, self.key = conv1(max(1, channels // 8)), conv1(max(1, channels // 8))
        self.value = conv1(channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        query, key, value = (part(x).flatten(2) for part in (self.query, self.key, self.value))
        with torch.autocast(x.device.type, enabled=False):  # a softmax over a thousand positions, in float32 at least
            scores = query.transpose(1, 2) @ key
            weights = (scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores).softmax(1)
        return self.gamma * (value @ weights.to(value.dtype)).view_as(x) + x
