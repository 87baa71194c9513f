"""`i2i translate` as a user types it."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from i2i import bundle, nets
from i2i.cli import translate as command
from i2i.errors import I2IError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "mine"
    bundle.save(folder / "model.safetensors", {"G": nets.build("resnet", blocks=1, width=2)})
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "sub/c.png")):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)).save(folder / name)
    return folder


def i2i(*arguments, code=0):
    """Runs the command; gives (stdout, stderr)."""
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    result = CliRunner().invoke(app, ["translate", *map(str, arguments)])
    if isinstance(result.exception, I2IError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_one_picture(model, photos):
    out, err = i2i(photos / "a.png", "--model", model, "--device", "cpu")
    assert out == ""
    assert "a.mine.png written in" in err
    assert Image.open(photos / "a.mine.png").size == (16, 12)


def test_a_folder_and_nothing_overwritten(model, photos, tmp_path):
    _, err = i2i(photos, "-o", tmp_path / "out", "-m", model, "--size", "8x6")
    assert "3 pictures translated" in err
    assert Image.open(tmp_path / "out" / "sub" / "c.png").size == (8, 6)
    before = (tmp_path / "out" / "a.png").read_bytes()
    _, err = i2i(photos, "-o", tmp_path / "out", "-m", model)
    assert "0 pictures translated" in err
    assert "3 left as they were" in err
    assert (tmp_path / "out" / "a.png").read_bytes() == before
    i2i(photos, "-o", tmp_path / "out", "-m", model, "--overwrite", "--quiet")
    assert Image.open(tmp_path / "out" / "a.png").size == (16, 12)


def test_bad_pictures_are_listed_and_the_code_is_3(model, photos, tmp_path):
    (photos / "bad.png").write_bytes(b"no picture")
    _, err = i2i(photos, "-o", tmp_path / "out", "-m", model, code=3)
    assert "1 picture failed:" in err
    assert "bad.png is not a picture" in err
    out, err = i2i(photos, "-o", tmp_path / "out2", "-m", model, "--json", code=3)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("state") for line in lines] == ["done", "done", "done", "failed", None]
    assert lines[-1]["done"] == 3
    assert lines[-1]["failed"] == 1
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--size", "big"], "size 'big'"),
        (["--size", "1x2x3"], "size '1x2x3'"),
        (["--precision", "fp31"], "Did you mean"),
        (["--direction", "BtoA"], "cannot translate BtoA"),
        (["--device", "nothing"], "device 'nothing'"),
    ],
)
def test_what_is_wrong_is_said(model, photos, arguments, match):
    with pytest.raises(I2IError, match=match):
        i2i(photos / "a.png", "-m", model, *arguments)


def test_what_is_missing_is_said(model, tmp_path):
    with pytest.raises(I2IError, match="no file or folder"):
        i2i(tmp_path / "none.png", "-m", model)
    with pytest.raises(I2IError, match="no model at"):
        i2i(tmp_path / "none.png", "-m", tmp_path / "x.safetensors")
