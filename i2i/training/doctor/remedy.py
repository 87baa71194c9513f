"""What helps against a sign: one sentence that names a setting which the method has, with a value to try."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Value = Callable[[Any], Any]  # the value of a setting now -> the value to try; None: this setting does not help


class Advice(NamedTuple):
    """A setting that helps, and why in a few words. tricks: it works for methods that name their discriminators.
    fits: whether it helps beside the other settings of the run, by name."""

    setting: str
    value: Value
    why: str
    tricks: bool = False
    fits: Callable[[Mapping[str, Any]], bool] = lambda settings: True


def _half(value: Any) -> Any:
    return value / 2 if isinstance(value, int | float) and value > 0 else None


def _half_width(value: Any) -> Any:
    return value // 2 if isinstance(value, int) and value >= 16 else None


def _double(value: Any) -> Any:
    return value * 2 if isinstance(value, int | float) and value > 0 else None


def _at_least(number: float) -> Value:
    return lambda value: number if isinstance(value, int | float) and value < number else None


def _instead(wanted: str) -> Value:
    return lambda value: None if value == wanted else wanted


def _not_transposed(wanted: str) -> Value:
    return lambda value: wanted if value == "transposed" else None


def _is_bicycle(settings: Mapping[str, Any]) -> bool:
    return "e_blocks" in settings  # its U-Net's only other upsampling is bilinear


def _smooth(settings: Mapping[str, Any]) -> bool:
    return settings.get("upsample") in ("resize", "blur", "bilinear") or settings.get("antialias") is True


def _if_empty(wanted: str) -> Value:
    return lambda value: None if value else wanted


def _on(value: Any) -> Any:
    return None if value is True else "yes"


def _off(value: Any) -> Any:
    return 0 if isinstance(value, int | float) and value > 0 else None


_LEARNING_RATE = [Advice("lr", _half, "a lower learning rate")]
_WEAKER_D = [
    Advice("instance_noise", _at_least(0.1), "noise on what D sees", tricks=True),
    Advice("d_width", _half_width, "a smaller discriminator"),
]
_COLORS = [
    Advice("identity", lambda v: _on(v) if isinstance(v, bool) else _at_least(0.5)(v), "the identity loss"),
    Advice("l1", _double, "a higher weight of the true colors"),
    Advice("ema", _at_least(500), "an average of the weights"),
]
ADVICE: dict[str, list[Advice]] = {
    "alike": [*_LEARNING_RATE, Advice("instance_noise", _at_least(0.1), "noise on what D sees", tricks=True)],
    "mean": [Advice("l1", _half, "a lower weight of L1, which rewards the mean"), *_LEARNING_RATE],
    "copies": [Advice("diffaugment", _if_empty("color,translation"), "augmentation of what D sees", tricks=True)],
    "no-op": [
        Advice("identity", lambda v: None if isinstance(v, bool) else _off(v), "no identity loss"),
        Advice("nce", _half, "a lower weight of the content loss"),
        Advice("epochs", _double, "a longer run"),
    ],
    "inversion": [*_COLORS[:1], Advice("seed", lambda v: v + 1, "another start")],
    "black": _LEARNING_RATE,
    "white": _LEARNING_RATE,
    "flat": _LEARNING_RATE,
    "checkerboard": [
        Advice(
            "upsample",
            lambda v: "blur" if v == "resize" else None,
            "a generator with a fixed blur",
            fits=lambda settings: settings.get("generator") == "resnet",
        ),
        Advice("upsample", _not_transposed("bilinear"), "a generator that resizes", fits=_is_bicycle),
        Advice("upsample", _not_transposed("resize"), "a generator that resizes instead of transposed convolutions"),
        Advice("antialias", _on, "a generator without transposed convolutions"),
        Advice(
            "cycle_noise", _at_least(0.1), "noise on the way back, which makes hidden patterns useless", fits=_smooth
        ),
        Advice("perceptual", _half, "a lower weight of the perceptual loss, whose network steps over 2 or 4 pixels"),
        Advice("lr", _half, "a lower learning rate, for the generator resizes or blurs already", fits=_smooth),
    ],
    "color": _COLORS,
    "D wins": [*_WEAKER_D, *_LEARNING_RATE],
    "oscillation": [*_LEARNING_RATE, Advice("ema", _at_least(500), "an average of the weights")],
    "overfitting": [
        Advice("augment", _if_empty("affine"), "augmented pairs"),
        Advice("epochs", _half, "a shorter run"),
    ],
    "explosion": [Advice("clip", lambda v: None if v else 1, "clipped gradients"), *_LEARNING_RATE],
    "weights": [*_LEARNING_RATE, Advice("clip", lambda v: None if v else 1, "clipped gradients")],
    "gradients": [Advice("clip", lambda v: None if v else 1, "clipped gradients"), *_LEARNING_RATE],
    "slow data": [
        Advice("workers", _at_least(4), "more threads that read images"),
        Advice("cache", _instead("memory"), "decoded images kept in memory"),
    ],
    "dead data": [],
}
OTHERWISE = {
    "copies": "Train on more images.",
    "checkerboard": "This method's generator has no setting for it: train a method whose generator resizes, such as "
    "sngan or cyclegan with --set upsample=resize.",
    "dead data": "Look for broken or equal images with: i2i data check FOLDER",
    "slow data": "Put the images on a faster disk, or shrink them once to the size of training.",
    "color": "Start from another seed: --set seed=1",
}


def remedy(sign: str, settings: Mapping[str, Any], tricks: bool = False) -> str:
    """The sentence for a sign. settings: those of the run, by name. tricks: the method names its discriminators."""
    for advice in ADVICE[sign]:
        if advice.setting not in settings or (advice.tricks and not tricks):
            continue
        if not advice.fits(settings):
            continue
        value = advice.value(settings[advice.setting])
        if value is not None:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            return f"Try {advice.why}: --set {advice.setting}={text}"
    return OTHERWISE.get(sign, "Start from another seed: --set seed=1")
