"""Files and folders that appear whole or not at all, whatever happens while they are written."""

import hashlib
import os
import subprocess
import sys

import pytest

from i2i.core import files
from i2i.core.errors import I2IError


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Stop(Exception):
    pass


def write_half(context, failure, write):
    """Begins to write inside a context, then fails there."""
    with context as target:
        write(target)
        raise failure


def test_an_atomic_file_appears_at_the_end(tmp_path):
    path = tmp_path / "new" / "a.bin"
    with files.atomic_write(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert contents(tmp_path) == {"new/a.bin": b"one"}


@pytest.mark.parametrize("failure", [Stop, KeyboardInterrupt])
def test_an_atomic_file_keeps_what_was_there_after_a_failure(tmp_path, failure):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    with pytest.raises(failure):
        write_half(files.atomic_write(path), failure, lambda file: file.write(b"half"))
    with pytest.raises(failure):
        write_half(files.atomic_path(path), failure, lambda temporary: temporary.write_bytes(b"half"))
    assert contents(tmp_path) == {"a.bin": b"before"}


def test_a_disk_that_refuses_is_a_sentence_with_the_name(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    refused = pytest.raises(I2IError, match=r"file/a\.bin cannot be written: (Not a directory|File exists)\.")
    with refused, files.atomic_write(tmp_path / "file" / "a.bin"):
        pass


def test_an_atomic_path_is_for_writers_that_open_files_by_name(tmp_path):
    with files.atomic_path(tmp_path / "a.bin") as temporary:
        assert (temporary.name, temporary.parent.parent) == ("a.bin", tmp_path)
        (temporary.parent / ".tmpAbCdEf").write_bytes(b"")  # as the writer of safetensors makes
        temporary.write_bytes(b"one")
    assert contents(tmp_path) == {"a.bin": b"one"}
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "b.bin"):
        pass  # nothing was written


def test_an_atomic_folder_appears_at_the_end(tmp_path):
    path = tmp_path / "new" / "folder"
    with files.atomic_folder(path) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a").write_bytes(b"a")
        assert not path.exists()
    assert contents(tmp_path) == {"new/folder/sub/a": b"a"}
    with pytest.raises(Stop):
        write_half(files.atomic_folder(tmp_path / "other"), Stop, lambda folder: (folder / "a").write_bytes(b"half"))
    assert sorted(os.listdir(tmp_path)) == ["new"]


def test_an_atomic_folder_replaces_another_only_if_told_to(tmp_path):
    path = tmp_path / "folder"
    for name in ("one", "two"):
        with files.atomic_folder(path, replace=True) as temporary:
            (temporary / name).write_bytes(b"")
    assert os.listdir(path) == ["two"]
    with pytest.raises(OSError, match="not empty"), files.atomic_folder(path) as temporary:
        (temporary / "three").write_bytes(b"")
    assert os.listdir(path) == ["two"]
    assert os.listdir(tmp_path) == ["folder"]


def test_every_file_of_an_atomic_folder_is_on_the_disk_before_the_rename(tmp_path, monkeypatch):
    synced = []
    real = files.fsync_path
    monkeypatch.setattr(files, "fsync_path", lambda path: synced.append((path.name, final.exists())) or real(path))
    final = tmp_path / "folder"
    with files.atomic_folder(final) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a").write_bytes(b"")
        (temporary / "b").write_bytes(b"")
    assert {(temporary.name, False), ("sub", False), ("a", False), ("b", False)} <= set(synced)
    assert synced[-1] == (tmp_path.name, True)


def test_left_temporary_files_are_swept(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = tmp_path / f".i2i-{files.host()}-{child.pid}-00.tmp"
    alive = tmp_path / f".i2i-{files.host()}-{os.getpid()}-00.tmp"
    other = tmp_path / f".i2i-00000000-{child.pid}-00.tmp"
    old = tmp_path / ".i2i-00000000-1-00.tmp"
    mine = tmp_path / ".mine.tmp"
    for path in (dead, alive, other, old, mine):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    assert files.sweep([tmp_path, tmp_path / "none"]) == 2
    assert sorted(os.listdir(tmp_path)) == sorted(p.name for p in (alive, other, mine))


def test_a_temporary_name_is_one_that_sweep_knows(tmp_path):
    path = tmp_path / files.temporary_name()
    path.write_bytes(b"")
    assert files.sweep([tmp_path]) == 0  # of this process, which goes on
    os.utime(path, (0, 0))
    assert files.sweep([tmp_path]) == 1


def test_digests_of_bytes_and_files_are_those_of_hashlib(tmp_path):
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    assert files.sha256_of(data) == files.sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    expected = hashlib.blake2b(data, digest_size=16).hexdigest()
    assert files.blake2b_of(data) == files.blake2b_of(memoryview(data)) == files.blake2b_of(tmp_path / "a") == expected


def test_names_of_temporary_files_do_not_stay_in_memory(tmp_path, monkeypatch):
    name = f".i2i-{os.urandom(8).hex()}.tmp"
    monkeypatch.setattr(files, "temporary_name", lambda: name)
    with files.atomic_write(tmp_path / "a.txt") as file:
        file.write(b"a")
        same = f"{name} "[:-1]
        assert sys.intern(same) is same  # nobody has put an equal text into Python's table
    assert (tmp_path / "a.txt").read_bytes() == b"a"
