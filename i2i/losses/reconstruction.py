"""Distances between images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from i2i.losses.adversarial import at_least_float32


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of two batches [B, C, H, W], a scalar in at least float32."""
    return (at_least_float32(a) - at_least_float32(b)).abs().mean()


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of two batches [B, C, H, W], a scalar in at least float32."""
    return (at_least_float32(a) - at_least_float32(b)).square().mean()


def map_distances(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float]) -> list[Tensor]:
    """Weighted mean absolute differences of two lists of feature maps, one scalar for each map."""
    return [weight * l1(a, b) for weight, a, b in zip(weights, fake, real, strict=True)]
