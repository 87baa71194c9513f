"""What a run will take: its time from measured steps, its disk, and a lighter form of one that takes too long."""

import dataclasses
import shlex
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from i2i.core.format import format_about
from i2i.core.machine import process_age
from i2i.methods import load_method, method_names
from i2i.nets.domains import Domains
from i2i.nets.macs import no_computing
from i2i.training import cost as costs
from i2i.training import estimate as estimates
from i2i.training import head, lighter, precision, timing
from i2i.training.estimate import PROCESS, estimate
from i2i.training.settings import TrainSettings
from i2i.training.train import resolve_run, train
from tests.cli.program import TINY, i2i, make_pairs, picture
from tests.methods.tiny import BATCH, Memory, made, parameters, settings

SMALL = {"size": 32, "width": 4, "d_width": 4, "depth": 3, "layers": 1, "workers": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs", (("train", 12), ("val", 3)))


def run_of(pairs, **changes):
    return resolve_run("pix2pix", [str(pairs)], None, {**SMALL, **changes})


def test_measuring_before_a_run_changes_no_bit_of_it(pairs, tmp_path, capsys):
    words = {**SMALL, "images": 2 * head.FEW_STEPS, "batch": 2, "dropout": True}
    torch.manual_seed(1)
    silent = train("pix2pix", pairs, tmp_path / "silent", quiet=True, **words)
    assert capsys.readouterr().err == ""
    told = train("pix2pix", pairs, tmp_path / "told", quiet=False, **words)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("pix2pix: 12 pairs of 32 x 32 pixels, 20 steps of 2 images, into ")
    assert " a step)" in second
    for name in ("model.safetensors", "checkpoints/000000000040/state.safetensors"):
        before, after = load_file(silent / name), load_file(told / name)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before), name


def test_a_resumed_run_knows_its_time_from_its_log(pairs, tmp_path):
    folder = train("pix2pix", pairs, tmp_path / "run", **SMALL, images=4, save_every=2)
    run = dataclasses.replace(run_of(pairs, images=40), folder=folder)
    found = estimate(run, 5.0)
    assert found.source == "log"
    assert found.steps == 36
    assert found.seconds == pytest.approx(36 * found.step_seconds)


def test_files_have_the_sizes_that_were_told(pairs, tmp_path):
    words = {"images": 4, "ema": 100, "width": 16, "d_width": 16}
    told = estimate(run_of(pairs, **words), 0).cost
    folder = train("pix2pix", pairs, tmp_path / "run", **{**SMALL, **words})
    state = (folder / "checkpoints/000000000004/state.safetensors").stat().st_size
    assert state == pytest.approx(told.state, rel=0.1)
    assert (folder / "model.safetensors").stat().st_size == pytest.approx(told.model, rel=0.1)


def tiny_cost(name, **changes):
    kind = load_method(name)
    config, shape = settings(kind, **changes)

    class Tiny:
        training, total, micro_batch = TrainSettings(batch=BATCH), 100 * BATCH, BATCH
        data = Memory(kind.needs, shape)

        def build(self):
            return kind(config, self.shape)

    run = Tiny()
    run.shape, run.data.layout = shape, kind.needs
    return costs.cost_of(run)


@pytest.mark.parametrize("domains", [Domains(classes=("a", "b")), Domains(("a", "b"), ("c", "d"))])
def test_costs_of_classes_and_of_two_data_sets_are_counted(domains):
    found = tiny_cost("stargan", domains=domains)
    assert found is not None
    assert found.step > 0


@pytest.mark.parametrize("name", method_names())
def test_every_method_has_its_costs_counted_without_computing(name):
    found, method = tiny_cost(name), made(name)
    assert found is not None
    assert found.parameters == {n: parameters(net) for n, net in method.networks().items()}
    assert 0 < found.mean <= 1
    assert found.step > 0
    assert found.activations > 0
    for network in (*method.averaged, *method.discriminators):
        assert found.networks[network].published > 0, network


def test_a_step_costs_what_its_passes_cost():
    found = tiny_cost("pix2pix")
    one = {name: macs.work for name, macs in found.networks.items()}
    assert found.step == BATCH * (one["G"] + 3 * one["D"])  # D sees the real and the fake, then G's fake
    assert found.mean == 1


