"""Self-attention over the places of a feature map (Zhang et al. 2018, SAGAN, arXiv 1805.08318)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

Wrap = Callable[[nn.Module], nn.Module]


class SelfAttention(nn.Module):
    """y = x + gamma * o, o made of all places of x, gamma 0 at the start; maps [B, C, H, W] to the same shape.

    Every place asks with query(x), C/8 channels, is answered by key(x), and gets the values weighted by the softmax of
    query . key (no scaling). Three forms are in use:

    - the authors' released code (the default): keys and values are pooled 2x2 by their maximum; values have C/2
      channels, and a last convolution brings them back to C;
    - the paper's equations: `pool=False, share=8`: values of C/8 channels;
    - U-Nets (DeOldify): `pool=False, share=1`: values of C channels, without the last convolution.

    `wrap` is laid over each 1x1 convolution: `spectral_norm`, or nothing.
    """

    def __init__(self, channels: int, wrap: Wrap | None = None, pool: bool = True, share: int = 2) -> None:
        super().__init__()
        self.pool = pool
        inner = max(1, channels // 8)

        def layer(before: int, after: int) -> nn.Module:
            made = nn.Conv2d(before, after, 1, bias=False)
            nn.init.xavier_uniform_(made.weight)
            return wrap(made) if wrap else made

        self.query, self.key = layer(channels, inner), layer(channels, inner)
        self.value = layer(channels, max(1, channels // share))
        self.out = layer(max(1, channels // share), channels) if share > 1 else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(()))

    def _keys(self, x: Tensor) -> Tensor:
        return fn.max_pool2d(x, 2) if self.pool else x

    def weights(self, x: Tensor) -> Tensor:
        """How much each place attends to each other [B, HW, HW] (pooled: [B, HW, HW/4]); rows sum to 1."""
        query, key = self.query(x).flatten(2), self._keys(self.key(x)).flatten(2)
        with torch.autocast(x.device.type, enabled=False):  # a softmax over a thousand places, in float32 at least
            scores = query.transpose(1, 2) @ key
            return (scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores).softmax(2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]; both sides even where keys are pooled."""
        value = self._keys(self.value(x)).flatten(2)
        seen = value @ self.weights(x).to(value.dtype).transpose(1, 2)
        made: Tensor = x + self.gamma * self.out(seen.view(*seen.shape[:2], *x.shape[2:]))
        return made
