"""A full disk while training, translating and packing: a sentence, nothing half, and the rest once there is room."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from i2i.models.format import save
from i2i.nets.resnet import ResNet
from tests.cli.program import make_pairs, picture
from tests.robustness.forks import IMAGES, SETTINGS, Forks, bytes_of, scraps

pytestmark = pytest.mark.slow
ROOMY = 256 << 20


class Disk:
    """A file system in memory that holds a few hundred KiB."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def __enter__(self):
        if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("only root can mount a small disk, on Linux")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", self.folder], capture_output=True
        )
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted: {done.stderr.decode().strip()}")
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder], check=True)

    def resize(self, size):
        """Gives the disk `size` bytes, never less than what it holds."""
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)


@pytest.fixture(scope="module")
def forks():
    with Forks() as started:
        yield started


@pytest.fixture
def disk(tmp_path):
    with Disk(tmp_path / "disk") as mounted:
        yield mounted


def size_of(folder):
    """Bytes of a folder on a disk of pages of 4 KiB."""
    return sum(-(-path.lstat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """A run that nothing stopped, and the words that begin it."""
    folder = tmp_path_factory.mktemp("whole")
    pairs = make_pairs(folder / "pairs", (("train", 6), ("val", 2)))
    begin = ["train", "pix2pix", pairs, *SETTINGS, "--set", "ema=8", "--set", "keep=9", "--out"]
    assert forks.run(*begin, folder / "run") == (0, "")
    return folder / "run", begin


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_training_goes_on_when_there_is_room_again(share, whole, forks, disk):
    finished, begin = whole
    disk.resize(int(share * size_of(finished)))
    run = disk.folder / "run"
    code, error = forks.run(*begin, run)
    assert code == 1
    assert "No space left on device" in error
    assert "Traceback" not in error
    assert "Unexpected" not in error
    disk.resize(ROOMY)
    words = ["train", "--resume", run, "--quiet"] if (run / "config.yaml").exists() else [*begin, run]
    assert forks.run(*words)[0] == 0
    wanted, made = bytes_of(finished), bytes_of(run)
    for name in ("model.safetensors", f"checkpoints/{IMAGES:012d}/state.safetensors"):
        assert made[name] == wanted[name], name
    assert scraps(run) == []


def test_translating_goes_on_when_there_is_room_again(forks, disk, tmp_path):
    for i in range(60):
        picture(tmp_path / "in" / f"{i % 3}" / f"{i}.png", i, 48, 48)
    save(tmp_path / "tiny.safetensors", {"G": ResNet(3, 3, blocks=1, width=4)}, {"method": "pix2pix"})
    words = ["translate", tmp_path / "in", "--model", tmp_path / "tiny.safetensors", "--quiet", "--resume", "-o"]
    assert forks.run(*words, tmp_path / "whole")[0] == 0
    wanted = bytes_of(tmp_path / "whole")
    disk.resize(size_of(tmp_path / "whole") // 2)
    out = disk.folder / "out"
    code, error = forks.run(*words, out)
    assert code == 3
    assert "No space left on device" in error
    assert "Traceback" not in error
    assert bytes_of(out).items() < wanted.items()  # no half file
    disk.resize(ROOMY)
    assert forks.run(*words, out)[0] == 0
    assert bytes_of(out) == wanted
    assert scraps(out) == []


def test_a_copy_of_a_model_appears_whole_or_not_at_all(forks, disk, tmp_path):
    model = save(tmp_path / "model.safetensors", {"G": ResNet(3, 3, blocks=1, width=16)}, {"method": "pix2pix"})
    disk.resize(model.stat().st_size // 2 // 4096 * 4096)
    words = ["models", "pack", model, "--full", "-o", disk.folder / "copy.safetensors"]
    code, error = forks.run(*words)
    assert code == 1
    assert "No space left on device" in error
    assert list(disk.folder.iterdir()) == []
    disk.resize(ROOMY)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(disk.folder / "copy.safetensors")
    assert forks.run(*words) == (0, "")
    assert (disk.folder / "copy.safetensors").stat().st_size == model.stat().st_size
