"""A classifier without training of its own: the class of an image is that of its nearest neighbors among features."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.core.errors import I2IError

NEIGHBORS = 5


def classify(known: Tensor, labels: Tensor, features: Tensor, k: int = NEIGHBORS, chunk: int = 1024) -> Tensor:
    """The class int64 [N] of each row of `features` [N, D], by `known` rows [M, D] with their classes `labels` [M].

    Each of the k nearest rows by cosine (all rows, if there are fewer) votes for its class; of classes with equally
    many votes, the one with the nearest row wins. chunk: rows in one pass, so that memory stays small. Raises I2IError
    if there is no known row, or if the widths differ, as features of two networks do."""
    if len(known) < 1 or known.shape[1:] != features.shape[1:]:
        raise I2IError(
            f"Features of shape {list(known.shape)} cannot classify features of shape {list(features.shape)}.",
            "Take both from the same network, and at least one known image.",
        )
    k = min(k, len(known))
    unit = torch.nn.functional.normalize(known.double(), dim=1)
    classes = int(labels.max()) + 1
    found = []
    for part in features.double().split(chunk):
        nearest = (torch.nn.functional.normalize(part, dim=1) @ unit.T).topk(k, dim=1)
        ballots = torch.nn.functional.one_hot(labels[nearest.indices], classes).double()  # [n, k, classes]
        rank = torch.arange(k, 0, -1, dtype=torch.float64)[:, None] / (k * (k + 1))  # decides between equal counts only
        found.append((ballots.sum(1) + (ballots * rank).amax(1) / 2).argmax(1))
    return torch.cat(found)
