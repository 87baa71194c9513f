"""Runs that become longer or shorter than planned, and runs that are repeated from their config.yaml."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file

import i2i
from i2i.core.errors import I2IError
from i2i.methods import method_names
from i2i.training.length import why_fixed
from i2i.training.start import read_start
from i2i.training.train import resolve_resume, resolve_run, resume
from i2i.training.tricks import TrickSettings
from tests.methods.tiny import BATCH, loop, made, part_of_run, state
from tests.training.test_train import PIX2PIX, fill

DCGAN = {"size": 16, "width": 4, "d_width": 4, "z": 4, "batch": 4, "device": "cpu", "workers": 0, "save_every": 4}


def equal_files(a, b, name="model.safetensors"):
    return (a / name).read_bytes() == (b / name).read_bytes()


def newest_state(run):
    return load_file(sorted((run / "checkpoints").glob("0*"))[-1] / "state.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def pairs(tmp_path):
    fill(tmp_path / "my pairs" / "train", 6, 32)
    return tmp_path / "my pairs"


@pytest.fixture
def pile(tmp_path):
    return fill(tmp_path / "pile", 8)


# ---- longer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("longer", [{"epochs": 2}, {"images": 16}])
def test_a_longer_run_equals_one_that_was_planned_longer(pile, tmp_path, longer):
    """dcgan's rate is constant."""
    short = i2i.train("dcgan", pile, tmp_path / "short", **{**DCGAN, "epochs": 1})
    whole = i2i.train("dcgan", pile, tmp_path / "whole", **{**DCGAN, "epochs": 2})
    assert resume(short, overrides=longer) == short
    assert same(newest_state(short), newest_state(whole))
    assert same(load_file(short / "model.safetensors"), load_file(whole / "model.safetensors"))
    values = yaml.safe_load((short / "config.yaml").read_text())
    assert (values["epochs"], values["images"]) == (longer.get("epochs", 1.0), longer.get("images", 0))
    resume(short)  # remembers its new length


def test_a_length_in_images_gives_way_to_epochs(pile, tmp_path):
    run = i2i.train("dcgan", pile, tmp_path / "run", **{**DCGAN, "images": 8})
    assert resolve_resume(run, {"epochs": 2}).total == 16
    assert resolve_run(str(run / "config.yaml"), None, tmp_path / "again", {"epochs": 3}).total == 24


def test_a_resume_that_is_refused_leaves_config_yaml_as_it_was(pairs, tmp_path):
    run = i2i.train("pix2pix", pairs, tmp_path / "run", **PIX2PIX)
    before = (run / "config.yaml").read_bytes()
    for overrides in ({"epochs": 3}, {"images": 9}, {"epochs": 3, "lr": 1.0}, {"lr": 1.0}):
        with pytest.raises(I2IError):
            resume(run, overrides=overrides)
        assert (run / "config.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("planned", "other", "overrides"), [(1, 2, {"epochs": 2}), (2, 1, {"images": 8})], ids=["longer", "shorter"]
)
def test_a_stopped_run_of_another_length_equals_one_that_was_planned_so(pile, tmp_path, planned, other, overrides):
    """dcgan's rate is constant."""
    run = i2i.train("dcgan", pile, tmp_path / "run", **{**DCGAN, "epochs": planned})
    whole = i2i.train("dcgan", pile, tmp_path / "whole", **{**DCGAN, "epochs": other})
    for checkpoint in sorted((run / "checkpoints").glob("0*"))[1:]:
        shutil.rmtree(checkpoint)
    resume(run, overrides=overrides)
    assert same(newest_state(run), newest_state(whole))


def test_a_length_that_is_over_already_is_refused(pile, tmp_path):
    run = i2i.train("dcgan", pile, tmp_path / "run", **{**DCGAN, "epochs": 1})
    with pytest.raises(
        I2IError, match=r"The run has seen 8 images already, and was asked to end at 4\. To end here, use its "
    ):
        resolve_resume(run, {"images": 4})


