"""Numbers, sizes and durations as people read them."""

import pytest

from i2i.core.format import format_bytes, format_duration, format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (2e-4, "2e-4"), (0.0123, "0.0123"), (12.34, "12.3"), (1234, "1,234"), (12500, "12.5k"),
        (3.2e6, "3.2M"), (-5e9, "-5G"),
    ],
)  # fmt: skip
def test_numbers(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (7.4, "7 s"), (59.7, "1:00"), (185, "3:05"), (7385, "2:03:05"), (49 * 3600 + 120, "2 d 01:02"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (640, "640 B"), (1023, "1023 B"), (1024, "1 KiB"), (12 << 10, "12 KiB"), ((1 << 20) - 1, "1.0 MiB"),
        (1.4 * 2**20, "1.4 MiB"), (9.96 * 2**20, "10 MiB"), (320 << 20, "320 MiB"), (1023.7 * 2**20, "1.0 GiB"),
        (5 << 31, "10.0 GiB"),
    ],
)  # fmt: skip
def test_sizes(size, text):
    assert format_bytes(size) == text
