"""What makes images worse: blur, noise, sharpening and resizing as in Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833).

Images are float [B, C, H, W] in [0, 1]. Nothing here draws random numbers: they are arguments, so that the same numbers
give the same image. `make` draws them.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.core.errors import I2IError, nearest
from i2i.media.adapt import reflected_indices

KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
LUMA = (0.2989, 0.587, 0.114)  # gray from RGB, as the Poisson noise of the paper's code has it


# ---- kernels -------------------------------------------------------------------------------------------------------


def blur_kernel(
    kind: str, size: int, sigma_x: float, sigma_y: float | None = None, angle: float = 0.0, beta: float = 1.0
) -> Tensor:
    """A blur kernel float64 [size, size] whose sum is 1.

    kind: one of KINDS; the iso ones use sigma_x alone. sigma: pixels. angle: radians. beta: shape of the generalized
    kernels, exp(-q^beta / 2), and of the plateau ones, 1 / (1 + q^beta). Raises I2IError for another kind."""
    if kind not in KINDS:
        raise I2IError(f"The blur kernel {kind!r} is unknown.", nearest(kind, KINDS))
    if kind.endswith("aniso"):
        sigma_y = sigma_x if sigma_y is None else sigma_y
    else:
        sigma_y, angle = sigma_x, 0.0
    x, y = _grid(size)
    cos, sin = math.cos(angle), math.sin(angle)
    # along the two axes of the ellipse, in units of its sigmas
    q = ((cos * x + sin * y) / sigma_x) ** 2 + ((cos * y - sin * x) / sigma_y) ** 2
    if kind.startswith("generalized"):
        kernel = np.exp(-(q**beta) / 2)
    elif kind.startswith("plateau"):
        kernel = 1 / (1 + q**beta)
    else:
        kernel = np.exp(-q / 2)
    return torch.from_numpy(kernel / kernel.sum())


def sinc_kernel(size: int, cutoff: float, pad_to: int = 0) -> Tensor:
    """A round low-pass filter float64 that rings, as sharpening and JPEG do; its sum is 1.

    cutoff: radians, up to pi. pad_to: side that zeros around the kernel bring it to; 0: `size`."""
    distances, cells = _distances(size)
    values = np.full_like(distances, cutoff**2 / (4 * math.pi))  # the limit in the middle
    values[1:] = cutoff * _bessel_j1(cutoff * distances[1:]) / (2 * math.pi * distances[1:])
    kernel = values[cells]
    return padded(torch.from_numpy(kernel / kernel.sum()), pad_to or size)


def _bessel_j1(x: np.ndarray) -> np.ndarray:
    """The Bessel function of the first kind and order 1 of a vector, for |x| up to 100: its integral, to 14 digits."""
    angles, sines = _half_turn(int(np.abs(x).max() / 2) + 24)
    return np.asarray(np.cos(angles - np.multiply.outer(x, sines)).mean(-1))


@functools.cache
def _half_turn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` angles between 0 and pi, and their sines. The integral is exact to all digits from |x| / 2 + 24 on."""
    angles = (np.arange(count) + 0.5) * (math.pi / count)
    return angles, np.sin(angles)