def test_a_critic_that_learns_more_often_than_g_makes_the_mean_step_cheaper():
    found = tiny_cost("wgan_gp", critic_steps=4)
    assert found.mean < 1
    assert found.at % 4 == 3


def test_slow_steps_are_estimated_from_smaller_ones(pairs, monkeypatch):
    monkeypatch.setattr(timing, "SLOW_MACS", 1.0)
    monkeypatch.setattr(timing, "SMALLEST", 16)
    run = run_of(pairs, size=64)
    cost = run.cost
    taken = {16: 0.4, 32: 1.0, 64: 9.0}
    asked = []

    def seconds(form, number, budget):
        asked.append(form.shape.size)
        return taken[form.shape.size]

    monkeypatch.setattr(timing, "_seconds", seconds)
    found = timing.time_step(run, cost, 3.0)
    assert asked == [16]  # the next form would take more than the rest of the time
    assert not found.measured
    assert found.seconds > 1
    asked.clear()
    found = timing.time_step(run, cost, 1000.0)
    assert asked == [16, 64]  # after the first form it is plain that the run itself fits
    assert found == timing.StepTime(9.0, True)


def test_a_large_batch_is_estimated_from_few_images(pairs, monkeypatch):
    monkeypatch.setattr(timing, "SLOW_MACS", 1.0)
    run = run_of(pairs, batch=100)
    monkeypatch.setattr(timing, "_seconds", lambda form, number, budget: 1.0 + 0.5 * form.training.batch)
    assert timing.time_step(run, run.cost, 60.0) == timing.StepTime(51.0, False)


def test_on_a_busy_machine_the_time_without_other_programs_is_said(pairs, monkeypatch):
    run = run_of(pairs)
    monkeypatch.setattr(timing, "_seconds", lambda *_: 200_000.0)
    for waited, is_busy in ((0.9, False), (3.0, True)):
        times = iter([(1.0, 0.5), (2.0, 0.5 + waited)])
        monkeypatch.setattr(timing, "processor_times", lambda times=times: next(times))
        found = estimate(run, 1.0)
        assert found.alone_seconds == (pytest.approx(found.seconds / 4) if is_busy else None)
        sentence = (
            f"This machine is busy with other programs. Without them the run takes {format_about(found.seconds / 4)}."
        )
        assert (sentence in head.warnings(found, None)) == is_busy
    # More than a day, only because of the other programs: no lighter run is searched for.
    found = dataclasses.replace(found, seconds=200_000.0, alone_seconds=50_000.0)
    assert head.suggestion(run, found) is None
    assert len(head.warnings(found, None)) == 1


def test_the_time_of_a_run_with_trackers_is_known(pairs):
    assert estimate(run_of(pairs, trackers="tensorboard"), 1.0).source == "measured"


def test_the_cost_of_a_run_is_counted_once(pairs, monkeypatch):
    counted = []
    count = costs._cost
    monkeypatch.setattr(costs, "_cost", lambda *args: counted.append(1) or count(*args))
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)  # then precision=auto needs the cost, too
    run = run_of(pairs, device="cpu")
    assert estimate(run, 0).cost is run.cost is not None
    assert len(counted) == 1


def test_a_step_that_fails_only_leaves_the_time_unknown(pairs, monkeypatch):
    run = run_of(pairs)
    monkeypatch.setattr(timing, "_seconds", lambda *_: 1 / 0)
    assert estimate(run, 1.0).seconds is None
    assert any("pix2pix: 12 pairs" in line for line in head.head(run, estimate(run, 1.0), None))


def slow(run):
    return dataclasses.replace(estimate(run, 0), seconds=20 * 86_400.0, step_seconds=9.0, source="measured")


def test_a_step_that_does_not_fit_into_the_memory_is_not_measured(pairs, monkeypatch):
    monkeypatch.setattr("i2i.training.estimate.free_memory", lambda: 1e5)
    told = estimate(run_of(pairs), 5.0)
    assert told.memory > 1e5
    assert (told.step_seconds, told.source) == (None, "")
    assert "98 KiB are free" in " ".join(head.warnings(told, None))


