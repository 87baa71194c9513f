"""Grids, video, curves, and what a run says on stderr."""

import io
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from i2i.core.format import format_duration, format_number
from i2i.media import grids
from i2i.training.report import console
from i2i.training.report.chart import chart
from i2i.training.report.history import POINTS, Curve
from tests.test_report import pictures, report, told, train

# ---- sample grids ----------------------------------------------------------------------------------------------


def colours(image):
    """The colours of an image by how often they are there, without the mat and the letters."""
    found = sorted(image.getcolors(1 << 24), reverse=True)
    return [c for n, c in found if n >= 400 and c != grids.BACKGROUND]


def test_rows_are_pictures_and_columns_are_titled():
    x = torch.stack([torch.full((3, 64, 64), v) for v in (-1.0, 1.0)])
    made = grids.draw_grid({"input": x, "real": -x})
    assert made.mode == "RGB"
    a = np.asarray(made)
    assert (a[:24] > 150).any()  # letters above the images
    cells = [tuple(map(int, a[y, x])) for y in (100, 220) for x in (60, 200)]
    assert cells == [(0, 0, 0), (255, 255, 255), (255, 255, 255), (0, 0, 0)]


def test_small_pictures_are_enlarged_pixel_by_pixel_to_one_size():
    small, large = torch.rand(1, 3, 16, 16) * 2 - 1, torch.rand(1, 3, 64, 64) * 2 - 1
    made = np.asarray(grids.draw_grid({"low": small, "high": large}))
    left, top = grids.PADDING, made.shape[0] - grids.PADDING - 128
    cell = made[top : top + 128, left : left + 128]
    expected = np.asarray(grids.to_rgb(small[0]).resize((128, 128), Image.Resampling.NEAREST))
    assert (cell == expected).all()
    other = made[top : top + 128, left + 128 + grids.GAP : left + 256 + grids.GAP]
    assert (other == np.asarray(grids.to_rgb(large[0]).resize((128, 128), Image.Resampling.NEAREST))).all()


@pytest.mark.parametrize(("count", "columns"), [(64, 8), (36, 6), (16, 4)])
def test_a_square_number_of_samples_leaves_no_cell_empty(count, columns):
    made = grids.draw_grid({"samples": torch.ones(count, 3, 32, 32)})
    assert made.width == 2 * grids.PADDING + columns * 128 + (columns - 1) * grids.PADDING
    assert (np.asarray(made) == 255).all(-1).mean() > count * 128 * 128 / (made.width * made.height) - 0.01


def test_large_pictures_are_brought_down():
    made = grids.draw_grid({"x": torch.zeros(1, 3, 1024, 2048)})
    assert made.width == grids.MAX_SIDE + 2 * grids.PADDING


@pytest.mark.parametrize("c", [1, 2, 3, 4, 5])
def test_any_number_of_channels(c):
    assert colours(grids.draw_grid({"x": torch.ones(1, c, 32, 32)})) == [(255, 255, 255)]


def test_transparent_pictures_show_a_checkerboard_and_nan_is_black():
    clear = torch.ones(1, 4, 32, 32)
    clear[:, 3] = -1
    assert set(colours(grids.draw_grid({"x": clear}))) == {(153, 153, 153), (204, 204, 204)}
    assert colours(grids.draw_grid({"x": torch.full((1, 3, 32, 32), math.nan)})) == [(0, 0, 0)]
    assert colours(grids.draw_grid({"x": torch.full((1, 1, 32, 32), math.inf)})) == [(255, 255, 255)]


def test_many_pictures_are_wrapped_into_a_readable_shape():
    for columns in ({"samples": pictures(64)}, {"a": pictures(8), "b": pictures(8), "c": pictures(8)}):
        made = grids.draw_grid(columns)
        assert 0.6 < made.width / made.height < 2.4


def test_odd_columns(tmp_path):
    assert grids.draw_grid({}).size == (grids.MIN_SIDE, grids.MIN_SIDE)
    made = grids.draw_grid(
        {"three": pictures(3), "one": pictures(1), "none": pictures(0), "日本 " * 30 + "\n": pictures(2)}
    )
    assert made.width > 300


def test_the_film_is_bounded_and_shows_every_frame(tmp_path):
    generator = torch.Generator().manual_seed(0)
    paths = []
    for i in range(6):
        noise = torch.rand(4, 3, 64, 64, generator=generator) * 2 - 1
        paths.append(tmp_path / f"{i}.png")
        grids.draw_grid({"x": noise, "y": noise}).save(paths[-1])
    made = grids.timelapse(paths, max_bytes=120_000, width=300)
    assert len(made) <= 120_000
    with Image.open(io.BytesIO(made)) as film:
        assert film.format == "GIF"
        assert film.n_frames == 6
        assert film.info["loop"] == 0
    assert len(grids.timelapse(paths, width=300)) > 120_000


# ---- curves ----------------------------------------------------------------------------------------------------


