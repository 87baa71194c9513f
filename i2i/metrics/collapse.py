"""Signs of mode collapse and mode dropping: how unlike the samples are, and which parts of the data they reach."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coverage:
    """Which modes of a known mixture samples reach."""

    counts: Tensor  # int64 [K], good samples of each mode
    good: float  # share of samples within three standard deviations of their nearest centre
    kl: float  # divergence of the good samples' histogram from the uniform one, in nats

    def modes(self, least: int = 1) -> int:
        """Modes with at least `least` good samples."""
        return int((self.counts >= least).sum())


def coverage(points: Tensor, centers: Tensor, sigma: float) -> Coverage:
    """How samples [N, D] lie over a mixture of equal round Gaussians with `centers` [K, D] and deviation `sigma`."""
    distance, mode = torch.cdist(points.double(), centers.double()).min(1)
    good = distance <= 3 * sigma
    counts = torch.bincount(mode[good], minlength=len(centers))
    p = counts.double() / counts.sum().clamp_min(1)
    kl = torch.special.xlogy(p, p * len(centers)).sum()
    return Coverage(counts, float(good.double().mean()), float(kl))


def pairwise_distance(pictures: Tensor) -> float:
    """Mean distance between two of the images [N, C, H, W] (root mean square over pixels, in their own units)."""
    flat = pictures.flatten(1).double()
    return float(torch.pdist(flat).mean() / flat.shape[1] ** 0.5)


def nearest_distance(pictures: Tensor, others: Tensor, same: bool = False) -> float:
    """Mean distance of images [N, ...] to the nearest of `others` [M, ...], in the unit of `spread`.

    same: `others` are the images themselves, and none counts as its own neighbour."""
    a, b = pictures.flatten(1).double(), others.flatten(1).double()
    distance = torch.cdist(a, b)
    if same:
        distance.fill_diagonal_(float("inf"))
    return float(distance.min(1).values.mean() / a.shape[1] ** 0.5)
