"""Files that version 0.1 wrote are read, and its names are understood (files_of_0_1/make*.py made them)."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml
from PIL import Image
from safetensors.torch import load_file

import i2i as library
from i2i.cli import program
from i2i.core import config
from i2i.data import DataSettings
from i2i.methods import load_method
from i2i.training import recipes
from i2i.training.settings import TrainSettings
from i2i.training.tricks import TrickSettings
from tests.cli.program import i2i

FILES = Path(__file__).parent / "files_of_0_1"
NAMES = json.loads((FILES / "names.json").read_text())
CHANGED = 1_750_000_000  # time of the inputs' last change in seconds, as the records of the translations hold it
COMMON = {"data": DataSettings, "training": TrainSettings, "tricks": TrickSettings}
METHODS = [name for name in NAMES["settings"] if name not in COMMON]


@pytest.fixture
def files(tmp_path):
    """A copy of the folder, with the inputs' times as they were."""
    shutil.copytree(FILES, tmp_path / "files")
    for path in (tmp_path / "files" / "in").iterdir():
        os.utime(path, (CHANGED, CHANGED))
    return tmp_path / "files"


def translated(model, direction="AtoB"):
    translator = library.load(model, "cpu", direction=direction)
    inputs = [Image.open(FILES / "in" / f"{i}.png") for i in range(4)]
    return np.stack([np.asarray(translator(image)) for image in inputs])


@pytest.mark.parametrize(("name", "direction"), [("pix2pix", "AtoB"), ("cyclegan", "AtoB"), ("packed", "BtoA")])
def test_a_model_translates_as_it_did(name, direction):
    expected = np.load(FILES / "expected.npz")[name].astype(int)
    images = translated(FILES / "models" / f"{name}.safetensors", direction).astype(int)
    assert images.shape == expected.shape
    assert np.abs(images - expected).max() <= 1  # rounding of another processor
    assert (images != expected).mean() < 0.01


def test_a_model_of_two_networks_also_translates_back():
    there, back = (translated(FILES / "models" / "cyclegan.safetensors", d) for d in ("AtoB", "BtoA"))
    packed = translated(FILES / "models" / "packed.safetensors", "BtoA").astype(int)
    assert np.abs(back.astype(int) - packed).max() <= 3  # packed with 16 bits a weight
    assert np.abs(back.astype(int) - there).max() > 3


@pytest.mark.parametrize("name", ["dcgan", "acgan"])  # acgan's network belongs to its method's file
def test_a_generator_draws_what_it_did(name):
    expected = torch.from_numpy(np.load(FILES / "expected.npz")[name])
    generator = library.load_generator(FILES / "models" / f"{name}.safetensors", "cpu")
    images = torch.stack(list(generator.pictures(range(4))))
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-4)


def test_a_stopped_run_is_trained_to_its_end(files):
    """It ends about where the same run ended that version 0.1 trained without a stop."""
    settings = yaml.safe_load((files / "run" / "config.yaml").read_text())
    settings["data"] = [str(files / "data" / "pairs")]  # the data were moved
    (files / "run" / "config.yaml").write_text(yaml.safe_dump(settings))
    before = (files / "run" / "log.jsonl").read_text().splitlines()
    i2i("train", "--resume", files / "run", "--quiet")
    lines = [json.loads(line) for line in (files / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines if line["kind"] == "resumed"] == [36]
    assert [line["images"] for line in lines if line["kind"] == "losses"] == [16, 32, 48]
    assert [json.dumps(line) for line in lines][:5] == before[:5]
    assert "finished" in (files / "run" / "report.html").read_text()
    paths = (FILES / "models" / "pix2pix.safetensors", *(f / "run" / "model.safetensors" for f in (files, FILES)))
    whole, resumed, stopped = (torch.cat([t.flatten() for t in load_file(path).values()]) for path in paths)
    assert (resumed - whole).norm() < 0.02 * (stopped - whole).norm()


def test_a_finished_translation_is_not_done_again(files):
    before = {path.name: path.stat().st_mtime_ns for path in (files / "finished").iterdir()}
    out, _ = i2i(*translate(files, "finished"), "--json")
    assert [json.loads(line)["state"] for line in out.splitlines() if "state" in json.loads(line)] == ["skipped"] * 4
    after = {path.name: path.stat().st_mtime_ns for path in (files / "finished").iterdir()}
    assert {k: v for k, v in after.items() if k.endswith(".png")} == {
        k: v for k, v in before.items() if k.endswith(".png")
    }


def test_half_a_translation_is_completed(files):
    kept = {name: (files / "half" / name).stat().st_mtime_ns for name in ("0.png", "1.png")}
    i2i(*translate(files, "half"))
    assert {name: (files / "half" / name).stat().st_mtime_ns for name in kept} == kept
    for name in ("0.png", "1.png", "2.png", "3.png"):
        ours, theirs = (np.asarray(Image.open(files / folder / name), int) for folder in ("half", "finished"))
        assert np.abs(ours - theirs).max() <= 1


def translate(files, folder):
    model = files / "models" / "pix2pix.safetensors"
    return "translate", files / "in", "-o", files / folder, "--model", model, "--device", "cpu", "--resume"


# ---- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_settings_of_a_method_keep_their_names_and_defaults(name):
    parts = {"method": load_method(name).Config, **COMMON}
    listed = {**NAMES["settings"][name], **{k: v for part in COMMON for k, v in NAMES["settings"][part].items()}}
    assert config.resolve(listed, parts) == config.resolve({}, parts)
    for key, value in listed.items():
        config.resolve({key: value}, parts)


# Recipes whose settings changed on purpose; CHANGELOG.md says so.
RETRAINED = {"cyclegan_daynight", "pix2pix_earth", "pix2pix_earth_demo", "pix2pix_emoji", "transgan"}


@pytest.mark.parametrize("name", sorted(NAMES["recipes"].keys() - RETRAINED))
def test_recipes_keep_their_names_and_settings(name):
    theirs, ours = NAMES["recipes"][name], recipes.recipe(name)
    assert {k: theirs.get(k) for k in ("method", "data")} == {k: ours.get(k) for k in ("method", "data")}
    parts = {"method": load_method(theirs["method"]).Config, **COMMON}
    values, expected = ({k: v for k, v in r.items() if k not in ("method", "data")} for r in (ours, theirs))
    assert config.resolve(values, parts) == config.resolve(expected, parts)


def test_options_keep_their_names():
    def options(command, path=()):
        found = {" ".join(path): {o for p in command.params for o in [*p.opts, *p.secondary_opts]}}
        for name, sub in getattr(command, "commands", {}).items():
            found |= options(sub, (*path, name))
        return found

    ours = options(typer.main.get_command(program()))
    missing = {name: set(theirs) - ours.get(name, set()) for name, theirs in NAMES["options"].items()}
    assert {name: options for name, options in missing.items() if options} == {}
