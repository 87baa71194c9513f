"""Pixel metrics of images against their true targets.

All take two float tensors [B, C, H, W] in [-1, 1] and count in that range, so that `l1` is the number that a training
log shows (an error of one 8-bit level is 2/255). `scores` gives a value per image; the others their mean.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from i2i.core.errors import I2IError

RANGE = 2.0  # from -1 to 1
WINDOW = 11  # pixels; the side of SSIM's Gaussian window, and so of the smallest image it can judge


def l1(made: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference, in [0, 2]; a scalar."""
    _check(made, real)
    return (made.float() - real.float()).abs().mean()


def psnr(made: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(2^2 / mean squared error) per image; the mean over images.

    It is infinite for equal images."""
    return _psnr(made, real).mean()


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """Structural similarity as in Wang et al. 2004 (Gaussian window, sigma 1.5, mean over channels), in [-1, 1].

    The mean over images. Raises I2IError for images with a side under 11 pixels."""
    return _ssim(made, real).mean()


def luma(pictures: Tensor) -> Tensor:
    """[B, 3, H, W] in [-1, 1] -> the brightness of ITU-R BT.601 [B, 1, H, W], in which super-resolution is judged.

    16 to 235 of 255, as in video, laid into [-1, 1] in float64; by custom 4 pixels are cut from each side of it.
    Raises I2IError for images of other than three channels."""
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise I2IError(f"No brightness of images of shape {list(pictures.shape)}.", "They must be [B, 3, H, W].")
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64, device=pictures.device)
    y = 16 + ((pictures.double() + 1) / 2 * weights[:, None, None]).sum(1, keepdim=True)
    return y / 127.5 - 1


def scores(made: Tensor, real: Tensor) -> dict[str, Tensor]:
    """{"l1": [B], "psnr": [B], "ssim": [B]} for each image; without ssim if a side is under 11 pixels."""
    _check(made, real)
    found = {"l1": (made.float() - real.float()).abs().mean(dim=(1, 2, 3)).cpu(), "psnr": _psnr(made, real).cpu()}
    if min(made.shape[-2:]) >= WINDOW:
        found["ssim"] = _ssim(made, real)
    return found


def _psnr(made: Tensor, real: Tensor) -> Tensor:
    _check(made, real)
    error = (made.double() - real.double()).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(RANGE**2 / error)).float()


def _ssim(made: Tensor, real: Tensor) -> Tensor:
    _check(made, real)
    if min(made.shape[-2:]) < WINDOW:
        raise I2IError(
            f"SSIM cannot judge images of {made.shape[-1]} x {made.shape[-2]} pixels.",
            f"Both sides must have at least {WINDOW}.",
        )
    from skimage.metrics import structural_similarity

    values = []
    # From 0 on: means are compared too, and a grey that stood at 0 would be taken for black.
    for a, b in zip((made.detach().cpu().double() + 1).numpy(), (real.detach().cpu().double() + 1).numpy()):
        values.append(
            structural_similarity(
                a, b, channel_axis=0, data_range=RANGE, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
        )
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _check(made: Tensor, real: Tensor) -> None:
    if made.ndim != 4 or made.shape != real.shape:
        raise I2IError(
            f"Images of shapes {list(made.shape)} and {list(real.shape)} cannot be compared.",
            "Both must be [B, C, H, W], of one shape.",
        )
