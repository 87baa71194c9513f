"""The time of a sampler's step as input of a network: sines and cosines of many frequencies.

Vaswani et al. 2017, arXiv 1706.03762, section 3.5; Ho et al. 2020, arXiv 2006.11239.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as fn


def cosines_and_sines(t: Tensor, width: int) -> Tensor:
    """Times [B] -> [B, width] as diffusion networks have it: cosines, then sines; the frequencies fall to 1/10000.

    An odd width gets a 0 at its end."""
    half = width // 2
    angles = t[:, None] * _frequencies(half, half, t)
    return fn.pad(torch.cat([angles.cos(), angles.sin()], 1), (0, width - 2 * half))


def sines_and_cosines(t: Tensor, width: int) -> Tensor:
    """Times [B] -> [B, width] as the first score networks had it: sines, then cosines, down to exactly 1/10000.

    An odd width gets a 0 at its end."""
    half = width // 2
    angles = t[:, None] * _frequencies(half, max(1, half - 1), t)
    return fn.pad(torch.cat([angles.sin(), angles.cos()], 1), (0, width - 2 * half))


def _frequencies(count: int, steps: int, like: Tensor) -> Tensor:
    """10000 to the power of -j / steps, for j from 0 to count - 1."""
    return torch.exp(-math.log(10000) / steps * torch.arange(count, dtype=like.dtype, device=like.device))
