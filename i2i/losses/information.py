"""Likelihoods of codes, classes and attributes: the terms of InfoGAN (arXiv 1606.03657), AC-GAN (arXiv 1610.09585),
StarGAN (arXiv 1711.09020) and BicycleGAN (arXiv 1711.11586)."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as fn

from i2i.losses.adversarial import at_least_float32


def category(logits: Tensor, c: Tensor) -> Tensor:
    """Mean over the batch of -log Q(c | x), a scalar; guessing gives log K.

    logits [B, K], c int64 [B] or one-hot [B, K]."""
    return fn.cross_entropy(at_least_float32(logits), c)


def attributes(logits: Tensor, bits: Tensor) -> Tensor:
    """Binary cross-entropy of attributes, summed over all and divided by the batch, a scalar (StarGAN).

    logits, bits [B, K], bits in [0, 1]."""
    logits = at_least_float32(logits)
    return fn.binary_cross_entropy_with_logits(logits, bits.to(logits), reduction="sum") / len(logits)


def gaussian_nll(x: Tensor, mean: Tensor) -> Tensor:
    """-log N(x; mean, 1) for x, mean [B, n]: summed over the numbers, averaged over the batch; a scalar."""
    x, mean = at_least_float32(x), at_least_float32(mean)
    return (0.5 * math.log(2 * math.pi) + 0.5 * (x - mean).square()).sum(1).mean()


def kl_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Distance KL(N(mean, variance) || N(0, 1)), summed over all numbers of [B, n]; a scalar.

    It is a sum over the batch, too, so its weight grows with the batch."""
    mean, log_variance = at_least_float32(mean), at_least_float32(log_variance)
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
