"""What a training measures of its model in bf16 at its end."""

from __future__ import annotations

import pytest

from i2i.models.format import read_header
from i2i.training.train import train
from tests.cli.program import i2i, make_pairs

SMALL = {"size": 16, "load": 16, "width": 4, "d_width": 4, "depth": 3, "layers": 1, "workers": 0, "device": "cpu"}
SMALL |= {"precision": "fp32", "batch": 4}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs", (("train", 8), ("val", 3)))


def run(pairs, folder, images):
    return train("pix2pix", [str(pairs)], folder, **{**SMALL, "images": images})


def test_held_out_images_say_how_near_bf16_is(pairs, tmp_path):
    folder = run(pairs, tmp_path / "run", 100)
    facts = read_header(folder / "model.safetensors")["bf16"]
    assert set(facts) == {"AtoB"}
    assert facts["AtoB"]["images"] == 3
    assert 0.5 < facts["AtoB"]["within"] <= 1
    packed = tmp_path / "packed.safetensors"
    i2i("models", "pack", folder, "--full", "-o", packed, "--measure", pairs)
    assert read_header(packed)["bf16"] == facts  # as the training wrote it
    assert "bf16 on held-out images" in i2i("models", "show", packed)[0]


def test_a_very_short_training_measures_nothing(pairs, tmp_path):
    assert "bf16" not in read_header(run(pairs, tmp_path / "run", 8) / "model.safetensors")
