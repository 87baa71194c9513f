"""How far images are from those that a model was trained on, by a few numbers that cost half a millisecond an image.

The numbers describe colors, contrast, and the energy of edges at four scales. What is kept of the training images is
their mean and their covariance, shrunk towards its diagonal; the distance is Mahalanobis's. It tells photos from maps,
drawings, digits or nights. It does not tell one kind of photo from another where the training images are varied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.core.reading import has_form

SIDE = 64  # pixels to which images are shrunk
SCALES = (64, 32, 16, 8)
RING = 8  # pixels of the border, for its difference to the middle
KIND = "colors and edges 1"  # which numbers these are; others must be called otherwise
SHRINK = 0.3  # of the covariance, towards its diagonal
LEAST = 0.02  # standard deviation of any number: what JPEG may change in images that are all alike
MARGIN = 1.3  # an image is far if its distance is so many times what 99 % of other training images have
FEWEST = 8  # images to learn from
IMAGES = 128  # training images that are described, at most
CHANNELS = (1, 3)  # of images; a map of labels has another number
FORM = {"kind": str, "images": int, "mean": [float], "triangle": [float], "limit": float}


def describe(images: Tensor) -> Tensor:
    """Images [B, C, H, W] in [-1, 1] as rows of numbers, float64 [B, 23]. Gray is repeated, alpha left out."""
    x = images.detach().float().cpu()
    x = fn.adaptive_avg_pool2d(x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1), SIDE)
    gray = x.mean(1, keepdim=True)
    red_green, yellow_blue = x[:, 0] - x[:, 1], (x[:, 0] + x[:, 1]) / 2 - x[:, 2]
    parts = [x.mean((2, 3)), x.std((2, 3))]
    for difference in (red_green, yellow_blue):
        parts.append(torch.stack([difference.abs().mean((1, 2)), difference.std((1, 2))], 1))
    for side in SCALES:
        small = fn.adaptive_avg_pool2d(gray, side)
        across, down = small.diff(dim=3).abs(), small.diff(dim=2).abs()
        parts.append(torch.stack([(d.mean((1, 2, 3)) + 1e-3).log() for d in (across, down)], 1))
        if side == SIDE:
            parts.append((across < 2 / 127.5).float().mean((1, 2, 3))[:, None])  # flat pixels, as in drawings
    parts.append(torch.quantile(gray.flatten(1), torch.tensor([0.1, 0.5, 0.9]), 1).T)
    is_border = torch.ones(SIDE, SIDE, dtype=torch.bool)
    is_border[RING:-RING, RING:-RING] = False
    border, middle = gray[..., is_border].mean((1, 2)), gray[..., ~is_border].mean((1, 2))
    return torch.cat([*parts, (border - middle)[:, None]], 1).double()


@dataclass(frozen=True)
class Domain:
    """What is known of a set of images: mean [D], and triangle [D, D], whose product with its transpose is the inverse
    of the covariance. limit: the distance from which an image is far. images: how many it was learned from."""

    mean: Tensor
    triangle: Tensor
    limit: float
    images: int

    @classmethod
    def of(cls, rows: Tensor) -> Domain | None:
        """Learns from the rows of `describe`; None if there are fewer than FEWEST.

        The limit comes from each half of the images as seen by the other: images are too near to their own mean."""
        if len(rows) < FEWEST:
            return None
        halves = (rows[::2], rows[1::2])
        others = [_fit(a, 0.0).distance(b) for a, b in (halves, halves[::-1])]
        return _fit(rows, MARGIN * max(1.0, float(torch.cat(others).quantile(0.99))))

    def distance(self, rows: Tensor) -> Tensor:
        """The distance of each row of `describe`; about 1 for images like those that it was learned from."""
        return (((rows - self.mean) @ self.triangle).square().mean(1)).sqrt()

    def facts(self) -> dict[str, Any]:
        """The same as JSON values, with five digits: about 3 kB."""
        lower = self.triangle[torch.tril_indices(*self.triangle.shape).unbind()]
        numbers = {"mean": _rounded(self.mean), "triangle": _rounded(lower)}
        return {"kind": KIND, "images": self.images, "limit": float(f"{self.limit:.5g}"), **numbers}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any] | None) -> Domain | None:
        """The domain that `facts` gave; None if these are none, or of another kind."""
        if not has_form(facts, FORM) or facts is None or facts["kind"] != KIND:
            return None
        mean = torch.tensor(facts["mean"], dtype=torch.float64)
        count = len(mean)
        if count != describe(torch.zeros(1, 3, 8, 8)).shape[1] or len(facts["triangle"]) != count * (count + 1) // 2:
            return None
        triangle = torch.zeros(count, count, dtype=torch.float64)
        triangle[torch.tril_indices(count, count).unbind()] = torch.tensor(facts["triangle"], dtype=torch.float64)
        return cls(mean, triangle, float(facts["limit"]), int(facts["images"]))


def facts_of(sides: Mapping[str, Tensor | None]) -> dict[str, Any]:
    """The entry "domain" of a model's header: by direction of translation, what its inputs [B, C, H, W] look like.

    {} where there are none, where they are no images, and for fewer than FEWEST."""
    facts = {}
    for direction, images in sides.items():
        domain = Domain.of(describe(images)) if images is not None and images.shape[1] in CHANNELS else None
        if domain is not None:
            facts[direction] = domain.facts()
    return {"domain": facts} if facts else {}


def _fit(rows: Tensor, limit: float) -> Domain:
    mean, covariance = rows.mean(0), torch.cov(rows.T)
    diagonal = covariance.diagonal().clamp_min(LEAST**2).diag()
    shrunk = (1 - SHRINK) * covariance + SHRINK * diagonal + LEAST**2 * torch.eye(len(mean), dtype=rows.dtype)
    return Domain(mean, torch.linalg.cholesky(torch.linalg.inv(shrunk)), limit, len(rows))


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]
