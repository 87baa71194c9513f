"""The scores of models that color: ab, colorfulness, and the guesses gray and mean color."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import i2i
from i2i.inference import metric_choice
from i2i.media import luma
from i2i.metrics.color import color_scores, colorfulness
from i2i.models import format as model_file
from i2i.models.load import translator_of
from i2i.nets import DeOldifyUNet


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images of one hue, divided into train and test."""
    folder = tmp_path_factory.mktemp("photos")
    draws = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 3)):
        (folder / split).mkdir()
        for i in range(count):
            light = draws.uniform(60, 180, (24, 24, 1))
            image = light + np.array([60.0, -10.0, -40.0])
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / split / f"{i}.png")
    return folder


def test_a_model_that_colors_is_scored_on_plain_photos(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = DeOldifyUNet("wide", "small", 16, widths=[4, 4, 4, 4, 4])
    header = {"colorizes": True, "size": 24, "degrade": "grey", "channels_in": 3, "channels_out": 3}
    model = model_file.save(tmp_path / "m.safetensors", {"G": net}, header)
    scores = i2i.evaluate(model, photos, metrics="pixel,color,lpips")
    assert scores["count"] == 3
    for row in ("model", "gray", "mean color"):
        assert {"l1", "psnr", "ab_l1", "ab_psnr", "colorfulness"} <= scores[row].keys()
    assert scores["gray"]["colorfulness"] == pytest.approx(0, abs=1e-4)
    assert scores["mean color"]["ab_l1"] < 0.2 * scores["gray"]["ab_l1"]  # all images have one hue
    assert scores["mean color"]["colorfulness"] == pytest.approx(scores["true images"]["colorfulness"], rel=0.2)
    assert "mean image" not in scores


def test_pairs_that_are_there_are_scored_as_pairs(photos: Path, tmp_path: Path) -> None:
    for side, mode in (("A", "L"), ("B", "RGB")):
        (tmp_path / "pairs" / "test" / side).mkdir(parents=True)
        for path in (photos / "test").glob("*.png"):
            image = Image.open(path).convert(mode)
            (image.point(lambda v: v // 2) if side == "A" else image).save(tmp_path / "pairs/test" / side / path.name)
    header = {"colorizes": True, "size": 24, "degrade": "grey", "channels_in": 3, "channels_out": 3}
    net = translator_of({"G": torch.nn.Conv2d(3, 3, 1)}, header, "m")
    scores = i2i.evaluate(net, tmp_path / "pairs", metrics="pixel")
    made = i2i.evaluate(net, photos, metrics="pixel")
    assert scores["gray"]["l1"] > made["gray"]["l1"] + 0.1  # the inputs are those of the folder, which are darker


def test_the_scores_of_colors() -> None:
    real = torch.rand(2, 3, 16, 16) * 2 - 1
    same = color_scores(real, real)
    assert same["ab_l1"].tolist() == [0, 0]
    assert same["ab_psnr"].isinf().all()
    torch.testing.assert_close(same["colorfulness"], colorfulness(real))

    # Only colors count: another brightness of gray changes nothing.
    gray: Tensor = luma.gray(real)
    dark = gray / 2 - 0.5
    torch.testing.assert_close(color_scores(gray, real)["ab_l1"], color_scores(dark, real)["ab_l1"], atol=0.02, rtol=0)


def test_no_colorfulness_is_the_better_one() -> None:
    assert not metric_choice.has_best("colorfulness")
    assert metric_choice.has_best("ab_l1")
    assert set(metric_choice.choose(None, "effnet", colorizes=True)) - set(metric_choice.choose(None, "effnet")) == set(
        metric_choice.COLOR
    )
