"""Every command that a run prints, and every command in its report, works as it is printed."""

import html
import json
import re
import shlex
import shutil

import pytest

from i2i.core.errors import I2IError
from i2i.models.load import load
from tests.cli.program import TINY, i2i, picture

OWN = """from i2i.methods import pix2pix


class Mine(pix2pix.Pix2Pix):
    pass
"""
GAN = ["--images", 4, "--batch", 2, "--size", 16, "--set", "width=4", "--set", "d_width=4", "--device", "cpu"]


def commands_in(report):
    """The commands of report.html, unescaped."""
    found = re.findall(r'<div class="command"><code>(.*?)</code>', report.read_text(encoding="utf-8"), re.S)
    return [html.unescape(command) for command in found]


def run_printed(command, made):
    """Runs a printed command and checks that it leaves the file `made` in the current folder."""
    program, *words = shlex.split(command)
    assert program == "i2i"
    i2i(*words)
    assert made.stat().st_size > 100
    made.unlink()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder with photo.jpg in it."""
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "photo.jpg", 1, 32, 32)
    return tmp_path


@pytest.mark.parametrize("own", [False, True])
def test_the_hints_of_a_translating_run(own, pairs, here):
    (here / "my method.py").write_text(OWN)
    recipe = "./my method.py" if own else "pix2pix"
    out, _ = i2i("train", recipe, pairs, "--images", 4, "--out", "runs/my run", *TINY)
    use = next(line.removeprefix("Use it:").strip() for line in out.splitlines() if line.startswith("Use it:"))
    made = here / "photo.my run.jpg"
    run_printed(use, made)
    printed = commands_in(here / "runs" / "my run" / "report.html")
    assert printed
    assert not any("--resume" in command for command in printed)
    for command in printed:
        run_printed(command, made)


def test_the_hints_of_a_gan(sides, here):
    out, _ = i2i("train", "dcgan", sides[0], "--out", "runs/my gan", *GAN)
    use = next(line.removeprefix("Use it:").strip() for line in out.splitlines() if line.startswith("Use it:"))
    for command in [use, *commands_in(here / "runs" / "my gan" / "report.html")]:
        assert command.startswith("i2i generate ")
        run_printed(command, here / "images.png")
    with pytest.raises(I2IError) as caught:
        load("runs/my gan")
    run_printed(caught.value.hint.removeprefix("Make images with it: "), here / "images.png")


def test_the_report_of_a_stopped_run_goes_on(pairs, here):
    folder = here / "runs" / "stopped"
    i2i("train", "pix2pix", pairs, "--images", 4, "--out", folder, *TINY)
    from i2i.training.report.page import _commands

    assert "<code>i2i doctor runs/stopped</code>" in (folder / "report.html").read_text().replace(str(here) + "/", "")
    shutil.copytree(folder, here / "runs" / "a copy")
    (title, resume), (_, use) = _commands(here / "runs" / "a copy", "stopped")
    assert title == "Continue this run"
    i2i(*shlex.split(resume)[1:])
    run_printed(use, here / "photo.a copy.jpg")
    (folder / "model.safetensors").unlink()
    assert [title for title, _ in _commands(folder, "running")] == ["Continue this run"]


def test_generate_and_pack_tell_machines(sides, here):
    i2i("train", "dcgan", sides[0], "--out", "runs/g", *GAN, "-q")
    words = ["generate", "-m", "runs/g", "-n", 3, "-o", "made", "--grid", "grid.png", "--json"]
    made = json.loads(i2i(*words)[0])
    assert made["images"] == 3
    assert len(made["files"]) == 4
    assert all((here / file).is_file() for file in made["files"])
    packed = json.loads(i2i("models", "pack", "runs/g", "-o", "small.safetensors", "--json")[0])
    assert packed == {"path": "small.safetensors", "bytes": (here / "small.safetensors").stat().st_size}