def test_the_memory_on_a_cpu_is_that_of_the_process(pairs):
    """On a GPU it is that of the tensors."""
    told = estimate(run_of(pairs), 0)
    tensors = 16 * told.cost.parameter_count + told.cost.activations
    assert told.memory == PROCESS + tensors + told.cost.activations
    assert estimates._memory(told.cost, torch.device("cuda")) == tensors


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_run_takes_about_the_memory_that_was_told(tmp_path):
    """TransGAN has attention, and a loss that is differentiated twice."""
    for i in range(16):
        picture(tmp_path / f"pile/{i}.png", i, 32, 32)
    run = resolve_run("transgan_small", [str(tmp_path / "pile")], None, {"device": "cpu", "precision": "fp32"})
    words = f"images=64, device='cpu', precision='fp32', workers=0, out={str(tmp_path / 'run')!r}, quiet=True"
    code = f"import i2i; i2i.train('transgan_small', {str(tmp_path / 'pile')!r}, {words})"
    code += "; print(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    held = 1024 * int(done.stdout.partition("VmHWM:")[2].split()[0])
    assert 0.6 < held / estimate(run, 0).memory < 1.6


def test_the_lighter_command_works_as_printed(pairs, monkeypatch):
    monkeypatch.setattr(lighter, "SMALLEST", 16)
    monkeypatch.setattr(lighter, "NARROWEST", 2)
    monkeypatch.setattr(lighter.recipes, "recipes", lambda: ["pix2pix"])
    run = run_of(pairs, size=64, epochs=2, load=70)
    found = lighter.lighter(run, slow(run), 2.0)
    words = shlex.split(found.command)
    assert words[:4] == ["i2i", "train", "pix2pix", "--data"]
    plan = i2i(*words[1:], "--dry-run", "--json")[0]
    assert '"size": 32' in plan or '"size": 16' in plan
    assert f"a day. Lighter, {format_about(found.seconds)}: {found.command}" in "".join(head.warnings(slow(run), found))


def test_the_recipe_for_a_laptop_comes_first(pairs):
    run = resolve_run("pix2pix", [str(pairs)], None, {"device": "cpu"})
    assert lighter._candidates(run)[0] == ("pix2pix_light", {})
    assert lighter._candidates(run)[-1][1]["size"] == 64


def test_only_runs_of_more_than_a_day_are_said_to_be_long(pairs):
    run = run_of(pairs)
    short = dataclasses.replace(slow(run), seconds=80_000.0)
    assert head.suggestion(run, short) is None
    assert head.warnings(short, None) == []
    assert "Use a GPU if you can" in head.warnings(slow(run), None)[0]


def test_a_busy_machine_measures_less(pairs, monkeypatch):
    budgets = []
    monkeypatch.setattr(head, "estimate", lambda run, budget: budgets.append(budget) or estimate(run, 0))
    for age in (2.0, 12.0, 60.0, 9000.0):
        monkeypatch.setattr(head, "process_age", lambda age=age: age)
        head.announce(run_of(pairs))
    assert budgets == [5.0, 2.0, 1.0, 5.0]  # a notebook is old, but has not waited


def test_the_age_of_a_process():
    assert 0 <= process_age() < 1e6
    code = "from i2i.core.machine import process_age; import time; time.sleep(0.5); print(process_age())"
    found = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 0.4 < found < 60


def test_a_disk_that_is_too_small_is_said(pairs):
    full = dataclasses.replace(estimate(run_of(pairs), 0), disk_free=1000)
    assert head.warnings(full, None)[0].startswith("The disk has only 1000 B free: --set keep=1")


def test_durations_that_are_only_roughly_known():
    cases = {0.2: "1 s", 40: "40 s", 750: "12 min", 12_600: "3.5 h", 64_900: "18 h", 800_000: "9 days", 3600 * 3: "3 h"}
    assert {s: format_about(s) for s in cases} == {s: f"about {text}" for s, text in cases.items()}


def test_networks_of_any_size_are_made_without_memory():
    with no_computing() as counter:
        net = torch.nn.Linear(10**6, 10**6)
        assert net(torch.zeros(2, 10**6)).shape == (2, 10**6)
    assert counter.total["dense"] == 2 * 10**12


def test_a_short_run_starts_without_measuring(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "_seconds", lambda *_: pytest.fail("measured"))
    _, err = i2i("train", "pix2pix", "--data", pairs, "--images", 2, "--out", tmp_path / "run", *TINY)
    assert "2 steps of 1 image" in err
