"""Sliced Wasserstein distance of patches, scale by scale (Karras et al. 2018, arXiv 1710.10196).

A Laplacian pyramid divides images into bands, from fine texture to rough shapes. Patches of each band are compared.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from i2i.core.errors import I2IError

PATCH = 7  # pixels a side
TAPS = (1.0, 4.0, 6.0, 4.0, 1.0)  # of the pyramid's filter, over 16


def laplacian_pyramid(images: Tensor, smallest: int = 16) -> list[Tensor]:
    """Bands of images [B, C, H, W], the finest first; the last is the smallest image itself, in float64.

    It ends when half the shorter side would be under `smallest` pixels. Sides must be even at each level but the last,
    else I2IError is raised."""
    rest = images.double()
    bands = []
    while min(rest.shape[2:]) // 2 >= smallest:
        if rest.shape[2] % 2 or rest.shape[3] % 2:
            raise I2IError(
                f"A side of {rest.shape[3]} x {rest.shape[2]} pixels cannot be halved.", "Use powers of two."
            )
        smaller = _filter(rest)[:, :, ::2, ::2]
        bands.append(rest - _enlarge(smaller))
        rest = smaller
    return [*bands, rest]


def patch_positions(images: Tensor, count: int, generator: torch.Generator, patch: int = PATCH) -> Tensor:
    """Random top-left corners (row, column) of `count` patches in each image [B, C, H, W]: [B, count, 2]."""
    shape = (len(images), count)
    rows, columns = (torch.randint(side - patch + 1, shape, generator=generator) for side in images.shape[2:])
    return torch.stack([rows, columns], -1)


def descriptors(band: Tensor, positions: Tensor, patch: int = PATCH) -> Tensor:
    """The patches of a band [B, C, H, W] at `positions` [B, n, 2] as rows [B * n, C * patch^2].

    Each channel has mean 0 and deviation 1 over all patches."""
    windows = band.unfold(2, patch, 1).unfold(3, patch, 1)  # [B, C, rows, columns, patch, patch]
    which = torch.arange(len(band))[:, None]
    patches = windows[which, :, positions[..., 0], positions[..., 1]].flatten(0, 1)  # [B n, C, patch, patch]
    mean = patches.mean((0, 2, 3), keepdim=True)
    deviation = patches.std((0, 2, 3), correction=0, keepdim=True)
    return ((patches - mean) / deviation).flatten(1)


def sliced_distance(x: Tensor, y: Tensor, directions: Tensor) -> float:
    """Mean distance of the sorted projections of rows [N, D] on `directions` [repeats, D, n]; Wasserstein-1."""
    unit = directions.double() / directions.double().norm(dim=1, keepdim=True)
    parts = [((x @ d).sort(0).values - (y @ d).sort(0).values).abs().mean() for d in unit]
    return float(torch.stack(parts).mean())


def swd(
    real: Tensor, fake: Tensor, *, patches: int = 128, repeats: int = 4, directions: int = 128, seed: int = 0
) -> list[float]:
    """The distance times 1000 of each band, the finest first, between equally many images [N, C, H, W] in [-1, 1].

    Smaller is better. patches: per image. Raises I2IError if the sets differ in number, or sides cannot be halved."""
    if real.shape != fake.shape:
        raise I2IError(
            f"The sets have shapes {list(real.shape)} and {list(fake.shape)}.", "Give equally many images of one size."
        )
    draw = torch.Generator().manual_seed(seed)
    distances = []
    for a, b in zip(laplacian_pyramid(real), laplacian_pyramid(fake)):
        x, y = (descriptors(band, patch_positions(band, patches, draw)) for band in (a, b))
        lines = torch.randn(repeats, x.shape[1], directions, generator=draw)
        distances.append(1000 * sliced_distance(x, y, lines))
    return distances


def _filter(images: Tensor, gain: float = 1.0) -> Tensor:
    """The pyramid's filter, with borders mirrored; the edge pixel is not repeated."""
    taps = torch.tensor(TAPS, dtype=images.dtype, device=images.device) / 16
    window = (torch.outer(taps, taps) * gain).expand(images.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), window, groups=images.shape[1])


def _enlarge(images: Tensor) -> Tensor:
    b, c, h, w = images.shape
    spread = images.new_zeros(b, c, 2 * h, 2 * w)
    spread[:, :, ::2, ::2] = images
    return _filter(spread, 4.0)
