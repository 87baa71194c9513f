"""Pixel metrics of images against their targets: l1, PSNR and SSIM.

All take two float tensors [B, C, H, W] in [-1, 1] and measure in that range. So `l1` is the number in a training log,
and an error of one 8-bit level is 2/255. `scores` gives one value per image, the other functions their mean. All raise
I2IError for tensors of other or different shapes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from i2i.core.errors import I2IError

RANGE = 2.0  # from -1 to 1
WINDOW = 11  # pixels; side of SSIM's Gaussian window, and least side of an image


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference, in [0, 2]; a scalar."""
    _check(fake, real)
    return (fake.float() - real.float()).abs().mean()


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB: 10 log10(2^2 / mean squared error) of each image; the mean over images.

    A scalar; infinite if an image equals its target."""
    return _psnr(fake, real).mean()


def ssim(fake: Tensor, real: Tensor) -> Tensor:
    """Structural similarity in [-1, 1] as in Wang et al. 2004 (Gaussian window, sigma 1.5, mean over channels).

    A scalar, the mean over images. Raises I2IError for images with a side under 11 pixels."""
    return _ssim(fake, real).mean()


def luma(images: Tensor) -> Tensor:
    """RGB images [B, 3, H, W] in [-1, 1] -> their luma [B, 1, H, W] in [-1, 1], float64, as in ITU-R BT.601.

    Papers of super-resolution measure PSNR and SSIM on it: `psnr(luma(fake), luma(real))`, usually after cutting 4
    pixels from each side. Black is level 16 and white level 235 of 255, as in video. Raises I2IError for images without
    three channels."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise I2IError(f"Luma needs RGB images, but their shape is {list(images.shape)}.", "Give [B, 3, H, W].")
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64, device=images.device)
    y = 16 + ((images.double() + 1) / 2 * weights[:, None, None]).sum(1, keepdim=True)
    return y / 127.5 - 1


def as_files(images: Tensor) -> Tensor:
    """Images in [-1, 1] as 8-bit files hold them: clamped and rounded to 256 levels."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def luma_scores(fake: Tensor, real: Tensor, border: int) -> dict[str, Tensor]:
    """{"psnr_y": [B], "ssim_y": [B]} as in papers of super-resolution: of the luma of 8-bit images, without `border`
    pixels at each side. Gray images are their own luma. Without ssim_y if too few pixels are left, and empty if none
    are, or for images of other channels."""
    _check(fake, real)
    height, width = fake.shape[-2:]
    if min(height, width) <= 2 * border or fake.shape[1] not in (1, 3):
        return {}
    inner = (..., slice(border, height - border), slice(border, width - border))
    fake, real = (as_files(x)[inner] for x in (fake, real))
    if fake.shape[1] == 3:
        fake, real = luma(fake), luma(real)
    values = {"psnr_y": _psnr(fake, real).cpu()}
    if min(fake.shape[-2:]) >= WINDOW:
        values["ssim_y"] = _ssim(fake, real)
    return values


def scores(fake: Tensor, real: Tensor) -> dict[str, Tensor]:
    """{"l1": [B], "psnr": [B], "ssim": [B]}: one value per image. Without ssim if a side is under 11 pixels."""
    _check(fake, real)
    values = {"l1": (fake.float() - real.float()).abs().mean(dim=(1, 2, 3)).cpu(), "psnr": _psnr(fake, real).cpu()}
    if min(fake.shape[-2:]) >= WINDOW:
        values["ssim"] = _ssim(fake, real)
    return values


def _psnr(fake: Tensor, real: Tensor) -> Tensor:
    _check(fake, real)
    error = (fake.double() - real.double()).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(RANGE**2 / error)).float()


def _ssim(fake: Tensor, real: Tensor) -> Tensor:
    _check(fake, real)
    if min(fake.shape[-2:]) < WINDOW:
        raise I2IError(
            f"The images have {fake.shape[-1]} x {fake.shape[-2]} pixels, which is too small for SSIM.",
            f"Both sides must have at least {WINDOW} pixels.",
        )
    from skimage.metrics import structural_similarity

    values = []
    # In [0, 2]: SSIM compares means too, and would treat a mid-gray of 0 as black.
    for a, b in zip((fake.detach().cpu().double() + 1).numpy(), (real.detach().cpu().double() + 1).numpy()):
        values.append(
            structural_similarity(
                a, b, channel_axis=0, data_range=RANGE, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
        )
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _check(fake: Tensor, real: Tensor) -> None:
    if fake.ndim != 4 or fake.shape != real.shape:
        raise I2IError(
            f"Images of shapes {list(fake.shape)} and {list(real.shape)} cannot be compared.",
            "Both must be [B, C, H, W] of the same shape.",
        )
