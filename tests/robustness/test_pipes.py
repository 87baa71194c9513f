"""Nothing waits for ever: what stands in the place of a file and is none (a pipe, a socket, a device) is refused."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i import nets
from i2i.cli import run as program
from i2i.core import files
from i2i.core.errors import I2IError
from i2i.data import DataSettings
from i2i.data import open as open_data
from i2i.inference.inputs import read_list
from i2i.inference.manifest import NAME, Manifest
from i2i.models import format as model_file

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.fixture
def run(here, monkeypatch, capsys) -> Iterator[Callable[..., str]]:
    """Runs a command in the folder `here`, and returns what it prints on stderr; it must end by itself."""

    def command(*words: str, code: int = 1) -> str:
        signal.alarm(60)  # whose default action ends the process: a waiting command would stop all tests
        assert program(list(words)) == code
        signal.alarm(0)
        said = capsys.readouterr().err
        assert "Unexpected" not in said, said
        return said

    monkeypatch.chdir(here)
    yield command
    signal.alarm(0)


@pytest.fixture
def here(tmp_path) -> Path:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "a.png")
    model_file.save(tmp_path / "tiny.safetensors", {"G": nets.build("resnet", blocks=1, width=2)})
    return tmp_path


def test_only_regular_files_are_opened(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with files.open_regular(tmp_path / "link") as file:
        assert file.read() == b"content"
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for path in (pipe(tmp_path / "pipe"), tmp_path, Path("/dev/zero")):
            for use in (files.open_regular, files.require_regular, files.sha256_of, files.blake2b_of):
                with pytest.raises(I2IError, match=r"is a (pipe|folder|device), not a file"):
                    use(path)
        with pytest.raises(I2IError, match="is a socket"):
            files.require_regular(tmp_path / "socket")
        with pytest.raises((I2IError, OSError)):
            files.open_regular(tmp_path / "socket")
    with pytest.raises(FileNotFoundError):
        files.open_regular(tmp_path / "none")


def test_a_list_that_is_a_pipe_and_one_that_the_shell_made(tmp_path):
    with pytest.raises(I2IError, match="is a pipe"):
        read_list(pipe(tmp_path / "list"))
    begin, end = os.pipe()
    os.write(end, b"a.png\nb.png\n")
    os.close(end)
    assert read_list(Path(f"/dev/fd/{begin}")) == ["a.png", "b.png"]  # --list <(command)
    os.close(begin)


def test_a_pipe_named_in_a_list_fails_alone(here, run):
    pipe(here / "f.png")
    (here / "list").write_text("f.png\na.png\n")
    said = run("translate", "--list", "list", "-o", "out", "--model", "tiny.safetensors", code=3)
    assert "is a pipe, not a file" in said
    assert (here / "out" / "a.png").is_file()


def test_a_record_that_is_no_file_of_its_own_is_not_written_to(here, run):
    (here / "out").mkdir()
    (here / "other").write_text("mine\n")
    record = here / "out" / NAME
    for make, words in (
        (lambda: os.mkfifo(record), "is a pipe|is not a file"),
        (lambda: record.symlink_to(here / "other"), "is a link"),
        (lambda: record.symlink_to(here / "none"), "is a link"),
        (lambda: record.symlink_to("/dev/null"), "is a link|is a device"),
        (record.mkdir, "cannot be written|is a folder"),
    ):
        make()
        with pytest.raises(I2IError, match=words):
            Manifest(here / "out", "").open()
        record.rmdir() if record.is_dir() else record.unlink()
    assert (here / "other").read_text() == "mine\n"
    os.mkfifo(record)
    command = ("translate", "a.png", "-o", "out/", "--model", "tiny.safetensors", "--resume")
    assert "is a pipe, not a file" in run(*command)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_training_image_that_becomes_a_pipe_is_one_sentence(tmp_path, suffix):
    for k in range(3):
        Image.fromarray(np.zeros((16, 32, 3), np.uint8)).save(tmp_path / f"{k}{suffix}")
    data = open_data([str(tmp_path)], DataSettings(size=16, workers=0))
    (tmp_path / f"1{suffix}").unlink()
    pipe(tmp_path / f"1{suffix}")
    with pytest.raises(I2IError, match=f"1{suffix} "):
        for _, _ in zip(range(3), data.batches(start=0, batch=1, seed=0), strict=False):
            pass


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("translate", "a.png", "--model", "p.safetensors"), "p.safetensors"),
        (("translate", "a.png", "--model", "p.pth"), "p.pth"),
        (("translate", "a.png", "--model", "p.onnx"), "p.onnx"),
        (("translate", "p.png", "--model", "tiny.safetensors"), "p.png"),
        (("models", "show", "p.safetensors"), "p.safetensors"),
        (("recipes", "show", "p.yaml"), "p.yaml"),
        (("recipes", "show", "p.py"), "p.py"),
        (("train", "p.yaml", "--data", "."), "p.yaml"),
        (("train", "p.py", "--data", "."), "p.py"),
        (("train", "pix2pix", "--data", ".", "--set", "augment=p.yaml", "--set", "layout=joined"), "p.yaml"),
        (("train", "--resume", "."), "config.yaml"),
        (("data", "check", "folder"), "folder/p.png"),
        (("evaluate", "--model", "tiny.safetensors", "--data", "folder"), "folder/p.png"),
    ],
)
def test_every_command_ends_where_a_pipe_stands_for_a_file(here, run, words, name):
    (here / name).parent.mkdir(exist_ok=True)
    pipe(here / name)
    run(*words)
