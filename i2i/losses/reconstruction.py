"""Distances between pictures."""

from __future__ import annotations

from torch import Tensor

from i2i.losses.adversarial import wide


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of two batches [B, C, H, W], a scalar in at least float32."""
    return (wide(a) - wide(b)).abs().mean()
