"""Differentiable augmentation of the images that a discriminator sees, as pure functions of images and random numbers.

DiffAugment (Zhao, Liu, Lin, Zhu, Han 2020, arXiv 2006.10738) and adaptive augmentation, ADA (Karras et al. 2020, arXiv
2006.06676). Images are [B, C, H, W] in [-1, 1]; a draw is one random number for each image. Every function can be
differentiated twice, which penalties on D's gradient need.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.core.errors import I2IError, among

POLICIES = ("color", "translation", "cutout")
DRAWS = 7  # random numbers that `diffaugment` needs for each image
ADAPTIVE = 21  # random numbers that `adaptive` needs for each image


def _each(u: Tensor, x: Tensor) -> Tensor:
    """u [B] as [B, 1, 1, 1], in the dtype and on the device of x."""
    return u.to(x).view(-1, 1, 1, 1)


def brightness(x: Tensor, u: Tensor) -> Tensor:
    """x + u - 0.5 for u [B] in [0, 1]."""
    return x + (_each(u, x) - 0.5)


def saturation(x: Tensor, u: Tensor) -> Tensor:
    """The difference of each pixel's channels from their mean, times 2u, u [B] in [0, 1]."""
    mean = x.mean(1, keepdim=True)
    return (x - mean) * (2 * _each(u, x)) + mean


