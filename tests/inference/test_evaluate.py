"""Scores of models that are known in advance, beside the two baselines."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i import data, nets
from i2i.core.errors import I2IError
from i2i.data.check_sources import check_sources
from i2i.inference.evaluate import conclude, evaluate
from i2i.inference.evaluate_data import one_side
from i2i.models import format as model_file
from i2i.models.load import load
from i2i.models.translator import Translator


def load_networks(path):
    return model_file.load(path).networks


class Negative(nn.Module):
    """The right answer to the pairs below."""

    def __init__(self):
        super().__init__()
        self.arguments = {"channels_in": 3, "channels_out": 3}
        self.multiple = 1
        self.sign = nn.Parameter(-torch.ones(()))

    def forward(self, x):
        return x * self.sign


@pytest.fixture
def pairs(tmp_path):
    """Pairs side by side: the right half is the negative of the left."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 11)):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for i in range(count):
            left = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(np.hstack([left, 255 - left])).save(tmp_path / "pairs" / split / f"{i:02}.png")
    return tmp_path / "pairs"


def opened(pairs, split="test", **changes):
    return data.open(
        pairs, data.DataSettings(**{"layout": "paired", "size": 16, "load": 16, "workers": 0, **changes}), split
    )


def test_the_right_answer_beats_both_baselines_by_known_amounts(pairs):
    found = evaluate(Translator(Negative(), {}), opened(pairs))
    assert found["count"] == 11
    assert found["model"]["l1"] < 1e-6
    assert found["model"]["ssim"] == pytest.approx(1)
    train, test = opened(pairs, "train"), opened(pairs)
    mean = torch.stack([train.item(i).y[0] for i in range(6)]).mean(0)
    y = torch.stack([test.item(i).y[0] for i in range(11)])
    x = torch.stack([test.item(i).x[0] for i in range(11)])
    assert found["mean image"]["l1"] == pytest.approx(float((y - mean).abs().mean()), rel=1e-5)
    assert found["input copied"]["l1"] == pytest.approx(float((y - x).abs().mean()), rel=1e-5)
    assert found["model"]["psnr"] > found["mean image"]["psnr"] > found["input copied"]["psnr"]


def test_pairs_that_are_made_have_the_mean_image_and_the_images_themselves_as_targets(pairs):
    made = opened(pairs, layout="auto", make="blur")  # a folder of images, 32x16 pixels each
    assert torch.equal(one_side(made, 1).item(2).x, made.item(2).y)
    assert torch.equal(one_side(made, 0).item(2).x, made.item(2).x)
    train = opened(pairs, "train", layout="auto", make="blur")
    mean = torch.stack([train.item(i).y[0] for i in range(6)]).mean(0)
    y = torch.stack([made.item(i).y[0] for i in range(11)])
    found = evaluate(Translator(Negative(), {}), made, metrics="pixel")
    assert found["mean image"]["l1"] == pytest.approx(float((y - mean).abs().mean()), rel=1e-5)


def test_limit(pairs):
    assert evaluate(Translator(Negative(), {}), opened(pairs), 3)["count"] == 3
    with pytest.raises(I2IError, match="no pair to evaluate: the data has 11, the limit is 0"):
        evaluate(Translator(Negative(), {}), opened(pairs), 0)


def test_a_saved_model_knows_its_data(pairs, tmp_path):
    torch.manual_seed(0)
    net = nets.build("resnet", blocks=1, width=2)
    header = {"data": [str(pairs)], "size": 16, "preprocess": "resize_and_crop", "direction": "BtoA"}
    path = model_file.save(tmp_path / "m.safetensors", {"G": net}, header)
    found = evaluate(path, limit=2, device="cpu")
    rows = ("model", "mean image", "input copied", "real images")
    assert set(found) == {"split", "count", "size", *rows, "intervals", "features"}
    assert 0 < found["model"]["l1"] < 2
    again = evaluate(path, str(pairs), limit=2, device="cpu")
    assert again == found


def test_channels_that_differ_leave_out_the_copy(pairs):
    net = nets.build("resnet", channels_in=3, channels_out=1, blocks=1, width=2)
    found = evaluate(Translator(net, {}), opened(pairs, channels_out=1), metrics="pixel")
    assert "input copied" not in found
    assert set(found["mean image"]) == {"l1", "psnr", "ssim"}


def test_what_cannot_be_evaluated_is_said(pairs, tmp_path):
    model = Translator(Negative(), {})
    with pytest.raises(I2IError, match="does not say"):
        evaluate(model)
    images = data.open(pairs / "test", data.DataSettings(layout="images", size=16, load=16), "train")
    with pytest.raises(I2IError, match="has no true images"):
        evaluate(model, images)
    with pytest.raises(I2IError, match="split"):
        evaluate(Translator(Negative(), {"size": 16}), pairs, split="valid")


