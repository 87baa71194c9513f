"""Running the program as a user does, in this process or in one of its own, and small images as its input."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from i2i.cli import main

TINY = ["--size", "16", "--set", "width=4", "--set", "d_width=4", "--set", "layers=1", "--set", "depth=3"]
TINY += ["--device", "cpu", "--workers", "0"]
ROOT = Path(__file__).resolve().parents[2]


def i2i(*words, code=0):
    """Runs the program in this process; gives (stdout, stderr). Its exit code must be `code`."""
    out, err = io.StringIO(), io.StringIO()
    ended = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(w) for w in words])
        except SystemExit as stop:
            ended = stop.code
    assert ended == code, f"exit code {ended}\n{out.getvalue()}\n{err.getvalue()}"
    assert "Traceback" not in err.getvalue()
    return out.getvalue(), err.getvalue()


def start(*words, **more):
    """Starts the program as a process of its own; quick to start on a machine that does other things too."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more.pop("env", {})}
    env.pop("I2I_DEBUG", None)
    command = [sys.executable, "-m", "i2i", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(command, text=True, env=env, **pipes)


def picture(path, seed, width=16, height=16):
    """Writes noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(path)


def make_pairs(folder, counts=(("train", 12), ("val", 3), ("test", 3))):
    """Pairs side by side."""
    for split, count in counts:
        for i in range(count):
            picture(folder / split / f"{i}.png", len(split) * 100 + i, width=32)
    return folder
