"""The contract of `Method`, once, over every registered method in its smallest form, and over every recipe."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

import i2i
from i2i.core import config, resources
from i2i.core.errors import I2IError
from i2i.data import DataSettings
from i2i.data.batch import Batch, Shape
from i2i.methods import load_method, method_names
from i2i.methods._method import Method, Now
from i2i.models import format as model_file
from i2i.training import recipes
from i2i.training.loop import Loop
from i2i.training.settings import TrainSettings
from i2i.training.start import read_start
from i2i.training.tricks import TrickSettings
from tests.methods.tiny import BATCH, DOMAINS, batch_of, loop, made, settings, state

ROOT = Path(__file__).parents[2]
METHODS = method_names()
RECIPES = sorted(p.stem for p in resources.shipped("recipes").glob("*.yaml"))
STEPS = 6  # within which every optimizer has its turn
PAPER = re.compile(r"arXiv[: ]*\d{4}\.\d{4,5}|\b(19|20)\d\d\b")

every_method = pytest.mark.parametrize("name", METHODS)
every_recipe = pytest.mark.parametrize("recipe", RECIPES)


def moment(step: int) -> Now:
    return Now(images=step * BATCH, total=100 * BATCH, batch=BATCH)


def part(name: str, step: int) -> Batch:
    """The batch of a step, numbered as the loop numbers it."""
    found = batch_of(name)
    assert found.ids is not None
    found.ids = found.ids + step * BATCH
    return found


def owners(method: Method, optimizers: dict[str, Any]) -> dict[str, str]:
    """{network: optimizer}, after a check that each network with an owner is owned whole, by one."""
    owner: dict[str, str] = {}
    mine = {n: {id(p) for p in method.owned(o)} for n, o in optimizers.items()}
    counts = [id(p) for o in optimizers.values() for p in method.owned(o)]
    assert len(counts) == len(set(counts)), "a parameter has two optimizers"
    for network, net in method.networks().items():
        ids = {id(p) for p in net.parameters()}
        for optimizer, owned in mine.items():
            if ids & owned:
                assert ids <= owned, f"{optimizer} owns a part of {network}"
                owner[network] = optimizer
    assert set(owner.values()) == set(optimizers)
    assert set(counts) <= {id(p) for net in method.networks().values() for p in net.parameters()}
    return owner


@every_method
def test_a_size_is_trained_on_or_refused(name: str) -> None:
    """30 pixels cannot be halved twice: a method that needs it says so before it trains."""
    try:
        method = made(name, size=30).train()
    except I2IError:
        return
    batch = batch_of(name, 2, size=30)
    for _, terms in method.step(batch, moment(0)):
        torch.stack(list(terms.values())).sum().backward()
    assert method.eval().infer(batch).shape[-2:] == (30, 30)


def weights(method: Method) -> dict[str, list[Tensor]]:
    return {n: [p.detach().clone() for p in net.parameters()] for n, net in method.networks().items()}


@every_method
def test_steps(name: str) -> None:
    """Finite scalar terms; between two yields exactly the networks of the first one's optimizer change; every owned
    parameter gets a gradient."""
    method = made(name).train()
    optimizers = method.optimizers()
    owner = owners(method, optimizers)
    reached: set[int] = set()
    turns: set[str] = set()
    for step in range(STEPS):
        torch.manual_seed(step)
        before, last = weights(method), None

        def changed(last: str | None, before: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
            after = weights(method)
            moved = {n for n in after if any(not torch.equal(a, b) for a, b in zip(after[n], before[n]))}
            assert moved == {n for n, o in owner.items() if o == last}, f"the update of {last} changed {moved}"
            return after

        for optimizer, terms in method.step(part(name, step), moment(step)):
            before = changed(last, before)
            assert terms, f"{optimizer} has no terms"
            for title, value in terms.items():
                assert value.shape == (), f"{optimizer}/{title} is no scalar"
                assert value.isfinite(), f"{optimizer}/{title} is {value}"
            parameters = method.owned(optimizers[optimizer])
            torch.stack(list(terms.values())).sum().backward(inputs=parameters)
            reached |= {id(p) for p in parameters if p.grad is not None}
            optimizers[optimizer].step()
            optimizers[optimizer].zero_grad(set_to_none=True)
            turns.add(optimizer)
            last = optimizer
        changed(last, before)
        assert last is not None, "a step yielded nothing"
    assert turns == set(optimizers)
    if name != "progressive":  # whose last stages are not reached within these steps
        missed = [k for k, p in method.named_parameters() if k.split(".")[0] in owner and id(p) not in reached]
        assert not missed, f"no gradient reaches {missed}"


@every_method
def test_inference(name: str) -> None:
    """`infer` gives images of the target's channels and size in [-1, 1], `preview` columns of images."""
    kind = load_method(name)
    shape = settings(kind)[1]
    method, batch = made(name).eval(), batch_of(name)
    with torch.no_grad():
        found = method.infer(batch)
        columns = method.preview(batch)
    side = shape.size
    assert found.shape == (BATCH, shape.channels_out, side, side)
    assert found.abs().max() <= 1
    assert columns
    for title, pictures in columns.items():
        assert pictures.ndim == 4, title
        assert pictures.abs().max() <= 1, title
    assert not method.training


