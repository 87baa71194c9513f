"""Contrastive losses: patches of the same position must be more alike than patches of others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.losses.adversarial import at_least_float32


def patch_losses(q: Tensor, k: Tensor, images: int = 1, temperature: float = 0.07) -> Tensor:
    """PatchNCE of each patch q_i, [images * P]: -log softmax(q_i . k_j / temperature) at j = i, over all patches j of
    its image.

    Equations 2 and 3 of Park et al. 2020 (arXiv 2007.15651). q, k [images * P, dim]: rows of length 1, image after
    image. images 1 treats all rows as one image, so that negatives come from the whole batch. k gets no gradient.
    """
    q, k = (at_least_float32(t).view(images, -1, t.shape[-1]) for t in (q, k.detach()))
    scores = q @ k.transpose(1, 2)
    # One more negative of similarity -10, as in the authors' code; it has no effect at small temperatures.
    scores = torch.cat([scores, scores.new_full((*scores.shape[:2], 1), -10.0)], 2) / temperature
    same = torch.arange(scores.shape[1], device=scores.device).repeat(images)
    return fn.cross_entropy(scores.flatten(0, 1), same, reduction="none")


def patch_nce(q: Tensor, k: Tensor, images: int = 1, temperature: float = 0.07) -> Tensor:
    """The mean of `patch_losses`, a scalar. The arguments are the same."""
    return patch_losses(q, k, images, temperature).mean()
