"""Sample grids, contact sheets and animated GIFs."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.media import grids


def noise_images(count: int) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(count)) * 2 - 1


def colors(image):
    """The colors of an image by how often they are there, without background and letters."""
    found = sorted(image.getcolors(1 << 24), reverse=True)
    return [c for n, c in found if n >= 400 and c != grids.BACKGROUND]


def test_rows_are_images_and_columns_are_titled():
    x = torch.stack([torch.full((3, 64, 64), v) for v in (-1.0, 1.0)])
    grid = grids.draw_grid({"input": x, "real": -x})
    assert grid.mode == "RGB"
    a = np.asarray(grid)
    assert (a[:24] > 150).any()  # letters above the images
    cells = [tuple(map(int, a[y, x])) for y in (100, 220) for x in (60, 200)]
    assert cells == [(0, 0, 0), (255, 255, 255), (255, 255, 255), (0, 0, 0)]


def test_small_images_are_enlarged_pixel_by_pixel_to_one_size():
    small, large = torch.rand(1, 3, 16, 16) * 2 - 1, torch.rand(1, 3, 64, 64) * 2 - 1
    grid = np.asarray(grids.draw_grid({"low": small, "high": large}))
    left, top = grids.PADDING, grid.shape[0] - grids.PADDING - 128
    cell = grid[top : top + 128, left : left + 128]
    expected = np.asarray(grids.to_rgb(small[0]).resize((128, 128), Image.Resampling.NEAREST))
    assert (cell == expected).all()
    other = grid[top : top + 128, left + 128 + grids.GAP : left + 256 + grids.GAP]
    assert (other == np.asarray(grids.to_rgb(large[0]).resize((128, 128), Image.Resampling.NEAREST))).all()


@pytest.mark.parametrize(("count", "columns"), [(64, 8), (36, 6), (16, 4)])
def test_a_square_number_of_samples_leaves_no_cell_empty(count, columns):
    grid = grids.draw_grid({"samples": torch.ones(count, 3, 32, 32)})
    assert grid.width == 2 * grids.PADDING + columns * 128 + (columns - 1) * grids.PADDING
    assert (np.asarray(grid) == 255).all(-1).mean() > count * 128 * 128 / (grid.width * grid.height) - 0.01


def test_large_images_are_brought_down():
    grid = grids.draw_grid({"x": torch.zeros(1, 3, 1024, 2048)})
    assert grid.width == grids.MAX_SIDE + 2 * grids.PADDING


@pytest.mark.parametrize("c", [1, 2, 3, 4, 5])
def test_any_number_of_channels(c):
    assert colors(grids.draw_grid({"x": torch.ones(1, c, 32, 32)})) == [(255, 255, 255)]


def test_transparent_images_show_a_checkerboard_and_nan_is_black():
    clear = torch.ones(1, 4, 32, 32)
    clear[:, 3] = -1
    assert set(colors(grids.draw_grid({"x": clear}))) == {(153, 153, 153), (204, 204, 204)}
    assert colors(grids.draw_grid({"x": torch.full((1, 3, 32, 32), math.nan)})) == [(0, 0, 0)]
    assert colors(grids.draw_grid({"x": torch.full((1, 1, 32, 32), math.inf)})) == [(255, 255, 255)]


def test_many_images_are_wrapped_into_a_readable_shape():
    for columns in ({"samples": noise_images(64)}, {"a": noise_images(8), "b": noise_images(8), "c": noise_images(8)}):
        grid = grids.draw_grid(columns)
        assert 0.6 < grid.width / grid.height < 2.4


def test_odd_columns(tmp_path):
    assert grids.draw_grid({}).size == (grids.MIN_SIDE, grids.MIN_SIDE)
    grid = grids.draw_grid(
        {
            "three": noise_images(3),
            "one": noise_images(1),
            "none": noise_images(0),
            "日本 " * 30 + "\n": noise_images(2),
        }
    )
    assert grid.width > 300


def test_a_timelapse_is_bounded_and_shows_every_frame(tmp_path):
    generator = torch.Generator().manual_seed(0)
    paths = []
    for i in range(6):
        noise = torch.rand(4, 3, 64, 64, generator=generator) * 2 - 1
        paths.append(tmp_path / f"{i}.png")
        grids.draw_grid({"x": noise, "y": noise}).save(paths[-1])
    data = grids.timelapse(paths, max_bytes=120_000, width=300)
    assert len(data) <= 120_000
    with Image.open(io.BytesIO(data)) as gif:
        assert gif.format == "GIF"
        assert gif.n_frames == 6
        assert gif.info["loop"] == 0
    assert len(grids.timelapse(paths, width=300)) > 120_000


def test_a_contact_sheet_holds_each_image_once_in_order():
    images = [np.full((3, 5, 1), i + 1, np.uint8) for i in range(5)]
    sheet = grids.contact_sheet(images)  # 3 columns, 2 rows
    assert sheet.shape == (2 * (3 + 2) + 2, 3 * (5 + 2) + 2, 1)
    assert [int(sheet[2 + 5 * (i // 3), 2 + 7 * (i % 3), 0]) for i in range(6)] == [1, 2, 3, 4, 5, 0]
    assert int((sheet > 0).sum()) == 5 * 3 * 5
    assert grids.contact_sheet(images, 9).shape == (3 + 4, 5 * 7 + 2, 1)  # no more columns than images


def test_enlarging_repeats_pixels_and_makes_sides_even():
    image = np.arange(15, dtype=np.uint8).reshape(3, 5, 1)
    large = grids.enlarge(image, least=9)
    assert large.shape == (6, 10, 1)
    assert np.array_equal(large[::2, ::2], image)
    odd = grids.enlarge(image, least=5)
    assert odd.shape == (4, 6, 1)
    assert np.array_equal(odd[:3, :5], image)
    assert np.array_equal(odd[3], odd[2])


@pytest.mark.parametrize(("fps", "delay"), [(5, 200), (1000, 20), (0.5, 2000)])
def test_a_gif_plays_its_images_without_end(tmp_path, fps, delay):
    images = [np.full((64, 128, 3), value, np.uint8) for value in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    path = grids.save_gif(tmp_path / "a.gif", images, fps)
    with Image.open(path) as gif:
        assert gif.n_frames == 3
        assert gif.info["loop"] == 0
        for i, image in enumerate(images):
            gif.seek(i)
            assert gif.info["duration"] == delay
            assert np.array_equal(np.asarray(gif.convert("RGB")), image)


def test_a_gif_that_cannot_be_written_leaves_what_was_there(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(I2IError, match="cannot be written"):
        grids.save_gif(tmp_path / "file" / "a.gif", [np.zeros((8, 8, 3), np.uint8)], 5)


def test_a_thumbnail_fits_and_keeps_the_shape(tmp_path):
    Image.new("RGB", (3000, 1500), (0, 128, 255)).save(tmp_path / "a.png")
    with Image.open(io.BytesIO(grids.thumbnail(tmp_path / "a.png"))) as image:
        assert (image.format, image.size) == ("JPEG", (1200, 600))
    with pytest.raises(OSError, match="nothing"):
        grids.thumbnail(tmp_path / "nothing.png")
