"""Distances between two sets of images, counted on features: FID, KID, Inception score, precision and its kin.

Every function takes features [N, D] (or logits [N, K]) of whatever network the caller names, since the numbers mean
nothing without that name: those of the literature come from the Inception-v3 of 2015. All is counted in float64. A set
that is sorted by class has to be shuffled by the caller before only a part of it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i.core.errors import I2IError


@dataclass(frozen=True)
class Moments:
    """Mean [D] and covariance [D, D] (divided by N - 1) of a set of features, float64."""

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor) -> Moments:
    """Of features [N, D]; raises I2IError for fewer than two rows."""
    x = _rows(features)
    if len(x) < 2:
        raise I2IError(f"A covariance needs at least two images; there is {len(x)}.", "2,048 and more are usual.")
    mean = x.mean(0)
    centred = x - mean
    return Moments(mean, centred.T @ centred / (len(x) - 1))


def frechet(a: Moments, b: Moments) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)): FID (Heusel et al. 2017, arXiv 1706.08500) on Inception features.

    The root's trace is that of the symmetric S1^(1/2) S2 S1^(1/2), whose eigenvalues are the same, real and not
    negative; so singular covariances (fewer images than features) need no special care. It falls as N grows: compare
    at equal N.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    inner = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    trace = a.covariance.trace() + b.covariance.trace() - 2 * inner
    return float((a.mean - b.mean).square().sum() + trace)


def fid(real: Tensor, fake: Tensor) -> float:
    """`frechet` between two sets of features [N, D], [M, D]."""
    return frechet(moments(real), moments(fake))


def mmd(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy of [M, D] and [N, D], kernel (x.y / D + 1)^3, unbiased: it may be negative."""
    x, y = _rows(a), _rows(b)
    d, m, n = x.shape[1], len(x), len(y)
    if min(m, n) < 2:
        raise I2IError(f"KID needs two images on each side; there are {m} and {n}.", "1,000 and more are usual.")

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (p @ q.T / d + 1).pow(3)

    xx, yy = kernel(x, x), kernel(y, y)
    within = (xx.sum() - xx.trace()) / (m * (m - 1)) + (yy.sum() - yy.trace()) / (n * (n - 1))
    return float(within - 2 * kernel(x, y).mean())


def kid(real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """KID (Binkowski et al. 2018, arXiv 1801.01401): mean and deviation of `mmd` over random subsets of equal size.

    A subset has `size` rows, or as many as the smaller set has. The deviation is that of the population of subsets."""
    count = min(size, len(real), len(fake))
    draw = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        rows, others = (torch.randperm(len(s), generator=draw)[:count] for s in (real, fake))
        values.append(mmd(real[rows], fake[others]))
    found = torch.tensor(values, dtype=torch.float64)
    return float(found.mean()), float(found.std(correction=0))


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """exp(E KL(p(c | x) || p(c))) of logits [N, K] (Salimans et al. 2016, arXiv 1606.03498): mean and deviation.

    Split j of S holds the rows from floor(j N / S) on, in the order given, so shuffle first; the deviation is that of
    the population of splits (0 for one). Between 1 and K."""
    n = len(logits)
    if not 1 <= splits <= n:
        raise I2IError(f"{n} images cannot be split {splits} times.", f"Choose 1 to {n} splits.")
    values = []
    for j in range(splits):
        log_p = torch.log_softmax(_rows(logits[j * n // splits : (j + 1) * n // splits]), 1)
        log_mean = torch.logsumexp(log_p, 0) - torch.tensor(len(log_p), dtype=torch.float64).log()
        values.append((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())
    found = torch.stack(values)
    return float(found.mean()), float(found.std(correction=0))


@dataclass(frozen=True)
class Overlap:
    """How two sets lie in each other's neighbourhoods; all but density are shares."""

    precision: float  # of the fakes, in the ball of some real image (Kynkaanniemi et al. 2019, arXiv 1904.06991)
    recall: float  # of the real images, in the ball of some fake
    density: float  # real balls around a fake, over k; may exceed 1 (Naeem et al. 2020, arXiv 2002.09797)
    coverage: float  # of the real images, with a fake in their ball


def overlap(real: Tensor, fake: Tensor, k: int = 5) -> Overlap:
    """Precision, recall, density and coverage of features [N, D], [M, D].

    An image's ball reaches to its k-th nearest other image of the same set, and holds what is nearer than that.
    Memory grows with N M: 10,000 of each take 2.4 GB. Raises I2IError if a set has no more than k images."""
    x, y = _rows(real), _rows(fake)
    if min(len(x), len(y)) <= k:
        raise I2IError(f"The {k}-th neighbour needs more than {k} images; there are {len(x)} and {len(y)}.")
    reach_x, reach_y = _reach(x, k), _reach(y, k)
    between = _distances(x, y)
    inside = between < reach_x[:, None]
    return Overlap(
        precision=float(inside.any(0).double().mean()),
        recall=float((between < reach_y[None]).any(1).double().mean()),
        density=float(inside.sum(0).double().mean() / k),
        coverage=float((between.min(1).values < reach_x).double().mean()),
    )


def _reach(x: Tensor, k: int) -> Tensor:
    """Distance [N] of each row to its k-th nearest other one."""
    distances = _distances(x, x).fill_diagonal_(0)
    return distances.kthvalue(k + 1, dim=1).values


def _distances(x: Tensor, y: Tensor) -> Tensor:
    # Without the shortcut by products of matrices, which loses digits where points are near.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _rows(features: Tensor) -> Tensor:
    if features.ndim != 2:
        raise I2IError(f"Features of shape {list(features.shape)} cannot be compared.", "They must be [images, D].")
    return features.detach().double().cpu()
