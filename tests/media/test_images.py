"""Reading on purpose, tensors, the papers' pre-processing, files that land whole."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.core.errors import I2IError
from i2i.data import preprocess
from i2i.media import images, pixels
from tests.golden.reading import cut_uint8, to_tensor

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), np.uint8)


def written(tmp_path: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_rgb_comes_as_it_is_and_gray_by_pillows_weights(tmp_path):
    path = written(tmp_path, Image.fromarray(PICTURE), "a.png")
    assert np.array_equal(pixels.read(path), PICTURE)
    assert np.array_equal(pixels.read(path, 1)[..., 0], np.asarray(Image.fromarray(PICTURE).convert("L")))
    assert pixels.read(path, 4)[..., 3].min() == 255


def test_transparency_is_laid_on_white_or_kept(tmp_path):
    rgba = np.dstack([PICTURE, np.zeros((20, 30), np.uint8)])
    rgba[0, 0] = (10, 20, 30, 255)
    path = written(tmp_path, Image.fromarray(rgba), "a.png")
    assert pixels.read(path)[0, 0].tolist() == [10, 20, 30]
    assert pixels.read(path)[5, 5].tolist() == [255, 255, 255]
    assert pixels.read(path, None).shape == (20, 30, 4)
    half = written(tmp_path, Image.fromarray(np.full((4, 4, 2), (100, 128), np.uint8), "LA"), "la.png")
    assert abs(int(pixels.read(half, 1)[0, 0, 0]) - round(100 * 128 / 255 + 255 * 127 / 255)) <= 1


def test_palette_with_and_without_transparency(tmp_path):
    palette = Image.fromarray(PICTURE // 64 * 64).quantize(64)
    path = written(tmp_path, palette, "p.png")
    assert np.array_equal(pixels.read(path), np.asarray(palette.convert("RGB")))
    clear = written(tmp_path, palette, "t.gif", transparency=palette.getpixel((3, 3)))
    assert pixels.read(clear)[3, 3].tolist() == [255, 255, 255]
    assert pixels.read(clear, None).shape[2] == 4


def test_cmyk_becomes_rgb(tmp_path):
    path = written(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "c.jpg", quality=95)
    red = pixels.read(path)[4, 4]
    assert red[0] > 240
    assert red[1] < 30
    assert red[2] < 30


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    deep = np.array([[0, 128, 257, 32768, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        path = written(tmp_path, Image.fromarray(deep), name)
        assert pixels.read(path, 1)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
        assert pixels.read(path, 3).shape == (1, 5, 3)
        with images.open_image(path) as image:
            array = images.to_array(image)
        assert array.dtype == np.uint16
        assert array[..., 0].tolist() == deep.tolist()


def test_exif_orientation_is_applied(tmp_path):
    upright = Image.fromarray(PICTURE)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "a.webp"):
        path = written(tmp_path, upright.transpose(Image.Transpose.ROTATE_90), name, exif=exif, lossless=True)
        assert np.array_equal(pixels.read(path), PICTURE)


def test_animation_gives_its_first_frame_and_one_bit_images_are_gray(tmp_path):
    frames = [Image.new("RGB", (5, 5), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixels.read(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]
    path = written(tmp_path, Image.new("1", (5, 5), 1), "one.png")
    assert pixels.read(path, None).tolist() == np.full((5, 5, 1), 255).tolist()


def test_damaged_files_are_named(tmp_path):
    whole = io.BytesIO()
    Image.fromarray(np.tile(PICTURE, (10, 10, 1))).save(whole, "JPEG")
    cases = {"cut.jpg": whole.getvalue()[:3000], "empty.png": b"", "text.jpg": b"hello there, no image"}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(I2IError, match=name):
            pixels.read(tmp_path / name)
    with pytest.raises(I2IError, match="does not exist"):
        pixels.read(tmp_path / "none.png")


def test_bombs_are_refused_before_decoding(tmp_path):
    path = written(tmp_path, Image.new("1", (11000, 11000)), "bomb.png")
    with pytest.raises(I2IError, match=r"bomb\.png"):
        pixels.read(path)
    with pytest.raises(I2IError, match="limit of 100"):
        pixels.read(written(tmp_path, Image.fromarray(PICTURE), "a.png"), max_pixels=100)


def test_every_level_survives_the_round_trip_and_the_cut_loses_63():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    tensor = to_tensor(levels)
    assert tensor.shape == (3, 16, 16)
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor[0], (torch.arange(256).view(16, 16) / 255 - 0.5) / 0.5)
    assert np.array_equal(images.to_uint8(tensor), levels)
    cut = cut_uint8(tensor[None])
    assert int((cut[..., 0] != levels[..., 0]).sum()) == 63  # the number recorded for the papers' code
    assert cut_uint8(tensor[:1]).shape == (16, 16, 3)
    assert images.to_uint8(torch.full((1, 2, 2), 7.0)).max() == 255


@pytest.mark.parametrize(
    ("rule", "load", "crop", "size"),
    [
        ("resize_and_crop", 72, 64, (64, 64)),
        ("resize", 72, 64, (72, 72)),
        ("scale_width", 100, 64, (100, 74)),
        ("scale_width_and_crop", 96, 64, (64, 64)),
        ("crop", 0, 64, (64, 64)),
        ("none", 0, 0, (200, 152)),
    ],
)
def test_sizes_of_the_papers_rules(rule, load, crop, size):
    assert preprocess.fit(Image.new("RGB", (201, 150)), rule, load, crop).size == size


def test_half_to_even_and_unknown_rules():
    assert preprocess.Preprocess.named("none").size(258, 262, 0, 0) == (256, 264)
    with pytest.raises(I2IError, match="Did you mean crop"):
        preprocess.fit(Image.new("RGB", (8, 8)), "crp", 8, 8)


def test_window_and_flip():
    made = preprocess.fit(Image.fromarray(PICTURE), "crop", 0, 8, (5, 2), flip=True)
    assert np.array_equal(np.asarray(made), PICTURE[2:10, 5:13][:, ::-1])


def test_find_is_sorted_recursive_and_skips_hidden(tmp_path):
    for name in ("b.PNG", "a/c.jpg", "a/.hidden.jpg", ".git/d.png", "notes.txt", "a/b/e.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in images.find_images(tmp_path)] == [
        "a/b/e.webp",
        "a/c.jpg",
        "b.PNG",
    ]


def test_save_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = images.save(tmp_path / "deep" / "a.png", PICTURE)
    assert np.array_equal(pixels.read(path), PICTURE)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(I2IError, match="No space left"):
        images.save(path, 255 - PICTURE)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.png"]
    with pytest.raises(I2IError, match="suffix"):
        images.save(tmp_path / "a.xyz", PICTURE)


def test_jpeg_of_a_transparent_image_is_laid_on_white(tmp_path):
    path = images.save(tmp_path / "a.jpg", np.zeros((8, 8, 4), np.uint8))
    assert pixels.read(path).min() == 255
