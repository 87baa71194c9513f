"""kill -9 at random moments of training and of translating: what follows ends with the same bytes."""

import contextlib
import json
import os
import random
import shutil
import signal
import time

import pytest

from i2i.models.format import save
from i2i.nets.resnet import ResNet
from tests.cli.program import make_pairs, picture
from tests.robustness.forks import IMAGES, SETTINGS, Forks, bytes_of, scraps

KILLS = {"pix2pix": 12, "cyclegan": 8, "translate": 20}
METHODS = {"pix2pix": ["--set", "ema=8"], "cyclegan": ["--set", "blocks=1", "--set", "pool=2"]}


@pytest.fixture(scope="module")
def forks():
    with Forks() as started:
        yield started


def kill_within(program, seconds, draw):
    """Kills a program at a random moment; its exit code, which is 0 if it was too fast."""
    time.sleep(draw.uniform(0, seconds))
    with contextlib.suppress(ProcessLookupError):
        os.kill(program.pid, signal.SIGKILL)
    return program.wait()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_training_killed_at_random_moments_ends_with_the_same_bytes(method, forks, tmp_path):
    pairs = make_pairs(tmp_path / "pairs", (("train", 6), ("val", 2)))
    data = [pairs]
    if method == "cyclegan":
        data = [pairs / "train", pairs / "val"]
    begin = ["train", method, *data, *SETTINGS, *METHODS[method], "--out"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    began = time.monotonic()
    assert forks.run(*begin, whole) == (0, "")
    length = time.monotonic() - began
    wanted = {name: data for name, data in bytes_of(whole).items() if name.endswith(".safetensors")}
    draw, kills = random.Random(method), 0
    while kills < KILLS[method]:
        shutil.rmtree(killed, ignore_errors=True)
        code = -signal.SIGKILL
        while code == -signal.SIGKILL and kills < KILLS[method]:
            words = ["train", "--resume", killed, "--quiet"] if (killed / "config.yaml").exists() else [*begin, killed]
            code = kill_within(forks.start(*words), length, draw)
            kills += code == -signal.SIGKILL
            assert code in (0, -signal.SIGKILL)
        words = ["train", "--resume", killed, "--quiet"] if (killed / "config.yaml").exists() else [*begin, killed]
        assert forks.run(*words)[0] == 0
        made = {name: data for name, data in bytes_of(killed).items() if name.endswith(".safetensors")}
        assert made.keys() == wanted.keys()
        assert [name for name in wanted if made[name] != wanted[name]] == []
        assert scraps(killed) == []
        log = [json.loads(line) for line in (killed / "log.jsonl").read_bytes().splitlines()]
        assert [line["images"] for line in log if line["kind"] == "losses"] == list(range(1, IMAGES + 1))


@pytest.mark.slow
def test_translating_killed_at_random_moments_ends_with_the_same_bytes(forks, tmp_path):
    for i in range(60):
        picture(tmp_path / "in" / f"{i % 3}" / f"{i}.png", i, 24, 24)
    save(tmp_path / "tiny.safetensors", {"G": ResNet(3, 3, blocks=1, width=4)}, {"method": "pix2pix"})
    words = ["translate", tmp_path / "in", "--model", tmp_path / "tiny.safetensors", "--quiet", "--resume", "-o"]
    began = time.monotonic()
    assert forks.run(*words, tmp_path / "whole")[0] == 0
    length = time.monotonic() - began
    wanted = bytes_of(tmp_path / "whole")
    assert len(wanted) == 60
    out, draw, kills = tmp_path / "killed", random.Random(1), 0
    while kills < KILLS["translate"]:
        shutil.rmtree(out, ignore_errors=True)
        code = -signal.SIGKILL
        while code == -signal.SIGKILL and kills < KILLS["translate"]:
            code = kill_within(forks.start(*words, out), length, draw)
            kills += code == -signal.SIGKILL
            assert bytes_of(out).items() <= wanted.items()  # never a half file
        assert forks.run(*words, out)[0] == 0
        assert bytes_of(out) == wanted
        assert scraps(out) == []
