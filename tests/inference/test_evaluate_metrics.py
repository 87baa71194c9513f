"""Metrics by name, scores of sets beside their floor, intervals, and sizes."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i import data
from i2i.core.errors import I2IError
from i2i.inference import metric_choice, set_evaluation
from i2i.inference.evaluate import evaluate
from i2i.inference.pair_scores import PairMetrics
from i2i.metrics import feature_networks, intervals
from i2i.models import feature_weights
from i2i.models.translator import Translator

SETTINGS = data.DataSettings(layout="paired", size=48, load=48, workers=0)


class Same(nn.Module):
    """Hands the input back, shifted by `by`."""

    def __init__(self, by=0.0):
        super().__init__()
        self.arguments = {"channels_in": 3, "channels_out": 3}
        self.multiple = 1
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x):
        return x + self.by


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Noise beside the same noise a little brighter: 8 training pairs, 12 test pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 12)):
        (folder / split).mkdir()
        for i in range(count):
            left = rng.integers(0, 200, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(np.hstack([left, left + 20])).save(folder / split / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def found(pairs):
    return evaluate(Translator(Same(0.1), {}), data.open(pairs, SETTINGS, "test"))


def test_every_metric_that_fits_stands_beside_its_guesses_and_floor(found):
    assert list(found["model"]) == [
        *("l1", "psnr", "ssim", "ms_ssim", "lpips", "fd_effnet", "kid", "mind"),
        *("precision", "recall", "density", "coverage"),
    ]
    assert set(found["real images"]) == {"fd_effnet", "kid", "mind", "precision", "recall", "density", "coverage"}
    assert found["model"]["lpips"] < found["mean image"]["lpips"]
    facts = found["features"]
    assert (facts["network"], facts["resize"], facts["images"], facts["real images"]) == ("effnet", "quantized", 12, 12)
    assert "12 images" in " ".join(facts["warnings"])


def test_intervals_hold_the_scores(found):
    for metric, (low, high) in found["intervals"]["model"].items():
        assert low - 1e-6 <= found["model"][metric] <= high + 1e-6


def test_only_the_metrics_that_are_named_are_computed(pairs):
    got = evaluate(Translator(Same(), {}), data.open(pairs, SETTINGS, "test"), metrics="lpips,kid", limit=4)
    assert set(got["model"]) == {"lpips", "kid"}
    assert set(got["mean image"]) == {"lpips"}


def test_two_models_are_compared_at_one_size(pairs):
    for header in ({"size": 48}, {}):
        got = evaluate(Translator(Same(), header), pairs, metrics="l1", size=32, limit=2)
        assert got["size"] == 32


def test_fid_is_a_number_of_inception_alone():
    with pytest.raises(I2IError, match="--features inception"):
        metric_choice.choose("lpips,fid", "effnet")
    assert metric_choice.choose("fid", "inception") == ("fd", "fid")
    with pytest.raises(I2IError, match="feature network is alex"):  # a file is known only when it is read
        metric_choice.check_network(metric_choice.choose("fid", "weights.safetensors"), feature_networks.named("alex"))
    with pytest.raises(I2IError, match="lpips"):
        metric_choice.choose("lpip", "effnet")


@pytest.mark.parametrize("name", ["alex"])
def test_an_inception_score_needs_a_network_that_classifies(name):
    with pytest.raises(I2IError, match=f"{name} gives features alone"):
        metric_choice.check_network(["is"], feature_networks.named(name))
    metric_choice.check_network(["is"], feature_networks.named("effnet"))
    with pytest.raises(I2IError, match="gives features alone"):
        set_evaluation.start(["is"], name, 0, torch.device("cpu"))
    assert set_evaluation.start(["is", "kid"], name, 0, torch.device("cpu"), by_default=True) is not None


def test_an_image_is_looked_at_once_however_many_it_is_compared_with(monkeypatch):
    metrics = PairMetrics(["lpips", "l1"], torch.device("cpu"))
    images = [torch.rand(3, 48, 40) * 2 - 1 for _ in range(4)]
    plain = [[float(metrics.lpips(a[None], b[None])) for b in images] for a in images]
    looks = []
    features = metrics.lpips.features
    monkeypatch.setattr(metrics.lpips, "features", lambda x: looks.append(1) or features(x))
    views = [metrics.view(image) for image in images]
    values = [[float(metrics(a, b)["lpips"]) for b in views] for a in views]
    assert len(looks) == len(images)
    np.testing.assert_allclose(values, plain, atol=1e-6)
    assert set(metrics(views[0], views[1], only=("l1",))) == {"l1"}


def test_features_of_real_images_are_kept_by_their_contents(pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path))
    network = feature_networks.named("alex")
    opened = data.open(pairs, SETTINGS, "test")
    first = set_evaluation.side_features(network, opened, 1, 5)
    kept = list((tmp_path / "features").iterdir())
    assert len(kept) == 1

    def never(images):
        raise AssertionError("the features were computed again")

    set_evaluation._identity(network)
    monkeypatch.setattr(feature_networks.FeatureNetwork, "__call__", lambda self, images: never(images))
    torch.testing.assert_close(set_evaluation.side_features(network, opened, 1, 5), first)
    monkeypatch.undo()
    monkeypatch.setenv("I2I_CACHE", str(tmp_path))
    kept[0].write_bytes(b"damaged")
    torch.testing.assert_close(set_evaluation.side_features(network, opened, 1, 5), first)
    set_evaluation.side_features(network, opened, 0, 5)
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_weights_lie_in_a_folder_of_ones_own(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    from i2i.nets.inception import InceptionV3

    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    torch.save(InceptionV3("fid").state_dict(), tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    assert feature_weights.find("inception").frechet_name == "fid"
    save_file({"conv0.weight": torch.zeros(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(I2IError, match=r"odd\.safetensors: The weights belong to no feature network"):
        feature_weights.find(str(tmp_path / "odd.safetensors"))
    with pytest.raises(I2IError, match="effnet"):
        feature_weights.find("effnett")


def test_an_interval_holds_the_true_mean_nineteen_times_of_twenty():
    draw = torch.Generator().manual_seed(0)
    inside = 0
    for i in range(200):
        low, high = intervals.mean_interval(torch.randn(60, generator=draw), 200, seed=i)
        inside += low <= 0 <= high
    assert 180 <= inside <= 199


def test_two_unequal_models_differ_by_more_than_the_choice_of_images():
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(50, generator=draw)
    low, high = intervals.difference_interval(images + 0.2 + 0.1 * torch.randn(50, generator=draw), images)
    assert 0 < low < 0.2 < high
