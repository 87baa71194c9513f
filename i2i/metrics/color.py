"""Scores of colorization: how colorful images are, and how far their colors are from the true ones."""

from __future__ import annotations

from torch import Tensor

from i2i.core.errors import I2IError
from i2i.media.lab import rgb_to_lab

AB_RANGE = 255.0  # of a and b, whose values in 8 bits are -128 to 127


def colorfulness(images: Tensor) -> Tensor:
    """Colorfulness of RGB images [B, 3, H, W] in [-1, 1], [B], float64 (Hasler and Suesstrunk 2003).

    0 for gray images; about 15 is slightly colorful, 45 clearly, 109 extremely. The scale is that of levels 0 to 255.
    Raises I2IError for images without three channels."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise I2IError(f"Colorfulness needs RGB images, but their shape is {list(images.shape)}.", "Give [B, 3, H, W].")
    r, g, b = ((images.detach().double() + 1) * 127.5).unbind(1)
    red_green, yellow_blue = r - g, (r + g) / 2 - b
    spread = (red_green.var((1, 2), correction=0) + yellow_blue.var((1, 2), correction=0)).sqrt()
    return spread + 0.3 * (red_green.mean((1, 2)).square() + yellow_blue.mean((1, 2)).square()).sqrt()


def color_scores(fake: Tensor, real: Tensor) -> dict[str, Tensor]:
    """{"ab_l1", "ab_psnr", "colorfulness"}, each [B], of RGB images [B, 3, H, W] in [-1, 1] beside their true ones.

    ab_l1: mean absolute difference of a and b of CIE Lab; about 2 is hardly seen, 20 is another color. ab_psnr: in dB,
    10 log10(255^2 / mean squared difference of a and b). colorfulness: of `fake`. Gray images are RGB images of equal
    channels. Raises I2IError for other shapes."""
    if fake.shape != real.shape:
        raise I2IError(f"Images of shapes {list(fake.shape)} and {list(real.shape)} differ.", "Give the same shape.")
    scores = {"colorfulness": colorfulness(fake)}
    a, b = (rgb_to_lab((x.detach().double().clamp(-1, 1) + 1) / 2)[:, 1:] for x in (fake, real))
    difference = a - b
    scores["ab_l1"] = difference.abs().mean((1, 2, 3))
    scores["ab_psnr"] = 10 * (AB_RANGE**2 / difference.square().mean((1, 2, 3))).log10()
    return scores