def contrast(x: Tensor, u: Tensor) -> Tensor:
    """The difference of each image from its mean, times u + 0.5, u [B] in [0, 1]."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (_each(u, x) + 0.5) + mean


def translation(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """y[i, j] = x[i + down, j + across], zero outside; down and across are int64 [B]."""
    b, _, height, width = x.shape
    rows = torch.arange(height, device=x.device) + down.to(x.device).view(-1, 1)
    columns = torch.arange(width, device=x.device) + across.to(x.device).view(-1, 1)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    image = torch.arange(b, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]]
    return (moved * inside[..., None]).permute(0, 3, 1, 2)


def cutout(x: Tensor, row: Tensor, column: Tensor, share: float = 0.5) -> Tensor:
    """x with a block of zeros, which takes `share` of each side and is cut at the border.

    row, column: center of the block, int64 [B]; its first row is row - side // 2, and likewise for columns."""
    outside = []
    for size, center in ((x.shape[2], row.to(x.device).view(-1, 1)), (x.shape[3], column.to(x.device).view(-1, 1))):
        side = int(size * share + 0.5)
        positions = torch.arange(size, device=x.device)
        # The block is clamped to the image, so that one that lies outside still covers the border.
        first, last = ((center - side // 2 + k).clamp(0, size - 1) for k in (0, side - 1))
        outside.append((positions < first) | (positions > last))
    return x * (outside[0][:, None, :, None] | outside[1][:, None, None, :])


def policy(text: str) -> tuple[str, ...]:
    """The parts of a policy written as "color,translation,cutout". Raises I2IError for an unknown part."""
    parts = tuple(p.strip() for p in text.split(",") if p.strip())
    for p in parts:
        if p not in POLICIES:
            raise I2IError(f"diffaugment is {text!r}.", among(p, POLICIES))
    return parts


def diffaugment(x: Tensor, draws: Tensor, parts: Sequence[str] = POLICIES) -> Tensor:
    """`x` augmented by the `parts` of DiffAugment's policy.

    draws: [B, 7] in [0, 1), for brightness, saturation, contrast, the shift down and across (up to an eighth of the
    side), and the center of the cutout. Draws of 0.5 change nothing, except for the cutout."""
    sides = x.shape[2:]

    def whole(u: Tensor, count: int) -> Tensor:
        return (u * count).long().clamp(max=count - 1)

    if "color" in parts:
        x = contrast(saturation(brightness(x, draws[:, 0]), draws[:, 1]), draws[:, 2])
    if "translation" in parts:
        most = [int(s / 8 + 0.5) for s in sides]
        shift = [whole(draws[:, 3 + k], 2 * m + 1) - m for k, m in enumerate(most)]
        x = translation(x, shift[0], shift[1])
    if "cutout" in parts:
        odd = [int(s / 2 + 0.5) % 2 for s in sides]
        x = cutout(x, whole(draws[:, 5], sides[0] + 1 - odd[0]), whole(draws[:, 6], sides[1] + 1 - odd[1]))
    return x


def adaptive(x: Tensor, draws: Tensor, p: float | Tensor) -> Tensor:
    """`x` under ADA (the set "bgc" of appendix B, with one rotation and one stretch), each change made with probability
    `p`: mirror, rotation by quarters, shift by whole pixels, scale, rotation, stretch, brightness, contrast, inverted
    luma, and for three channels hue and saturation.

    draws: [B, 21] in (0, 1), which say whether each change is made, and how much."""
    if not isinstance(p, Tensor) and p == 0:
        return x
    u = draws.double()

    def normal(column: int) -> Tensor:
        quantile: Tensor = torch.special.ndtri(u[:, column])
        return quantile

    def chance(column: int, share: float = 1.0) -> Tensor:
        return (u[:, column] < torch.as_tensor(p, device=u.device) * share).double()

    # Geometry: one matrix and one shift for each image.
    mirror = 1 - 2 * chance(0, 0.5)
    quarter = (chance(1) * (4 * u[:, 2]).floor()) * (math.pi / 2)
    shift = [chance(3) * ((2 * u[:, 4 + k] - 1) * x.shape[3 - k] / 8).round() * 2 / x.shape[3 - k] for k in range(2)]
    scale = torch.exp2(chance(6) * 0.2 * normal(7))
    turn = chance(8) * (2 * u[:, 9] - 1) * math.pi
    stretch = torch.exp2(chance(10) * 0.2 * normal(11))
    matrix = _rotation(quarter + turn) @ torch.diag_embed(torch.stack([mirror / scale / stretch, stretch / scale], 1))
    x = sampled(x, matrix, torch.stack(shift, 1))

    # Colors.
    x = x + _each(chance(12) * 0.2 * normal(13), x)
    x = x * _each(torch.exp2(chance(14) * 0.5 * normal(15)), x)
    if x.shape[1] != 3:
        return x * _each(1 - 2 * chance(16, 0.5), x)
    luma = x.new_full((3, 1), 3**-0.5)
    gray = luma @ luma.T
    angle = chance(17) * (2 * u[:, 18] - 1) * math.pi
    saturate = torch.exp2(chance(19) * normal(20))
    cosine, sine = _each(angle.cos(), x)[..., 0], _each(angle.sin(), x)[..., 0]
    eye = torch.eye(3, dtype=x.dtype, device=x.device)
    cross = 3**-0.5 * x.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    around = cosine * eye + sine * cross + (1 - cosine) * gray
    matrix3 = gray + _each(saturate, x)[..., 0] * (around - gray)
    matrix3 = (eye - 2 * _each(chance(16, 0.5), x)[..., 0] * gray) @ matrix3
    return (matrix3 @ x.flatten(2)).view_as(x)


def _rotation(angle: Tensor) -> Tensor:
    """Rotation matrices [B, 2, 2] of angles [B] in radians."""
    rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1)
    return rows.view(-1, 2, 2)


def sampled(x: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """y(q) = x(matrix q + shift) for q = (across, down) in [-1, 1]^2, bilinear, mirrored at the border.

    matrix: [B, 2, 2]; shift: [B, 2]. Gathers four neighbours, which can be differentiated twice; torch's own sampler
    cannot. The identity and shifts by whole pixels change no value; positions between pixels are smoothed a little."""
    b, _, height, width = x.shape
    q = fn.affine_grid(torch.cat([matrix, shift[:, :, None]], 2), [b, 1, height, width], align_corners=False)
    image = torch.arange(b, device=x.device)[:, None, None]
    y = torch.zeros_like(x).permute(0, 2, 3, 1)
    pixels = [((q[..., k] + 1) * size - 1) / 2 for k, size in ((0, width), (1, height))]
    pixels = [(c * 65536).round() / 65536 for c in pixels]  # a position that rounding put beside a pixel is put on it
    low = [c.floor() for c in pixels]
    for k in range(4):
        part = (k % 2, k // 2)
        across, down = ((c - a) if d else (1 - (c - a)) for c, a, d in zip(pixels, low, part, strict=True))
        column, row = (
            _mirrored(a + d, size).to(x.device) for a, d, size in zip(low, part, (width, height), strict=True)
        )
        y = y + x.permute(0, 2, 3, 1)[image, row, column] * (across * down)[..., None].to(x)
    return y.permute(0, 3, 1, 2)


def _mirrored(positions: Tensor, size: int) -> Tensor:
    """Positions in [0, size), int64; those beyond the border are mirrored back."""
    if size == 1:
        return torch.zeros_like(positions).long()
    period = 2 * (size - 1)
    folded = positions.long() % period
    return torch.where(folded >= size, period - folded, folded)
