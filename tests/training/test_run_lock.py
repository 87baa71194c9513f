"""Two processes never train one run at once, and a lock dies with its owner."""

import shutil
import signal
import time

import pytest

import i2i
from i2i.core.errors import I2IError
from i2i.training.run_lock import NAME
from i2i.training.train import resume
from tests.cli.program import TINY, make_pairs, start


def test_a_second_resume_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    pairs, run = make_pairs(tmp_path / "pairs"), tmp_path / "run"
    words = ("pix2pix", "--data", pairs, "--images", 1_000_000, "--out", run, *TINY, "--set", "save_every=4")
    with start("train", *words) as first:
        begun = time.monotonic()
        while not list((run / "checkpoints").glob("0*")):
            assert first.poll() is None, first.stderr.read()
            assert time.monotonic() - begun < 120
            time.sleep(0.05)
        before = (run / "config.yaml").read_bytes()
        with pytest.raises(I2IError, match=r"Another process is training .*run.*i2i train --resume"):
            resume(run, quiet=True)
        assert first.poll() is None
        first.send_signal(signal.SIGKILL)
        first.communicate()
    assert (run / "config.yaml").read_bytes() == before
    assert (run / NAME).exists()  # but nobody holds it
    with start("train", "--resume", run) as second:
        time.sleep(0.1)
        second_err = ""
        begun = time.monotonic()
        count = len((run / "log.jsonl").read_bytes())
        while len((run / "log.jsonl").read_bytes()) == count and time.monotonic() - begun < 120:
            assert second.poll() is None, second.stderr.read()
            time.sleep(0.05)
        second.send_signal(signal.SIGINT)
        _, second_err = second.communicate()
    assert "Another process" not in second_err


def test_a_run_can_be_resumed_again_in_the_same_process_and_elsewhere(tmp_path):
    small = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "device": "cpu", "workers": 0}
    run = i2i.train("pix2pix", make_pairs(tmp_path / "pairs"), tmp_path / "run", **small, images=4)
    resume(run, quiet=True)
    resume(shutil.copytree(run, tmp_path / "copy"), quiet=True)
