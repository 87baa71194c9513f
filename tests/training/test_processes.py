"""Any number of processes computes the same run (gloo on the CPU)."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]


def launch(world, out, folder, module="tests.training.worker", **options):
    """Starts `world` processes of a worker module, waits, and returns what each one saved."""
    out.mkdir(exist_ok=True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    running = []
    for rank in range(world):
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        if world > 1:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1"}
            env |= {k: str(v) for k, v in names.items()} | {"MASTER_PORT": str(port)}
        command = [sys.executable, "-m", module, str(out), str(folder), json.dumps(options)]
        running.append(
            subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    for process in running:
        text, _ = process.communicate(timeout=300)
        assert process.returncode == 0, text
    return [load_file(out / f"{rank}of{world}.safetensors") for rank in range(world)]


def assert_close(a, b, tolerance):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name].double(), b[name].double(), rtol=0, atol=tolerance), name


ACCUMULATED = {"accumulate": 2, "clip": 0.1, "ema": 20.0}


@pytest.mark.parametrize("extra", [{}, pytest.param(ACCUMULATED, marks=pytest.mark.slow)])
def test_two_processes_equal_one(tmp_path, extra):
    # The worker fails if it ends within the process group.
    options = {"total": 40, "precision": "fp64", **extra}
    (one,) = launch(1, tmp_path / "out1", tmp_path / "run1", **options)
    first, second = launch(2, tmp_path / "out2", tmp_path / "run2", **options)
    assert_close(first, second, 0.0)
    assert_close(one, first, 1e-10)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    options = {"total": 40, "precision": "fp64"}
    (whole,) = launch(1, tmp_path / "out1", tmp_path / "run1", **options)
    # Two processes reach the end, the last checkpoints are lost, one process goes on from an older one.
    launch(2, tmp_path / "out2", tmp_path / "run2", **options)
    import shutil

    for name in ("000000000032", "000000000040"):
        shutil.rmtree(tmp_path / "run2" / "checkpoints" / name)
    (parts,) = launch(1, tmp_path / "out2", tmp_path / "run2", **options)
    assert_close(whole, parts, 1e-10)