@functools.cache
def _distances(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The different distances from the middle of a kernel, from 0 on, and the number of each cell's: [size, size]."""
    x, y = _grid(size)
    squares, cells = np.unique(x**2 + y**2, return_inverse=True)
    return np.sqrt(squares), cells.reshape(size, size)


def padded(kernel: Tensor, side: int) -> Tensor:
    """The kernel [k, k] with zeros around it: [side, side]."""
    return fn.pad(kernel, [(side - kernel.shape[-1]) // 2] * 4) if side > len(kernel) else kernel


def sharpening_kernel(radius: int) -> Tensor:
    """The Gaussian of unsharp masking, float64 [n, n]: n is the radius, or one more if it is even."""
    length = radius + 1 - radius % 2
    sigma = 0.3 * ((length - 1) / 2 - 1) + 0.8
    row = torch.exp(-(torch.arange(length, dtype=torch.float64) - (length - 1) / 2).square() / (2 * sigma**2))
    row = row / row.sum()
    return torch.outer(row, row)


@functools.cache
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of each pixel, from the middle on: float64 [1, size] and [size, 1]."""
    line = np.arange(size, dtype=np.float64) - size // 2
    return line[None], line[:, None]


# ---- filters -------------------------------------------------------------------------------------------------------


def filtered(x: Tensor, kernels: Tensor) -> Tensor:
    """Each channel correlated with a kernel; edges are reflected.

    kernels: [1, k, k], or one for each image [B, k, k]; k is odd. Sides of at most k // 2 pixels reflect twice."""
    batch, channels, height, width = x.shape
    k = kernels.shape[-1]
    weight = kernels.to(x.dtype).expand(batch, k, k).repeat_interleave(channels, 0)[:, None]
    image = _reflected(_reflected(x, -1, k // 2), -2, k // 2)
    image = image.reshape(1, batch * channels, *image.shape[-2:])
    return fn.conv2d(image, weight, groups=batch * channels).reshape(batch, channels, height, width)


def _reflected(x: Tensor, dim: int, border: int) -> Tensor:
    length = x.shape[dim]
    return x.index_select(dim, reflected_indices(length, -border, length + border).to(x.device))


def sharpened(x: Tensor, radius: int = 50, weight: float = 0.5, threshold: float = 10) -> Tensor:
    """Unsharp masking where an image differs from its blur by more than `threshold` levels of 255, softly blended."""
    kernel = sharpening_kernel(radius)[None]
    detail = x - filtered(x, kernel)
    mask = filtered((detail.abs() * 255 > threshold).to(x.dtype), kernel)
    return mask * (x + weight * detail).clamp(0, 1) + (1 - mask) * x


def resized(x: Tensor, mode: str, factor: float | None = None, size: tuple[int, int] | None = None) -> Tensor:
    """Resized by a factor or to a size (height, width), without antialiasing: shrinking leaves traces on purpose.

    mode: area, bilinear or bicubic. Bicubic values may leave [0, 1]."""
    corners = None if mode == "area" else False
    return fn.interpolate(x, size=size, scale_factor=factor, mode=mode, align_corners=corners)


# ---- noise ---------------------------------------------------------------------------------------------------------


def gaussian_noise(normal: Tensor, sigma: Tensor) -> Tensor:
    """Noise [B, C, H, W] of standard normal numbers `normal`, which may have one channel or be one map for all images.

    sigma: [B], standard deviations in levels of 255."""
    return normal * (sigma / 255)[:, None, None, None]


def poisson_rate(x: Tensor) -> tuple[Tensor, Tensor]:
    """(rate [B, C, H, W], levels [B]) of Poisson noise: expected counts of images in 8 bits.

    levels: the next power of two above the number of different values in an image."""
    values = quantized(x)
    levels_of = (values.flatten(1) * 255).round().long()
    counts = [int(torch.bincount(image, minlength=256).count_nonzero()) for image in levels_of]
    levels = torch.tensor([2.0 ** math.ceil(math.log2(n)) for n in counts], dtype=x.dtype, device=x.device)
    return values * levels[:, None, None, None], levels


def poisson_noise(counts: Tensor, rate: Tensor, levels: Tensor) -> Tensor:
    """Noise [B, C, H, W] of counts drawn from Poisson distributions with these rates; see `poisson_rate`."""
    return (counts - rate) / levels[:, None, None, None]


def gray(x: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1, H, W]; images of one channel are returned as they are."""
    return x if x.shape[1] == 1 else (x * x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def quantized(x: Tensor) -> Tensor:
    """Values of 8 bits: rounded to 255ths and clamped to [0, 1]."""
    return (x * 255).round().clamp(0, 255) / 255
