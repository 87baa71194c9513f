"""What precision=auto takes for a new run, what the run remembers of it, and what bf16 does to the losses."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from i2i.core import device
from i2i.training import precision
from i2i.training.resolved import resolved
from i2i.training.train import resolve_resume, resolve_run, resume, train
from tests.cli.program import make_pairs

SMALL = {"size": 32, "width": 4, "d_width": 4, "depth": 3, "layers": 1, "workers": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs", (("train", 8),))


@pytest.fixture
def bf16_hardware(monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)


@pytest.fixture
def tiny_gains(bf16_hardware, monkeypatch):
    """Networks of any size count as large enough."""
    monkeypatch.setattr(precision, "LEAST_MACS", 0)


def run_of(pairs, **changes):
    return resolve_run("pix2pix", [str(pairs)], None, {**SMALL, **changes})


def test_large_networks_take_bf16_and_small_ones_do_not(pairs, bf16_hardware):
    assert run_of(pairs).training.precision == "fp32"
    large = run_of(pairs, width=64, d_width=64, depth=5, layers=3, size=64)
    assert large.settings["precision"] == large.training.precision == "bf16"
    assert precision.sentence(large).startswith("precision=auto took bf16: this CPU has bf16 hardware")
    assert "precision" not in large.changed()


def test_a_cpu_without_bf16_hardware_and_penalties_on_gradients_stay_in_fp32(pairs, tiny_gains, monkeypatch):
    run = run_of(pairs)
    assert run.training.precision == "bf16"
    assert run_of(pairs, loss="wasserstein", gp=10.0).training.precision == "fp32"
    r1 = dataclasses.replace(run, tricks=dataclasses.replace(run.tricks, r1=1.0))
    assert precision.choose(r1)[0] == "fp32"
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    assert run_of(pairs).training.precision == "fp32"
    assert "no bf16 hardware" in run_of(pairs).precision_why


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp64"])
def test_what_the_user_sets_is_kept(pairs, tiny_gains, name):
    run = run_of(pairs, precision=name)
    assert run.training.precision == name
    assert precision.sentence(run) == ""


def test_the_hardware_is_asked_of_torch(monkeypatch):
    for amx, avx, expected in ((True, False, True), (False, True, True), (False, False, False)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        assert device.cpu_has_bf16() is expected
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert device.cpu_has_bf16() is False


def test_a_run_says_what_it_took_and_keeps_it_on_a_machine_without_the_hardware(
    pairs, tmp_path, tiny_gains, monkeypatch, capsys
):
    words = {**SMALL, "images": 8, "save_every": 4}
    whole = train("pix2pix", pairs, tmp_path / "whole", quiet=False, **words)
    assert "precision=auto took bf16: this CPU has bf16 hardware" in capsys.readouterr().err
    text = (whole / "config.yaml").read_text()
    assert text.startswith("# precision=auto took bf16: ")
    assert yaml.safe_load(text)["precision"] == "bf16"

    half = train("pix2pix", pairs, tmp_path / "half", **words)
    shutil.rmtree(half / "checkpoints/000000000008")
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    assert resolve_resume(half).training.precision == "bf16"
    resume(half)
    name = "checkpoints/000000000008/state.safetensors"
    before, after = load_file(whole / name), load_file(half / name)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_run_of_before_keeps_fp32(pairs, tmp_path, tiny_gains):
    folder = train("pix2pix", pairs, tmp_path / "run", **SMALL, images=2, precision="fp32")
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("precision: fp32", "precision: auto"))
    run = resolve_resume(folder)
    assert run.training.precision == "auto"
    assert resolved(run, torch.device("cpu"))["precision"] == "fp32"


def test_bf16_and_fp32_reach_similar_losses(tmp_path):
    inverted = tmp_path / "inverted"
    (inverted / "train").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(8):  # one color above another, and its negative
        x = np.repeat(generator.integers(0, 256, (2, 1, 3)), 16, 0).repeat(32, 1).astype(np.uint8)
        Image.fromarray(np.concatenate([x, 255 - x], 1)).save(inverted / "train" / f"{i}.png")
    last = {}
    for name in ("fp32", "bf16"):
        seen = []
        train(
            "pix2pix", inverted, tmp_path / name, progress=lambda images, total, means, seen=seen: seen.append(means),
            **{**SMALL, "images": 160, "batch": 4, "lr": 2e-3, "precision": name, "log_every": 10},
        )  # fmt: skip
        last[name] = seen[0]["G/l1"], seen[-1]["G/l1"]
    assert last["bf16"][1] < 0.9 * last["bf16"][0]
    assert last["bf16"][1] == pytest.approx(last["fp32"][1], rel=0.05)
