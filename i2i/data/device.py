"""Variation on the device, by kornia's differentiable functions, for batches that are there already.

The amounts are drawn row by row from (seed, id), so they are the same in any batch, order or split over processes; the
rules for pairs are those of `augment`. Parts: color, affine, rotate90, noise, cutout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from i2i.core.random import hashed_normal, hashed_uniform


def vary(batch: dict[str, Any], seed: int, parts: Sequence[str], paired: bool) -> dict[str, Any]:
    """The batch {"x", "y", "c", "ids"} with images float [B, C, H, W] in [-1, 1] varied; it stays on its device.

    paired: y gets the geometry of x and keeps its colours; otherwise y is varied by itself."""
    if not parts:
        return batch
    made = dict(batch)
    ids = batch["ids"]
    for side, salt in (("x", "x"), ("y", "x" if paired else "y")):
        picture = batch.get(side)
        if picture is None:
            continue
        with torch.no_grad():
            for part in parts:
                if part in _GEOMETRY:
                    picture = _GEOMETRY[part](picture, ids, seed, salt)
                elif not (paired and side == "y"):
                    picture = _COLOUR[part](picture, ids, seed, salt)
        made[side] = picture.contiguous()
    return made


def _between(ids: Tensor, seed: int, salt: str, low: float, high: float, like: Tensor) -> Tensor:
    """A number in [low, high) for each row [B], on the device of `like`."""
    return (low + (high - low) * hashed_uniform(ids.cpu(), seed, salt)).to(like.device, like.dtype)


def _affine(x: Tensor, ids: Tensor, seed: int, salt: str) -> Tensor:
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine

    batch, _, height, width = x.shape

    def drawn(name: str, low: float, high: float) -> Tensor:
        return _between(ids, seed, f"affine/{name}/{salt}", low, high, x)

    shift = torch.stack([drawn("dx", -0.05, 0.05) * width, drawn("dy", -0.05, 0.05) * height], 1)
    center = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=x.device, dtype=x.dtype).expand(batch, 2)
    scale = drawn("scale", 0.9, 1.1)[:, None].expand(batch, 2)
    matrix = get_affine_matrix2d(shift, center, scale, drawn("angle", -10, 10))
    return warp_affine(x, matrix[:, :2], (height, width), padding_mode="reflection", align_corners=True)


def _rotate90(x: Tensor, ids: Tensor, seed: int, salt: str) -> Tensor:
    """One of the eight turns and mirrors of a square, of four for other shapes."""
    turns = _between(ids, seed, f"turn/{salt}", 0, 4, x).int().tolist()
    mirrored = _between(ids, seed, f"mirror/{salt}", 0, 2, x).int().tolist()
    square = x.shape[2] == x.shape[3]
    rows = [torch.rot90(row, k if square else 2 * (k % 2), (1, 2)) for row, k in zip(x, turns, strict=True)]
    return torch.stack([row.flip(2) if m else row for row, m in zip(rows, mirrored, strict=True)])


def _cutout(x: Tensor, ids: Tensor, seed: int, salt: str) -> Tensor:
    """Half of the images lose a rectangle of 5 to 20 % of each side to black."""
    height, width = x.shape[2:]
    rows = torch.linspace(0, 1, height, device=x.device, dtype=x.dtype)[None, :, None]
    columns = torch.linspace(0, 1, width, device=x.device, dtype=x.dtype)[None, None, :]

    def drawn(name: str, low: float, high: float) -> Tensor:
        return _between(ids, seed, f"cutout/{name}/{salt}", low, high, x)[:, None, None]

    hole = (rows - drawn("top", 0, 1)).abs() < drawn("height", 0.025, 0.1)
    hole = hole & ((columns - drawn("left", 0, 1)).abs() < drawn("width", 0.025, 0.1)) & (drawn("on", 0, 1) < 0.5)
    return x.masked_fill(hole[:, None], -1.0)


def _color(x: Tensor, ids: Tensor, seed: int, salt: str) -> Tensor:
    from kornia import enhance

    colours = min(3, x.shape[1])
    picture = (x[:, :colours] + 1) / 2

    def drawn(name: str, low: float, high: float) -> Tensor:
        return _between(ids, seed, f"color/{name}/{salt}", low, high, x)

    picture = (picture * drawn("brightness", 0.8, 1.2)[:, None, None, None]).clamp(0, 1)
    picture = enhance.adjust_contrast_with_mean_subtraction(picture, drawn("contrast", 0.8, 1.2))
    if colours == 3:
        picture = enhance.adjust_saturation(picture, drawn("saturation", 0.8, 1.2))
        picture = enhance.adjust_hue(picture, drawn("hue", -0.1, 0.1) * torch.pi)
    return torch.cat([picture.clamp(0, 1) * 2 - 1, x[:, colours:]], 1)


def _noise(x: Tensor, ids: Tensor, seed: int, salt: str) -> Tensor:
    strength = _between(ids, seed, f"noise/{salt}", 0, 0.1, x)[:, None, None, None]
    drawn = hashed_normal(ids.cpu(), x.shape[1:], seed, f"noise/{salt}/values").to(x.device, x.dtype)
    return (x + strength * drawn).clamp(-1, 1)


_GEOMETRY = {"affine": _affine, "rotate90": _rotate90, "cutout": _cutout}
_COLOUR = {"color": _color, "noise": _noise}
