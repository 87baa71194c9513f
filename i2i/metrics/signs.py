"""Signs of failed training that can be seen in the outputs of a translator: nothing happened, inversion, a
checkerboard, black, white or flat images. All images are [N, 3, H, W] in [-1, 1]; everything is computed in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i.core.errors import I2IError

LUMA = (0.299, 0.587, 0.114)  # of R, G and B
BLOCK = 9  # frequencies a side around a peak, whose median is the level that it stands out of


@dataclass(frozen=True)
class Thresholds:
    """Where a number becomes a sign."""

    noop: float = 0.25  # change of the input, as a share of the true change
    inversion: float = -0.3  # correlation of brightness of input and output
    inversion_share: float = 0.5  # share of images under `inversion`
    checkerboard: float = 6.0  # times that a peak of the spectrum exceeds that of real images
    flat_levels: float = 2.0  # levels of 255 that count as equal
    flat_share: float = 0.95  # share of pixels


def noop_ratio(inputs: Tensor, outputs: Tensor, others: Tensor) -> float:
    """mean |output - input| / mean |other - input|: how much of the way to the other domain a model goes.

    others: the targets of the inputs, or, without pairs, images of the other domain."""
    x = inputs.double()
    change = (others.double() - x).abs().mean()
    return float((outputs.double() - x).abs().mean() / change) if change > 0 else float("inf")


def brightness_correlation(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Pearson's correlation [N] of the luma of each input with that of its output, over pixels; -1 is a negative."""
    x, y = (_luma(i).flatten(1) for i in (inputs, outputs))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1) + 1e-9)


def spectrum_peaks(images: Tensor) -> Tensor:
    """How far the spectrum of images stands out at periods of 2 and 4 pixels, [6]; about 1 without a checkerboard.

    The power at (H/2, 0), (0, W/2), (H/2, W/2), (H/4, 0), (0, W/4), (H/4, W/4), each over the median of the 9 x 9
    frequencies around it."""
    power = _power(images).sum(0)
    h, w = power.shape
    around = torch.arange(BLOCK) - BLOCK // 2
    peaks = []
    for row, column in _places(h, w):
        block = power[(row + around) % h][:, (column + around) % w]
        peaks.append(power[row, column] / block.median())
    return torch.stack(peaks)


def pattern_power(images: Tensor) -> Tensor:
    """Mean power of images at the six frequencies of `spectrum_peaks`, [6]: how strong a pattern is, in levels^2."""
    power = _power(images)
    h, w = power.shape[1:]
    return torch.stack([power[:, row, column].mean() for row, column in _places(h, w)]) / (h * w) ** 2


def _power(images: Tensor) -> Tensor:
    """The power spectrum of each image's luma, [N, H, W]."""
    luma = _luma(images)
    return torch.fft.fft2(luma - luma.mean((1, 2), keepdim=True)).abs().square()


def _places(h: int, w: int) -> list[tuple[int, int]]:
    """Rows and columns of the periods of 2 and 4 pixels in a spectrum."""
    return [(h // 2, 0), (0, w // 2), (h // 2, w // 2), (h // 4, 0), (0, w // 4), (h // 4, w // 4)]


def flat_shares(images: Tensor, levels: float = 2.0) -> Tensor:
    """[black, white, flat]: shares of pixels that are black, white, or equal to their image's median color.

    Equal means within `levels` of 255 in every channel."""
    values = (images.double() + 1) * 127.5
    median = values.flatten(2).median(2).values[..., None, None]
    black, white = values <= levels + _ROUND, values >= 255 - levels - _ROUND
    flat = (values - median).abs() <= levels + _ROUND
    return torch.stack([kind.all(1).double().mean() for kind in (black, white, flat)])


_ROUND = 1e-3  # levels: images in [-1, 1] give whole levels only up to rounding


@dataclass(frozen=True)
class Signs:
    """What outputs show. `fires` holds the names of the signs."""

    noop: float
    correlation: Tensor  # [N]
    inverted_share: float
    peaks: Tensor  # [6]
    peak_ratio: float  # the largest quotient of the peaks and those of real images
    flat: Tensor  # shares of black, white and flat pixels
    fires: tuple[str, ...]


def signs(inputs: Tensor, outputs: Tensor, real: Tensor, *, paired: bool, limits: Thresholds | None = None) -> Signs:
    """Judges the outputs of a translator beside real images of the other domain.

    paired: real[i] is the true translation of inputs[i]; else any image of the domain. Raises I2IError if shapes
    differ, or a side is under 8 pixels."""
    t = limits or Thresholds()
    if not inputs.shape == outputs.shape == real.shape or inputs.ndim != 4 or min(inputs.shape[2:]) < 8:
        raise I2IError("Inputs, outputs and real images must be [N, 3, H, W] of one shape, 8 pixels a side or more.")
    correlation = brightness_correlation(inputs, outputs)
    inverted = float((correlation < t.inversion).double().mean())
    expected = float((brightness_correlation(inputs, real) < t.inversion).double().mean()) if paired else 0.0
    peaks, real_peaks = spectrum_peaks(outputs), spectrum_peaks(real)
    ratio = float((peaks / real_peaks).max())
    flat, real_flat = flat_shares(outputs, t.flat_levels), flat_shares(real, t.flat_levels)
    noop = noop_ratio(inputs, outputs, real)
    found = {
        "no-op": noop < t.noop,
        "inversion": inverted > t.inversion_share and not expected > t.inversion_share,
        "checkerboard": ratio > t.checkerboard,
        **{
            name: bool(share > t.flat_share and not other > t.flat_share)
            for name, share, other in zip(("black", "white", "flat"), flat, real_flat)
        },
    }
    fires = tuple(name for name, fired in found.items() if fired)
    return Signs(noop, correlation, inverted, peaks, ratio, flat, fires)


def _luma(images: Tensor) -> Tensor:
    """[N, 3, H, W] in [-1, 1] -> [N, H, W], levels 0 to 255."""
    weights = torch.tensor(LUMA, dtype=torch.float64, device=images.device)[:, None, None]
    return ((images.double() + 1) * 127.5 * weights).sum(1)
