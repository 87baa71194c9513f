"""What a code or a class can be told from: the terms of InfoGAN (arXiv 1606.03657) and AC-GAN (arXiv 1610.09585)."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as fn

from i2i.losses.adversarial import at_least_float32


def category(logits: Tensor, c: Tensor) -> Tensor:
    """Mean of -log Q(c | x): logits [B, K] raw, c int64 [B] or one-hot [B, K]. Chance is log K."""
    return fn.cross_entropy(at_least_float32(logits), c)


def gaussian_nll(x: Tensor, mean: Tensor, variance: Tensor | float = 1.0, eps: float = 0.0) -> Tensor:
    """-log N(x; mean, variance) summed over numbers and averaged over the batch, all [B, n].

    `eps` is added to the variance within the logarithm and to twice the variance under the square, as in some public
    code."""
    x, mean = at_least_float32(x), at_least_float32(mean)
    variance = at_least_float32(variance) if isinstance(variance, Tensor) else x.new_full((), variance)
    log = 0.5 * (2 * math.pi * variance + eps).log()
    return (log + (x - mean).square() / (2 * variance + eps)).sum(1).mean()