def test_a_curve_keeps_its_mean_its_extremes_and_its_end():
    curve = Curve()
    values = [math.sin(i / 50) + (5 if i == 1234 else 0) for i in range(5000)]
    for i, value in enumerate(values):
        curve.add(i, value)
    assert len(curve.points) <= POINTS
    assert sum(p[4] for p in curve.points) == 5000
    assert sum(p[1] * p[4] for p in curve.points) == pytest.approx(sum(values))
    assert max(p[3] for p in curve.points) == max(values)
    assert min(p[2] for p in curve.points) == min(values)
    assert curve.last == values[-1]
    assert curve.points[-1][0] == 4999


@pytest.mark.parametrize(
    "values", [[0.0], [3.0, 3.0], [-1.0, 2.0], [1e-8, 1e9], [1e300, -1e300], [5e-324, 1.0], [0.0, 0.0]]
)
def test_any_numbers_can_be_drawn(values):
    curve = Curve()
    for i, value in enumerate(values):
        curve.add(i, value)
    drawn = chart("c", "t", curve, len(values), 0, [1])
    assert not re.search(r"\b(nan|inf)\b", repr(drawn))
    assert ("log" in drawn.data) == (min(values) > 1e-300 and max(values) > 3 * min(values))
    heights = [float(pair.split(",")[1]) for pair in drawn.scales[0].line.split()]
    assert all(0 <= h <= 176 for h in heights)
    assert heights == sorted(heights, reverse=True) or values[0] > values[-1]  # larger is higher


def test_numbers_for_people():
    assert [format_number(v) for v in (0, 2e-4, 0.0123, 12.34, 1234, 12500, 3.2e6, -5e9)] == [
        "0", "2e-4", "0.0123", "12.3", "1,234", "12.5k", "3.2M", "-5G",
    ]  # fmt: skip
    spans = [format_duration(s) for s in (0, 7.4, 59.7, 185, 7385, 49 * 3600 + 120)]
    assert spans == ["0 s", "7 s", "1:00", "3:05", "2:03:05", "2 d 01:02"]


# ---- stderr ----------------------------------------------------------------------------------------------------


def test_quiet_means_quiet_but_not_about_trouble(tmp_path, capfd, caplog):
    watch = report(tmp_path)
    watch.event(0, "note", text="a note")
    train(watch, 50)
    assert not caplog.records
    watch.event(50, "save failed", error="No space left on device")
    watch.close()
    assert "No space left" in caplog.text
    assert capfd.readouterr().out == ""


def test_a_pipe_gets_a_line_now_and_then(tmp_path, capsys, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    watch = report(tmp_path, 1000, live=True)
    watch.event(0, "note", text="a note")
    for i in range(1, 101):
        clock[0] += 1.0
        train(watch, 10 * i)
        if i % 5 == 0:
            watch.event(10 * i, "saved")
    watch.close()
    out, err = capsys.readouterr()
    assert out == ""
    found = err.splitlines()
    assert found[:2] == ["Note: a note", f"pix2pix: 1,000 images, continuing at 10, into {tmp_path}"]
    assert found[-1].startswith("pix2pix: finished at 1,000 images after 1:39 (10 images/s); see ")
    moving = [line for line in found if " left; " in line]
    assert 9 <= len(moving) <= 10
    assert moving[0] == "110 of 1,000 images (11%), 3.5 images/s, 4:14 left; G l1 0.00901; D real 0.500"
    assert 9 <= len([line for line in found if line.startswith("saved")]) <= 11
    assert "\x1b" not in err


def test_nobody_at_the_other_end_of_the_pipe_stops_no_training(tmp_path, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("sys.stderr", Gone())
    watch = report(tmp_path, live=True)
    train(watch, 10)
    watch.close()
    assert told(tmp_path, "losses") == [10]


def test_a_terminal_gets_a_bar_with_speed_time_left_and_losses(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    out = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    bar = console.LiveBar("pix2pix", 1000, out)
    bar.message("Note: before")
    bar.start(0)
    try:
        bar.losses(100, {"G/l1": 12.345, "G/adv": 0.7, "D/real": 0.25}, 20.0)
        bar.saved(100)

        def seen():
            with out.capture() as shown:
                out.print(bar.bar.get_renderable())
            return shown.get()

        words = seen()
        for expected in ("100/1,000 images", "20/s", "45 s left", "G l1 12.3  adv 0.700", "D real 0.250", "saved at"):
            assert expected in words
        clock[0] += 1000
        assert "100/1,000 images" in seen()  # the bar shows what is known, not what is guessed
        bar.losses(1000, {"G/l1": 1.0}, 20.0)
        assert "1,000/1,000 images" in seen()
    finally:
        bar.finish("done")
    assert bar.bar is None
    bar.finish("again")


def test_the_printer_fits_stderr(monkeypatch):
    assert isinstance(console.progress_printer("x", 1, "f", live=False), console.Silent)
    assert isinstance(console.progress_printer("x", 1, "f", live=True), console.PlainLines)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("CI", raising=False)
    assert isinstance(console.progress_printer("x", 1, "f", live=True), console.LiveBar)
    monkeypatch.setenv("CI", "true")
    assert isinstance(console.progress_printer("x", 1, "f", live=True), console.PlainLines)
