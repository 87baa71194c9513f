"""A file is read only as one of the promised formats, whatever its content is: no file starts another program."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import i2i
from i2i.core.errors import I2IError
from i2i.data.checks import check
from i2i.inference.outputs import has_frames
from i2i.inference.translate import translate_bytes
from i2i.media import formats, grids, pixels, video

PACKAGE = Path(i2i.__file__).parent
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"
FOREIGN = ["EPS", "ICO", "PCX", "SGI", "IM", "MSP", "XBM", "ICNS", "SPIDER", "DDS", "BLP", "QOI"]


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """A program gs that leaves a file when it is started."""
    ran = tmp_path / "ran.txt"
    gs = tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo 10.0 || echo "$@" > {ran}\n')
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gs.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    return ran


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "x.gif"])
def test_no_image_starts_ghostscript(ghostscript, tmp_path, name):
    path = tmp_path / "images" / name
    path.parent.mkdir()
    path.write_bytes(POSTSCRIPT)
    with pytest.raises(I2IError, match=r"is not an image, or has a format that is not read. Formats: .*\.png"):
        pixels.read(path)
    model = i2i.load("cyclegan_daynight", device="cpu")
    with pytest.raises(I2IError, match="not an image"):
        translate_bytes(POSTSCRIPT, model)
    with pytest.raises(I2IError, match="not an image"):
        model(POSTSCRIPT)
    assert [f.kind for f in check(path.parent)] == ["unreadable"]
    assert not has_frames(path)
    with pytest.raises(OSError, match="cannot identify"):
        grids.thumbnail(path)
    with pytest.raises(OSError, match="cannot identify"):
        grids.timelapse([path])
    assert not ghostscript.exists()


def test_the_reader_of_postscript_would_have_started_it(ghostscript, tmp_path):
    (tmp_path / "x.png").write_bytes(POSTSCRIPT)
    with Image.open(tmp_path / "x.png") as image, pytest.raises(OSError):
        image.load()
    assert ghostscript.exists()


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_of_pillow_are_refused(kind):
    Image.init()
    buffer = io.BytesIO()
    mode = {"MSP": "1", "XBM": "1", "SPIDER": "F", "BLP": "P"}.get(kind, "RGB")
    try:
        Image.new(mode, (32, 32)).save(buffer, kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    with pytest.raises(I2IError, match="has a format that is not read"):
        pixels.read(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("suffix", formats.SUFFIXES)
def test_every_promised_suffix_is_read(tmp_path, suffix):
    array = np.full((16, 16) if suffix == ".pgm" else (16, 16, 3), 90, np.uint8)
    Image.fromarray(array).save(tmp_path / f"a{suffix}")
    (tmp_path / f"a{suffix}").rename(tmp_path / "b.png")  # the content decides, not the name
    assert abs(int(pixels.read(tmp_path / "b.png").mean()) - 90) <= 2


def test_the_package_opens_images_by_one_function_alone():
    calls = [p.name for p in PACKAGE.rglob("*.py") for _ in re.findall(r"\bImage\.open\(", p.read_text("utf-8"))]
    assert calls == ["formats.py"]


@pytest.mark.parametrize("name", ["list.mp4", "list.mkv"])
@pytest.mark.parametrize("head", ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"])
def test_a_list_that_is_named_like_a_video_opens_no_other_file(tmp_path, name, head):
    pytest.importorskip("av")
    with open(tmp_path / "secret.mp4", "wb") as file:
        writer = video.VideoWriter(file, ".mp4", rate=video.FALLBACK_RATE)
        for _ in range(3):
            writer.add(np.zeros((16, 16, 3), np.uint8))
        writer.end()
    (tmp_path / name).write_text(head)
    with pytest.raises(I2IError, match=r"list\.m"), video._open(video.require_pyav("Reading"), tmp_path / name):
        pass
    with video._open(video.require_pyav("Reading"), tmp_path / "secret.mp4") as container:
        assert container.streams.video
