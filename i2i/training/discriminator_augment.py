"""What a discriminator sees, varied: differentiable changes of real images and fakes, as pure functions of their draws.

DiffAugment (Zhao, Liu, Lin, Zhu, Han 2020, arXiv 2006.10738) and the pipeline of adaptive augmentation (Karras et al.
2020, arXiv 2006.06676). Images are [B, C, H, W]; a draw is one number for each image. Every change can be
differentiated twice, as penalties on D's gradient ask for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.core.errors import I2IError, among

POLICIES = ("color", "translation", "cutout")
DRAWS = 7  # numbers that `diffaugment` takes for each image
ADAPTIVE = 21  # numbers that `adaptive` takes for each image


def _each(u: Tensor, x: Tensor) -> Tensor:
    return u.to(x).view(-1, 1, 1, 1)


def brightness(x: Tensor, u: Tensor) -> Tensor:
    """x + u - 0.5 for u [B] in [0, 1]."""
    return x + (_each(u, x) - 0.5)


def saturation(x: Tensor, u: Tensor) -> Tensor:
    """Each pixel's channels drawn to their mean, or away from it, by 2u, u [B] in [0, 1]."""
    mean = x.mean(1, keepdim=True)
    return (x - mean) * (2 * _each(u, x)) + mean


def contrast(x: Tensor, u: Tensor) -> Tensor:
    """Each image drawn to its mean, or away from it, by u + 0.5, u [B] in [0, 1]."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (_each(u, x) + 0.5) + mean


def translation(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """y[i, j] = x[i + down, j + across], zero outside; int64 [B] each."""
    b, _, high, wide = x.shape
    rows = torch.arange(high, device=x.device) + down.to(x.device).view(-1, 1)
    columns = torch.arange(wide, device=x.device) + across.to(x.device).view(-1, 1)
    inside = ((rows >= 0) & (rows < high))[:, :, None] & ((columns >= 0) & (columns < wide))[:, None]
    at = torch.arange(b, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[at, rows.clamp(0, high - 1)[:, :, None], columns.clamp(0, wide - 1)[:, None]]
    return (moved * inside[..., None]).permute(0, 3, 1, 2)


def cutout(x: Tensor, row: Tensor, column: Tensor, share: float = 0.5) -> Tensor:
    """Zero in a block of `share` of each side, rows from row - side // 2 on and columns likewise, cut at the border;
    int64 [B] each."""
    kept = []
    for size, center in ((x.shape[2], row.to(x.device).view(-1, 1)), (x.shape[3], column.to(x.device).view(-1, 1))):
        side = int(size * share + 0.5)
        at = torch.arange(size, device=x.device)
        # the block's places are clamped to the image, so that one outside still covers the border
        first, last = ((center - side // 2 + k).clamp(0, size - 1) for k in (0, side - 1))
        kept.append((at < first) | (at > last))
    return x * (kept[0][:, None, :, None] | kept[1][:, None, None, :])


def policy(text: str) -> tuple[str, ...]:
    """The parts of a policy written as "color,translation,cutout". Raises I2IError naming the nearest for others."""
    parts = tuple(p.strip() for p in text.split(",") if p.strip())
    for p in parts:
        if p not in POLICIES:
            raise I2IError(f"diffaugment is {text!r}.", among(p, POLICIES))
    return parts


def diffaugment(x: Tensor, draws: Tensor, parts: Sequence[str] = POLICIES) -> Tensor:
    """`x` under DiffAugment's policy `parts`; draws [B, 7] in [0, 1): brightness, saturation, contrast, shift down and
    across (up to an eighth of the side), and the cutout's place. Draws of one half change nothing but the cutout."""
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
    """`x` under the changes of adaptive augmentation ("bgc", appendix B; one turn and one stretch), each made with
    probability `p`.

    Mirror, quarter turns, whole shifts; scale, turn, stretch, shift; brightness, contrast, negative luma, hue,
    saturation (the last two for three channels). draws [B, 21] in (0, 1): whether, and how much."""
    if not isinstance(p, Tensor) and p == 0:
        return x
    u = draws.double()

    def normal(column: int) -> Tensor:
        return torch.special.ndtri(u[:, column])

    def chance(column: int, share: float = 1.0) -> Tensor:
        return (u[:, column] < torch.as_tensor(p, device=u.device) * share).double()

    mirror = 1 - 2 * chance(0, 0.5)
    quarter = (chance(1) * (4 * u[:, 2]).floor()) * (math.pi / 2)
    shift = [chance(3) * ((2 * u[:, 4 + k] - 1) * x.shape[3 - k] / 8).round() * 2 / x.shape[3 - k] for k in range(2)]
    scale = torch.exp2(chance(6) * 0.2 * normal(7))
    turn = chance(8) * (2 * u[:, 9] - 1) * math.pi
    stretch = torch.exp2(chance(10) * 0.2 * normal(11))
    matrix = _rotation(quarter + turn) @ torch.diag_embed(torch.stack([mirror / scale / stretch, stretch / scale], 1))
    x = sampled(x, matrix, torch.stack(shift, 1))
    x = x + _each(chance(12) * 0.2 * normal(13), x)
    x = x * _each(torch.exp2(chance(14) * 0.5 * normal(15)), x)
    if x.shape[1] != 3:
        return x * _each(1 - 2 * chance(16, 0.5), x)
    luma = x.new_full((3, 1), 3**-0.5)
    grey = luma @ luma.T
    angle = chance(17) * (2 * u[:, 18] - 1) * math.pi
    colour = torch.exp2(chance(19) * normal(20))
    cosine, sine = _each(angle.cos(), x)[..., 0], _each(angle.sin(), x)[..., 0]
    eye = torch.eye(3, dtype=x.dtype, device=x.device)
    cross = 3**-0.5 * x.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    around = cosine * eye + sine * cross + (1 - cosine) * grey
    matrix3 = grey + _each(colour, x)[..., 0] * (around - grey)
    matrix3 = (eye - 2 * _each(chance(16, 0.5), x)[..., 0] * grey) @ matrix3
    return (matrix3 @ x.flatten(2)).view_as(x)


