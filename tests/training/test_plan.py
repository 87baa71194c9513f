"""The planner: a probe's lines, what fits into a memory, the same choice after a resume, and every method."""

import dataclasses
import json
import shlex
import subprocess

import pytest
import torch
import yaml

from i2i.core.errors import I2IError
from i2i.methods import load_method, method_names
from i2i.training import plan as planner
from i2i.training import probe as probes
from i2i.training.plan import auto_batch, bytes_of, largest_batch, plan
from i2i.training.probe import Point, Probe
from i2i.training.settings import TrainSettings
from i2i.training.train import resolve_resume, resolve_run, train
from tests.cli.program import i2i, make_pairs
from tests.methods.tiny import Memory, settings

GB = 10.0**9
SMALL = {"size": 32, "width": 4, "d_width": 4, "depth": 3, "layers": 1, "workers": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs", (("train", 12), ("val", 3)))


def probed(*points, base=0.5 * GB, full_at=None):
    return Probe(tuple(Point(b, s, int(m)) for b, s, m in points), int(base), full_at)


class Tiny:
    """A run of a method's smallest form, on images in memory."""

    total = 400

    def __init__(self, name):
        self.kind = load_method(name)
        self.config, self.shape = settings(self.kind)
        self.training = TrainSettings(device="cpu")
        self.data = Memory(self.kind.needs, self.shape)
        self.data.layout = self.kind.needs

    def build(self):
        return self.kind(self.config, self.shape)


@dataclasses.dataclass
class TinyRun:
    """`Tiny` as a dataclass, as the probe changes its training."""

    training: TrainSettings
    tiny: Tiny
    cost = None  # test_estimate counts the costs of all methods

    def __getattr__(self, name):
        return getattr(self.tiny, name)


def told(capsys):
    lines = capsys.readouterr().out.splitlines()
    return probes._read(subprocess.CompletedProcess([], 0, "\n".join(lines), ""))


@pytest.mark.parametrize("name", method_names())
def test_every_method_can_be_probed(name, capsys):
    tiny = Tiny(name)
    probes._measure(TinyRun(tiny.training, tiny), [1, 2, 4], 1e15, 0.0)
    found = told(capsys)
    assert [p.batch for p in found.points] in ([1, 2], [2, 4])
    assert all(p.seconds > 0 for p in found.points)
    assert found.base > 0
    assert min(point.bytes for point in found.points) > 50e6  # tiny batches differ by less than the noise
    assert found.full_at is None
    a, b = found.memory
    assert a >= 0 <= b


# ---- the probe's lines ---------------------------------------------------------------------------------------------


def test_a_line_through_the_last_two_points():
    found = probed((1, 2.0, 0.8 * GB), (2, 3.0, 1.1 * GB), (4, 5.0, 1.7 * GB))
    assert found.memory == pytest.approx((0.5 * GB, 0.3 * GB))
    assert found.seconds == pytest.approx((1.0, 1.0))


def test_one_point_and_what_is_there_without_images():
    found = probed((2, 3.0, 1.1 * GB), base=0.5 * GB)
    assert found.memory == pytest.approx((0.5 * GB, 0.3 * GB))
    assert found.seconds == pytest.approx((0.0, 1.5))


def test_noise_does_not_promise_that_more_images_take_less():
    found = probed((1, 2.0, 0.9 * GB), (2, 1.5, 0.8 * GB))
    assert found.memory == pytest.approx((0, 0.4 * GB))
    assert found.seconds == pytest.approx((0, 0.75))


def lines(*facts):
    return "\n".join(["a line of a method's own", *(json.dumps({"probe": f}) for f in facts)])


def test_a_process_that_the_system_kills_for_its_memory_is_an_answer():
    text = lines({"base": 10}, {"tried": 1}, {"batch": 1, "seconds": 1.0, "bytes": 20}, {"tried": 2})
    found = probes._read(subprocess.CompletedProcess([], -9, text, ""))
    assert found.full_at == 2
    assert found.memory == (10, 10)


def test_what_keeps_the_run_from_starting_is_the_same_sentence():
    text = lines({"error": "norm is 'loud'.", "hint": "Allowed: batch."})
    with pytest.raises(I2IError, match=r"norm is 'loud'\. Allowed: batch\."):
        probes._read(subprocess.CompletedProcess([], 0, text, ""))
    with pytest.raises(I2IError, match="exit code 7: the last line"):
        probes._read(subprocess.CompletedProcess([], 7, "", "much\nthe last line\n"))


def test_a_full_memory_inside_the_probe_is_an_answer(monkeypatch, capsys):
    steps = probes.StepMaker.steps

    def full_at_four(self, batch):
        if batch == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return steps(self, batch)

    monkeypatch.setattr(probes.StepMaker, "steps", full_at_four)
    tiny = Tiny("pix2pix")
    probes._measure(TinyRun(tiny.training, tiny), [1, 2, 4, 8], 1e15, 1000.0)
    found = told(capsys)
    assert [p.batch for p in found.points] == [1, 2]
    assert found.full_at == 4


def test_nothing_is_tried_that_cannot_fit(capsys):
    tiny = Tiny("pix2pix")
    probes._measure(TinyRun(tiny.training, tiny), [1, 2, 4], 1.0, 1000.0)
    assert [p.batch for p in told(capsys).points] == [1]


# ---- what fits -----------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch):
    """Probes without a process: 0.5 GB, and 0.25 GB for an image of 32 pixels; in parts 0.1 GB more for each part."""
    asked = []

    def fake(recipe, sources, overrides, *, largest, limit, budget, exactly=None):
        image = 0.25 * GB * (int(overrides.get("size", 32)) / 32) ** 2
        asked.append(exactly or largest)
        if exactly:
            batch, parts = exactly
            return probed((batch, 1.0, 0.5 * GB + batch // parts * image + 0.1 * GB * parts))
        return probed((1, 2.0, 0.5 * GB + image), (2, 3.0, 0.5 * GB + 2 * image))

    monkeypatch.setattr(planner, "probe", fake)
    return asked


def planned(pairs, memory, **changes):
    more = {k: changes.pop(k) for k in ("hours", "price") if k in changes}
    return plan("pix2pix", [str(pairs)], memory=memory, overrides={**SMALL, **changes}, **more)


def test_the_largest_batch_that_fits(measured, pairs):
    found = planned(pairs, "1.6GB", epochs=10)
    assert found.largest_batch == 4
    assert (found.run.training.batch, found.run.training.accumulate) == (1, 1)
    assert found.memory == pytest.approx(0.75 * GB)
    assert found.step_seconds == pytest.approx(2.0)
    assert found.seconds == pytest.approx(2.0 * (120 + found.estimated.extra_steps))
    assert found.as_dict()["networks"]["G"]["macs"] > 0


def test_never_more_than_there_are_images(measured, pairs):
    assert planned(pairs, "100GB").largest_batch == 12


def test_auto_takes_a_power_of_two(measured, pairs):
    found = planned(pairs, "2GB", batch="auto")
    assert found.largest_batch == 6
    assert found.run.training.batch == 4
    assert "--batch 4" in found.command


def test_a_large_batch_is_accumulated_if_its_parts_fit(measured, pairs):
    found = planned(pairs, "1.3GB", batch=4)
    assert (found.run.training.batch, found.run.training.accumulate) == (4, 2)
    assert measured == [12, (4, 2)]
    assert found.memory == pytest.approx(1.2 * GB)
    assert found.step_seconds == pytest.approx(2 * 3.0)
    assert "--batch 4 --set accumulate=2" in found.command


def test_a_batch_that_does_not_fit_in_parts_becomes_smaller(measured, pairs):
    found = planned(pairs, "1.05GB", batch=8)
    assert found.run.training.batch == 2
    assert found.asked_batch == 8


def test_images_that_do_not_fit_become_smaller(measured, pairs):
    found = planned(pairs, "1GB", size=64)
    assert (found.asked_size, found.run.shape.size) == (64, 32)
    assert "--size 32" in found.command


def test_not_one_image_fits(measured, pairs):
    with pytest.raises(
        I2IError, match="A step of one image of 32 pixels needs about 715 MiB of memory, and the limit is 572 MiB"
    ):
        planned(pairs, "600MB")


def test_hours_and_price(measured, pairs):
    found = planned(pairs, "1GB", hours=0.01, price=2.5, epochs=100).as_dict()
    assert found["epochs_in_time"] == pytest.approx(100 * 36 / found["seconds"])
    assert found["cost"] == pytest.approx(2.5 * found["seconds"] / 3600)
    assert planned(pairs, "1GB", hours=100).epochs_in_time is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"memory": "8 bananas"}, "memory is '8 bananas'. Give a size such as 8GB"),
        ({"memory": "0"}, "memory is '0'. Allowed: more than 0"),
        ({"memory": "-1GB"}, "memory is '-1GB'."),
        ({"hours": 0}, "hours is 0. Allowed: more than 0."),
        ({"hours": float("nan")}, "hours is nan."),
        ({"price": -1}, "price is -1."),
        ({"overrides": {**SMALL, "device": "cuda:77"}}, "The device 'cuda:77' cannot be used"),
        ({"overrides": {**SMALL, "norm": "loud"}}, "norm is 'loud'."),
    ],
)
def test_bad_input_is_one_sentence(pairs, given, said):
    with pytest.raises(I2IError) as raised:
        plan("pix2pix", [str(pairs)], **{"overrides": SMALL, "memory": "1GB", **given})
    assert said in str(raised.value)


