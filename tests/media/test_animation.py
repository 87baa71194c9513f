"""How long frames are shown, and the still image that a PNG holds apart from them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from i2i.inference.translate import translate
from i2i.media import png
from tests.media.test_codec import CASES, noise, same, soft


def controls(path):
    """(numerator, denominator) of the duration of each frame of a PNG file."""
    with path.open("rb") as file:
        return [struct.unpack(">HH", data[20:24]) for _, data in png.chunks(file, [b"fcTL"])]


def shown(path):
    with Image.open(path) as image:
        result = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            result.append((image.info.get("duration"), np.asarray(image.convert("RGB"))))
        return result


def test_fractions_of_a_millisecond(tmp_path):
    assert translate(CASES / "fraction.png", tmp_path / "a.png", same()).failed == []
    assert controls(tmp_path / "a.png") == [(1001, 30000)] * 4
    for suffix, nearest in ((".gif", 30), (".webp", 33)):
        translate(CASES / "fraction.png", tmp_path / f"a{suffix}", same())
        assert [duration for duration, _ in shown(tmp_path / f"a{suffix}")] == [nearest] * 4


@pytest.mark.parametrize(
    ("durations", "gif"),
    [([36, 44, 4, 1], [40, 40, 10, 10]), ([100_000, 60, 100_500, 70], [100_000, 60, 100_500, 70])],
)
def test_durations_of_any_length(tmp_path, durations, gif):
    frames = [Image.fromarray(np.roll(noise(8, 8, 3), k, 1)) for k in range(4)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=durations, lossless=True)
    for suffix, expected in ((".png", durations), (".gif", gif), (".webp", durations)):
        assert translate(tmp_path / "a.webp", tmp_path / f"b{suffix}", same()).failed == []
        found = [round(duration or 0) for duration, _ in shown(tmp_path / f"b{suffix}")]
        assert found == expected


def test_frames_that_repeat_are_shown_as_long_as_together(tmp_path):
    one, other = Image.fromarray(noise(8, 8, 3)), Image.fromarray(noise(8, 8, 3)[::-1])
    frames = [one, one, other, other]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=[33, 34, 5, 6], lossless=True)
    translate(tmp_path / "a.webp", tmp_path / "b.png", same())
    found = shown(tmp_path / "b.png")
    assert [round(duration, 6) for duration, _ in found] == [67, 11]
    assert np.array_equal(found[0][1], one)


def test_the_still_image_stays_apart_in_png_and_is_left_out_elsewhere(tmp_path):
    before = shown(CASES / "hidden_default.png")
    assert translate(CASES / "hidden_default.png", tmp_path / "a.png", same()).failed == []
    after = shown(tmp_path / "a.png")
    assert [duration for duration, _ in after] == [None, 100, 200]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(after, before))
    with Image.open(tmp_path / "a.png") as made:
        assert made.default_image
    for suffix in (".gif", ".webp", ".tif", ".avif"):
        assert translate(CASES / "hidden_default.png", tmp_path / f"a{suffix}", same()).failed == []
        after = shown(tmp_path / f"a{suffix}")
        assert len(after) == 2
        if suffix != ".tif":
            assert [duration for duration, _ in after] == [100, 200]
        assert all(np.abs(a.astype(int) - b).max() <= 3 for (_, a), (_, b) in zip(after, before[1:]))
    translate(CASES / "hidden_default.png", tmp_path / "a.bmp", same())  # a still image is what it is for
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.bmp")), before[0][1])


@pytest.mark.parametrize("options", [{"size": 4}, {"alpha": "translate"}, {"tile": 4}])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_still_image_beside_frames_of_any_number(tmp_path, count, options):
    still = Image.fromarray(np.dstack([soft(8, 8), np.full((8, 8), 200, np.uint8)]))
    frames = [Image.fromarray(np.dstack([np.roll(soft(8, 8), 3 * k + 1, 0), np.full((8, 8), 255, np.uint8)]))
              for k in range(count)]  # fmt: skip
    given = {"save_all": True, "append_images": frames, "default_image": True, "duration": [40] * count}
    still.save(tmp_path / "a.png", **given)
    assert translate(tmp_path / "a.png", tmp_path / "b.png", same(), **options).failed == []
    with Image.open(tmp_path / "b.png") as made:
        assert made.n_frames == count + 1
        assert made.default_image
    assert controls(tmp_path / "b.png") == [(1, 25)] * count
    for suffix in (".gif", ".webp"):
        assert translate(tmp_path / "a.png", tmp_path / f"b{suffix}", same(), **options).failed == []
        assert getattr(Image.open(tmp_path / f"b{suffix}"), "n_frames", 1) == count


def test_frames_of_16_bits_each_have_their_own_pixels(tmp_path):
    """A PNG by hand: Pillow writes none."""
    data = png.SIGNATURE + png.chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    data += png.chunk(b"acTL", struct.pack(">II", 3, 0))
    for number, level in enumerate((1000, 30000, 60000)):
        rows = zlib.compress((b"\0" + struct.pack(">H", level) * 24) * 8)
        order = max(0, 2 * number - 1)
        data += png.chunk(b"fcTL", struct.pack(">IIIIIHHBB", order, 8, 8, 0, 0, 1, 25, 0, 0))
        data += png.chunk(b"fdAT", struct.pack(">I", order + 1) + rows) if number else png.chunk(b"IDAT", rows)
    (tmp_path / "a.png").write_bytes(data + png.chunk(b"IEND", b""))
    model = same()
    assert translate(tmp_path / "a.png", tmp_path / "b.png", model).failed == []
    assert [seen.mean() for seen in model.network.seen] == pytest.approx([1000 / 257, 30000 / 257, 60000 / 257], abs=1)
    assert [duration for duration, _ in shown(tmp_path / "b.png")] == [40, 40, 40]
