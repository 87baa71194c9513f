"""One function brings pixels into sRGB: training, evaluation, checks, translation and the library see the same."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.data import checks, decode, layouts
from i2i.media import adapt, codec, color, pixels, reader, uint16
from tests.media.test_codec import CASES, grey_profile, soft, wide


def as_trained(path, channels, exact):
    source = layouts.Source(path)
    return (decode.exact if exact else decode.fast)(source, channels, lambda width, height: (width, height)).astype(int)


def as_translated(path, channels):
    document = reader.read(path, channels, codec.WriteSettings(), ".png")
    levels = (document.parts[0].pixels + 1) * 127.5
    return levels.round().permute(1, 2, 0).numpy().astype(int)


def as_in_python(path, channels):
    return ((adapt.prepare(path, channels).pixels + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(int)


def check_all_alike(path, channels, tolerance=0):
    """Returns what all see."""
    expected = pixels.read(path, channels).astype(int)
    for other in (
        as_trained(path, channels, True),
        as_trained(path, channels, False),
        as_translated(path, channels),
        as_in_python(path, channels),
    ):
        assert other.shape == expected.shape
        assert np.abs(other - expected).max() <= tolerance
    return expected


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_profiles_count_everywhere(tmp_path, mode, suffix, channels):
    if (suffix == "jpg" and mode in ("RGBA", "LA", "P")) or (suffix == "webp" and mode in ("L", "LA", "P")):
        pytest.skip("no such files")
    image = Image.fromarray(np.dstack([soft(24, 32), np.full((24, 32), 255, np.uint8)])).convert(mode)
    image.save(tmp_path / f"plain.{suffix}")
    image.save(tmp_path / f"a.{suffix}", icc_profile=grey_profile() if mode in ("L", "LA") else wide())
    seen = check_all_alike(tmp_path / f"a.{suffix}", channels)
    assert (seen - pixels.read(tmp_path / f"plain.{suffix}", channels)).mean() > 30  # linear light is brighter in sRGB


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(24, 32), (24, 32, 3), (24, 32, 4)])
def test_profiles_of_16_bits_count_everywhere(tmp_path, shape, suffix, channels):
    array = np.zeros(shape, np.uint16) + np.linspace(20000, 40000, 32).astype(np.uint16).reshape(
        32, *[1] * (len(shape) - 2)
    )
    if shape[-1] == 4:
        array[..., 3] = 65535
    profile = grey_profile() if len(shape) == 2 else wide()
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        path.write_bytes(uint16.encode_png(array if array.ndim == 3 else array[..., None], profile, {}))
    else:
        tifffile.imwrite(path, array, photometric="minisblack" if len(shape) == 2 else "rgb", iccprofile=profile)
    seen = check_all_alike(path, channels, tolerance=2)
    assert seen.mean() > 30000 / 257 + 30


def test_a_pair_of_the_case_is_alike_in_training_and_translation():
    for name in ("0.png", "1.png"):
        check_all_alike(CASES / "icc" / "A" / name, 3)
        raw = np.asarray(Image.open(CASES / "icc" / "A" / name).convert("RGB")).astype(int)
        assert np.abs(pixels.read(CASES / "icc" / "A" / name) - raw).max() > 50


def test_the_fast_road_of_jpeg_leaves_profiles_to_pillow(tmp_path):
    """Also one behind the frame's header, which Pillow does not mind."""
    Image.fromarray(soft(24, 32)).save(tmp_path / "a.jpg", icc_profile=wide(), quality=95)
    data = (tmp_path / "a.jpg").read_bytes()
    start = data.index(b"\xff\xe2")
    length = int.from_bytes(data[start + 2 : start + 4], "big") + 2
    segment, rest = data[start : start + length], data[:start] + data[start + length :]
    scan = rest.index(b"\xff\xda")
    (tmp_path / "late.jpg").write_bytes(rest[:scan] + segment + rest[scan:])
    expected = pixels.read(tmp_path / "a.jpg")
    for name in ("a.jpg", "late.jpg"):
        assert decode.jpeg_frame((tmp_path / name).read_bytes()) is None
        check_all_alike(tmp_path / name, 3)
    assert np.array_equal(decode.whole(tmp_path / "a.jpg", 3), expected)


def test_srgb_and_broken_profiles_leave_the_numbers_and_the_fast_road(tmp_path):
    image = Image.fromarray(soft(24, 32))
    image.save(tmp_path / "plain.jpg", quality=95)
    for profile in (color.srgb_profile(), wide()[:300], b"x" * 200):
        image.save(tmp_path / "a.jpg", icc_profile=profile, quality=95)
        assert color.keeps_numbers(profile)
        seen = check_all_alike(tmp_path / "a.jpg", 3)
        assert np.array_equal(seen, pixels.read(tmp_path / "plain.jpg"))


def test_16_bit_gray_in_memory_goes_by_its_profile(tmp_path):
    image = Image.fromarray(np.full((8, 8), 30000, np.uint16))
    image.info["icc_profile"] = grey_profile()
    seen = adapt.prepare(image, 3).pixels
    assert float((seen.mean() + 1) / 2) > 30000 / 65535 + 0.1
    back = adapt.restore(adapt.prepare(image, 1), np.full((8, 8, 1), 45000, np.uint16))
    assert back.mode == "I;16"
    assert back.info["icc_profile"] == grey_profile()
    assert np.asarray(back).max() < 40000


def test_data_check_compares_what_is_seen(tmp_path):
    """The same numbers under another profile are another image; the same colours in two profiles are one."""
    image = Image.fromarray(soft(48, 48))
    image.save(tmp_path / "a.png", icc_profile=wide())
    image.save(tmp_path / "b.png")
    converted, _ = color.into_srgb(image, wide())
    converted.save(tmp_path / "c.png")
    copies = [f.files for f in checks.check(tmp_path) if f.kind == "duplicate"]
    assert copies == [("a.png", "c.png")]
