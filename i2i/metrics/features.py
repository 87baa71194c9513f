"""Distances between two sets of images, measured on features: FID, KID, MIND, Inception score, precision and recall.

All functions take features [N, D] (or logits [N, K]) of a network that the caller chooses. State the network with the
numbers; those in papers come from the Inception-v3 of 2015. Everything is computed in float64. Shuffle a set that is
sorted by class before you use only a part of it. Features that are not two-dimensional raise I2IError.
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
    """Mean and covariance of features [N, D]. Raises I2IError for fewer than two rows."""
    x = _rows(features)
    if len(x) < 2:
        raise I2IError(f"FID needs at least 2 images in each set; one has {len(x)}.", "2,048 and more are usual.")
    mean = x.mean(0)
    centered = x - mean
    return Moments(mean, centered.T @ centered / (len(x) - 1))


def frechet(a: Moments, b: Moments) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)): FID (Heusel et al. 2017, arXiv 1706.08500) on Inception features.

    The trace of the root is computed from S1^(1/2) S2 S1^(1/2), which is symmetric and has the same eigenvalues, all
    real and not negative. So singular covariances (fewer images than features) need no special care. FID falls as the
    number of images grows: compare at equal numbers.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    inner = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    trace = a.covariance.trace() + b.covariance.trace() - 2 * inner
    return float((a.mean - b.mean).square().sum() + trace)


def fid(real: Tensor, fake: Tensor) -> float:
    """FID: `frechet` between two sets of features [N, D], [M, D]; 0 if they have equal moments.

    With fewer images than features the same number comes faster from the images: the trace of (S1 S2)^(1/2) is the sum
    of the singular values of X1 X2^T / ((N - 1) (M - 1))^(1/2), where X1 and X2 are the centered features."""
    x, y = _rows(real), _rows(fake)
    if min(len(x), len(y)) >= x.shape[1] or min(len(x), len(y)) < 2:
        return frechet(moments(x), moments(y))
    shift = (x.mean(0) - y.mean(0)).square().sum()
    x, y = ((s - s.mean(0)) / (len(s) - 1) ** 0.5 for s in (x, y))
    return float(shift + x.square().sum() + y.square().sum() - 2 * torch.linalg.svdvals(x @ y.T).sum())


def mmd(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy of features [M, D] and [N, D] with the kernel (x.y / D + 1)^3.

    The unbiased estimate, which may be negative. Raises I2IError if a set has fewer than two rows."""
    x, y = _rows(a), _rows(b)
    d, m, n = x.shape[1], len(x), len(y)
    if min(m, n) < 2:
        raise I2IError(f"KID needs at least 2 images in each set; they have {m} and {n}.", "1,000 and more are usual.")

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (p @ q.T / d + 1).pow(3)

    xx, yy = kernel(x, x), kernel(y, y)
    within = (xx.sum() - xx.trace()) / (m * (m - 1)) + (yy.sum() - yy.trace()) / (n * (n - 1))
    return float(within - 2 * kernel(x, y).mean())


def kid(real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """KID (Binkowski et al. 2018, arXiv 1801.01401): mean and standard deviation of `mmd` over random subsets.

    A subset has `size` rows of each set, or as many as the smaller set has. seed: of the subsets."""
    count = min(size, len(real), len(fake))
    draw = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        rows, others = (torch.randperm(len(s), generator=draw)[:count] for s in (real, fake))
        values.append(mmd(real[rows], fake[others]))
    over_subsets = torch.tensor(values, dtype=torch.float64)
    return float(over_subsets.mean()), float(over_subsets.std(correction=0))


def mind(real: Tensor, fake: Tensor, projections: int = 1000, seed: int = 0) -> float:
    """MIND (arXiv 2605.06797): sliced squared Wasserstein-2 distance of features [N, D], [M, D], times 3 D.

    It needs fewer images than FID. The larger set is cut to the size of the smaller one, by rows drawn at random."""
    draw = torch.Generator().manual_seed(seed)
    directions = torch.randn(projections, real.shape[1], generator=draw, dtype=torch.float64)
    count = min(len(real), len(fake))
    a, b = (s if len(s) == count else s[torch.randperm(len(s), generator=draw)[:count]] for s in (real, fake))
    return sliced_wasserstein(_rows(a), _rows(b), directions)


def sliced_wasserstein(a: Tensor, b: Tensor, directions: Tensor) -> float:
    """3 D times the mean squared distance, rank by rank, of sorted projections of rows [N, D] on `directions` [M, D].

    Directions are divided by their length; all tensors have one dtype. Raises I2IError if the sets differ in size."""
    if len(a) != len(b):
        raise I2IError(f"The sets have {len(a)} and {len(b)} rows.", "Cut the larger one first.")
    unit = directions / directions.norm(dim=1, keepdim=True)
    difference = (a @ unit.T).sort(0).values - (b @ unit.T).sort(0).values
    return float(3 * a.shape[1] * difference.square().mean())


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Inception score (Salimans et al. 2016, arXiv 1606.03498): mean and standard deviation over the splits.

    exp(E KL(p(c | x) || p(c))) of logits [N, K], between 1 and K. The splits are consecutive and equally large, so
    shuffle the rows first. Raises I2IError for fewer than 1 or more than N splits."""
    n = len(logits)
    if not 1 <= splits <= n:
        raise I2IError(f"splits is {splits}, and there are {n} images.", f"Choose 1 to {n} splits.")
    values = []
    for j in range(splits):
        log_p = torch.log_softmax(_rows(logits[j * n // splits : (j + 1) * n // splits]), 1)
        log_mean = torch.logsumexp(log_p, 0) - torch.tensor(len(log_p), dtype=torch.float64).log()
        values.append((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())
    over_splits = torch.stack(values)
    return float(over_splits.mean()), float(over_splits.std(correction=0))


@dataclass(frozen=True)
class Overlap:
    """How far two sets overlap. All but density are shares in [0, 1]; more is better.

    Kynkaanniemi et al. 2019 (arXiv 1904.06991) and Naeem et al. 2020 (arXiv 2002.09797)."""

    precision: float  # share of fakes that lie in the ball of a real image: are the fakes realistic?
    recall: float  # share of real images inside the ball of a fake: does the model make all kinds of images?
    density: float  # balls of real images that a fake lies in, divided by k; may exceed 1
    coverage: float  # share of real images with a fake in their ball


def overlap(real: Tensor, fake: Tensor, k: int = 5) -> Overlap:
    """Precision, recall, density and coverage of features [N, D], [M, D].

    The ball of an image reaches to its k-th nearest other image of the same set. Memory grows with N * M: 10,000 images
    in each set take 2.4 GB. Raises I2IError if a set has k images or fewer."""
    x, y = _rows(real), _rows(fake)
    if min(len(x), len(y)) <= k:
        raise I2IError(f"k is {k}, but the sets have {len(x)} and {len(y)} images.", "Choose k smaller than both sets.")
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
    # cdist's shortcut by matrix products loses digits where points are near each other.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _rows(features: Tensor) -> Tensor:
    if features.ndim != 2:
        raise I2IError(f"The features have shape {list(features.shape)}.", "They must be [images, features].")
    return features.detach().double().cpu()
