"""What a killed process leaves is removed by the next one in that folder, and never what a living one is writing."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from i2i.core import files
from i2i.core.errors import I2IError
from i2i.training.run_lock import RunLock

HOLD = """
import sys, time
from pathlib import Path
from i2i.core import files
folder = Path(sys.argv[1])
make = {"path": lambda: files.atomic_path(folder / "a.bin"), "write": lambda: files.atomic_write(folder / "a.bin"),
        "folder": lambda: files.atomic_folder(folder / "a"), "temporary": files.temporary_folder}[sys.argv[2]]
with make() as inside:
    if isinstance(inside, Path):
        inside = inside if inside.is_dir() else inside.parent
        (inside / ".tmpAbCdEf").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(600)
"""
LOCK = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from i2i.training.run_lock import RunLock
lock = RunLock(SimpleNamespace(folder=Path(sys.argv[1])))
lock.take()
print("ready", flush=True)
time.sleep(600)
"""


def started(code: str, *words: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A program that has said that it is ready."""
    command = [*before, sys.executable, "-c", code, *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def container() -> tuple[str, ...]:
    """The words that run a command in a namespace of processes of its own, as containers do."""
    words = ("unshare", "--pid", "--fork", "--kill-child")
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces cannot be made here")
    return words


@pytest.mark.parametrize("kind", ["path", "write", "folder", "temporary"])
def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    process = started(HOLD, tmp_path, kind)
    assert files.sweep([tmp_path]) == 0  # it lives
    process.kill()
    process.wait()
    (scrap,) = os.listdir(tmp_path)
    assert scrap.startswith(".i2i-")
    assert scrap.endswith(".tmp")
    if kind == "temporary":
        with files.temporary_folder() as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
            assert os.listdir(tmp_path) == [folder.name]
        assert os.listdir(tmp_path) == []
    else:
        with files.atomic_path(tmp_path / "b.bin") as path:
            path.write_bytes(b"")
        assert os.listdir(tmp_path) == ["b.bin"]


def test_containers_that_share_a_folder_do_not_sweep_each_others_files(tmp_path, container):
    process = started(HOLD, tmp_path, "path", before=container)
    (scrap,) = tmp_path.iterdir()
    assert int(scrap.name.split("-")[2]) < 100  # its number there; here it may be any other process's, or nobody's
    sweep = f"from i2i.core import files; from pathlib import Path; print(files.sweep([Path({str(tmp_path)!r})]))"
    for words in ((), container):  # from outside, and from a third namespace
        command = [*words, sys.executable, "-c", sweep]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"
    process.kill()
    process.wait()
    assert files.sweep([tmp_path]) == 0  # nobody here can know that it has ended
    for path in (*scrap.iterdir(), scrap):
        os.utime(path, (0, 0))
    assert files.sweep([tmp_path]) == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_still_written_to_is_not_a_day_old(tmp_path):
    folder = tmp_path / ".i2i-00000000-1-00.tmp"
    folder.mkdir()
    (folder / "large.safetensors").write_bytes(b"")
    os.utime(folder, (0, 0))
    assert files.sweep([tmp_path]) == 0
    os.utime(folder / "large.safetensors", (0, 0))
    os.utime(folder, (0, 0))
    assert files.sweep([tmp_path]) == 1


def test_links_are_removed_and_never_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_bytes(b"")
    link = tmp_path / ".i2i-00000000-1-00.tmp"
    link.symlink_to(tmp_path / "mine")
    os.utime(link, (0, 0), follow_symlinks=False)
    os.utime(tmp_path / "mine" / "file", (0, 0))
    files.sweep([tmp_path])
    assert (tmp_path / "mine" / "file").is_file()


def test_a_lock_in_a_shared_folder_dies_with_its_owner_in_another_container(tmp_path, container):
    process = started(LOCK, tmp_path, before=container)
    lock = RunLock(SimpleNamespace(folder=tmp_path))  # type: ignore[arg-type]
    with pytest.raises(I2IError, match="Another process is training"):
        lock.take()
    process.kill()
    process.wait()
    begun = time.monotonic()
    while True:  # the system ends the inner process a moment after the outer one
        try:
            lock.take()
            break
        except I2IError:
            assert time.monotonic() - begun < 60
            time.sleep(0.05)
    lock.release()


def test_a_file_with_the_name_of_a_lock_is_no_lock(tmp_path):
    (tmp_path / ".lock").write_text(f"{os.getpid()}\n{files.socket.gethostname()}\n")
    lock = RunLock(SimpleNamespace(folder=tmp_path))  # type: ignore[arg-type]
    lock.take()
    lock.release()
    assert Path(tmp_path).is_dir()
