"""Grids, video, curves, and what a run says on stderr."""

import io
import math
import re

import pytest
from rich.console import Console

from i2i.training.report import console
from i2i.training.report.chart import chart
from i2i.training.report.history import POINTS, Curve
from tests.test_report import logged, report, train

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
    assert found[-1].startswith("pix2pix: finished at 1,000 images after 1:39 (10.1 images/s); see ")
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
    assert logged(tmp_path, "losses") == [10]


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
