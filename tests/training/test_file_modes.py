"""Files of runs, models, packs and caches have the mode that the user's umask says, like files of any other program."""

import os
import stat

import pytest
import torch

import i2i
from i2i.core import files
from i2i.models import format as model_file
from tests.training.test_train import PIX2PIX, fill


@pytest.fixture(params=[0o022, 0o077, 0o002])
def mask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder):
    """{mode: the first file that has it} of all files in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            found.setdefault(oct(stat.S_IMODE(path.stat().st_mode)), path.name)
    return found


def test_all_that_a_run_writes_has_the_mode_of_the_umask(tmp_path, mask, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    fill(tmp_path / "pairs" / "train", 6, 32)
    fill(tmp_path / "pairs" / "test", 3, 32)
    settings = {**PIX2PIX, "images": 4, "save_every": 2, "cache": "disk", "trackers": "tensorboard"}
    run = i2i.train("pix2pix", tmp_path / "pairs", tmp_path / "run", **settings)
    model_file.pack(run / "model.safetensors", tmp_path / "pack.safetensors")
    i2i.translate(tmp_path / "pairs" / "test", output=tmp_path / "out", model=run, device="cpu")
    written = modes(tmp_path)
    assert set(written) == {oct(0o666 & ~mask)}, written
    suffixes = {p.suffix for p in tmp_path.rglob("*")}
    assert {".safetensors", ".json", ".jsonl", ".yaml", ".html", ".png"} <= suffixes


def test_both_atomic_writers_mend_the_mode_of_a_library_and_leave_other_modes(tmp_path, mask):
    for name, mode in (("private", 0o600), ("program", 0o700), ("plain", None)):
        with files.atomic_path(tmp_path / name) as path:
            path.write_bytes(b"x")
            if mode:
                path.chmod(mode)
        with files.atomic_folder(tmp_path / f"{name} folder") as folder:
            (folder / "in").mkdir()
            (folder / "in" / name).write_bytes(b"x")
            if mode:
                (folder / "in" / name).chmod(mode)
        expected = 0o700 if mode == 0o700 else 0o666 & ~mask
        for path in (tmp_path / name, tmp_path / f"{name} folder" / "in" / name):
            assert stat.S_IMODE(path.stat().st_mode) == expected


def test_the_umask_is_read_without_being_changed(mask):
    assert files.umask() == mask
    assert files.umask() == mask


def test_a_model_saved_by_hand_can_be_read_by_others(tmp_path, mask):
    from i2i.nets import build

    network = build("unet", channels_in=3, channels_out=3, depth=3, width=4)
    path = model_file.save(tmp_path / "m.safetensors", {"G": network}, dtype=torch.float16)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