def test_translations_are_saved_under_the_names_of_their_inputs(pairs, tmp_path):
    evaluate(Translator(Negative(), {}), opened(pairs), 9, save=tmp_path / "made")
    made = sorted(p.relative_to(tmp_path / "made").as_posix() for p in (tmp_path / "made").rglob("*"))
    assert made == ["test", *(f"test/{i:02}.png" for i in range(9))]
    whole = np.asarray(Image.open(pairs / "test" / "07.png"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "made" / "test" / "07.png")), whole[:, 16:])


def test_a_run_is_concluded_with_a_model_in_memory_or_its_file(pairs, tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = nets.build("resnet", blocks=1, width=2)
    path = model_file.save(tmp_path / "m.safetensors", {"G": net})
    run = []
    monkeypatch.setattr("i2i.core.plugins.import_file", lambda file, networks: run.append(file))
    results = []
    for name, model in (("memory", Translator(net, {})), ("file", path)):
        (tmp_path / name).mkdir()
        results.append(conclude(model, opened(pairs), "test", tmp_path / name, "cpu"))
        assert json.loads((tmp_path / name / "metrics.json").read_text()) == results[-1]
        assert Image.open(tmp_path / name / "test.png").width > 3 * 16
    assert results[0] == results[1]
    assert results[0]["split"] == "test"
    assert run == []
    evaluate(path, str(pairs), 1, method="mine.py", device="cpu")
    assert run == ["mine.py"]


def test_two_folders_of_ones_own_and_no_splits(pairs, tmp_path):
    for i in range(5):
        image = Image.open(pairs / "test" / f"{i:02}.png")
        for side, box in (("in", (0, 0, 16, 16)), ("out", (16, 0, 32, 16))):
            (tmp_path / side).mkdir(exist_ok=True)
            image.crop(box).save(tmp_path / side / f"{i}.png")
    model = Translator(Negative(), {"size": 16})
    found = evaluate(model, [tmp_path / "in", tmp_path / "out"])
    assert (found["count"], found["split"]) == (5, "train")
    assert "not divided" in found["note"]
    assert found["model"]["l1"] < 1e-6
    with pytest.raises(I2IError, match="no split 'test'"):
        evaluate(model, [tmp_path / "in", tmp_path / "out"], split="test")
    assert "note" not in evaluate(model, pairs)


def test_images_without_pairs_have_no_truth_but_are_measured(pairs, tmp_path):
    rng = np.random.default_rng(1)
    for side, level in (("A", 100), ("B", 200)):
        (tmp_path / side).mkdir()
        for i in range(3):
            array = np.full((16, 16, 3), level, np.uint8)
            Image.fromarray(array).save(tmp_path / side / f"{side}{rng.integers(99999)}{i}.png")
    found = evaluate(Translator(Negative(), {"size": 16}), [tmp_path / "A", tmp_path / "B"], save=tmp_path / "made")
    x, y = 100 / 127.5 - 1, 200 / 127.5 - 1
    assert "no truth" in found["note"]
    assert found["unpaired"]["changed"] == pytest.approx(abs(2 * x), abs=1e-5)
    assert found["unpaired"]["colors"] == pytest.approx(abs(-x - y), abs=1e-5)
    assert "way back" not in found["unpaired"]
    assert len(list((tmp_path / "made").rglob("*.png"))) == 3
    torch.manual_seed(0)
    networks = {name: nets.build("resnet", blocks=1, width=2) for name in "GF"}
    path = model_file.save(tmp_path / "m.safetensors", networks, {"size": 16})
    assert evaluate(path, [tmp_path / "A", tmp_path / "B"], device="cpu")["unpaired"]["way back"] > 0
    one_way = model_file.save(tmp_path / "g.safetensors", {"G": networks["G"]}, {"size": 16})
    assert "way back" not in evaluate(one_way, [tmp_path / "A", tmp_path / "B"], device="cpu")["unpaired"]


def test_a_way_back_that_cannot_be_read_is_an_error_and_not_left_out(tmp_path):
    for side, level in (("A", 100), ("B", 200)):
        (tmp_path / side).mkdir()
        for i in range(2):
            Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(tmp_path / side / f"{side}{i}.png")
    networks = {name: nets.build("resnet", blocks=1, width=2) for name in "GF"}
    with torch.no_grad():
        next(networks["F"].parameters()).fill_(float("nan"))
    path = model_file.save(tmp_path / "m.safetensors", networks, {"size": 16})
    with pytest.raises(I2IError, match=r"m\.safetensors"):
        evaluate(path, [tmp_path / "A", tmp_path / "B"], device="cpu")


def test_two_piles_may_share_most_of_their_names(tmp_path):
    rng = np.random.default_rng(0)
    for side, numbers in (("photos", range(6)), ("paintings", range(1, 7))):
        (tmp_path / side).mkdir()
        for number in numbers:
            image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
            image.save(tmp_path / side / f"IMG_{number}.png")
    piles = [tmp_path / "photos", tmp_path / "paintings"]
    net = nets.build("resnet", blocks=1, width=2)
    for header in ({"layout": "unpaired"}, {"networks": {"G": {}, "F": {}}}):
        found = evaluate(Translator(net, {"size": 16, **header}), piles, metrics="pixel")
        assert found["count"] == 6
        assert "no truth" in found["note"]
    with pytest.raises(I2IError, match="some have no partner"):
        evaluate(Translator(net, {"size": 16, "layout": "paired"}), piles, metrics="pixel")
    (partner,) = [finding for finding in check_sources(piles).findings if finding.kind == "partner"]
    assert "If A and B are two piles of images without pairs, this is no fault" in partner.text


@pytest.fixture
def two_ways(tmp_path):
    """A model of both directions, and pairs of a gray side A of 100 and a color side B of 200."""
    for split in ("train", "test"):
        for i in range(3):
            (tmp_path / "data" / split).mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(i).integers(0, 9, (16, 16, 3), dtype=np.uint8)
            image = np.hstack([100 + noise, 200 + noise])
            Image.fromarray(image).save(tmp_path / "data" / split / f"{i}.png")
    torch.manual_seed(0)
    networks = {
        "G": nets.build("resnet", channels_in=1, blocks=1, width=2),
        "F": nets.build("resnet", channels_out=1, blocks=1, width=2),
    }
    header = {"size": 16, "channels_in": 1, "channels_out": 3}
    return model_file.save(tmp_path / "m.safetensors", networks, header), tmp_path / "data"


def test_the_way_back_is_scored_on_swapped_sides(two_ways):
    model, pairs = two_ways
    forth = evaluate(model, pairs, device="cpu", metrics="l1")
    back = evaluate(model, pairs, device="cpu", metrics="l1", direction="BtoA")
    truth = data.open(pairs, data.DataSettings(layout="paired", size=16, load=16, direction="BtoA", workers=0), "test")
    translator = load(model, "cpu", direction="BtoA")
    errors = []
    for i in range(3):
        item = truth.item(i)
        errors.append(float((translator(item.x[0]) - item.y.mean(1)).abs().mean()))
    assert back["model"]["l1"] == pytest.approx(np.mean(errors), abs=0.01)  # gray is a weighted mean
    assert back["mean image"]["l1"] == pytest.approx(forth["mean image"]["l1"], abs=0.02)
    assert "input copied" in forth  # gray repeated
    assert "input copied" not in back
    swapped = model_file.save(
        model.with_name("b.safetensors"),
        load_networks(model),
        {"size": 16, "channels_in": 1, "channels_out": 3, "direction": "BtoA"},
    )
    assert evaluate(swapped, pairs, device="cpu", metrics="l1", direction="BtoA")["model"] != back["model"]


def test_a_direction_that_the_model_does_not_have_is_one_sentence(two_ways):
    model, pairs = two_ways
    with pytest.raises(I2IError, match="The direction 'back' is unknown"):
        evaluate(model, pairs, direction="back")
    alone = model_file.save(model.with_name("one.safetensors"), {"G": nets.build("resnet", blocks=1, width=2)}, {})
    with pytest.raises(I2IError, match="cannot translate BtoA"):
        evaluate(alone, pairs, direction="BtoA")


def test_a_model_whose_data_is_not_here_says_so():
    with pytest.raises(I2IError, match=r"trained on \(emoji\) is not here\. Name it: --data DIR"):
        evaluate("pix2pix_emoji", device="cpu")
    with pytest.raises(I2IError, match="no data set 'emojis'"):
        evaluate("pix2pix_emoji", "emojis", device="cpu")


def test_the_shipped_unpaired_model_is_scored_on_its_paired_test_split():
    found = evaluate("cyclegan_daynight", limit=4, device="cpu")
    assert (found["split"], found["count"]) == ("test", 4)
    rows = ("model", "mean image", "input copied", "real images")
    assert set(found) == {"split", "count", "size", *rows, "intervals", "features"}
    night = [data.open("daynight", data.DataSettings(size=64, load=64, layout="unpaired"), "train")]
    side = night[0].sides[1]
    mean = np.mean([np.asarray(Image.open(s.path).convert("RGB"), float) for s in side], 0) / 127.5 - 1
    test = data.open("daynight", data.DataSettings(size=64, load=64, layout="paired"), "test")
    y = np.stack([test.item(i).y[0].numpy() for i in range(4)])
    wanted = np.abs(y - mean.transpose(2, 0, 1)).mean()
    assert found["mean image"]["l1"] == pytest.approx(wanted, abs=0.004)
