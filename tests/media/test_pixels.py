"""One function brings pixels into sRGB: training, evaluation, checks, translation and the library see the same."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.data import checks, decode, layouts
from i2i.inference.translate import translate
from i2i.media import adapt, cicp, codec, color, pixels, png, reader, uint16
from tests.media.test_codec import CASES, grey_profile, same, soft, wide


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
        path.write_bytes(uint16.encode_png(array if array.ndim == 3 else array[..., None], profile))
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


# ---- colors by code points (cICP) ----------------------------------------------------------------------------------


def coded(path, array, code):
    """A PNG file with the chunk cICP, of 8 or 16 bits."""
    if array.dtype == np.uint16:
        data = uint16.encode_png(array if array.ndim == 3 else array[..., None], None)
    else:
        Image.fromarray(array).save(path)
        data = path.read_bytes()
    path.write_bytes(png.inserted(data, png.chunk(b"cICP", code)))
    return path


def by_hand(array, matrix):
    """Levels [0, 255] of linear light through a matrix, both with the curve of sRGB."""
    levels = array / (255 if array.dtype == np.uint8 else 65535)
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) @ np.array(matrix).T
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


P3_TO_SRGB = [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]  # of CSS Color 4
P3, SRGB, PQ, LINEAR = b"\x0c\x0d\0\1", b"\1\x0d\0\1", b"\x09\x10\0\1", b"\1\x08\0\1"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colors_by_code_points_are_those_of_their_primaries(tmp_path, dtype):
    array = soft(24, 32) if dtype == np.uint8 else soft(24, 32).astype(np.uint16) * 257
    path = coded(tmp_path / "a.png", array, P3)
    seen = check_all_alike(path, 3, tolerance=1)
    assert np.abs(seen - by_hand(array, P3_TO_SRGB)).max() <= 2
    assert np.abs(seen - soft(24, 32)).max() > 5
    for suffix in (".png", ".tif", ".webp", ".jpg"):
        assert translate(path, tmp_path / f"b{suffix}", same()).failed == []
        with Image.open(tmp_path / f"b{suffix}") as made:
            assert made.info["icc_profile"] == cicp.profile(P3, False)
            assert np.abs(np.asarray(made).astype(int) - soft(24, 32)).max() <= (2 if suffix in (".png", ".tif") else 6)
        assert np.abs(pixels.read(tmp_path / f"b{suffix}").astype(int) - seen).max() <= 6
    assert png.chunk(b"cICP", P3) in (tmp_path / "b.png").read_bytes()
    translate(path, tmp_path / "c.png", same(), profile="srgb")
    assert b"cICP" not in (tmp_path / "c.png").read_bytes()
    assert np.abs(pixels.read(tmp_path / "c.png").astype(int) - seen).max() <= 1


def test_the_case_of_display_p3(tmp_path):
    seen = check_all_alike(CASES / "cicp_p3.png", 3, tolerance=0)
    with Image.open(CASES / "cicp_p3.png") as image:
        assert np.abs(seen - by_hand(np.asarray(image), P3_TO_SRGB)).max() <= 2
        assert np.abs(np.asarray(same()(image)).astype(int) - np.asarray(image)).mean() < 3


def test_srgb_by_code_points_changes_nothing(tmp_path):
    for array in (soft(8, 8), soft(8, 8)[..., 0]):
        path = coded(tmp_path / "a.png", array, SRGB)
        assert np.array_equal(check_all_alike(path, 3 if array.ndim == 3 else 1), array.reshape(8, 8, -1))
        translate(path, tmp_path / "b.png", same(3 if array.ndim == 3 else 1), overwrite=True)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), array)
        assert png.chunk(b"cICP", SRGB) in (tmp_path / "b.png").read_bytes()


def test_gray_by_code_points(tmp_path):
    path = coded(tmp_path / "a.png", soft(8, 8)[..., 0], LINEAR)
    seen = check_all_alike(path, 1)
    assert (seen[..., 0] - soft(8, 8)[..., 0].astype(int)).mean() > 30  # linear light is brighter in sRGB
    translate(path, tmp_path / "b.png", same(1))
    assert np.abs(np.asarray(Image.open(tmp_path / "b.png")).astype(int) - soft(8, 8)[..., 0]).max() <= 2
    translate(path, tmp_path / "c.png", same(3))
    assert b"cICP" not in (tmp_path / "c.png").read_bytes()  # it is in sRGB
    assert np.abs(pixels.read(tmp_path / "c.png", 1).astype(int) - seen).max() <= 1


@pytest.mark.parametrize("code", [PQ, b"\x09\x12\0\1", b"\x0c\x0d\0\0", b"\2\2\0\1", b"\x0c\x0d\1\1", b"abc"])
def test_numbers_of_code_points_without_a_profile_stay_and_say_what_they_are(tmp_path, code):
    path = coded(tmp_path / "a.png", soft(8, 8), code)
    assert np.array_equal(check_all_alike(path, 3), soft(8, 8))
    translate(path, tmp_path / "b.png", same())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), soft(8, 8))
    assert png.chunk(b"cICP", code) in (tmp_path / "b.png").read_bytes()
    note = translate(path, tmp_path / "b.webp", same()).outcomes[0].note
    assert note == "Left out, because .webp cannot hold it: colors by cICP (HDR)."


def test_an_animation_with_code_points(tmp_path):
    frames = [Image.fromarray(np.roll(soft(8, 8), k, 0)) for k in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=40)
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(png.inserted(data, png.chunk(b"cICP", P3)))
    model = same()
    translate(tmp_path / "a.png", tmp_path / "b.png", model)
    for number, seen in enumerate(model.network.seen):
        assert np.abs(seen - by_hand(np.asarray(frames[number]), P3_TO_SRGB)).max() <= 2
    with Image.open(tmp_path / "b.png") as made:
        assert made.n_frames == 3


@pytest.mark.parametrize("curve", sorted(cicp.CURVES))
@pytest.mark.parametrize("primaries", sorted(cicp.PRIMARIES))
def test_every_profile_of_code_points_is_one(primaries, curve):
    code = bytes([primaries, curve, 0, 1])
    array = soft(8, 8)
    image, state = color.into_srgb(Image.fromarray(array), cicp.profile(code, False))
    assert state.converted
    white, _ = color.into_srgb(Image.new("RGB", (1, 1), "white"), cicp.profile(code, False))
    assert min(white.getpixel((0, 0))) >= 253
    back = color.out_of_srgb(image, state)
    assert np.abs(np.asarray(back).astype(int) - array).mean() < 4
    gray = cicp.profile(code, True)
    assert gray is None or color.mode_of(gray) == "L"


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_code_points_of_avif_and_heic(tmp_path, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / f"a{suffix}"
    Image.fromarray(soft(32, 32)).save(path, quality=100)
    data = path.read_bytes()
    plain = pixels.read(path)
    place = data.index(b"colrnclx") + 8
    for primaries, curve, is_converted in ((12, 13, True), (12, 16, False), (1, 1, False), (2, 2, False)):
        path.write_bytes(data[:place] + bytes([0, primaries, 0, curve]) + data[place + 4 :])
        seen = check_all_alike(path, 3)
        expected = by_hand(plain, P3_TO_SRGB) if is_converted else plain
        assert np.abs(seen - expected).max() <= 2
    path.write_bytes(data[:place] + bytes([0, 12, 0, 13]) + data[place + 4 :])
    translate(path, tmp_path / "b.png", same())
    assert np.abs(np.asarray(Image.open(tmp_path / "b.png")).astype(int) - plain).max() <= 2
    assert Image.open(tmp_path / "b.png").info["icc_profile"] == cicp.profile(P3, False)
