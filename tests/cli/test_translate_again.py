"""`i2i translate` a second time, stopped in the middle, or with an output that is none."""

import json
import os
import shlex
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import nets
from i2i.models import format as model_file
from tests.cli.program import i2i, picture, start


def saved(folder, seed=0):
    torch.manual_seed(seed)
    model_file.save(folder / "model.safetensors", {"G": nets.build("resnet", blocks=1, width=2)})
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder with two models, and a folder `my in` with three images."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        saved(tmp_path / "runs" / name, len(name) + ord(name[0]))
    for i, name in enumerate(("a.png", "b.jpg", "c.png")):
        picture(tmp_path / "my in" / name, i)
    return tmp_path


def test_the_end_says_where_the_outputs_are(here):
    assert "3 images translated into 'my in.one/' in " in i2i("translate", "my in", "-m", "runs/one")[1]
    assert "translated into out/ in" in i2i("translate", "my in", "-o", "out", "-m", "runs/one")[1]
    _, err = i2i("translate", "my in/a.png", "my in/c.png", "-m", "runs/one")
    assert "2 images translated into 'my in/' in" in err


def test_a_folder_of_one_image_says_where_as_well(here):
    picture(here / "in" / "a.png", 1)
    assert i2i("translate", "in", "-m", "runs/one")[1].startswith("in.one/a.png written in ")


def test_outputs_beside_their_inputs_are_not_translated_again(here, monkeypatch):
    monkeypatch.chdir(here / "my in")
    model = here / "runs" / "one"
    i2i("translate", *sorted(os.listdir()), "-m", model)
    first = sorted(os.listdir())
    assert "a.one.png" in first
    _, err = i2i("translate", *first, "-m", model)
    assert "3 skipped because they exist" in err
    assert sorted(os.listdir()) == first
    i2i("translate", "a.one.png", "-m", model)  # by its name alone it is an input as any other
    assert (here / "my in" / "a.one.one.png").is_file()


@pytest.mark.parametrize("output", ["x.heic", "x.xyz", "x.cr2", "new/x.jxl"])
def test_an_output_that_cannot_be_written_makes_no_folder(here, output):
    before = sorted(here.rglob("*"))
    for source in ("my in/a.png", "my in"):
        if source == "my in" and output == "x.xyz":
            continue  # of several images it may be a folder's name
        _, err = i2i("translate", source, "-o", output, "-m", "runs/one", code=1)
        assert err.count("\n") == 1
        assert sorted(here.rglob("*")) == before
    i2i("translate", "my in/a.png", "-o", f"{output}/", "-m", "runs/one")
    assert (here / output / "a.png").is_file()


def test_a_missing_extra_leaves_no_folder(here, monkeypatch):
    def fail(*words):
        from i2i.core.errors import I2IError

        raise I2IError("--ray needs ray.")

    monkeypatch.setattr("i2i.inference.ray_cluster.require", fail)
    i2i("translate", "my in", "-o", "out", "-m", "runs/one", "--ray", "local", code=1)
    assert not (here / "out").exists()


def test_outputs_of_another_model_are_not_taken_for_ones_own(here):
    i2i("translate", "my in", "-o", "out", "-m", "runs/one")
    before = (here / "out" / "a.png").read_bytes()
    _, err = i2i("translate", "my in", "-o", "out", "-m", "runs/two", code=1)
    assert err.startswith("Error: 3 outputs were made with another model or other settings.")
    assert "--overwrite" in err
    assert (here / "out" / "a.png").read_bytes() == before
    _, err = i2i("translate", "my in", "-o", "out", "-m", "runs/two", "--skip-existing")
    assert "3 skipped" in err
    assert (here / "out" / "a.png").read_bytes() == before
    assert "3 skipped" in i2i("translate", "my in", "-o", "out", "-m", "runs/one")[1]
    i2i("translate", "my in", "-o", "out", "-m", "runs/two", "--overwrite")
    assert (here / "out" / "a.png").read_bytes() != before


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "processes", "to_all"),
    [
        (signal.SIGINT, 1, True),
        (signal.SIGINT, 2, True),
        pytest.param(signal.SIGINT, 2, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 2, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 2, False, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_translation_says_how_far_it_came_and_how_to_go_on(here, number, processes, to_all):
    rng = np.random.default_rng(0)
    (here / "many in").mkdir()
    for i in range(400):
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(here / "many in" / f"{i:03}.png")
    words = ["translate", "many in", "-o", "the out", "-m", "runs/one", "--processes", processes]
    process = start(*words, start_new_session=True)
    end = time.monotonic() + 120
    while len(list((here / "the out").glob("*.png"))) < 8 and time.monotonic() < end:
        time.sleep(0.02)
    if to_all:
        os.killpg(process.pid, number)  # as a terminal does: every process gets it
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert err.count("\n") == 1, err
    assert not list((here / "the out").glob(".*.tmp"))
    said, _, command = err.strip().partition(" Go on with: ")
    if said != "Stopped before an image was counted.":
        assert 0 < int(said.removeprefix("Stopped after ").partition(" of 400 images.")[0]) < 400
    i2i(*shlex.split(command)[1:], "--json")
    lines = [json.loads(line) for line in (here / "the out" / ".i2i-manifest.jsonl").read_text().splitlines()]
    assert {line["input"] for line in lines} == {f"{i:03}.png" for i in range(400)}
    assert len(list((here / "the out").glob("*.png"))) == 400
