"""Formats by suffix and by content: what Pillow reads, what needs a package, and what is left out by name."""

import shutil

import numpy as np
import pytest
from PIL import Image

import i2i
from i2i.core.errors import I2IError
from i2i.data.checks import check
from i2i.media import formats, images, pixels

RAMP = np.dstack([np.linspace(40, 200, 48 * 32).reshape(32, 48).astype(np.uint8)] * 3)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".apng", ".dib", ".pnm", ".pbm", ".JFIF", ".j2k"])
def test_what_pillow_reads_is_found_and_read(tmp_path, suffix):
    kind = Image.registered_extensions()[suffix.lower()]
    image = Image.fromarray(RAMP)
    (image.convert("1") if suffix == ".pbm" else image).save(tmp_path / f"a{suffix}", kind)
    assert [p.name for p in images.find_images(tmp_path)] == [f"a{suffix}"]
    assert pixels.read(tmp_path / f"a{suffix}").shape == RAMP.shape


@pytest.fixture
def phone(tmp_path):
    """A folder as a phone fills it, whose formats are read by packages."""
    heif, _ = pytest.importorskip("pillow_heif"), pytest.importorskip("pillow_jxl")
    heif.from_pillow(Image.fromarray(RAMP)).save(tmp_path / "a.heic", quality=95)
    Image.fromarray(RAMP).save(tmp_path / "b.jxl", quality=95)
    for name in ("c.psd", "d.DNG", "Thumbs.db", ".hidden.xyz"):
        (tmp_path / name).write_bytes(b"x")
    Image.fromarray(RAMP).save(tmp_path / "e.png")
    return tmp_path


def test_heic_and_jpeg_xl_are_read_by_their_packages(phone):
    assert [p.name for p in images.find_images(phone)] == ["a.heic", "b.jxl", "e.png"]
    for name in ("a.heic", "b.jxl"):
        difference = pixels.read(phone / name).astype(int) - RAMP
        assert abs(difference).mean() < 4
        shutil.copy(phone / name, phone / f"{name}.png")  # content counts, not the name
        assert (pixels.read(phone / f"{name}.png") == pixels.read(phone / name)).all()


def test_files_of_other_suffixes_are_counted(phone):
    line = "2 files were left out: 1 .dng, 1 .psd. Raw photos (.dng) are not read: convert them to TIFF or JPEG."
    assert [f.text for f in check(phone) if f.kind == "left out"] == [line]
    result = i2i.translate(phone, phone.parent / "out", "cyclegan_daynight", dry_run=True)
    assert result.left_out == line
    assert len(result.planned) == 3


def test_without_the_packages_the_command_that_installs_them_is_named(phone, monkeypatch):
    monkeypatch.setattr(formats, "is_installed", lambda package: False)
    others = []
    assert [p.name for p in images.find_images(phone, others=others)] == ["e.png"]
    line = formats.left_out(others)
    assert line.startswith(
        "4 files were left out: 1 .dng, 1 .heic, 1 .jxl, 1 .psd. To read HEIC and JPEG XL: pip install"
    )
    assert "[formats]" in line
    with pytest.raises(I2IError, match="is a HEIC image") as error:
        pixels.read(phone / "a.heic")
    assert "[formats]" in error.value.hint
