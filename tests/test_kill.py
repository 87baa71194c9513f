"""A run that is killed at any moment goes on from an intact state."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

KILLS = 20
PATIENCE = 300.0  # seconds for a start and a step, on a machine that is busy otherwise
SMALL = ["width=4", "d_width=4", "layers=1", "depth=3", "workers=1", "log_every=1", "ema=8"]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "i2i", "train", *words, "--quiet"]


def begin(pairs, out, images: int) -> list[str]:
    settings = [f"images={images}", "batch=2", "save_every=2", "sample_every=8", *SMALL]
    chosen = [f"--set={s}" for s in settings]
    return command("pix2pix", "--data", str(pairs), "--size", "16", "--out", str(out), *chosen)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_twenty_kills_at_random_moments_leave_a_state_to_resume_from_every_time(tmp_path):
    rng = np.random.default_rng(0)
    pairs = tmp_path / "pairs"
    for i in range(6):
        (pairs / "train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)).save(pairs / "train" / f"{i}.png")
    images = 1_000_000  # far more than can be seen before the last kill
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    draw = random.Random(7)
    seen = [0]
    for attempt in range(KILLS):
        begun = (killed / "config.yaml").exists()
        words = command("--resume", str(killed)) if begun else begin(pairs, killed, images)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_env()) as process:
            started = time.monotonic()
            while _newest(killed) <= seen[-1]:  # until it has gone on
                time.sleep(0.01)
                if time.monotonic() - started > PATIENCE:
                    process.send_signal(signal.SIGABRT)  # which tells where it hangs
                assert process.poll() is None, process.stderr.read().decode()
            time.sleep(draw.uniform(0, 0.6))
            assert process.poll() is None, process.stderr.read().decode()
            process.send_signal(signal.SIGKILL)
            process.wait()
        seen.append(_newest(killed))
        assert seen[-1] > seen[-2], f"resumption {attempt} did not go on from {seen[-2]} images"
    # and the state is not only readable but right: what one uninterrupted run holds at the same image
    wanted = f"checkpoints/{seen[-1]:012d}/state.safetensors"
    words = [*begin(pairs, whole, images), "--set=keep=1000000"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=_env()) as run:
        while seen[-1] not in _checkpoints(whole):
            assert run.poll() is None, run.stderr.read().decode()
            time.sleep(0.05)
        run.kill()
    state, same = load_file(killed / wanted), load_file(whole / wanted)
    assert state.keys() == same.keys()
    for name, tensor in state.items():
        assert tensor.equal(same[name]), name


def _env() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}


def _checkpoints(folder) -> list[int]:
    place = folder / "checkpoints"
    if not place.is_dir():
        return []
    found = []
    for p in place.iterdir():
        if not p.name.isdigit():  # one that is still being written
            continue
        try:
            found.append(int(json.loads((p / "manifest.json").read_text())["images"]))
        except (OSError, ValueError):
            continue
    return found


def _newest(folder) -> int:
    return max(_checkpoints(folder), default=0)
