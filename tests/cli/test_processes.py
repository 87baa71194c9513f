"""Runs as processes of their own: stopped by signals, gone on with, several working together, and what they say."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from safetensors.torch import load_file

from i2i.cli import launch
from i2i.core.errors import I2IError
from i2i.training.signals import ANNOUNCEMENT
from tests.cli.program import ROOT, TINY, i2i, start

LONG = ["--images", 100_000, "--set", "log_every=1"]


def when_training(folder, process, seconds=240):
    """Waits until the run has logged losses."""
    log, end = folder / "log.jsonl", time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"It ended by itself: {process.communicate()}")
        if log.is_file() and '"losses"' in log.read_text(encoding="utf-8"):
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"No step in {seconds} s: {process.communicate()}")


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_a_terminated_run_is_saved_and_goes_on(pairs, tmp_path):
    folder = tmp_path / "my run"
    process = start("train", "pix2pix", "--data", pairs, "--out", folder, *LONG, *TINY)
    when_training(folder, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert out == ""
    said = err.splitlines()[-1]
    assert err.count(ANNOUNCEMENT) == 1
    assert said == f"Stopped by SIGTERM; the run is saved. Go on with: i2i train --resume '{folder}'"
    assert "Traceback" not in err
    plan = json.loads(i2i("train", "--resume", folder, "--dry-run", "--json")[0])
    assert plan["seconds"] > 0  # the log tells the speed
    process = start("train", "--resume", folder, "--json")
    seen = (folder / "log.jsonl").stat().st_size
    end = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < end:
        if '"losses"' in (folder / "log.jsonl").read_text(encoding="utf-8")[seen:]:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads(out)["error"].startswith("Stopped by Ctrl-C")
    images = [e["images"] for e in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if "rates" in e]
    assert images == sorted(images)


def test_two_processes_as_one_command(pairs, tmp_path):
    """The same images in the same order give the same weights where no norm looks at the whole batch."""
    words = ["train", "pix2pix", "--data", pairs, "--images", 4, "--batch", 2, "--set", "norm=none", *TINY]
    process = start(*words, "--processes", 2, "--out", tmp_path / "two")
    i2i(*words, "--out", tmp_path / "one", "--quiet")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out.count("Report:") == out.count("Scores on 3 pairs of test, at 16 pixels:") == 1
    assert err.count("finished at 4 images") == 1
    log = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert next(e for e in log if e["kind"] == "environment")["processes"] == 2
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert (value - two[name]).abs().max() < 1e-4, name


def test_one_sentence_for_all(capfd):
    """Every process fails by itself, and says so; the one command says it once."""
    assert launch.launch(["data", "show", "erth"], 3) == 1
    out, err = capfd.readouterr()
    assert err == "Error: There is no folder and no data set 'erth'. Did you mean earth?\n"
    assert out == ""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("[ $RANK = 1 ] && exit 5; exec sleep 100", "with exit code 5"),
        ("[ $RANK = 0 ] && kill -9 $$; exec sleep 100", "by signal 9"),
        ('[ "$WORLD_SIZE $LOCAL_RANK" = "2 $RANK" ] && [ "$MASTER_PORT" -gt 0 ]', ""),
    ],
)
def test_when_one_fails_the_others_are_ended(monkeypatch, tmp_path, script, said):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setattr(launch, "GRACE", 0.2)
    if not said:
        assert launch.launch(["train"], 2) == 0
        return
    with pytest.raises(I2IError, match=f"A process of the training ended {said}"):
        launch.launch(["train"], 2)


@pytest.fixture
def waiting_program(monkeypatch, tmp_path):
    """In the place of Python, a program that writes that it is up, and waits for SIGTERM, which it writes, too."""
    fake = tmp_path / "python"
    fake.write_text(
        f"#!/bin/sh\ntrap 'echo got > {tmp_path}/$RANK; exit 143' TERM\necho up > {tmp_path}/up$RANK\n"
        "while :; do sleep 0.05; done\n"
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    return tmp_path


def wait_until_up(folder, *ranks):
    while not all((folder / f"up{rank}").exists() for rank in ranks):
        time.sleep(0.02)


def check_stopped(folder, capsys):
    assert launch.launch(["train"], 2) == 143
    assert (folder / "0").read_text() == (folder / "1").read_text() == "got\n"
    assert capsys.readouterr().err == "Stopped before the training had begun.\n"


def test_a_signal_reaches_every_process(waiting_program, capsys):
    def terminate():
        wait_until_up(waiting_program, 0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=terminate).start()
    check_stopped(waiting_program, capsys)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_while_processes_are_started_reaches_them(waiting_program, monkeypatch, capsys):
    popen = subprocess.Popen

    def interrupted(command, env, **options):
        process = popen(command, env=env, **options)
        wait_until_up(waiting_program, env["RANK"])
        if env["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    check_stopped(waiting_program, capsys)


@pytest.mark.slow
def test_an_error_of_two_processes_is_heard_once(pairs, tmp_path):
    process = start("train", "pix2pix", "--data", pairs, "--processes", 2, "--out", tmp_path / "run", "--json", *TINY)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1
    assert err.startswith("Error: batch is 1, which cannot be split over 2 processes")
    assert err.count("\n") == 1
    assert json.loads(out)["error"].startswith("batch is 1")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_are_stopped_as_one(pairs, tmp_path):
    folder = tmp_path / "run"
    words = ["--batch", 2, "--processes", 2, "--out", folder, *LONG, *TINY]
    process = start("train", "pix2pix", "--data", pairs, *words)
    when_training(folder, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert err.count("Stopped by SIGTERM; the run is saved. Go on with: i2i train --resume") == 1
    assert "Traceback" not in err
    assert list((folder / "checkpoints").iterdir())


@pytest.mark.slow
def test_processes_do_not_outlive_their_command(pairs, tmp_path):
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent is gone")
    folder = tmp_path / "run"
    process = start("train", "pix2pix", "--data", pairs, "--batch", 2, "--processes", 2, "--out", folder, *LONG, *TINY)
    when_training(folder, process)
    process.kill()
    process.communicate(timeout=120)  # its output ends only when the last of the processes is gone
    assert list((folder / "checkpoints").iterdir())


@pytest.mark.slow
def test_torchrun(pairs, tmp_path):
    words = ["--standalone", "--nproc_per_node", "2", "-m", "i2i", "train", "pix2pix", "--data", pairs, "--images", 4]

    def torchrun(*more):
        command = [sys.executable, "-m", "torch.distributed.run", *words, *more, *TINY]
        env = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=240, env=env)

    done = torchrun("--batch", 2, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Report:") == 1
    assert done.stderr.count("finished at 4 images") == 1
    done = torchrun("--batch", 3, "--out", tmp_path / "none")
    assert done.returncode == 1
    assert done.stderr.count("Error: batch is 3, which cannot be split over 2 processes") == 1
    assert not (tmp_path / "none").exists()
