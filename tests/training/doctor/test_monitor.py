"""The doctor in a training: silent while all is well, one warning for what lasts, and the same after a resume."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.data.batch import Batch
from i2i.methods._method import Now
from i2i.training.doctor import monitor
from i2i.training.doctor.loader import WatchedData
from i2i.training.doctor.monitor import Doctor
from i2i.training.doctor.pixels import Real, judge_outputs
from i2i.training.report import Report
from tests.cli.program import make_pairs
from tests.training.doctor.test_signs import SICK, X, Y, grain
from tests.training.toy import ToyData, toy_loop

SETTINGS = {"batch": 1, "upsample": "transposed", "lr": 2e-4, "l1": 100.0}


class Pictures:
    size, count = 32, 64

    def fixed(self, n):
        return Batch(X[:n], Y[:n])


class Toy(torch.nn.Module):
    discriminators = ()

    def __init__(self):
        super().__init__()
        self.G = torch.nn.Conv2d(3, 3, 1)

    def networks(self):
        return {"G": self.G}


def watch(folder, data=None):
    return Doctor(Report(folder, "pix2pix", {}, 1000, live=False), Toy(), SETTINGS, 1000, Pictures(), data)


def warnings(doctor):
    return [(line["images"], line["sign"]) for line in doctor.lines() if line["kind"] == "warning"]


def show(doctor, images, outputs):
    doctor.samples(images, {"input": X[:8], "translated": outputs[:8], "real": Y[:8]})


def test_good_outputs_are_left_in_peace(tmp_path):
    doctor = watch(tmp_path)
    for images in range(0, 1001, 100):
        show(doctor, images, 0.9 * grain(Y, images))
    assert warnings(doctor) == []
    lines = [line for line in doctor.lines() if line["kind"] == "doctor"]
    assert len(lines) == 10  # not before training
    assert lines[-1]["suspects"] == []
    assert lines[-1]["weights"]["G"] > 0


@pytest.mark.parametrize("sign", sorted(set(SICK) - {"checkerboard"}))
def test_a_sign_that_lasts_is_one_warning_with_what_helps(tmp_path, sign):
    doctor = watch(tmp_path)
    for images in range(100, 1001, 100):
        show(doctor, images, SICK[sign])
    told = [line for line in doctor.lines() if line["kind"] == "warning" and line["sign"] == sign]
    assert [line["images"] for line in told] == [500 if sign == "no-op" else 400]
    assert "--set " in told[0]["remedy"]
    assert told[0]["text"].endswith(told[0]["remedy"])
    assert told[0]["numbers"]


def test_a_strong_checkerboard_shows_in_eight_images(tmp_path):
    doctor = watch(tmp_path)
    for images in range(100, 1001, 100):
        show(doctor, images, SICK["checkerboard"])
    assert warnings(doctor) == [(400, "checkerboard")]


def test_a_passing_sign_is_none(tmp_path):
    doctor = watch(tmp_path)
    for images in range(100, 1001, 100):
        show(doctor, images, SICK["color"] if images % 300 else Y)
    assert warnings(doctor) == []


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_a_resumed_run_warns_where_a_whole_one_does(tmp_path, stop):
    first = watch(tmp_path)
    for k in range(1, stop + 3):  # what comes after the checkpoint was in vain
        show(first, 100 * k, SICK["color"])
    second = watch(tmp_path)
    second.event(100 * stop, "resumed")
    for k in range(stop + 1, 8):
        show(second, 100 * k, SICK["color"])
    assert warnings(second) == [(400, "color")]


def test_the_doctor_costs_little_and_leaves_out_checks_that_would_not(tmp_path, monkeypatch):
    doctor = watch(tmp_path)
    doctor.seconds = 1e6
    show(doctor, 100, Y)
    assert not [line for line in doctor.lines() if line["kind"] == "doctor"]
    monkeypatch.setattr(doctor, "seconds", 0.0)
    show(doctor, 200, Y)
    assert 0 < doctor.seconds < 5
    assert monitor.MOST_TIME <= 0.02


def test_gradients_that_explode_are_told_before_the_next_sample_grid(tmp_path):
    doctor = watch(tmp_path)
    doctor.event(0, "environment")
    for step in range(1, 31):
        doctor.gradients = {"G": torch.tensor(2.0 if step < 20 else 2.0**step), "D": torch.tensor(1.0)}
        doctor.losses(10 * step, {"G/l1": 1.0}, {"G": 2e-4}, 1.0)
    assert warnings(doctor) == [(220, "gradients")]
    (line,) = [line for line in doctor.lines() if line["kind"] == "warning"]
    assert line["text"].endswith("--set lr=0.0001")
    doctor.close()
    page = (tmp_path / "report.html").read_text()
    section = page[page.index('id="doctor"') :]
    assert "gradients grow without end" in section[: section.index("</section>")]


def test_the_gradient_that_is_watched_is_that_of_the_optimizer_before_clipping(tmp_path):
    for clip, lr in ((0.0, 0.0), (1e-3, 0.0)):
        loop = toy_loop(tmp_path / str(clip), total=4, config={"lr": lr}, clip=clip)
        loop.run()
        method, batch = loop.method, ToyData().fixed(4)
        for name, terms in method.step(batch, Now(batch=4, total=4)):
            gradients = torch.autograd.grad(sum(terms.values()), list(method.networks()[name].parameters()))
            norm = torch.cat([g.flatten() for g in gradients]).norm()
            assert float(loop.train_step.gradients[name]) == pytest.approx(float(norm), rel=1e-4)


def test_a_report_says_what_the_doctor_saw(tmp_path):
    doctor = watch(tmp_path)
    for images in range(0, 501, 100):
        show(doctor, images, 0.9 * grain(Y, images))
    doctor.close()
    assert "No sign was found of 18 that are watched." in (tmp_path / "report.html").read_text()


def test_both_directions_are_watched(tmp_path):
    doctor = watch(tmp_path)
    for k in range(1, 7):
        columns = {"A": X[:8], "A to B": Y[:8], "and back": X[:8], "B": Y[:8], "B to A": -torch.ones(8, 3, 32, 32)}
        doctor.samples(100 * k, columns)
    assert (400, "black") in warnings(doctor)


# ---- the loader ----------------------------------------------------------------------------------------------------


class Loader:
    size = 8

    def __init__(self, make, count=100, seconds=0.0):
        self.make, self.count, self.seconds = make, count, seconds

    def batches(self, start, batch, rank, world, seed):
        for i in range(200):
            time.sleep(self.seconds)
            yield Batch(self.make(i))


def rand(i):
    return torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(i))


def consumed(loader):
    watched = WatchedData(loader)
    for _ in watched.batches(0, 1, 0, 1, 0):
        pass
    return watched


def test_a_good_loader_is_left_in_peace_and_its_time_counted():
    assert consumed(Loader(rand)).dead == ""
    assert consumed(Loader(rand, seconds=0.001)).waited > 0.1


def test_a_loader_that_repeats_itself_is_dead():
    assert consumed(Loader(lambda i: rand(0))).dead == "The same images come again and again."
    assert consumed(Loader(lambda i: rand(0), count=1)).dead == ""  # one image is all there is
    assert "one color" in consumed(Loader(lambda i: torch.zeros(1, 3, 8, 8))).dead


def test_a_loader_that_stalls_is_told(monkeypatch, caplog):
    monkeypatch.setattr("i2i.training.doctor.loader.STALLED", 0.05)
    batches = WatchedData(Loader(rand, seconds=0.3)).batches(0, 1, 0, 1, 0)
    next(batches)
    batches.close()
    assert "No images came" in caplog.text


# ---- real trainings ------------------------------------------------------------------------------------------------

TINY = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "workers": 0, "device": "cpu", "load": 0}


def run(folder, **settings):
    data = make_pairs(folder / "data")
    i2i.train("pix2pix", data, folder / "run", quiet=True, **{**TINY, **settings})
    return [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]


def test_a_training_is_watched_and_a_good_one_warns_of_nothing(tmp_path):
    lines = run(tmp_path, epochs=8)
    checks = [line for line in lines if line["kind"] == "doctor"]
    assert len(checks) >= 2
    assert set(checks[-1]["weights"]) == {"G", "D"}
    assert all(norm > 0 for norm in checks[-1]["gradients"].values())
    assert 0 <= checks[-1]["waited"] <= 1
    assert not [line for line in lines if line["kind"] == "warning" and line.get("sign") != "slow data"]


@pytest.mark.slow
def test_a_training_that_goes_mad_is_told_with_a_setting(tmp_path):
    lines = run(tmp_path, epochs=32, lr=0.5, log_every=5)
    told = {line["sign"]: line for line in lines if line["kind"] == "warning"}
    assert told
    assert all("--set " in line["text"] for sign, line in told.items() if sign != "slow data")
    assert next(iter(told.values()))["text"] in (tmp_path / "run" / "report.html").read_text().replace("&#39;", "'")


# ---- the checkerboard that a shipped model had -----------------------------------------------------------------------


def test_the_checkerboard_of_an_early_daynight_model_is_found():
    """Outputs of cyclegan_daynight as first shipped (transposed convolutions), beside real nights."""
    with Image.open(Path(__file__).parent / "daynight_with_checkerboard.png") as image:
        grid = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1
    outputs = grid.reshape(3, 4, 64, 8, 64).permute(1, 3, 0, 2, 4).reshape(32, 3, 64, 64)
    spec = i2i.data.DataSettings(layout="unpaired", size=64, load=64, workers=0)
    batch = i2i.data.open(["daynight"], spec, split="test").fixed(64)
    assert [f.sign for f in judge_outputs(batch.x[:32], outputs, Real.of(batch.y)) if f.found] == ["checkerboard"]
    assert not [f for f in judge_outputs(batch.x, batch.y, Real.of(batch.y)) if f.found]
