"""Distances between features of several layers, and losses over several discriminators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from i2i.losses.reconstruction import l1

# Of a discriminator: for each scale, the maps of its layers; the last ones are its scores.
Maps = Sequence[Sequence[Tensor]]


def over_scales(loss: Callable[[Tensor], Tensor], maps: Maps) -> Tensor:
    """The sum over scales of `loss` of the scores, a scalar."""
    return torch.stack([loss(layers[-1]) for layers in maps]).sum()


def feature_matching(fake: Maps, real: Maps) -> Tensor:
    """Distance between a discriminator's features of fake and real images, a scalar.

    Wang et al. 2018 (arXiv 1711.11585), equation 4, with the authors' factors: 4 / (layers without the scores) / scales
    times the sum of the mean absolute differences. No gradient flows into `real`."""
    terms = [
        l1(a, b.detach())
        for fakes, reals in zip(fake, real, strict=True)
        for a, b in zip(fakes[:-1], reals[:-1], strict=True)
    ]
    return torch.stack(terms).sum() * 4 / (len(fake[0]) - 1) / len(fake)