def test_a_run_whose_rate_falls_cannot_end_sooner_and_says_what_can(pairs, tmp_path):
    run = i2i.train("pix2pix", pairs, tmp_path / "run", **{**PIX2PIX, "images": 6, "save_every": 2})
    shutil.rmtree(run / "checkpoints" / f"{6:012d}")  # as if it had stopped at 4 images
    with pytest.raises(I2IError, match="a shorter run differs from its first image on") as caught:
        resolve_resume(run, {"images": 5})
    words = ["i2i", "train", run / "config.yaml", "--init-from", run, "--images", 1, "--out", f"{run}-shorter"]
    assert caught.value.hint.endswith(f": {shlex.join(map(str, words))}")
    for images in (4, 2):  # none is left to see
        with pytest.raises(I2IError) as caught:
            resolve_resume(run, {"images": images})
        assert caught.value.hint == f"To end here, use its model as it is: --model {run}."


def test_a_run_whose_rate_falls_says_why_not_and_prints_a_command_that_works(pairs, tmp_path):
    run = i2i.train("pix2pix", pairs, tmp_path / "my run", **{**PIX2PIX, "images": 0, "epochs": 1})
    before = load_file(run / "model.safetensors")
    with pytest.raises(I2IError) as caught:
        resolve_resume(run, {"epochs": 2})
    assert str(caught.value).startswith(
        f"{run} was planned for 6 images and cannot end at 12: the learning rate follows the length of the run, so a "
        "longer run differs from its first image on. Train on from its weights, as a new run"
    )
    words = shlex.split(caught.value.hint.partition(": ")[2])
    assert words[:2] == ["i2i", "train"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "-q"], capture_output=True, text=True, cwd=tmp_path, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    longer = tmp_path / "my run-longer"
    values = yaml.safe_load((longer / "config.yaml").read_text())
    assert (values["images"], values["init_from"]) == (6, str(run))
    assert "G and D start from the weights of" in (longer / "log.jsonl").read_text()
    assert same(before, load_file(run / "model.safetensors"))
    assert not same(before, load_file(longer / "model.safetensors"))


def test_what_follows_the_length_is_found(pairs):
    assert why_fixed(made("pix2pix"), TrickSettings()) == "the learning rate"
    assert why_fixed(made("pix2pix", decay="constant"), TrickSettings()) == ""
    assert why_fixed(made("dcgan"), TrickSettings()) == ""
    assert why_fixed(made("dcgan"), TrickSettings(instance_noise=0.1)) == "the instance noise"
    assert why_fixed(made("dcgan"), TrickSettings(instance_noise=0.1, noise_until=0.0)) == ""
    assert why_fixed(made("gan", optimizer="sgd"), TrickSettings()) == "the learning rate"


def test_momenta_of_adam_that_follow_the_length_are_found_and_constant_factors_are_not(monkeypatch):
    method = made("dcgan")
    monkeypatch.setattr(method, "lr_factors", lambda fraction: {"G": (0.5,)})
    assert why_fixed(method, TrickSettings()) == ""
    monkeypatch.setattr(method, "betas_at", lambda fraction: (0.5 + 0.1 * fraction, 0.99))
    assert why_fixed(method, TrickSettings()) == "the momentum"


OWN = """
from dataclasses import dataclass
import torch
from torch import nn
from i2i.methods import Method

@dataclass(frozen=True)
class Settings:
    lr: float = 0.01

class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.layer(x)

class Own(Method):
    Config = Settings
    needs = "images"

    def __init__(self, config, shape):
        super().__init__(config, shape)
        self.G = Generator()

    def optimizers(self):
        return {"G": torch.optim.Adam(self.G.parameters(), lr=self.config.lr)}

    def step(self, batch, now):
        yield "G", {"l1": (self.G(batch.x) - batch.x).abs().mean() * (1 + now.fraction)}

    def infer(self, batch):
        return self.G(batch.x).clamp(-1, 1)
"""


