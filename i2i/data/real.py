"""The chain of Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833) for one image: two rounds of what makes images worse.

It has to keep up with training on two cores. So images are float32 [H, W, C] in levels (0 to 255) in memory of their
own, OpenCV does the work, kernels are cut to what they hold, and Poisson counts come from tables. `degrade` has the
same parts for batches of tensors, as the papers' code computes them; tests hold the two together.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
import torch

from i2i.data import degrade

Rng = np.random.Generator
KIND_SHARES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)  # of degrade.KINDS
KIND_BOUNDS = np.cumsum(KIND_SHARES)
RESIZES = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
LEAST_SHARE = 1e-4  # of a blur kernel's sum; what is outside of the rest is under 0.03 levels
QUANTILE_BITS = 11  # of the number of counts in a table of a Poisson distribution, all equally likely


def two_rounds(image: np.ndarray, small: tuple[int, int], rng: Rng) -> np.ndarray:
    """The worse image uint8 of size `small` (height, width) from an image uint8 [H, W, 1 or 3].

    Blur, resize, noise, JPEG; then all again, and a last filter before or after the last JPEG."""
    x = filtered(image.astype(np.float32), kernel(rng, (0.2, 3.0), 0.1))
    x = _resized_by_chance(x, rng, image.shape[:2], (0.2, 0.7), (0.15, 1.5))
    x = _shot(x, rng, (1, 30), (0.05, 3.0))
    x = compressed(rounded(x), int(rng.integers(30, 96))).astype(np.float32)

    if rng.random() < 0.8:
        x = filtered(x, kernel(rng, (0.2, 1.5), 0.1))
    x = _resized_by_chance(x, rng, small, (0.3, 0.4), (0.3, 1.2))
    x = _shot(x, rng, (1, 25), (0.05, 2.5))
    quality, jpeg_first = int(rng.integers(30, 96)), rng.random() < 0.5
    if jpeg_first:
        x = compressed(rounded(x), quality).astype(np.float32)
    x = resized(x, _mode(rng), small)
    if rng.random() < 0.8:
        size = _kernel_size(rng)
        x = filtered(x, degrade.sinc_kernel(size, rng.uniform(math.pi / 3, math.pi)).numpy())
    return rounded(x) if jpeg_first else compressed(rounded(x), quality)


# ---- kernels and filters -------------------------------------------------------------------------------------------


def kernel(rng: Rng, sigmas: tuple[float, float], sinc: float) -> np.ndarray:
    """A blur kernel float64 [k, k], k odd and at most 21; with probability `sinc` one that rings."""
    size = _kernel_size(rng)
    if rng.random() < sinc:
        return degrade.sinc_kernel(size, rng.uniform(math.pi / (3 if size < 13 else 5), math.pi)).numpy()
    kind = degrade.KINDS[int(np.searchsorted(KIND_BOUNDS[:-1], rng.random(), side="right"))]
    sigma_x, sigma_y, angle = rng.uniform(*sigmas), rng.uniform(*sigmas), rng.uniform(-math.pi, math.pi)
    low, high = (0.5, 4.0) if kind.startswith("generalized") else (1.0, 2.0)
    beta = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
    return trimmed(degrade.blur_kernel(kind, size, sigma_x, sigma_y, angle, beta).numpy())


def _kernel_size(rng: Rng) -> int:
    return 2 * int(rng.integers(3, 11)) + 1


def trimmed(blur: np.ndarray) -> np.ndarray:
    """A blur kernel [k, k] without the outer rings that together hold less than LEAST_SHARE; its sum is 1 again.

    Filtering costs as many multiplications as a kernel has values, and most kernels are narrow."""
    middle = len(blur) // 2
    for radius in range(1, middle):
        core = blur[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
        total = core.sum()
        if total > 1 - LEAST_SHARE:
            return core / total
    return blur


def filtered(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Each channel of float32 [H, W, C] correlated with a kernel [k, k]; edges are reflected (`degrade.filtered`).

    A kernel that is a column times a row, as a round Gaussian is, is applied as two lines: three times faster."""
    weights = weights.astype(np.float32)
    column, row = weights.sum(1), weights.sum(0)
    if np.abs(np.multiply.outer(column, row) - weights).max() < 1e-7:
        blurred = cv2.sepFilter2D(x, -1, row, column, borderType=cv2.BORDER_REFLECT_101)
    else:
        blurred = cv2.filter2D(x, -1, weights, borderType=cv2.BORDER_REFLECT_101)
    return blurred.reshape(x.shape)


# ---- resizing ------------------------------------------------------------------------------------------------------


def _mode(rng: Rng) -> str:
    return tuple(RESIZES)[int(rng.integers(0, len(RESIZES)))]