def objective(method: Method, batch: Batch, now: Now, optimizers: dict[str, Any], only: str) -> float:
    """The first value of the terms of optimizer `only` in a step, of which it then learns. The step ends there."""
    torch.manual_seed(0)
    for name, terms in method.step(batch, now):
        if name == only:
            total = torch.stack(list(terms.values())).sum()
            total.backward(inputs=method.owned(optimizers[name]))
            optimizers[name].step()
            optimizers[name].zero_grad(set_to_none=True)
            return float(total.detach())
    raise AssertionError(f"no terms of {only}")


@every_method
def test_objectives_fall(name: str) -> None:
    """Each optimizer, alone on four images, makes its own objective smaller (in float64, so that it shows)."""
    method = made(name).double().train()
    optimizers = method.optimizers()
    turns: dict[str, Now] = {}
    batch = batch_of(name, dtype=torch.float64)
    for step in range(STEPS):  # a common start, in which power iterations settle and clipped weights are clipped
        torch.manual_seed(step)
        for optimizer, terms in method.step(batch, moment(step)):
            turns.setdefault(optimizer, moment(step))
            torch.stack(list(terms.values())).sum().backward(inputs=method.owned(optimizers[optimizer]))
            optimizers[optimizer].step()
            optimizers[optimizer].zero_grad(set_to_none=True)
    for optimizer in optimizers:
        values = [objective(method, batch, turns[optimizer], optimizers, optimizer) for _ in range(12)]
        assert min(values[-3:]) < values[0], f"{optimizer}: {values}"


@cache
def whole(name: str, folder: Path) -> Loop:
    """An uninterrupted run of three steps with averaged weights."""
    run = loop(name, folder / name, ema=10.0)
    run.run()
    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@every_method
def test_resumed_equals_uninterrupted(name: str, place: Path, tmp_path: Path) -> None:
    run = whole(name, place)
    lines = [line for line in run.observer.lines if line["kind"] == "losses"]  # type: ignore[attr-defined]
    assert len(lines) == 3
    shutil.copytree(run.folder, tmp_path / "run")
    for later in sorted((tmp_path / "run/checkpoints").glob("0*"))[1:]:
        shutil.rmtree(later)
    again = loop(name, tmp_path / "run", seed=1, ema=10.0)
    again.run()
    assert "resumed" in again.observer.kinds()  # type: ignore[attr-defined]
    ours, theirs = state(again), state(run)
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key


@every_method
def test_saved_model_makes_equal_pictures(name: str, place: Path) -> None:
    run = whole(name, place)
    kind, batch, path = load_method(name), batch_of(name), run.folder / "model.safetensors"
    with torch.no_grad(), run.ema.applied(run.method) as method:
        expected = method.infer(batch)
    fresh = made(name, seed=2).eval()
    loaded = model_file.load(path)
    assert set(loaded.networks) == set(kind.averaged)
    for title, net in loaded.networks.items():
        setattr(fresh, title, net)
    for title, value in run.method.named_buffers():  # what belongs to the method itself
        if "." not in title:
            getattr(fresh, title).copy_(value)
    with torch.no_grad():
        assert torch.equal(fresh.infer(batch), expected)
    if kind.needs in ("paired", "unpaired", "attributes") and loaded.header.get("kind") != "generate":
        translated = i2i.load(path, device="cpu")(batch.x)
        torch.testing.assert_close(translated, expected.clamp(-1, 1), rtol=0, atol=1e-6)


