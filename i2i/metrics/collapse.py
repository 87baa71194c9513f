"""Signs of mode collapse: how different the samples are, and which modes of the data they reach."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coverage:
    """Which modes of a known mixture the samples reach."""

    counts: Tensor  # int64 [K], good samples of each mode
    good: float  # share of samples within three standard deviations of their nearest center, in [0, 1]
    kl: float  # divergence of the good samples' histogram from the uniform one, in nats; 0: all modes equally often

    def modes(self, least: int = 1) -> int:
        """Number of modes with at least `least` good samples."""
        return int((self.counts >= least).sum())


def coverage(points: Tensor, centers: Tensor, sigma: float) -> Coverage:
    """Which Gaussians of a mixture the samples reach: the toy data on which mode collapse is counted.

    points [N, D]: the samples. The mixture has K equally likely Gaussians with `centers` [K, D] and standard deviation
    `sigma` in every direction."""
    distance, mode = torch.cdist(points.double(), centers.double()).min(1)
    good = distance <= 3 * sigma
    counts = torch.bincount(mode[good], minlength=len(centers))
    p = counts.double() / counts.sum().clamp_min(1)
    kl = torch.special.xlogy(p, p * len(centers)).sum()
    return Coverage(counts, float(good.double().mean()), float(kl))


def pairwise_distance(images: Tensor) -> float:
    """Mean distance between two of the images [N, C, H, W]: root mean square over pixels, in the images' units."""
    rows = images.flatten(1).double()
    return float(torch.pdist(rows).mean() / rows.shape[1] ** 0.5)


def nearest_distance(images: Tensor, others: Tensor, same: bool = False) -> float:
    """Mean distance from each of the images [N, ...] to the nearest of `others` [M, ...], as in `pairwise_distance`.

    same: `others` are the images themselves, and an image is not its own neighbor."""
    a, b = images.flatten(1).double(), others.flatten(1).double()
    distance = torch.cdist(a, b)
    if same:
        distance.fill_diagonal_(float("inf"))
    return float(distance.min(1).values.mean() / a.shape[1] ** 0.5)
