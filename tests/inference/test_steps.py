"""Scores and comparisons of models that answer in several steps, with a number of steps of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.core.errors import I2IError
from i2i.inference.compare import compare
from i2i.inference.diversity import score
from i2i.inference.evaluate import evaluate
from i2i.media import images, pixels
from i2i.models import format as model_file
from i2i.nets import build
from tests.cli.program import i2i as program
from tests.models.test_stepwise import bridge, picture

SIDE = 16


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Two pairs, a bridge that makes 3 steps by itself, and a model of one pass."""
    for i in range(2):
        images.save(tmp_path / f"pairs/test/{i}.png", np.hstack([picture(SIDE, SIDE, i), picture(SIDE, SIDE, i + 2)]))
    header = {"size": SIDE, "data": [str(tmp_path / "pairs")]}
    model_file.save(tmp_path / "bridge.safetensors", {"G": bridge()}, {**header, "method": "bridge"})
    model_file.save(tmp_path / "plain.safetensors", {"G": build("resnet", blocks=1, width=2)}, header)
    return tmp_path


def test_the_number_of_steps_is_that_of_the_translations(lab: Path) -> None:
    model = lab / "bridge.safetensors"
    out, _ = program("evaluate", "--model", model, "--metrics", "l1", "--steps", 1, "--save", lab / "out", "--json")
    assert json.loads(out)["steps"] == 1
    image = pixels.read(lab / "pairs/test/0.png")[:, :SIDE]
    one, own = (i2i.load(model, device="cpu")(image, steps=steps) for steps in (1, 3))
    assert np.array_equal(pixels.read(next((lab / "out").rglob("0.png"))), one)
    assert not np.array_equal(one, own)
    by_steps = {steps: evaluate(model, metrics="l1", steps=steps)["model"]["l1"] for steps in (None, 1, 3)}
    assert by_steps[None] == by_steps[3] != by_steps[1]


def test_candidates_that_answer_in_steps_make_that_number(lab: Path) -> None:
    models = [lab / "bridge.safetensors", lab / "plain.safetensors"]
    found = compare(models, metrics="l1", steps=1)
    assert found["candidates"]["bridge"]["steps"] == 1
    assert "steps" not in found["candidates"]["plain"]
    own = compare(models, metrics="l1")["scores"]
    assert found["scores"]["plain"] == own["plain"]
    assert found["scores"]["bridge"] != own["bridge"]


def test_steps_that_no_model_makes_are_one_sentence(lab: Path) -> None:
    plain, stepping = lab / "plain.safetensors", lab / "bridge.safetensors"
    with pytest.raises(I2IError, match="has no choice of --steps"):
        evaluate(plain, metrics="l1", steps=2)
    for steps, said in ((0, "The number of steps is 0"), (2000, "steps is 2000")):
        with pytest.raises(I2IError, match=said):
            evaluate(stepping, metrics="l1", steps=steps)
    with pytest.raises(I2IError, match="2 steps were asked for, and no candidate answers in steps"):
        compare([plain, lab / "pairs/test"], metrics="l1", steps=2)


def test_the_diversity_is_that_of_the_chosen_steps(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i import data
    from i2i.nets.choice import Choice

    asked = []
    translator = i2i.load(lab / "bridge.safetensors", device="cpu").with_choice(Choice(steps=1))
    monkeypatch.setattr(translator, "with_choice", lambda choice: asked.append(choice) or translator)
    opened = data.open([str(lab / "pairs")], data.DataSettings(size=SIDE, load=0, flip=False), split="test")
    score(translator, opened, 1)
    assert {choice.steps for choice in asked} == {1}
    assert len({choice.answer for choice in asked}) == len(asked)
