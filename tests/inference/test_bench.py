"""Published protocols: their cards, a model beside the published numbers, and what differs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i.core.errors import I2IError
from i2i.data import cards
from i2i.data.protocols import KINDS, TEXTS, names, protocol
from i2i.inference import bench as bench_module
from i2i.inference import segmenter
from i2i.inference.bench import bench
from i2i.media.palette import Palette
from i2i.models.translator import Translator
from tests.cli.program import i2i

COLORS = np.array([[0, 0, 142], [70, 130, 180], [107, 142, 35]], np.uint8)  # car, sky, vegetation
PHOTOS = np.array([[200, 40, 40], [120, 190, 240], [40, 110, 30]], np.int64)  # what they look like


@pytest.mark.parametrize("name", names())
def test_a_card_holds_what_is_needed_and_each_row_says_its_source(name):
    card = protocol(name.upper().replace("_", "-"))
    assert card.name == name
    assert card.kind in KINDS
    assert not card.data or card.data in cards.names()
    assert card.published
    for row in card.published:
        assert row["method"]
        assert row["source"]
        numbers = {key: value for key, value in row.items() if key not in TEXTS}
        assert numbers
        assert set(numbers) <= set(card.metrics)
        assert all(isinstance(value, float) for value in numbers.values())
    if card.palette:
        assert Palette.of_text(card.palette).count == 19
    json.dumps(card.facts())


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Pairs of photographs (left) and label maps (right) of three classes in random rectangles."""
    folder = tmp_path_factory.mktemp("streets")
    for split, count in (("train", 24), ("val", 9)):
        (folder / split).mkdir()
        for i in range(count):
            rng = np.random.default_rng([i, len(split)])
            classes = np.full((32, 32), int(rng.integers(3)))
            for _ in range(4):
                top, left = rng.integers(0, 24, 2)
                classes[top : top + 14, left : left + 14] = rng.integers(3)
            photo = np.clip(PHOTOS[classes] + rng.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(np.hstack([photo, COLORS[classes]])).save(folder / split / f"{i}.png")
    return folder


class Painter(nn.Module):
    """From a label map to the right photograph; with `wrong`, every class looks like a car."""

    def __init__(self, wrong=False):
        super().__init__()
        self.arguments = {"channels_in": 3, "channels_out": 3}
        self.multiple, self.wrong = 1, wrong
        self.photos = nn.Parameter(torch.tensor(PHOTOS[[0, 0, 0]] if wrong else PHOTOS).float() / 127.5 - 1)

    def forward(self, x):
        colors = torch.tensor(COLORS).float() / 127.5 - 1
        nearest = torch.stack([(x - c[:, None, None]).abs().sum(1) for c in colors]).argmin(0)
        return self.photos[nearest].permute(0, 3, 1, 2)


@pytest.mark.slow
def test_the_fcn_score_stands_between_its_floor_and_its_ceiling(streets):
    header = {"direction": "BtoA", "size": 32}
    options = {"data": streets, "size": 32, "steps": 40, "device": "cpu"}
    right = bench("cityscapes_fcn", Translator(Painter(), header), **options)
    wrong = bench("cityscapes_fcn", Translator(Painter(wrong=True), header), **options)
    scores = right["measured"]["scores"]
    assert scores["ceiling"]["pixel_accuracy"] > 0.9
    assert scores["floor"]["pixel_accuracy"] < 0.7
    assert scores["model"]["pixel_accuracy"] > 0.9
    assert wrong["measured"]["scores"]["ceiling"] == scores["ceiling"]
    assert wrong["measured"]["scores"]["model"]["mean_iou"] < scores["floor"]["mean_iou"] + 0.1
    said = " ".join(right["differs"])
    assert "trained here (40 steps on 24 real pairs)" in said
    assert "Compare with the ceiling and the floor only" in said
    assert right["measured"]["count"] == 9


def test_labels_are_read_by_the_nearest_color():
    palette = Palette.of_text("colors:car=00008e,sky=4682b4,tree=6b8e23")
    labels = torch.tensor(COLORS[[[0, 1], [2, 1]]]).permute(2, 0, 1)[None].float() + 3  # as JPEG changes them
    assert segmenter.LabelReader(palette)(labels / 127.5 - 1).tolist() == [[[0, 1], [2, 1]]]


class Same(nn.Module):
    def __init__(self):
        super().__init__()
        self.arguments, self.multiple = {"channels_in": 3, "channels_out": 3}, 1
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.shift


def test_a_distance_on_another_network_is_never_beside_a_published_one(streets, monkeypatch):
    monkeypatch.setattr(bench_module.feature_weights, "is_here", lambda name: False)
    result = bench("map2aerial", Translator(Same(), {"direction": "BtoA"}), streets, size=32, limit=4, device="cpu")
    assert set(result["measured"]["scores"]["model"]) == {"fd_effnet", "kid"}
    assert result["differs"][0].startswith("The feature network is effnet, not inception")
    said = " ".join(result["differs"])
    assert "Images: 4; of the protocol: all of the split val." in said
    assert "The size is 32 pixels, and that of the protocol is 256." in said
    assert "--data" in said


def test_the_command_lists_shows_and_refuses(streets, tmp_path):
    assert "horse2zebra" in i2i("bench")[0]
    assert {card["name"] for card in json.loads(i2i("bench", "--json")[0])} == set(names())
    out, _ = i2i("bench", "Horse2Zebra")
    for words in ("CycleGAN (the authors' weights)", "62.1", "table of a public benchmark", "FID"):
        assert words in out
    shown = json.loads(i2i("bench", "cifar10", "--json")[0])
    assert shown["measured"] is None
    _, err = i2i("bench", "horse2zebr", code=1)
    assert "horse2zebra" in err
    _, err = i2i("bench", "cifar10", "--model", "pix2pix_earth", "--data", streets, code=1)
    assert "is for a model that makes images from noise" in err
    _, err = i2i("bench", "aerial2map", "--model", "pix2pix_earth", "--data", "earth", code=1)
    assert "goes AtoB, and the model was trained on BtoA alone" in err
    _, err = i2i("bench", "cat2dog", "--model", "pix2pix_earth", code=1)
    assert "--data DIR" in err


def test_numbers_of_another_network_have_columns_of_their_own(streets, monkeypatch, tmp_path):
    monkeypatch.setattr(bench_module.feature_weights, "is_here", lambda name: False)
    loads, load = [], bench_module.load
    monkeypatch.setattr(bench_module, "load", lambda *words, **named: loads.append(words) or load(*words, **named))
    words = ["bench", "map2aerial", "--model", "pix2pix_earth", "--data", "earth", "--limit", 2, "--size", 32]
    out, _ = i2i(*words, "--device", "cpu")
    (titles,) = [line for line in out.splitlines() if line.rstrip().endswith("source")]
    assert titles.split("  ")[0] == ""
    assert len(loads) == 1
    columns = [part.strip() for part in titles.split("  ") if part.strip()]
    assert columns == ["FD (effnet)", "KID (effnet) x 1000", "FID", "KID x 1000", "source"]


def test_a_protocol_without_images_or_of_another_kind_is_one_sentence(streets):
    with pytest.raises(I2IError, match="have no card"):
        bench("cat2dog", Translator(Same(), {}))
    with pytest.raises(I2IError, match="makes images from noise"):
        bench("cifar10", Translator(Same(), {}), streets)