def test_a_step_of_ones_own_that_asks_for_the_length_is_found(pile, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    values = {"size": 16, "batch": 4, "device": "cpu", "workers": 0, "epochs": 1}
    run = i2i.train(str(file), pile, tmp_path / "run", **values)
    with pytest.raises(I2IError, match="the step of Own follows the length of the run"):
        resolve_resume(run, {"epochs": 2})
    file.write_text(OWN.replace("(1 + now.fraction)", "2"))
    run = i2i.train(str(file), pile, tmp_path / "other", **values)
    resolve_resume(run, {"epochs": 2})


@pytest.mark.parametrize("name", method_names())
def test_what_counts_as_free_of_the_length_is(name, tmp_path):
    """Every method: two steps of a short plan and of a long one are the same, bit for bit, unless it says otherwise."""
    short, long = (loop(name, tmp_path / str(total), total=total) for total in (2 * BATCH, 50 * BATCH))
    if why_fixed(short.method, TrickSettings()):
        return
    short.run()
    part_of_run(long, 2)
    one, other = state(short), state(long)
    assert all(torch.equal(one[k], other[k]) for k in one)


# ---- again ---------------------------------------------------------------------------------------------------------


def test_config_yaml_repeats_a_run_bit_for_bit(pairs, tmp_path):
    run = i2i.train("pix2pix", pairs, tmp_path / "run", **{**PIX2PIX, "flip": "no", "ema": 3.0})
    again = i2i.train(run / "config.yaml", out=tmp_path / "again")
    assert equal_files(run, again)
    first, second = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (run, again))
    assert first == second
    values = yaml.safe_load((run / "config.yaml").read_text())
    third = i2i.train(**values, out=tmp_path / "third")
    assert equal_files(run, third)

    # The images have moved since.
    shutil.move(pairs, tmp_path / "elsewhere" / "my pairs")
    with pytest.raises(I2IError):
        i2i.train(run / "config.yaml", out=tmp_path / "fourth")
    moved = i2i.train(run / "config.yaml", tmp_path / "elsewhere" / "my pairs", tmp_path / "fourth")
    assert same(load_file(run / "model.safetensors"), load_file(moved / "model.safetensors"))
    fifth = i2i.train(**{**values, "data": tmp_path / "elsewhere" / "my pairs"}, out=tmp_path / "fifth")
    assert same(load_file(run / "model.safetensors"), load_file(fifth / "model.safetensors"))


def test_a_repeated_run_may_have_other_settings_and_keeps_its_recipes_name(pairs, tmp_path, monkeypatch):
    run = i2i.train("pix2pix", pairs, tmp_path / "run", **PIX2PIX)
    monkeypatch.chdir(tmp_path)
    other = resolve_run(str(run / "config.yaml"), None, None, {"seed": "3"})
    assert other.training.seed == 3
    assert other.recipe == "pix2pix"
    assert other.folder.name.startswith("pix2pix-my pairs-")


def test_a_run_of_a_method_of_ones_own_is_repeated_from_its_copy(pile, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    values = {"size": 16, "batch": 4, "device": "cpu", "workers": 0, "epochs": 1}
    run = i2i.train(str(file), pile, tmp_path / "run", **values)
    file.unlink()
    again = i2i.train(run / "config.yaml", out=tmp_path / "again")
    assert same(load_file(run / "model.safetensors"), load_file(again / "model.safetensors"))
    (run / "method.py").write_text(OWN.replace("0.01", "0.02"))
    with pytest.raises(I2IError, match="has been edited since the run began"):
        i2i.train(run / "config.yaml", out=tmp_path / "third")


def test_epochs_given_count_before_a_recipes_images(pairs, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(yaml.safe_dump({"method": "pix2pix", **PIX2PIX}))
    assert resolve_run(str(recipe), [str(pairs)], tmp_path / "run").total == 8
    assert resolve_run(str(recipe), [str(pairs)], tmp_path / "run", {"epochs": 2}).total == 12
    both = {"epochs": 2, "images": 3}
    assert resolve_run(str(recipe), [str(pairs)], tmp_path / "run", both).total == 3


def test_discriminators_are_kept_in_the_model_if_asked(pairs, tmp_path):
    plain = i2i.train("pix2pix", pairs, tmp_path / "plain", **PIX2PIX)
    kept = i2i.train("pix2pix", pairs, tmp_path / "kept", keep_discriminators=True, **PIX2PIX)
    assert set(read_start(str(plain / "model.safetensors")).states) == {"G"}
    states = read_start(str(kept / "model.safetensors")).states
    assert set(states) == {"G", "D"}
    state_of_run = newest_state(kept)
    assert all(torch.equal(v, state_of_run[f"method/D.{k}"]) for k, v in states["D"].items())
    image = sorted((pairs / "train").iterdir())[0]
    assert i2i.load(plain, device="cpu")(image) == i2i.load(kept, device="cpu")(image)
