"""SSIM over several scales: what the eye sees from near and from afar (Wang et al. 2003)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from i2i.core.errors import I2IError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first
WINDOW, SIGMA = 11, 1.5  # pixels: side and deviation of the Gaussian window
K1, K2 = 0.01, 0.03


@dataclass(frozen=True)
class Scales:
    """The parts of MS-SSIM. contrast: contrast and structure [B, C, scales]; last: SSIM [B, C] at the coarsest."""

    contrast: Tensor
    last: Tensor
    weights: Tensor  # of the scales

    def total(self) -> Tensor:
        """MS-SSIM of each channel, [B, C]: the weighted product, with negative values taken as 0."""
        finer = (self.contrast[..., :-1].clamp_min(0) ** self.weights[:-1]).prod(-1)
        return finer * self.last.clamp_min(0) ** self.weights[-1]


def scales_for(height: int, width: int) -> int:
    """How many scales an image of that size bears, 0 to 5: the window must fit at the coarsest one."""
    side = min(height, width)
    return sum(side > (WINDOW - 1) * 2**n for n in range(len(WEIGHTS)))


def ms_ssim(fake: Tensor, real: Tensor) -> Tensor:
    """MS-SSIM of images [B, C, H, W] in [-1, 1], [B]; at most 1, higher is better; the mean over channels.

    Five scales need sides of at least 161 pixels. Smaller images have fewer scales, with the first weights divided by
    their sum; `scales_for` says how many. Computed in float64, because variances lose digits in float32. Raises
    I2IError for images of different shapes or with a side under 11 pixels."""
    # In [0, 2]: SSIM compares means too, and would treat a mid-gray of 0 as black.
    return ms_ssim_scales(fake.detach().double() + 1, real.detach().double() + 1, 2.0).total().mean(1)


def ms_ssim_scales(fake: Tensor, real: Tensor, data_range: float) -> Scales:
    """The parts of MS-SSIM of images with values from 0 to `data_range`. Raises I2IError as `ms_ssim` does."""
    if fake.ndim != 4 or fake.shape != real.shape:
        raise I2IError(
            f"Images of shapes {list(fake.shape)} and {list(real.shape)} cannot be compared.",
            "Both must be [B, C, H, W] of the same shape.",
        )
    count = scales_for(*fake.shape[2:])
    if count == 0:
        raise I2IError(
            f"The images have {fake.shape[3]} x {fake.shape[2]} pixels, which is too small for MS-SSIM.",
            f"Both sides must have at least {WINDOW} pixels.",
        )
    weights = torch.tensor(WEIGHTS[:count], dtype=torch.float64, device=fake.device)
    x, y = fake.detach().double(), real.detach().double()
    contrasts = []
    for n in range(count):
        if n:
            x, y = _halve(x), _halve(y)
        luminance, contrast = _maps(x, y, data_range)
        contrasts.append(contrast.mean((2, 3)))
    if count < len(WEIGHTS):  # all five are used as published; their sum is 1.0001
        weights = weights / weights.sum()
    return Scales(torch.stack(contrasts, -1), (luminance * contrast).mean((2, 3)), weights)


def ssim_of(fake: Tensor, real: Tensor, data_range: float) -> Tensor:
    """Plain SSIM [B] with the same window, only where it fits; the mean over channels. Values start at 0."""
    luminance, contrast = _maps(fake.double(), real.double(), data_range)
    return (luminance * contrast).mean((1, 2, 3))


def _maps(x: Tensor, y: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """(luminance, contrast and structure) of each position where the window fits, in float64."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2 * covariance + c2) / (variance_x + variance_y + c2)


def _blur(x: Tensor) -> Tensor:
    """The Gaussian mean around each position at which the whole window lies inside the image."""
    at = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    window = torch.exp(-(at**2) / (2 * SIGMA**2))
    window = window / window.sum()
    channels = x.shape[1]
    x = F.conv2d(x, window.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(x, window.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def _halve(x: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; an odd side is padded by zeros that are not counted."""
    return F.avg_pool2d(x, 2, padding=[side % 2 for side in x.shape[2:]], count_include_pad=False)
