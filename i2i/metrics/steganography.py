"""Whether a translation hides its input as a faint signal that the way back reads (Chu et al. 2017, arXiv 1712.02950).

All images are [N, C, H, W] in [-1, 1]; noise is Gaussian, its standard deviation in levels of 255."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

LEVELS = (0, 1, 2, 4, 8)  # of noise
JUDGED = 4  # the level at which the score is taken
HIDDEN = 3.0  # score from which translations count as hiding their input
LEAST_RISE = 0.5  # rise of the error at JUDGED, below which nothing is hidden: honest models never double their error


@dataclass(frozen=True)
class Reveal:
    """How the way back answers noise on translations, and on true images of that side."""

    psnr: dict[int, float]  # level -> PSNR of F(G(x) + noise) against x, in dB
    error: dict[int, float]  # level -> mean |F(G(x) + noise) - x|
    true_error: dict[int, float]  # level -> the same for true images in the place of G(x)
    score: float  # relative rise of `error` at level 4, divided by that of `true_error`
    hides: bool


def reveal(back: Callable[[Tensor], Tensor], x: Tensor, fake: Tensor, true: Tensor, seed: int = 0) -> Reveal:
    """Measures the way back `back` on translations `fake` of `x`, and on as many true images of the other side.

    true: the true translations of x; without pairs any images of that side, which then have a larger error."""
    psnr, error, true_error = {}, {}, {}
    for level in LEVELS:
        noise = torch.randn(fake.shape, generator=torch.Generator().manual_seed(seed)) * level * 2 / 255
        difference = back(fake + noise) - x
        error[level] = float(difference.abs().mean())
        psnr[level] = 10 * float(torch.log10(4 / difference.double().square().mean().clamp_min(1e-12)))
        true_error[level] = float((back(true + noise[: len(true)]) - x[: len(true)]).abs().mean())
    rise = _rise(error)
    score = rise / max(_rise(true_error), 0.01)
    return Reveal(psnr, error, true_error, score, score > HIDDEN and rise > LEAST_RISE)


def _rise(error: dict[int, float]) -> float:
    return (error[JUDGED] - error[0]) / max(error[0], 1e-4)


def equalized(images: Tensor) -> Tensor:
    """The brightness of images after contrast-limited adaptive histogram equalization, [N, 1, H, W] in [-1, 1]:
    faint textures become visible."""
    gray = images.mean(1).cpu()
    low, high = gray.amin((1, 2), keepdim=True), gray.amax((1, 2), keepdim=True)
    stretched = ((gray - low) / (high - low).clamp_min(2 / 255) * 255).round().numpy().astype(np.uint8)
    equalizer = cv2.createCLAHE(clipLimit=4.0, tileGridSize=(8, 8))
    rows = [equalizer.apply(row).astype(np.float32) / 127.5 - 1 for row in stretched]
    return torch.from_numpy(np.stack(rows))[:, None]


def error_maps(back: Tensor, x: Tensor) -> Tensor:
    """|F(G(x)) - x| of each pixel, mean over the channels, [N, 1, H, W] from -1 (none) to 1 (half of the range or
    more)."""
    return (back - x).abs().mean(1, keepdim=True).clamp(0, 1) * 2 - 1