def test_sizes_of_memory():
    cases = {"8GB": 8e9, "7.5 GiB": 7.5 * 2**30, "800m": 8e8, "12": 12, "1TB": 1e12, "64KiB": 65536, " .5g ": 5e8}
    assert {text: bytes_of(text) for text in cases} == pytest.approx(cases)
    assert bytes_of(5) == 5


def test_a_memory_that_was_full_limits_the_batch(pairs):
    run = resolve_run("pix2pix", [str(pairs)], None, SMALL)
    assert largest_batch(probed((1, 1, GB), (2, 1, 1.1 * GB), full_at=4), 100 * GB, run) == 3


# ---- batch=auto ----------------------------------------------------------------------------------------------------


def test_a_run_keeps_the_batch_that_auto_chose(measured, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(planner, "device_memory", lambda device: 1.6 * GB)  # 4 images; of 95 % only 4
    folder = train("pix2pix", pairs, tmp_path / "run", **SMALL, batch="auto", images=4)
    assert yaml.safe_load((folder / "config.yaml").read_text())["batch"] == 4
    monkeypatch.setattr(planner, "device_memory", lambda device: pytest.fail("probed again"))
    assert resolve_resume(folder).training.batch == 4


def test_auto_is_a_multiple_of_accumulate(measured, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(planner, "device_memory", lambda device: 3 * GB)
    assert auto_batch("pix2pix", [str(pairs)], SMALL) == 8
    assert auto_batch("pix2pix", [str(pairs)], {**SMALL, "accumulate": 3}) == 6
    recipe = tmp_path / "parts.yaml"
    recipe.write_text("method: pix2pix\naccumulate: 3\n")
    assert auto_batch(str(recipe), [str(pairs)], SMALL) == 6
    with pytest.raises(I2IError, match="accumulate is 'some'"):
        auto_batch("pix2pix", [str(pairs)], {**SMALL, "accumulate": "some"})


def test_several_processes_do_not_choose(pairs, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(I2IError, match="batch is 'auto', and 2 processes train together"):
        resolve_run("pix2pix", [str(pairs)], None, {**SMALL, "batch": "auto"})


# ---- the command ---------------------------------------------------------------------------------------------------


def words_of(changes):
    return [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]


def test_the_command_measures_and_ends_with_a_command_that_works(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, err = i2i("plan", "pix2pix", "--data", pairs, "--memory", "20GB", "--price", 2, *words_of(SMALL))
    assert err == "Measuring a few steps of pix2pix at 32 pixels on cpu.\n"
    rows = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in out.splitlines() if line}
    assert rows["largest batch"] == "12"
    assert rows["cost"].endswith("at 2 an hour")
    assert "MACs an image" in rows[""]
    command = rows["Train it:"]
    assert list(tmp_path.iterdir()) == []
    plan_of_run = json.loads(i2i(*shlex.split(command)[1:], "--dry-run", "--json")[0])
    assert plan_of_run["settings"]["width"] == 4


def test_the_command_for_machines(measured, pairs):
    found = json.loads(i2i("plan", "pix2pix", pairs, "--memory", "1GB", "--json", *words_of(SMALL))[0])
    assert found["largest_batch"] == 2
    assert found["probes"] == [
        {"batch": 1, "seconds": 2.0, "bytes": 750_000_000},
        {"batch": 2, "seconds": 3.0, "bytes": 1_000_000_000},
    ]
    _, err = i2i("plan", "--memory", "1GB", code=2)
    assert "Name a recipe" in err