def _rotation(angle: Tensor) -> Tensor:
    rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1)
    return rows.view(-1, 2, 2)


def sampled(x: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """y(q) = x(matrix q + shift), q in [-1, 1]^2 as (across, down), bilinear, mirrored at the border.

    matrix [B, 2, 2], shift [B, 2]. By gathering four neighbours, which, unlike the built-in sampler, can be
    differentiated twice. Sampling between pixels smooths a little; identity and whole shifts change no value."""
    b, _, high, wide = x.shape
    q = fn.affine_grid(torch.cat([matrix, shift[:, :, None]], 2), [b, 1, high, wide], align_corners=False)
    at = torch.arange(b, device=x.device)[:, None, None]
    made = torch.zeros_like(x).permute(0, 2, 3, 1)
    pixels = [((q[..., k] + 1) * size - 1) / 2 for k, size in ((0, wide), (1, high))]
    pixels = [(c * 65536).round() / 65536 for c in pixels]  # what rounding put beside a pixel is on it
    low = [c.floor() for c in pixels]
    for k in range(4):
        part = (k % 2, k // 2)
        across, down = ((c - a) if d else (1 - (c - a)) for c, a, d in zip(pixels, low, part, strict=True))
        column, row = (_mirrored(a + d, size).to(x.device) for a, d, size in zip(low, part, (wide, high), strict=True))
        made = made + x.permute(0, 2, 3, 1)[at, row, column] * (across * down)[..., None].to(x)
    return made.permute(0, 3, 1, 2)


def _mirrored(at: Tensor, size: int) -> Tensor:
    """Places beyond the border as they are met on the way back, int64."""
    if size == 1:
        return torch.zeros_like(at).long()
    period = 2 * (size - 1)
    folded = at.long() % period
    return torch.where(folded >= size, period - folded, folded)
