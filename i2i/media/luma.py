"""Brightness and color apart: the colors of one image under the brightness of another, as DeOldify does it.

Y = 0.299 R + 0.587 G + 0.114 B, U = 0.492 (B - Y), V = 0.877 (R - Y), of whole levels in OpenCV's fixed-point form: the
way there and back moves a level by one at most.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

WEIGHTS = (0.299, 0.587, 0.114)
RED, BLUE = 1.140, 2.032  # what R and B gain by V and U of 1
GREEN_U, GREEN_V = -0.395, -0.581


def luma(x: np.ndarray) -> np.ndarray:
    """Brightness of uint8 [H, W, 3], uint8 [H, W]: Pillow's (19595 R + 38470 G + 7471 B + 32768) >> 16."""
    return np.asarray(Image.fromarray(x).convert("L"))


def squeezed(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [H, W, 1 or 3] -> gray uint8 [height, width]: resized without regard to its shape, then its brightness."""
    small = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR).convert("L"))


def truncated(x: Tensor) -> np.ndarray:
    """Colors [3, h, w] in about [-1, 1] -> uint8 [h, w, 3]; parts of a level are dropped, as DeOldify does."""
    levels = ((x.float() + 1) / 2).clamp(0, 1).mul(255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())


def enlarged(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [h, w, 3] -> [height, width, 3], bilinear as Pillow has it."""
    return np.asarray(Image.fromarray(x).resize((width, height), Image.Resampling.BILINEAR))


def to_yuv(x: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] -> Y, U, V of the same shape; no color is 128."""
    import cv2  # tens of milliseconds: not for those who color nothing

    return cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2YUV)


def from_yuv(x: np.ndarray) -> np.ndarray:
    """The way back from `to_yuv`; levels are cut off at 0 and 255."""
    import cv2

    return cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_YUV2RGB)


def merged(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Y of `image` with U and V of `colors`, both RGB uint8 [H, W, 3], as RGB.

    Where a color is too strong for a dark or bright pixel, it is cut off, and Y moves: see `within_range`."""
    yuv = to_yuv(colors)
    yuv[..., 0] = to_yuv(image)[..., 0]
    return from_yuv(yuv)


def within_range(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """`colors` with a U and V that the brightness of each pixel of `image` leaves room for; both RGB uint8 [H, W, 3].

    The hue stays, and so does what fits. `merged(image, within_range(image, colors))` has the Y of `image`, to a level.
    """
    y = to_yuv(image)[..., 0].astype(np.float32)
    yuv = to_yuv(colors)
    chroma = yuv[..., 1:].astype(np.float32) - 128
    u, v = chroma[..., 0], chroma[..., 1]
    room = np.ones_like(y)
    for change in (RED * v, GREEN_U * u + GREEN_V * v, BLUE * u):
        limit = np.where(change > 0, 255 - y, y)
        np.minimum(room, limit / np.maximum(np.abs(change), 1e-6), out=room)
    if room.min() >= 1:
        return colors
    yuv[..., 0] = y
    yuv[..., 1:] = 128 + np.trunc(chroma * room[..., None])
    return from_yuv(yuv)


# ---- tensors ---------------------------------------------------------------------------------------------------------


def gray(x: Tensor) -> Tensor:
    """Images [B, 1 or 3, H, W] -> their brightness [B, 3, H, W], in the same range."""
    if x.shape[1] == 1:
        return x.expand(-1, 3, -1, -1)
    return (x * x.new_tensor(WEIGHTS)[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def colored(image: Tensor, colors: Tensor) -> Tensor:
    """The brightness of `image` [B, 1 or 3, H, W] with the colors of `colors` [B, 3, H, W]: RGB, all in [-1, 1].

    Colors that the brightness leaves no room for become paler, so that it is kept."""
    y = gray(image).clamp(-1, 1)
    chroma = colors - gray(colors)  # of brightness 0
    limit = torch.where(chroma > 0, 1 - y, 1 + y) / chroma.abs().clamp(min=1e-6)
    return y + chroma * limit.amin(1, keepdim=True).clamp(max=1)
