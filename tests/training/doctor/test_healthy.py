"""No sign is found in short runs of the recipes as they are; images that come slowly are this machine's fault."""

import json

import pytest

import i2i
from i2i.core.resources import shipped

RUNS = [
    ("pix2pix_light", "earth", {"images": 400, "size": 64}),
    ("pix2pix", "earth", {"images": 60, "size": 64, "depth": 6, "width": 16, "d_width": 16}),
    ("cyclegan_light", "daynight", {"images": 60, "size": 64}),
    ("cut_light", "daynight", {"images": 60, "size": 64}),
    ("dcgan", "earth/train", {"images": 1600, "batch": 16, "size": 32, "width": 16, "d_width": 16, "layout": "images"}),
    (
        "wgan_gp",
        "earth/train",
        {"images": 1600, "batch": 16, "size": 32, "width": 16, "d_width": 16, "layout": "images"},
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "data", "settings"), RUNS)
def test_the_doctor_leaves_a_healthy_run_in_peace(recipe, data, settings, tmp_path):
    folder = shipped("datasets") / data
    i2i.train(recipe, folder, tmp_path / "run", device="cpu", quiet=True, log_every=5, sample_every=50, **settings)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert sum(line["kind"] == "losses" for line in lines) >= 8  # as many as a judgement of growth needs
    assert not [line["text"] for line in lines if line["kind"] == "warning" and line.get("sign") != "slow data"]
