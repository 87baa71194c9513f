"""Augmentation of a batch on its device, by functions of kornia.

The amounts are drawn for each image from (seed, id), so they do not depend on the batch, the order or the number of
processes. The rules for pairs are those of `augment`. Parts: color, affine, rotate90, noise, cutout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from i2i.core.random import hashed_normal, hashed_uniform
from i2i.data.batch import Batch


@torch.no_grad()
def vary(batch: Batch, seed: int, parts: Sequence[str], paired: bool) -> Batch:
    """The batch with varied images, float [B, C, H, W] in [-1, 1], on the same device. The batch must have ids.

    paired: y gets the geometry of x and keeps its colors; otherwise y gets variations of its own."""
    assert batch.ids is not None, "variation on the device is drawn from the ids of the images"
    if not parts:
        return batch
    x = _varied(batch.x, batch.ids, seed, "x", parts)
    if batch.y is None:
        return replace(batch, x=x)
    if paired:
        geometry = [part for part in parts if part in _GEOMETRY]
        return replace(batch, x=x, y=_varied(batch.y, batch.ids, seed, "x", geometry))
    return replace(batch, x=x, y=_varied(batch.y, batch.ids, seed, "y", parts))


def _varied(images: Tensor, ids: Tensor, seed: int, salt: str, parts: Sequence[str]) -> Tensor:
    for part in parts:
        images = (_GEOMETRY.get(part) or _COLOR[part])(images, ids, seed, salt)
    return images.contiguous()


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

    color_channels = min(3, x.shape[1])
    image = (x[:, :color_channels] + 1) / 2

    def drawn(name: str, low: float, high: float) -> Tensor:
        return _between(ids, seed, f"color/{name}/{salt}", low, high, x)

    image = (image * drawn("brightness", 0.8, 1.2)[:, None, None, None]).clamp(0, 1)
    image = enhance.adjust_contrast_with_mean_subtraction(image, drawn("contrast", 0.8, 1.2))
    if color_channels == 3:
        image = enhance.adjust_saturation(image, drawn("saturation", 0.8, 1.2))
        image = enhance.adjust_hue(image, drawn("hue", -0.1, 0.1) * torch.pi)
    return torch.cat([image.clamp(0, 1) * 2 - 1, x[:, color_channels:]], 1)


def _noise(x: Tensor, ids: Tensor, seed: int, salt: str) -> Tensor:
    strength = _between(ids, seed, f"noise/{salt}", 0, 0.1, x)[:, None, None, None]
    drawn = hashed_normal(ids.cpu(), x.shape[1:], seed, f"noise/{salt}/values").to(x.device, x.dtype)
    return (x + strength * drawn).clamp(-1, 1)


_GEOMETRY = {"affine": _affine, "rotate90": _rotate90, "cutout": _cutout}
_COLOR = {"color": _color, "noise": _noise}