# ---- processes -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which one pair of processes has left the weights of all methods asked for."""
    here = [i for i in request.session.items if getattr(i, "module", None) is request.module]
    asked = [i for i in here if getattr(i, "originalname", "") == "test_two_processes_equal_one"]
    names = [i.callspec.params["name"] for i in asked]  # type: ignore[attr-defined]
    out = tmp_path_factory.mktemp("pair")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    both = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.methods.worker", str(out), *names],
            cwd=ROOT,
            env={**os.environ, **both, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in running:
            text, _ = process.communicate(timeout=300)
            assert process.returncode == 0, text
    finally:
        for process in running:
            process.kill()
    return out


def without_gradient(run: Loop) -> set[str]:
    """Keys of a state that belong to parameters whose true gradient is zero, such as a bias before a norm that
    subtracts the mean: what is computed is rounding, and Adam divides it by its own size."""
    keys = {id(p): k for k, p in run.method.named_parameters()}
    found: set[str] = set()
    for name, optimizer in run.train_step.optimizers.items():
        for i, p in enumerate(run.train_step.owned[name]):
            squares = [v for k, v in optimizer.state[p].items() if k in ("exp_avg_sq", "square_avg")]
            if squares and squares[0].max() < 1e-20:
                key = keys[id(p)]
                network, _, rest = key.partition(".")
                found |= {f"method/{key}", f"ema/{network}/{rest}"}
                found |= {f"optim/{name}/{i}/{k}" for k in optimizer.state[p]}
    return found


def draws_apart(module: nn.Module) -> bool:
    """Whether a module's result depends on which images share a process."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


@every_method
def test_two_processes_equal_one(name: str, pair: Path, tmp_path: Path) -> None:
    """In float64 to 1e-10. What is computed over a process's own share of the batch (batch norm's statistics, dropout's
    draws, and what `per_process_note` names) must differ; then the processes must still agree with each other."""
    for failed in pair.glob(f"{name}.*.txt"):
        pytest.fail(failed.read_text())
    first, second = (load_file(pair / f"{name}.{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), f"the processes differ in {key}"
    run = loop(name, tmp_path, precision="fp64", save_every=1000)
    run.run()
    if run.method.per_process_note or any(draws_apart(m) for m in run.method.modules()):
        return
    one, silent = state(run), without_gradient(run)
    assert one.keys() == first.keys()
    for key in one.keys() - silent:
        torch.testing.assert_close(first[key], one[key], rtol=1e-10, atol=1e-10, msg=lambda m, key=key: f"{key}: {m}")


# ---- settings and words --------------------------------------------------------------------------------------------


@every_method
def test_config_survives_yaml(name: str) -> None:
    kind = load_method(name)
    for value in (kind.Config(), settings(kind)[0]):
        text = yaml.safe_dump(dataclasses.asdict(value))
        assert config.resolve(yaml.safe_load(text), {"config": kind.Config})["config"] == value


@every_method
def test_settings_are_explained_and_free(name: str) -> None:
    """Each has a comment and a name that neither the data nor the plan uses; `resolve` refuses any other."""
    kind = load_method(name)
    assert dataclasses.fields(kind.Config)
    assert kind.Config.__dataclass_params__.frozen
    assert not [s.name for s in config.settings(kind.Config) if not s.comment]
    config.resolve({}, {"config": kind.Config, "spec": DataSettings, "plan": TrainSettings, "craft": TrickSettings})


@pytest.mark.parametrize(("name", "key"), [("cut", "taps"), ("transgan", "depths")])
def test_a_list_that_nothing_can_be_made_of_is_refused(name: str, key: str) -> None:
    with pytest.raises(I2IError, match=f"^{key} is empty"):
        made(name, **{key: ()})


@every_method
def test_the_docstring_names_its_paper(name: str) -> None:
    text = sys.modules[load_method(name).__module__].__doc__ or ""
    assert PAPER.search(text), "no arXiv number and no year"


@every_method
def test_the_method_says_what_it_is(name: str) -> None:
    kind = load_method(name)
    assert kind.needs in ("paired", "unpaired", "images", "labelled", "attributes")
    method = made(name)
    assert set(kind.averaged) <= set(method.networks())
    assert kind.averaged
    assert method.lr_factor(0.0) <= 1.0
    assert all(method.lr_factor(f / 10) >= 0 for f in range(11))
    with torch.no_grad():
        for title in kind.averaged:
            getattr(method.eval(), title)(*method.example(settings(kind)[1]))


@every_recipe
def test_recipe(recipe: str) -> None:
    """Its values are known settings, they survive YAML, its networks can be made, its header says what to type."""
    values = recipes.recipe(recipe)
    kind = load_method(values.pop("method"))
    values.pop("data", None)
    parts = {"config": kind.Config, "spec": DataSettings, "plan": TrainSettings, "craft": TrickSettings}
    settled = config.resolve(values, parts)
    flat: dict[str, Any] = {}
    for value in settled.values():
        flat |= dataclasses.asdict(value)
    assert config.resolve(yaml.safe_load(yaml.safe_dump(flat)), parts) == settled
    spec = settled["spec"]
    spec.check()
    shape = Shape(
        channels_in=spec.channels_in or 3,
        channels_out=spec.channels_out or spec.channels_in or 3,
        size=spec.size,
        classes=10 if kind.needs == "labelled" else 0,
        domains=DOMAINS if kind.needs == "attributes" else None,
    )
    with torch.device("meta"):
        assert kind(settled["config"], shape).networks()
    header = recipes.about(recipe)
    assert f"i2i train {recipe}" in header
    assert PAPER.search(header)


@pytest.mark.slow
@every_method
def test_a_run_starts_from_a_saved_model_with_every_network_in_its_role(name: str, tmp_path: Path) -> None:
    first, second = made(name), made(name)
    networks = {role: net for role, net in first.networks().items() if next(net.parameters(), None) is not None}
    others = {role: net for role, net in networks.items() if role not in first.averaged}
    averaged = {role: networks[role] for role in first.averaged}
    path = model_file.save(tmp_path / "model.safetensors", averaged, {}, others=others)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(1)
    (sentence,) = read_start(str(path)).into(second)
    assert "new weights" not in sentence
    for role, network in networks.items():
        assert role in sentence
        for key, value in second.networks()[role].state_dict().items():
            assert torch.equal(value, network.state_dict()[key]), (role, key)
