"""Palettes of label maps: files, text, colors of images, and colors that are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from i2i.core.errors import I2IError
from i2i.media.palette import OUTSIDE, Palette, outside_note

SKY, CAR, ROAD = (70, 130, 180), (0, 0, 142), (128, 64, 128)
CARS = Palette((SKY, CAR, (0, 0, 143), ROAD), (0, 1, 1, 2), ("sky", "car", "road"))


@pytest.mark.parametrize(
    "lines",
    [
        ["sky #4682b4", "car #00008E #00008f  // two of them", "", "road 128 64 128"],
        ["name,r,g,b", "sky,70,130,180", "car:#00008e,#00008f", "road;128;64;128"],
        ["# colors of a street", "sky\t#4682b4", "car #00008e #00008f # both", "road #804080"],
    ],
)
def test_a_file_has_a_class_in_each_line(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "colors.txt").write_text("\n".join(lines))
    assert Palette.read(tmp_path / "colors.txt") == CARS


def test_gray_label_maps_have_one_level_each(tmp_path: Path) -> None:
    (tmp_path / "levels.txt").write_text("0\n7\n255\n")
    palette = Palette.read(tmp_path / "levels.txt")
    assert (palette.channels, palette.colors) == (1, ((0,), (7,), (255,)))
    assert Palette.of_text(palette.text) == palette


def test_text_is_read_again() -> None:
    assert CARS.text == "colors:sky=4682b4,car=00008e|00008f,road=804080"
    assert Palette.of_text(CARS.text) == CARS
    assert Palette.of_text("colors:000000,ffffff").names == ("", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sky #4682b4\n", "The palette has 1 classes and 1 colors"),
        ("sky #4682b4\ncar #4682b4\n", "the color #4682b4 twice"),
        ("sky #4682b4\ncar 7\n", "gray levels and colors"),
        ("sky #4682b4\ncar 1 2\n", "Line 2 of .* names no color: 'car 1 2'"),
        ("sky 0 0 0\ncar 1 2 256\n", "Line 2 of .* names no color"),
    ],
)
def test_a_file_that_is_no_palette_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "colors.txt").write_text(content)
    with pytest.raises(I2IError, match=message):
        Palette.read(tmp_path / "colors.txt")


@pytest.mark.parametrize(
    "text", ["colors:", "colors:12345,000000", "colors:a=000000|,b=ffffff", "x" * 300, "colors:00"]
)
def test_text_that_is_no_palette_is_refused(text: str) -> None:
    with pytest.raises(I2IError):
        Palette.of_text(text)


def test_a_missing_file_and_binary_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    for path in (tmp_path / "none.txt", tmp_path / "image.png"):
        with pytest.raises(I2IError, match=r"cannot be read|does not exist"):
            Palette.read(path)


def test_the_colors_of_images_are_the_palette() -> None:
    a = np.array([[SKY, ROAD]], np.uint8)
    found = Palette.of_images([("a.png", a), ("b.png", np.array([[CAR, SKY]], np.uint8))])
    assert found.colors == (CAR, SKY, ROAD)
    noisy = np.arange(300 * 3, dtype=np.int64).astype(np.uint8).reshape(1, 300, 3)
    noisy[0, :, 0], noisy[0, :, 1] = np.arange(300) % 256, np.arange(300) // 256
    with pytest.raises(I2IError, match=r"more than 256 colors \(seen at noisy.jpg\)"):
        Palette.of_images([("a.png", a), ("noisy.jpg", noisy)])


def test_colors_outside_of_the_palette_are_counted() -> None:
    array = np.array([[SKY, CAR, (0, 0, 143)], [ROAD, (1, 2, 3), (255, 255, 255)]], np.uint8)
    assert CARS.outside(array) == (2, "#010203")
    assert CARS.outside(array[:1]) == (0, "")
    note = outside_note(2, 6, "#010203")
    assert note.startswith("2 of 6 pixels (33.3 %) have colors that the palette lacks, such as #010203:")
    found = OUTSIDE.search(f"Before. {outside_note(1234, 5000, '#0a', 3)} After.")
    assert found is None
    found = OUTSIDE.search(f"Before. {outside_note(1234, 5000, '#0a')} After.")
    assert found is not None
    assert found.groups() == ("1,234", "5,000", "#0a")
