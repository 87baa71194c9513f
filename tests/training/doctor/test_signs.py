"""Each sign is found in what is sick on purpose, and not in what is well."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
import torch

from i2i.core import config
from i2i.data.spec import DataSettings
from i2i.methods import builtin_methods, load_method
from i2i.training.doctor.curves import Curves
from i2i.training.doctor.pixels import Real, judge_outputs
from i2i.training.doctor.remedy import remedy
from i2i.training.doctor.table import CURVES, PIXELS, SIGNS
from i2i.training.settings import TrainSettings
from i2i.training.tricks import TrickSettings


def smooth(count, seed, side=32):
    """Smooth images of many colors, [count, 3, side, side]."""
    noise = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8
    return torch.nn.functional.interpolate(noise, side, mode="bicubic", align_corners=True).clamp(-1, 1)


def grain(images, seed=9, size=0.05):
    return (images + size * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))).clamp(-1, 1)


X, Y = grain(smooth(64, 1)), grain(smooth(64, 2), 8)
BOARD = ((torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2 - 1) * 0.06
SICK = {
    "alike": Y[:1].expand(64, -1, -1, -1) + 0.02 * torch.randn(64, 3, 32, 32),
    "mean": Y.mean(0).expand(64, -1, -1, -1),
    "no-op": X + 0.05 * (Y - X),
    "inversion": -X,
    "black": torch.full_like(Y, -1.0),
    "white": torch.full_like(Y, 1.0),
    "flat": Y.mean((2, 3), keepdim=True).expand_as(Y),
    "checkerboard": grain(Y, 3, 0.02) + BOARD,
    "color": (Y + torch.tensor([0.4, 0, 0])[:, None, None]).clamp(-1, 1),
}


def found(findings):
    return [f.sign for f in findings if f.found]


@pytest.mark.parametrize("targets", [Y, None], ids=["pairs", "no pairs"])
@pytest.mark.parametrize("count", [8, 64])
def test_good_outputs_show_no_sign(targets, count):
    outputs = 0.9 * grain(Y, 4)[:count]
    findings = judge_outputs(X[:count], outputs, Real.of(Y), None if targets is None else targets[:count])
    assert found(findings) == []
    assert {f.sign for f in findings} == set(PIXELS)


@pytest.mark.parametrize("targets", [Y, None], ids=["pairs", "no pairs"])
@pytest.mark.parametrize("sign", sorted(SICK))
def test_sick_outputs_show_their_sign(sign, targets):
    assert sign in found(judge_outputs(X, SICK[sign], Real.of(Y), targets))


def test_without_real_images_nothing_is_judged_and_why_is_said():
    findings = judge_outputs(X, Y, None)
    assert {f.state for f in findings} == {"cannot be judged"}
    assert all(f.text.endswith(".") for f in findings)


# ---- the log -------------------------------------------------------------------------------------------------------


def log(change=lambda i, terms: terms, lines=64, score=lambda i: 0.3 - 0.001 * i, **doctor):
    noise = random.Random(5)
    for i in range(1, lines + 1):
        terms = {
            "D/real": 0.3 + 0.02 * noise.random(),
            "D/fake": 0.3 + 0.02 * noise.random(),
            "G/adv": 1 + 0.1 * noise.random(),
            "G/l1": 20 - 0.1 * i,
        }
        yield {"kind": "losses", "images": 100 * i, "terms": change(i, terms)}
        yield {"kind": "score", "images": 100 * i, "score": score(i)}
        told = {k: v(i) for k, v in doctor.items()}
        norms = {"G": 2 + noise.random(), "D": 50 * noise.random()}
        facts = {"weights": {"G": 0.02}, "gradients": norms, "waited": 0.1, "dead": ""}
        yield {"kind": "doctor", "images": 100 * i, **facts, **told}


def certain(i, terms):
    return {**terms, "D/real": 1e-4, "D/fake": 1e-4} if i > 20 else terms


def swinging(i, terms):
    swing = 1 + 0.9 * max(0, i - 20) / 44 * (-1) ** i
    return {name: value * swing for name, value in terms.items()}


def exploding(i, terms):
    return {**terms, "G/l1": 20 * 2.0 ** max(0, i - 40)}


SICK_LOGS = {
    "D wins": {"change": certain},
    "oscillation": {"change": swinging},
    "overfitting": {"score": lambda i: 0.2 + 0.004 * abs(i - 12)},
    "explosion": {"change": exploding},
    "weights": {"weights": lambda i: {"G": 0.02 * 1.1**i}},
    "gradients": {"gradients": lambda i: {"G": 2 * 1.5 ** max(0, i - 40), "D": 3.0}},
    "slow data": {"waited": lambda i: 0.8},
    "dead data": {"dead": lambda i: "The same images come again and again."},
}


def test_a_good_log_shows_no_sign():
    findings = Curves.of(list(log()), 1).judge()
    assert found(findings) == []
    assert {f.sign for f in findings} == set(CURVES)
    assert {f.state for f in findings} == {"not found"}


@pytest.mark.parametrize("sign", sorted(SICK_LOGS))
def test_a_sick_log_shows_its_sign_alone(sign):
    assert found(Curves.of(list(log(**SICK_LOGS[sign])), 1).judge()) == [sign]


def test_the_scores_of_a_critic_are_not_judged_and_neither_is_an_empty_log():
    signed = Curves.of(list(log(lambda i, t: {**t, "D/real": -0.0001, "D/fake": 0.0001})), 1).judge()
    assert next(f for f in signed if f.sign == "D wins").state == "cannot be judged"
    assert {f.state for f in Curves().judge()} == {"cannot be judged"}


def test_a_short_or_passing_certainty_is_no_victory():
    assert found(Curves.of(list(log(certain, lines=22)), 1).judge()) == []
    assert found(Curves.of(list(log(lambda i, t: certain(i, t) if i < 60 else t)), 1).judge()) == []


@pytest.mark.parametrize(
    ("norm", "state"),
    [
        (lambda i: 1e-6 * 2.0**i if i < 20 else 0.9, "not found"),  # from nearly nothing to what is usual
        (lambda i: 5e4, "not found"),  # the losses have large weights
        (lambda i: 1e9 if i == 30 else 2.0, "not found"),  # one step
        (lambda i: 2.0 if i < 40 else None, "found"),  # not finite, though the losses are
        (lambda i: 2.0 if i < 40 else 500.0, "found"),
        (lambda i: 2.0 if i < 40 else 150.0, "not found"),
    ],
)
def test_gradients_explode_where_they_stay_a_hundred_times_as_large(norm, state):
    curves = Curves.of(list(log(gradients=lambda i: {"D": norm(i)})), 1)
    assert next(f.state for f in curves.judge() if f.sign == "gradients") == state
    assert all(math.isfinite(v) for f in curves.judge() for v in f.numbers.values())


def test_a_long_log_is_remembered_in_bounded_memory():
    curves = Curves()
    for i in range(1, 20_000):
        curves.add({"kind": "losses", "images": i, "terms": {"G/l1": 1.0}})
    assert len(curves.losses) <= 4096
    assert curves.losses[-1][0] == 19_999


# ---- what helps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", builtin_methods())
@pytest.mark.parametrize("sign", SIGNS)
def test_each_remedy_is_a_setting_that_the_method_takes(name, sign):
    method = load_method(name)
    parts = {"training": TrainSettings, "tricks": TrickSettings, "data": DataSettings, "method": method.Config}
    settings = {f.name: f.default for part in parts.values() for f in dataclasses.fields(part)}
    text = remedy(sign, settings, bool(method.discriminators))
    assert text
    for word in text.split("--set ")[1:]:
        key, _, value = word.split()[0].rstrip(".,").partition("=")
        if "cyclegan with" in text or "seed=1" in text:
            continue
        before = config.resolve({}, parts)
        after = config.resolve({key: value}, parts)
        assert before != after


def test_a_remedy_that_is_in_use_already_is_not_named():
    assert "upsample=resize" in remedy("checkerboard", {"upsample": "transposed"})
    assert "upsample=resize" not in remedy("checkerboard", {"upsample": "resize"}).partition("sngan")[0]
    assert "upsample=blur" in remedy("checkerboard", {"upsample": "resize", "generator": "resnet"})
    assert "upsample=" not in remedy("checkerboard", {"upsample": "blur", "generator": "resnet"}).partition("sngan")[0]
    assert "upsample=blur" not in remedy("checkerboard", {"upsample": "resize", "generator": "unet"})


def test_a_checkerboard_of_a_generator_that_blurs_or_resizes_already_has_a_setting_too():
    assert remedy("checkerboard", {"antialias": False, "lr": 2e-4}).endswith("--set antialias=yes")
    assert remedy("checkerboard", {"antialias": True, "lr": 2e-4}).endswith("already: --set lr=0.0001")
    cyclegan = {"upsample": "blur", "generator": "resnet", "cycle_noise": 0.0, "lr": 2e-4}
    assert remedy("checkerboard", cyclegan).endswith("--set cycle_noise=0.1")
    assert remedy("checkerboard", {**cyclegan, "cycle_noise": 0.1}).endswith("--set lr=0.0001")
    assert remedy("checkerboard", {"upsample": "transposed", "e_blocks": 0}).endswith("--set upsample=bilinear")
    settings = {"upsample": "resize", "generator": "unet", "perceptual": 10.0, "lr": 4e-4}
    assert remedy("checkerboard", settings).endswith("--set perceptual=5")
    assert remedy("checkerboard", {**settings, "perceptual": 0.0}).endswith("--set lr=0.0002")
