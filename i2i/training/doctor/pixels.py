"""Signs in the outputs: of a translator beside its inputs and real images, or of a generator beside real images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i.metrics import signs
from i2i.metrics.collapse import pairwise_distance
from i2i.training.collapse import MIN_SPREAD, shrunk
from i2i.training.doctor.finding import Finding, judged, unknown
from i2i.training.doctor.table import GENERATED, PIXELS

LIMITS = signs.Thresholds()
FEW_CHECKERBOARD = 12.0  # the limit of `checkerboard` for few images, whose spectrum is rough
STRONGER = 2.0  # power of the pattern, as a multiple of that of real images, below which it cannot be seen
MANY = 32  # images from which LIMITS.checkerboard holds
SMALLEST_SPECTRUM = 24  # pixels a side; smaller images have no spectrum to speak of
SMALLEST = 8  # pixels a side of any image
MEAN = 0.25  # distance of the outputs to the mean target, as a share of that of real images
COLORS = ("red", "green", "blue")
COLOR = 0.2  # difference of mean colors, of values in [-1, 1]: 25 levels
COLOR_ERRORS = 4.0  # ... and so many standard errors


@dataclass(frozen=True)
class Real:
    """What outputs are compared with: real images [N, 3, H, W] of the other side, measured once."""

    images: Tensor
    peaks: Tensor  # [6], of the spectrum
    power: Tensor  # [6], at these peaks
    flat: Tensor  # [3], shares of black, white and flat pixels
    spread: float  # mean distance between two of them
    mean: Tensor  # [3, H, W], the mean image
    distance: float  # mean |image - mean image|

    @classmethod
    def of(cls, images: Tensor) -> Real:
        """Measures real images [N, C, H, W] in [-1, 1], N of 2 or more."""
        images = colored(images)
        mean = images.mean(0)
        return cls(
            images,
            signs.spectrum_peaks(images),
            signs.pattern_power(images),
            signs.flat_shares(images, LIMITS.flat_levels),
            pairwise_distance(shrunk(images)),
            mean,
            float((images - mean).abs().mean()),
        )


def colored(images: Tensor) -> Tensor:
    """Images [N, C, H, W] as three channels on the CPU: gray repeated, alpha left out."""
    images = images.detach().float().cpu()
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]


def judge_outputs(
    inputs: Tensor | None, outputs: Tensor, real: Real | None, targets: Tensor | None = None
) -> list[Finding]:
    """The signs in outputs [N, C, H, W] of a translator, or, without inputs, of a generator of images from noise.

    real: real images of the other side; None: there are none, and few signs can be judged. targets: the true outputs
    of the inputs, if they are pairs."""
    names = PIXELS if inputs is not None else GENERATED
    outputs = colored(outputs)
    why = ""
    if real is None:
        why = "There are too few real images to compare with."
    elif outputs.shape[1:] != real.images.shape[1:]:
        why = "The outputs have another size than the real images."
    elif min(outputs.shape[2:]) < SMALLEST:
        why = f"The images are smaller than {SMALLEST} pixels."
    if why or real is None:
        return [unknown(name, why) for name in names]
    findings = [*_flat(outputs, real), _checkerboard(outputs, real)]
    if inputs is None:
        return findings
    inputs, targets = colored(inputs), None if targets is None else colored(targets)
    findings += [*_content(outputs, real), _colors(outputs, real, targets)]
    return findings + _beside_inputs(inputs, outputs, real, targets)


def _flat(outputs: Tensor, real: Real) -> list[Finding]:
    """Black, white and flat images, unless real ones are so as well."""
    shares = signs.flat_shares(outputs, LIMITS.flat_levels)
    return [
        judged(
            name,
            bool(share > LIMITS.flat_share and not other > LIMITS.flat_share),
            {"share": float(share)},
            f"{float(share):.0%} of the outputs' pixels {words}.",
        )
        for name, share, other, words in zip(
            ("black", "white", "flat"), shares, real.flat, ("are black", "are white", "have one color of their image")
        )
    ]


def _checkerboard(outputs: Tensor, real: Real) -> Finding:
    """A peak of the spectrum at a period of 2 or 4 pixels, where real images have none."""
    if min(outputs.shape[2:]) < SMALLEST_SPECTRUM:
        return unknown("checkerboard", f"The images are smaller than {SMALLEST_SPECTRUM} pixels.")
    stronger = signs.pattern_power(outputs) > STRONGER * real.power  # a peak of blurred images may be faint
    ratio = float((signs.spectrum_peaks(outputs) / real.peaks.clamp_min(1))[stronger].max()) if stronger.any() else 0.0
    few = len(outputs) < MANY
    return judged(
        "checkerboard",
        ratio > (FEW_CHECKERBOARD if few else LIMITS.checkerboard),
        {"ratio": ratio},
        f"A grid of 2 or 4 pixels is {ratio:.0f} times as strong in the outputs as in real images; 1 is right.",
    )


def _content(outputs: Tensor, real: Real) -> list[Finding]:
    """Whether the outputs differ from each other, and from the mean target, as much as real images do."""
    if len(outputs) < 2 or real.spread < 1e-6:
        return [unknown(name, "There are too few different images.") for name in ("alike", "mean")]
    spread = pairwise_distance(shrunk(outputs)) / real.spread
    distance = float((outputs - real.mean).abs().mean()) / max(real.distance, 1e-9)
    is_mean = distance < MEAN or (spread < MIN_SPREAD and distance < 2 * MEAN)
    return [
        judged(
            "alike",
            spread < MIN_SPREAD and not is_mean,
            {"spread": spread},
            f"The outputs differ from each other {spread:.0%} as much as real images do.",
        ),
        judged(
            "mean",
            is_mean,
            {"distance": distance},
            f"The outputs differ from the average target {distance:.0%} as much as real images do; 100% is right.",
        ),
    ]


def _colors(outputs: Tensor, real: Real, targets: Tensor | None) -> Finding:
    """Whether the mean colors differ from those of the other side by more than chance."""
    made = outputs.mean((2, 3)).double()
    if targets is not None:
        difference = made - targets.mean((2, 3)).double()
        errors = difference.var(0) / len(made)
        shift = difference.mean(0)
    else:
        other = real.images.mean((2, 3)).double()
        shift = made.mean(0) - other.mean(0)
        errors = made.var(0) / len(made) + other.var(0) / len(other)
    errors = errors.nan_to_num(float("inf")).clamp_min(1e-12).sqrt()
    channel = int((shift.abs() / errors).argmax())
    largest = int(shift.abs().argmax())
    found = bool(((shift.abs() > COLOR) & (shift.abs() > COLOR_ERRORS * errors)).any())
    return judged(
        "color",
        found,
        {"shift": float(shift[largest]), "errors": float(shift[channel].abs() / errors[channel])},
        f"The mean of {COLORS[largest]} is off by {float(shift[largest]) * 127.5:+.0f} levels of 255.",
    )


def _beside_inputs(inputs: Tensor, outputs: Tensor, real: Real, targets: Tensor | None) -> list[Finding]:
    """Signs that show beside the inputs: nothing happened, and inversion."""
    if inputs.shape != outputs.shape:
        return [unknown(name, "The outputs have another size than the inputs.") for name in ("no-op", "inversion")]
    others = targets if targets is not None else _cycled(real.images, len(inputs))
    ratio = signs.noop_ratio(inputs, outputs, others)
    correlation = signs.brightness_correlation(inputs, outputs)
    share = float((correlation < LIMITS.inversion).double().mean())
    expected = 0.0
    if targets is not None:  # the true translation may be a negative, as that of a map of the sea is
        expected = float((signs.brightness_correlation(inputs, targets) < LIMITS.inversion).double().mean())
    return [
        judged(
            "no-op",
            ratio < LIMITS.noop,
            {"change": min(ratio, 1e9)},
            f"The outputs differ from the inputs {ratio:.0%} as much as images of the other side do.",
        ),
        judged(
            "inversion",
            share - expected > LIMITS.inversion_share,
            {"share": share, "correlation": float(correlation.mean())},
            f"{share:.0%} of the outputs are dark where their input is bright, and bright where it is dark.",
        ),
    ]


def _cycled(images: Tensor, count: int) -> Tensor:
    return images[torch.arange(count) % len(images)]
