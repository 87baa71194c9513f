"""How sure a score is: bootstrap intervals (Efron 1979) over the images that it was measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

DRAWS = 1000  # resampled sets of images, for scores that are means
SHARE = 0.95  # of the resampled scores lie within the interval


def mean_interval(values: Tensor, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean of `values` [N]: percentiles of the means of N values drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(values), (draws, len(values)), generator=generator)
    return _percentiles(values.double()[rows].mean(1))


def difference_interval(a: Tensor, b: Tensor, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of mean(a) - mean(b) where a[i] and b[i] belong to one image.

    If it does not contain 0, the two differ by more than the choice of images explains."""
    return mean_interval(a.double() - b.double(), draws, seed)


def set_interval(
    score: Callable[..., float], sets: Sequence[Tensor], value: float, draws: int, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of `score(*sets)` = `value`, from `draws` scores of sets with rows drawn with replacement.

    Repeated rows shift such scores (a Frechet distance rises), so they give only the spread: the interval is
    the value and 1.96 standard deviations to both sides."""
    generator = torch.Generator().manual_seed(seed)
    scores = []
    for _ in range(draws):
        drawn = [s[torch.randint(len(s), (len(s),), generator=generator)] for s in sets]
        scores.append(score(*drawn))
    spread = 1.96 * float(torch.tensor(scores, dtype=torch.float64).std())
    return value - spread, value + spread


def _percentiles(values: Tensor) -> tuple[float, float]:
    edge = (1 - SHARE) / 2
    low, high = torch.quantile(values, torch.tensor([edge, 1 - edge], dtype=torch.float64))
    return float(low), float(high)