def _resized_by_chance(
    x: np.ndarray, rng: Rng, size: tuple[int, ...], shares: tuple[float, float], factors: tuple[float, float]
) -> np.ndarray:
    """Resized to `size` times a factor. shares: how often it grows and shrinks; factors: the least and the largest."""
    chance = rng.random()
    factor = 1.0
    if chance < shares[0]:
        factor = rng.uniform(1, factors[1])
    elif chance < sum(shares):
        factor = rng.uniform(factors[0], 1)
    height, width = (max(1, int(side * factor)) for side in size)
    return resized(x, _mode(rng), (height, width))


def resized(x: np.ndarray, mode: str, size: tuple[int, int]) -> np.ndarray:
    """float32 [H, W, C] resized to (height, width), without antialiasing unless the mode is area (`degrade.resized`).

    area: parts of pixels count by their area. The paper's code counts every pixel that is touched as a whole one."""
    if x.shape[:2] == size:
        return x
    return cv2.resize(x, size[::-1], interpolation=RESIZES[mode]).reshape(*size, x.shape[2])


# ---- noise ---------------------------------------------------------------------------------------------------------


def _shot(x: np.ndarray, rng: Rng, sigmas: tuple[float, float], scales: tuple[float, float]) -> np.ndarray:
    """With Gaussian or Poisson noise, gray or in each channel; clamped to the range of levels."""
    is_gray = rng.random() < 0.4
    if rng.random() < 0.5:
        noise = normal(rng, (*x.shape[:2], 1 if is_gray else x.shape[2]))
        noise *= np.float32(rng.uniform(*sigmas))
    else:
        noise = poisson_noise(rounded(gray(x) if is_gray else x), rng)
        noise *= np.float32(rng.uniform(*scales))
    noise = noise if noise.shape == x.shape else np.repeat(noise, x.shape[2], -1)
    noise += x
    return np.clip(noise, 0, 255, out=noise)


def normal(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal noise float32: each number is one of 65,536 quantiles, three times faster than numpy's."""
    return normal_table().take(np.frombuffer(rng.bytes(2 * math.prod(shape)), np.uint16).reshape(shape))


@functools.cache
def normal_table() -> np.ndarray:
    """65,536 equally likely quantiles of the normal distribution, float32."""
    chances = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    return torch.special.ndtri(chances).float().numpy()


def gray(x: np.ndarray) -> np.ndarray:
    """float32 [H, W, 3] -> [H, W, 1] (`degrade.gray`); images of one channel are returned as they are."""
    return x if x.shape[2] == 1 else cv2.transform(x, np.array([degrade.LUMA], np.float32)).reshape(*x.shape[:2], 1)


def poisson_noise(image: np.ndarray, rng: Rng) -> np.ndarray:
    """Noise float32 [H, W, C], in levels, of the photons of an image uint8 [H, W, C].

    The brightest value stands for as many photons as `degrade.poisson_rate` says."""
    counts = np.count_nonzero(np.bincount(image.ravel(), minlength=256))
    levels = 1 << max(0, int(counts) - 1).bit_length()
    index = image.astype(np.intp)
    index <<= QUANTILE_BITS
    index |= np.frombuffer(rng.bytes(2 * image.size), np.uint16).reshape(image.shape) >> (16 - QUANTILE_BITS)
    return poisson_table(levels).take(index)


@functools.cache
def poisson_table(levels: int) -> np.ndarray:
    """Noise float32 [256, 2**QUANTILE_BITS], in levels: quantiles of Poisson distributions, less their rates.

    One row for each value v of an image, with the rate v / 255 * levels. A draw is one look-up in place of numpy's
    rejection, which is ten times slower.
    levels: a power of two up to 256; a table takes 2 MiB."""
    rates = np.arange(256) / 255 * levels
    most = int(levels + 10 * math.sqrt(levels) + 10)
    logs = np.array([math.lgamma(k + 1) for k in range(most)])
    quantiles = 1 << QUANTILE_BITS
    chances = (np.arange(quantiles) + 0.5) / quantiles
    table = np.zeros((256, quantiles), np.float32)
    for row, rate in zip(table[1:], rates[1:], strict=True):
        probabilities = np.exp(np.arange(most) * math.log(rate) - rate - logs)
        row[:] = (np.searchsorted(np.cumsum(probabilities), chances) - rate) * (255 / levels)
    return table


# ---- 8 bits --------------------------------------------------------------------------------------------------------


def rounded(x: np.ndarray) -> np.ndarray:
    """float32 [H, W, C] in about 0 to 255 -> uint8, rounded and clamped."""
    return cv2.convertScaleAbs(np.maximum(x, 0)).reshape(x.shape)


def compressed(x: np.ndarray, quality: int) -> np.ndarray:
    """What JPEG of that quality leaves of an image uint8 [H, W, 1 or 3]."""
    is_gray = x.shape[2] == 1
    pixels = x if is_gray else cv2.cvtColor(x, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if is_gray else cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded[..., None] if is_gray else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
