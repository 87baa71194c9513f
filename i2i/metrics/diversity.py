"""How much the answers of a model for one image differ from each other: the mean LPIPS of pairs of them.

The protocol of BicycleGAN (Zhu et al. 2017, arXiv 1711.11586): 100 inputs, 19 random pairs of answers for each. Name
the network of LPIPS beside the number. A model that ignores its noise scores 0.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

from i2i.core.random import seed_of

INPUTS, ANSWERS, PAIRS = 100, 20, 19  # of the published protocol


def random_pairs(answers: int, pairs: int, seed: int, number: int) -> Tensor:
    """`pairs` pairs of two different answers of the input `number`, int64 [pairs, 2].

    All pairs once, in their order, if there are no more than that. answers: 2 or more."""
    every = torch.tensor(list(combinations(range(answers), 2)))
    if len(every) <= pairs:
        return every
    generator = torch.Generator().manual_seed(seed_of(seed, "diversity", number))
    return every[torch.randint(len(every), (pairs,), generator=generator)]


def distances(answers: Tensor, pairs: Tensor, distance: Callable[[Tensor, Tensor], Tensor], batch: int = 8) -> Tensor:
    """distance [P] of the pairs int64 [P, 2] of answers [N, 3, H, W] in [-1, 1] for one input.

    distance: LPIPS, or any function of two batches to [B]."""
    parts = [distance(answers[p[:, 0]], answers[p[:, 1]]) for p in pairs.split(batch)]
    return torch.cat(parts)
