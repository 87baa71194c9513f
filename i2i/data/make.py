"""Made pairs: from one good image y, the worse image x that a model learns to turn back into it.

A chain such as "real" or "blur+x4+jpeg" is made from left to right. Every draw is a pure function of (seed, number), so
the pairs are the same in any process, with any number of threads, and after a resume. The chain `real` is the one of
Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833): two rounds of blur, resizing, noise and JPEG.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from i2i.core.random import seed_of
from i2i.data import real
from i2i.data.spec import HED

Rng = np.random.Generator
JPEG, NOISE, BLUR, PIXELATE = (10, 60), (5, 50), (0.5, 4.0), (4, 16)  # quality; levels of 255; sigma and side in pixels
HIDDEN = 128  # level of masked pixels


def make_source(
    y: np.ndarray,
    parts: tuple[str, ...],
    seed: int,
    number: int,
    scale: int = 1,
    hed: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """The source of a target `y`, uint8 [H, W, C], whose sides are multiples of the scale: uint8 [H / scale, ...].

    parts: those of the chain, each one of spec.MAKES. seed, number: choose the draws; number is that of the sample.
    hed: makes the part "hed"; see data.hed.
    What the chain makes smaller than that (x2 and real at scale 1) is enlarged to it, and what stays larger is made
    smaller at the end, both bicubic. Transparency is kept."""
    rng = np.random.Generator(np.random.PCG64(seed_of(seed, "make", number)))
    x = np.ascontiguousarray(y[..., :3])
    channels = x.shape[2]
    size = (max(1, y.shape[0] // scale), max(1, y.shape[1] // scale))
    for part in parts:
        factor = _factor(part, scale)
        if part == HED:
            assert hed is not None
            x = hed(x)
            continue
        x = real.two_rounds(x, _sides(x, factor), rng) if part == "real" else _STEPS[part](x, rng)
        x = x.reshape(*x.shape[:2], channels)
    x = _brought_to(x, size)
    if y.shape[2] == channels:
        return x
    return np.concatenate([x, _brought_to(np.ascontiguousarray(y[..., 3:]), size)], -1)


def _factor(part: str, scale: int) -> int:
    """How many times smaller a part of a chain makes an image. real: the scale, or 4 if nothing is to be enlarged."""
    return int(part[1:]) if part[0] == "x" else (scale if scale > 1 else 4) if part == "real" else 1


def _sides(x: np.ndarray, factor: int) -> tuple[int, int]:
    """Height and width of `x`, made `factor` times smaller."""
    return max(1, x.shape[0] // factor), max(1, x.shape[1] // factor)


def _brought_to(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W, C] resized to (height, width), bicubic; smaller with antialiasing."""
    if x.shape[:2] == size:
        return x
    if x.shape[0] < size[0] or x.shape[1] < size[1]:
        return cv2.resize(x, size[::-1], interpolation=cv2.INTER_CUBIC).reshape(*size, x.shape[2])
    return _shrunk(x, size)


# ---- parts of a chain: uint8 [H, W, C] -> uint8 ----------------------------------------------------------------------


def _grey(x: np.ndarray, rng: Rng) -> np.ndarray:
    if x.shape[2] == 1:
        return x
    return np.repeat(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None], 3, -1)


def _smaller(factor: int) -> Callable[[np.ndarray, Rng], np.ndarray]:
    """Bicubic with antialiasing, as the papers make their inputs."""

    return lambda x, rng: _shrunk(x, _sides(x, factor))


def _shrunk(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = torch.nn.functional.interpolate(_tensor(x), size, mode="bicubic", antialias=True, align_corners=False)
    return _array(pixels)


def _jpeg(x: np.ndarray, rng: Rng) -> np.ndarray:
    return real.compressed(x, int(rng.integers(JPEG[0], JPEG[1] + 1)))


def _noise(x: np.ndarray, rng: Rng) -> np.ndarray:
    noise = rng.standard_normal(x.shape, dtype=np.float32) * rng.uniform(*NOISE)
    return np.clip(np.rint(x + noise), 0, 255).astype(np.uint8)


def _blur(x: np.ndarray, rng: Rng) -> np.ndarray:
    return real.rounded(real.filtered(x.astype(np.float32), real.kernel(rng, BLUR, 0.0)))


def _mask(x: np.ndarray, rng: Rng) -> np.ndarray:
    """Boxes or strokes of one level, for inpainting."""
    x = x.copy()
    height, width = x.shape[:2]
    level = (HIDDEN,) * x.shape[2]
    side = min(height, width)
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            h, w = (max(1, int(n * rng.uniform(0.1, 0.4))) for n in (height, width))
            top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            x[top : top + h, left : left + w] = HIDDEN
        return x
    for _ in range(int(rng.integers(1, 5))):
        corners = rng.integers(0, (width, height), (int(rng.integers(2, 6)), 2)).astype(np.int32)
        thickness = max(1, int(side * rng.uniform(0.02, 0.08)))
        cv2.polylines(x, [corners], isClosed=False, color=level, thickness=thickness)
    return x


def _edges(x: np.ndarray, rng: Rng) -> np.ndarray:
    """Canny's edges, black on white; the thresholds follow the image's median."""
    gray = _grey(x, rng)[..., 0]
    smooth = cv2.GaussianBlur(gray, (0, 0), 1.0)
    median = float(np.median(smooth))
    edges = cv2.Canny(smooth, max(10.0, 0.33 * median), max(30.0, min(0.66 * median + 20, 200.0)))
    return np.repeat((255 - edges)[..., None], x.shape[2], -1)


def _pixelate(x: np.ndarray, rng: Rng) -> np.ndarray:
    side = int(rng.integers(PIXELATE[0], PIXELATE[1] + 1))
    height, width = x.shape[:2]
    small = cv2.resize(x, (max(1, width // side), max(1, height // side)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


# ---- between arrays and tensors --------------------------------------------------------------------------------------


def _tensor(x: np.ndarray) -> Tensor:
    """uint8 [H, W, C] -> float32 [1, C, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))).float().div_(255)[None]


def _array(x: Tensor) -> np.ndarray:
    """float [1, C, H, W] in about [0, 1] -> uint8 [H, W, C]."""
    return np.ascontiguousarray((x[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())


_STEPS: dict[str, Callable[[np.ndarray, Rng], np.ndarray]] = {
    "grey": _grey,
    **{f"x{factor}": _smaller(factor) for factor in (2, 3, 4, 8)},
    "jpeg": _jpeg,
    "noise": _noise,
    "blur": _blur,
    "mask": _mask,
    "edges": _edges,
    "pixelate": _pixelate,
}
