"""Many answers of one image by a real network: files that repeat bit for bit, examples, and how much answers differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import i2i
from i2i.core.errors import I2IError
from i2i.inference import diversity
from i2i.inference.evaluate import evaluate
from i2i.media import images
from i2i.methods import load_method
from i2i.methods._saved import saved_header
from i2i.models import format as model_file
from tests.methods.tiny import made

SIDE = 32


def save_model(path: Path, name: str, ignores_noise: bool = False) -> Path:
    method = made(name, size=SIDE).eval()
    if name == "bicyclegan":
        with torch.no_grad():
            for convolution in method.bicycle.unet.down:  # type: ignore[attr-defined]
                convolution.weight[:, -3:] *= 0 if ignores_noise else 300
    model_file.save(path, {"G": method.generator}, {**saved_header(method), **load_method(name).facts(method.config)})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("bicycle") / "bicycle.safetensors", "bicyclegan")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for side, seed in (("A", 0), ("B", 1)):
        for i in range(3):
            images.save(folder / f"{side}/{i}.png", picture(seed + 2 * i))
    return folder


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.png")}


def test_answers_repeat_whatever_the_batch_and_the_order(model: Path, pairs: Path, tmp_path: Path) -> None:
    i2i.translate(pairs / "A", tmp_path / "all", model, answers=3, seed=5)
    found = contents(tmp_path / "all")
    assert sorted(found) == [f"{i}_{k}.png" for i in range(3) for k in (1, 2, 3)]
    assert len(set(found.values())) == 9
    i2i.translate(pairs / "A", tmp_path / "batch", model, answers=3, seed=5, batch=3)
    i2i.translate(pairs / "A/2.png", tmp_path / "one", model, answers=2, seed=5)
    assert contents(tmp_path / "batch") == found
    assert contents(tmp_path / "one") == {k: v for k, v in found.items() if k in ("2_1.png", "2_2.png")}
    i2i.translate(pairs / "A/2.png", tmp_path / "other", model, answers=2, seed=6)
    assert not set(contents(tmp_path / "other").values()) & set(found.values())


def test_an_example_decides_the_answer(model: Path, pairs: Path, tmp_path: Path) -> None:
    for name, like in (("b0", "0.png"), ("b1", "1.png"), ("again", "0.png")):
        i2i.translate(pairs / "A/0.png", tmp_path / f"{name}.png", model, like=pairs / "B" / like)
    first, second, again = ((tmp_path / f"{name}.png").read_bytes() for name in ("b0", "b1", "again"))
    assert first == again
    assert first != second
    with pytest.raises(I2IError):
        i2i.translate(pairs / "A/0.png", tmp_path / "x.png", model, like=pairs / "none.png")


def test_the_diversity_is_measured_and_repeats(model: Path, pairs: Path) -> None:
    found = evaluate(model, pairs, metrics="diversity", limit=2)
    assert found["model"]["diversity"] > 0.001
    low, high = found["intervals"]["model"]["diversity"]
    assert low <= found["model"]["diversity"] <= high
    assert found["diversity"] == {"inputs": 2, "answers": 20, "pairs": 19, "network": "alex"}
    again = i2i.data.open(pairs, i2i.data.DataSettings(size=SIDE, load=0))
    one, same, other = (diversity.score(i2i.load(model), again, 1, seed)["value"] for seed in (0, 0, 1))
    assert one == same != other


def test_a_model_that_ignores_its_noise_has_none(pairs: Path, tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.safetensors", "bicyclegan", ignores_noise=True)
    assert evaluate(path, pairs, metrics="diversity,l1", limit=1)["model"]["diversity"] == pytest.approx(0, abs=1e-6)


def test_a_model_with_one_answer_has_no_diversity_and_no_answers(pairs: Path, tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.safetensors", "pix2pix")
    with pytest.raises(I2IError, match=r"one answer for each image, so it has no diversity") as error:
        evaluate(path, pairs, metrics="diversity")
    assert "bicycle" in error.value.hint
    assert not diversity.has_answers(i2i.load(path))
    for option in ({"answers": 2}, {"like": pairs / "B/0.png"}, {"seed": 1}):
        with pytest.raises(I2IError):
            i2i.translate(pairs / "A/0.png", tmp_path / "x.png", path, **option)


def test_images_too_small_for_lpips_have_no_diversity(model: Path, tmp_path: Path) -> None:
    for side in "AB":
        images.save(tmp_path / f"{side}/0.png", picture(0)[:16, :16])
    opened = i2i.data.open(tmp_path, i2i.data.DataSettings(size=16, load=0))
    assert diversity.score(i2i.load(model), opened, 1) == {}
