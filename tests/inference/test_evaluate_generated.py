"""Models from noise beside real images: samples by seed, halves or splits, asked labels, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i.core.errors import I2IError
from i2i.inference import metric_choice
from i2i.inference.evaluate import evaluate
from i2i.metrics import neighbors
from i2i.models.generator import LoadedGenerator
from tests.cli.program import i2i

CLASSES = ["dark", "light"]
SHADES = {"dark": 40, "light": 215}


class Shades(nn.Module):
    """A class's shade with a little noise; with `wrong`, always that of the first class."""

    def __init__(self, wrong=False):
        super().__init__()
        self.wrong = wrong
        self.shade = nn.Parameter(torch.tensor([40.0, 215.0]) / 127.5 - 1)

    def forward(self, z, c):
        shade = self.shade[c * 0 if self.wrong else c]
        return (shade[:, None, None, None] + 0.05 * z[:, :1, None, None]).expand(-1, 3, 16, 16)


def generator(wrong=False, names=CLASSES):
    header = {"kind": "generate", "latent": [["normal", 4]], "class_names": names, "size": 16, "channels_out": 3}
    return LoadedGenerator(Shades(wrong), header)


def shades(folder, count, seed):
    rng = np.random.default_rng(seed)
    for name, shade in SHADES.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            level = int(np.clip(shade + 6 * rng.standard_normal(), 0, 255))
            Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shades")
    shades(folder / "train", 6, 0)
    shades(folder / "test", 5, 1)
    return folder


@pytest.fixture(scope="module")
def found(data):
    return evaluate(generator(), data, features="alex", metrics="kid,fd,mind,prdc,labels")


def test_samples_stand_beside_as_many_real_images_and_their_floor(found):
    assert (found["split"], found["count"], found["size"]) == ("test", 10, 16)
    assert found["generated"]["samples"] == 10
    assert list(found["model"]) == [*("fd_alex", "kid", "mind", "precision", "recall", "density", "coverage", "labels")]
    assert set(found["real images"]) == set(found["model"])
    assert (found["features"]["images"], found["features"]["real images"]) == (10, 10)
    low, high = found["intervals"]["model"]["kid"]
    assert low <= found["model"]["kid"] <= high
    json.dumps(found)


def test_the_share_of_asked_labels_tells_right_from_wrong(found, data):
    assert found["model"]["labels"] == found["real images"]["labels"] == 1
    assert "5 nearest of 12 real images" in found["generated"]["labels"]
    wrong = evaluate(generator(wrong=True), data, features="alex", metrics="labels,kid", samples=8)
    assert wrong["model"]["labels"] == 0.5
    low, high = wrong["intervals"]["model"]["labels"]
    assert 0 < low < 0.5 < high < 1
    assert wrong["model"]["kid"] > found["model"]["kid"]


def test_the_same_seeds_give_the_same_scores_and_other_seeds_others(data, found):
    again = evaluate(generator(), data, features="alex", metrics="kid,fd,mind,prdc,labels")
    assert again == found
    other = evaluate(generator(), data, features="alex", metrics="mind", seed=100)
    assert other["model"]["mind"] != found["model"]["mind"]


def test_without_splits_the_real_images_are_halved(data):
    halved = evaluate(generator(), data / "train", features="alex", metrics="kid,labels")
    assert halved["count"] == 6
    assert "two halves" in halved["note"]
    assert {"kid", "labels"} <= set(halved["real images"])


def test_other_classes_are_said_and_not_scored(data):
    got = evaluate(generator(names=["dark", "bright"]), data, features="alex", metrics="kid,labels", samples=4)
    assert "labels" not in got["model"]
    assert "other classes (dark, light)" in got["generated"]["labels"]


def test_an_inception_score_of_another_network_has_its_name(data):
    got = evaluate(generator(), data, metrics="is", samples=4)
    assert list(got["model"]) == ["is_effnet"]
    assert got["model"]["is_effnet"] > 1  # two shades
    assert metric_choice.title("is_effnet") == "IS (effnet)"
    assert [metric_choice.title(metric) for metric in ("is", "fid", "fd_alex")] == ["IS", "FID", "FD (alex)"]
    assert [metric_choice.higher_is_better(metric) for metric in ("is", "is_effnet", "fd_effnet")] == [
        True,
        True,
        False,
    ]


def test_the_seeds_are_saved_by_their_numbers(data, tmp_path):
    evaluate(generator(), data, features="alex", metrics="kid", samples=3, seed=7, save=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seed000007.png", "seed000008.png", "seed000009.png"]


def test_what_does_not_fit_is_one_sentence(data, tmp_path):
    with pytest.raises(I2IError, match="images from noise have none"):
        evaluate(generator(), data, metrics="l1,lpips")
    with pytest.raises(I2IError, match="makes an image in one step"):
        evaluate(generator(), data, steps=2)
    with pytest.raises(I2IError, match="from 2 images on, and there is 1 of the real images"):
        evaluate(generator(), data, features="alex", metrics="kid", limit=1, samples=4)
    with pytest.raises(I2IError, match="from 2 images on, and there is 1 of the samples"):
        evaluate(generator(), data, features="alex", metrics="kid", samples=1)
    (tmp_path / "one").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "one" / "0.png")
    with pytest.raises(I2IError, match="The data has 1 image"):
        evaluate(generator(), tmp_path / "one", features="alex", metrics="kid")
    weights = tmp_path / "odd.pt"
    torch.save({"fc.weight": torch.zeros(3, 3)}, weights)
    with pytest.raises(I2IError, match=r"odd\.pt: The weights belong to no feature network"):
        evaluate(generator(), data, features=str(weights))


def test_the_command_prints_a_table_and_refuses_samples_of_a_translator(data, tmp_path):
    out, _ = i2i(
        "evaluate", "--model", "biggan_digits", data, "--samples", "4", "--metrics", "kid", "--features", "alex"
    )
    assert "Scores on 4 images from noise beside test" in out
    assert "KID x 1000" in out
    out, _ = i2i("evaluate", "--model", "biggan_digits", data, "--samples", "4", "--metrics", "kid,labels",
                 "--features", "alex", "--json")  # fmt: skip
    assert json.loads(out)["generated"]["labels"].startswith("not checked")
    _, err = i2i("evaluate", "--model", "pix2pix_emoji", data, "--samples", "4", code=1)
    assert "belongs to models that make images from noise" in err


def test_a_classifier_of_neighbors_counts_votes_and_lets_the_nearest_decide():
    known = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    asked = torch.tensor([[5.0, 0.1], [0.2, 3.0]])  # lengths do not matter
    assert neighbors.classify(known, labels, asked, k=4).tolist() == [0, 1]
    assert neighbors.classify(known, labels, asked, k=1).tolist() == [0, 1]
    assert neighbors.classify(known, labels, asked, k=3, chunk=1).tolist() == [0, 1]
    with pytest.raises(I2IError, match="same network"):
        neighbors.classify(known, labels, torch.zeros(2, 3))
