"""Metrics of single images and of sets, against what the reference implementations computed."""

import pytest
import torch
from torch import Tensor

from i2i.metrics import features, pixel
from tests.digits.classifier import Classifier
from tests.golden_gans.reading import case, fill


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_metrics_from_features() -> None:
    found = case("metrics_from_features")
    real, fake, logits = found.inputs["real"], found.inputs["fake"], found.inputs["logits"]
    a, b = features.moments(real), features.moments(fake)
    count = min(len(real), len(fake))  # KID over all rows takes as many of each set as the smaller one has
    got: dict[str, float] = {
        "fid": features.fid(real, fake),
        "fid_same": features.fid(real, real),
        "fid_rank_deficient": features.fid(real[:20], fake[:20]),
        "kid_full": features.mmd(real[:count], fake[:count]),
    }
    rows = zip(found.inputs["kid_index_real"], found.inputs["kid_index_fake"])
    subsets = torch.tensor([features.mmd(real[i], fake[j]) for i, j in rows], dtype=torch.float64)
    got |= {"kid_mean": float(subsets.mean()), "kid_std": float(subsets.std(correction=0))}
    for splits in [int(k.removeprefix("is_mean_")) for k in found.outputs if k.startswith("is_mean_")]:
        got[f"is_mean_{splits}"], got[f"is_std_{splits}"] = features.inception_score(logits, splits)
        got[f"is_std_{splits}_unbiased"] = got[f"is_std_{splits}"] * (splits / max(1, splits - 1)) ** 0.5
    for k in found.options["k"]:
        lie = features.overlap(real, fake, k)
        got |= {f"precision_k{k}": lie.precision, f"recall_k{k}": lie.recall}
        got |= {f"density_k{k}": lie.density, f"coverage_k{k}": lie.coverage}
    tensors = {"mu_real": a.mean, "mu_fake": b.mean, "kid_subsets": subsets}
    found.check(tensors | {k: number(v) for k, v in got.items()})


def test_image_metrics() -> None:
    found = case("image_metrics")
    a, b = (found.inputs[k].permute(2, 0, 1)[None].double() / 127.5 - 1 for k in "ab")
    bright = [pixel.luma(x)[..., 4:-4, 4:-4] for x in (a, b)]
    got = {
        "psnr_rgb": pixel.psnr(a, b),
        "ssim_rgb": pixel.ssim(a, b),
        "psnr_y_crop4": pixel.psnr(*bright),
        "ssim_y_crop4": pixel.ssim(*bright),
    }
    # Greys and other windows are the caller's choice, and the histograms are scikit-image's own.
    found.check(got, but=("ssim_gray_gauss", "ssim_rgb_7x7_uniform", "clahe_*"))


def test_digits_features() -> None:
    found = case("digits_features")
    net = Classifier()
    fill(net, found.weights)
    with torch.no_grad():
        logits, inner = net(found.inputs["probe"])
    found.close("probe.logits", logits)
    found.close("probe.features", inner)
    known = features.Moments(found.outputs["train.mu"], found.outputs["train.cov"])
    assert features.frechet(known, known) == pytest.approx(0, abs=1e-6)


def test_distances_between_gaussians_known_by_hand() -> None:
    """FID(N(0, I), N(m, I)) = |m|^2, and sum (s1 - s2)^2 more for other deviations along the axes."""
    one, shifted = features.Moments(torch.zeros(3).double(), torch.eye(3).double()), torch.tensor([1.0, 2, 2]).double()
    assert features.frechet(one, features.Moments(shifted, torch.eye(3).double())) == pytest.approx(9)
    wide = torch.tensor([2.0, 1, 0.5]).double()
    assert features.frechet(one, features.Moments(shifted, wide.square().diag())) == pytest.approx(9 + 1 + 0.25)


def test_score_of_certain_and_of_constant_predictions() -> None:
    sure = torch.eye(7).repeat(20, 1) * 1000
    assert features.inception_score(sure, 1)[0] == pytest.approx(7)
    assert features.inception_score(torch.ones(40, 7))[0] == pytest.approx(1)


def test_a_collapsed_set_reaches_nothing() -> None:
    real = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    same = features.overlap(real, real, 3)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    collapsed = features.overlap(real, real[:1].repeat(200, 1), 3)
    assert collapsed.precision == 1
    assert collapsed.recall == 0
    assert collapsed.coverage < 0.05


def test_sets_of_one_kind_are_at_no_distance() -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.tensor([features.mmd(*torch.randn(2, 100, 8, generator=draw)) for _ in range(200)])
    assert abs(float(values.mean())) < 2 * float(values.std()) / 200**0.5
    a, b = torch.randn(300, 8, generator=draw), torch.randn(200, 8, generator=draw) + 1
    mean, deviation = features.kid(a, b, subsets=20, size=100)
    assert mean > 5 * deviation
