"""Run folders whose files are cut, flipped, emptied, missing, or no files: passed over, or one sentence."""

import contextlib
import json
import os
import shutil

import pytest
from safetensors.torch import load_file

import i2i
from i2i.core.errors import I2IError
from i2i.training.train import resume
from tests.cli.program import make_pairs

pytestmark = pytest.mark.slow
SMALL = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "device": "cpu", "workers": 0}
NEWEST = f"checkpoints/{8:012d}"
FILES = [f"{NEWEST}/manifest.json", f"{NEWEST}/state.json", f"{NEWEST}/state.safetensors", NEWEST]
FILES += ["checkpoints/best.json", "log.jsonl", "model.safetensors", "report.html", "metrics.json", "samples"]


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def replaced(make):
    def change(path):
        remove(path)
        make(path)

    return change


WAYS = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": flip,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "empty": lambda path: path.write_bytes(b""),
    "missing": remove,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0junk\n"),
    "a folder": replaced(lambda path: path.mkdir()),
    "a pipe": replaced(os.mkfifo),
    "a link to nowhere": replaced(lambda path: path.symlink_to("nowhere")),
    "a link to itself": replaced(lambda path: path.symlink_to(path)),
}
CASES = [(file, way) for file in FILES for way in WAYS]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    pairs = make_pairs(tmp_path_factory.mktemp("data") / "pairs", (("train", 6), ("val", 2)))
    return i2i.train("pix2pix", pairs, tmp_path_factory.mktemp("runs") / "run", **SMALL, images=12, save_every=4)


@pytest.fixture(scope="module")
def stopped(finished, tmp_path_factory):
    """The run as it was at 8 images."""
    run = shutil.copytree(finished, tmp_path_factory.mktemp("stopped") / "run")
    shutil.rmtree(run / "checkpoints" / f"{12:012d}")
    log = (run / "log.jsonl").read_text().splitlines(keepends=True)
    (run / "log.jsonl").write_text("".join(line for line in log if json.loads(line)["images"] <= 8))
    return run


@pytest.mark.parametrize(("file", "way"), CASES, ids=[f"{file}: {way}" for file, way in CASES])
@pytest.mark.timeout(60)
def test_a_run_with_a_damaged_file_ends_with_the_same_weights(file, way, stopped, finished, tmp_path):
    run = shutil.copytree(stopped, tmp_path / "run")
    path = run / file
    if not path.exists() or (path.is_dir() and way in ("cut", "flipped", "zeros", "empty", "longer")):
        path = path / "made" if path.is_dir() else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    WAYS[way](path)
    said = ""
    try:
        resume(run, quiet=True)
    except I2IError as error:  # what stands in the way of writing is said, and nothing is lost
        said = str(error)
    if said:
        assert str(run) in said
        remove(path)
        resume(run, quiet=True)
    whole, made = (load_file(folder / "model.safetensors") for folder in (finished, run))
    assert whole.keys() == made.keys()
    assert all(whole[key].equal(made[key]) for key in whole)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.timeout(60)
def test_a_damaged_config_is_one_sentence_at_most(way, stopped, tmp_path):
    run = shutil.copytree(stopped, tmp_path / "run")
    WAYS[way](run / "config.yaml")
    with contextlib.suppress(I2IError):  # a flipped bit may fall into a part that does not count
        resume(run, quiet=True)
