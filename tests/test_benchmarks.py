"""The benchmark of training steps compares the same maths: both forms, from the same weights, lose the same.

The splits of the tiles that `benchmarks/daynight.py` makes share no pixel.
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from i2i.methods import method_names

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bench():
    module = load("train_step")
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    yield module
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = kept


WRITTEN_OUT = ["pix2pix", "cyclegan", "dcgan", "sngan"]
LOOPED = [
    *("gan", "cgan", "acgan", "infogan", "lsgan", "wgan", "wgan_gp", "sngan_plain", "sagan", "biggan", "gngan"),
    *("progressive", "transgan"),
]


def test_the_cases_are_of_installed_methods(bench):
    assert list(bench.CASES) == WRITTEN_OUT + LOOPED
    assert {c.method for c in bench.CASES.values()} <= set(method_names())


@pytest.mark.parametrize("name", WRITTEN_OUT + LOOPED)
def test_both_forms_lose_the_same_in_float64(bench, name):
    case = bench.CASES[name].shrunk()
    size = case.size or 32
    assert bench.compare(case, size, 2, "fp64", "cpu", 2 * case.cycle) < bench.TOLERANCE["fp64"]


def test_another_maths_is_noticed(bench):
    case = bench.CASES["dcgan"].shrunk()
    other = bench.replace(case, settings=case.settings | {"real_target": 0.9})
    assert bench.compare(other, case.size, 2, "fp64", "cpu", 1) > 100 * bench.TOLERANCE["fp64"]


def test_one_line_a_case(bench, capsys, monkeypatch):
    monkeypatch.setitem(bench.CASES, "dcgan", bench.CASES["dcgan"].shrunk())
    arguments = ["--cases", "dcgan", "--batches", "2", "--rounds", "1", "--steps", "1", "--device", "cpu"]
    assert bench.main([*arguments, "--precisions", "fp32"]) == 0
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["case"] == "dcgan"
    assert line["precision"] == "fp32"
    assert line["losses_agree"] is True
    assert line["ratio"] == pytest.approx(line["plain_ms"] / line["ms"], rel=0.1)
    assert {"images_per_second", "plain_images_per_second", "device", "cores", "torch"} <= line.keys()


@pytest.mark.parametrize("side", [64, 128])
def test_no_pixel_of_a_day_and_night_tile_is_in_two_splits_or_on_both_sides_of_the_training(side):
    daynight = load("daynight")
    night = np.full((1350, 2700, 3), 255, np.uint8)  # all of it is land with lights
    owner = np.zeros(night.shape[:2], np.uint8)
    names = sorted({name for name, _, _ in daynight.tiles(side, night)})
    assert names == ["test", "trainA", "trainB", "val"]
    for name, x, y in daynight.tiles(side, night):
        tile = owner[y : y + side, x : x + side]
        assert set(np.unique(tile)) <= {0, names.index(name) + 1}
        tile[:] = names.index(name) + 1
