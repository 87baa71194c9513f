"""Colour of 16 bits in PNG and TIFF: full precision, profile, EXIF, resolution, alpha and pages."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageSequence
from torch import nn

from i2i.inference.translate import translate, translate_bytes
from i2i.media import color, uint16
from i2i.models.translator import Translator
from tests.media.test_codec import grey_profile, laid_on_white, noise, wide, with_exif


class Raw(nn.Module):
    """x -> factor * x, and what it saw, unrounded."""

    multiple = 1

    def __init__(self, channels=3, factor=1.0):
        super().__init__()
        self.arguments = {"channels_in": channels, "channels_out": channels}
        self.factor = nn.Parameter(torch.tensor(factor))
        self.seen = []

    def forward(self, x):
        self.seen.append(x[0].permute(1, 2, 0).double().numpy())
        return x * self.factor


def raw(channels=3, factor=1.0):
    return Translator(Raw(channels, factor), {}, "raw")


def deep_noise(*shape):
    return noise(*shape, dtype=np.uint16)


def soft(height, width):
    """uint16 colours without sharp edges, well inside every gamut, of many more than 256 levels."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    return ((np.stack([0.3 + 0.25 * x, 0.35 + 0.2 * y, 0.5 - 0.15 * x], -1)) * 65535).astype(np.uint16)


def write_tiff(path, array, **options):
    channels = array.shape[-1] if array.ndim == 3 else 1
    if channels > 1:
        options = {"photometric": "rgb", "planarconfig": "contig", **options}
    if channels == 4:
        options = {"extrasamples": ["unassalpha"], **options}
    if options.get("planarconfig") == "separate":
        array = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    tifffile.imwrite(path, array, metadata=None, **options)
    return path


def write_png(path, array):
    """Rows of 16 bits, big-endian, unfiltered: independent of what is tested."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[array.shape[-1]]
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def read_png(path):
    import cv2

    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    return found if found.ndim == 2 else found[..., [2, 1, 0, 3][: found.shape[2]]]


def read_back(path):
    return read_png(path) if path.suffix == ".png" else tifffile.imread(path)


def apart(a, b):
    return int(np.abs(a.astype(int) - b.astype(int)).max())


# ---- precision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", [".tif", ".png"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "zlib"},
        {"tile": (16, 16)},
    ],
)
def test_tiff_of_16_bit_color(tmp_path, out, channels, options):
    array = deep_noise(19, 24, channels)
    write_tiff(tmp_path / "a.tif", array, **options)
    model = raw()
    result = translate(tmp_path / "a.tif", tmp_path / f"b{out}", model)
    assert result.failed == []
    expected = laid_on_white(array) if channels == 4 else array
    assert (
        np.abs((model.network.seen[0] + 1) * 32767.5 - expected[..., :3]).max() < 1.01
    )  # the network gets all 16 bits
    made = read_back(tmp_path / f"b{out}")
    assert made.dtype == np.uint16
    assert made.shape == array.shape
    assert apart(made, expected) <= 1


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_what_the_network_makes_is_not_cut_to_8_bits(tmp_path, suffix):
    array = deep_noise(16, 16, 3)
    (write_tiff if suffix == ".tif" else write_png)(tmp_path / f"a{suffix}", array)
    model = raw(factor=0.37)
    translate(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", model)
    expected = (model.network.seen[0] * 0.37 + 1) * 32767.5
    made = read_back(tmp_path / f"b{suffix}")
    assert np.abs(made - expected).max() <= 0.51
    assert len(np.unique(made % 257)) > 100


@pytest.mark.parametrize("with_imagecodecs", [True, False])
def test_tiff_compressed_by_lzw(tmp_path, monkeypatch, with_imagecodecs):
    import cv2

    array = deep_noise(12, 15, 3)
    cv2.imwrite(str(tmp_path / "a.tif"), array[..., ::-1])
    assert tifffile.TiffFile(tmp_path / "a.tif").pages[0].compression == tifffile.COMPRESSION.LZW
    if with_imagecodecs:
        pytest.importorskip("imagecodecs")
    else:
        monkeypatch.setattr(tifffile.TiffPage, "asarray", missing)
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", raw()).failed == []
    monkeypatch.undo()
    assert apart(tifffile.imread(tmp_path / "b.tif"), array) <= 1


def missing(*_, **__):
    raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")


def test_a_compression_that_needs_the_extra_is_said(tmp_path, monkeypatch):
    write_tiff(tmp_path / "a.tif", deep_noise(12, 15, 3), planarconfig="separate")
    monkeypatch.setattr(tifffile.TiffPage, "asarray", missing)
    result = translate(tmp_path / "a.tif", tmp_path / "b.tif", raw())
    assert "pip install 'i2i-toolkit[uint16]'" in result.failed[0][1]


def test_gray_stays_gray_or_becomes_color(tmp_path):
    array = deep_noise(9, 14)
    Image.fromarray(array).save(tmp_path / "a.png", dpi=(200, 200))
    write_tiff(tmp_path / "a.tif", array)
    for source in ("a.png", "a.tif"):
        for target in ("g.png", "g.tif"):
            translate(tmp_path / source, tmp_path / target, raw(1), overwrite=True)
            assert apart(read_back(tmp_path / target), array) <= 1
            assert Image.open(tmp_path / target).mode == "I;16"
            if source == "a.png":
                assert round(Image.open(tmp_path / target).info["dpi"][0]) == 200
        for target in ("c.png", "c.tif"):
            translate(tmp_path / source, tmp_path / target, raw(3), overwrite=True)
            assert apart(read_back(tmp_path / target), array[..., None].repeat(3, 2)) <= 1


def test_gray_with_alpha(tmp_path):
    array = deep_noise(9, 14, 2)
    write_png(tmp_path / "a.png", array)
    for name in ("b.png", "b.tif"):
        assert translate(tmp_path / "a.png", tmp_path / name, raw(1)).failed == []
        assert apart(read_back(tmp_path / name), laid_on_white(array[..., [0, 0, 0, 1]])) <= 1


def test_alpha_that_was_multiplied_in(tmp_path):
    array = deep_noise(9, 14, 4)
    array[..., 3] |= 0x8000
    share = array[..., 3:] / 65535
    write_tiff(tmp_path / "a.tif", np.concatenate([(array[..., :3] * share).round(), array[..., 3:]], -1).astype("u2"))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["ExtraSamples"].overwrite(1)
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", raw()).failed == []
    assert apart(tifffile.imread(tmp_path / "b.tif"), laid_on_white(array)) <= 3


def test_alpha_translated_or_dropped(tmp_path):
    array = deep_noise(9, 14, 4)
    write_tiff(tmp_path / "a.tif", array)
    translate(tmp_path / "a.tif", tmp_path / "b.tif", raw(factor=-1.0), alpha="translate")
    assert apart(tifffile.imread(tmp_path / "b.tif"), 65535 - laid_on_white(array)) <= 1
    translate(tmp_path / "a.tif", tmp_path / "c.tif", raw(), alpha="drop")
    share = array[..., 3:] / 65535
    assert np.abs(tifffile.imread(tmp_path / "c.tif") - (array[..., :3] * share + 65535 * (1 - share))).max() <= 2


def test_formats_of_8_bits_are_rounded_not_cut(tmp_path):
    array = deep_noise(9, 14, 3)
    write_tiff(tmp_path / "a.tif", array)
    translate(tmp_path / "a.tif", tmp_path / "b.bmp", raw())
    assert apart(np.asarray(Image.open(tmp_path / "b.bmp")), (array / 257).round()) <= 1
    for name in ("b.jpg", "b.webp", "b.avif", "b.gif"):
        assert translate(tmp_path / "a.tif", tmp_path / name, raw()).failed == []
        assert Image.open(tmp_path / name).size == (14, 9)


def test_a_stream(tmp_path):
    array = deep_noise(9, 14, 3)
    data = write_tiff(tmp_path / "a.tif", array).read_bytes()
    assert apart(tifffile.imread(io.BytesIO(translate_bytes(data, raw()))), array) <= 1
    made = translate_bytes(data, raw(), format="png")
    (tmp_path / "b.png").write_bytes(made)
    assert apart(read_png(tmp_path / "b.png"), array) <= 1


def test_in_windows_and_in_another_size(tmp_path):
    array = soft(40, 52)
    write_tiff(tmp_path / "a.tif", array)
    translate(tmp_path / "a.tif", tmp_path / "b.tif", raw(), tile=16)
    assert apart(tifffile.imread(tmp_path / "b.tif"), array) <= 1
    translate(tmp_path / "a.tif", tmp_path / "c.tif", raw(), size=20)
    assert tifffile.imread(tmp_path / "c.tif").shape == (20, 26, 3)


# ---- what lies around the pixels -----------------------------------------------------------------------------------


def camera():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131] = 6, "a camera", "a program"
    inner = exif.get_ifd(0x8769)
    inner[0xA005] = {1: "R98"}
    inner[0x9003], inner[0x829A], inner[0xA002], inner[0xA003] = "2020:01:02 03:04:05", 0.005, 12, 9
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.5)})
    return exif


@pytest.mark.parametrize("out", [".tif", ".png"])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_profile_exif_and_resolution_are_kept_and_the_orientation_is_mended(tmp_path, suffix, out):
    array = soft(9, 12)
    lying = np.ascontiguousarray(np.rot90(array))  # orientation 6 turns it clockwise
    data = uint16.encode_png(lying, wide(), (300.0, 150.0))
    (tmp_path / "a.png").write_bytes(with_exif(data, camera(), ".png"))
    if suffix == ".tif":  # the writer writes upright images, so it has no tag for this
        write_tiff(
            tmp_path / "a.tif", lying, iccprofile=wide(), resolution=(300, 150), resolutionunit="INCH",
            extratags=[(274, "H", 1, 6, True), (271, "s", 0, "a camera", True)],
        )  # fmt: skip
    assert translate(tmp_path / f"a{suffix}", tmp_path / f"b{out}", raw()).failed == []
    with Image.open(tmp_path / f"b{out}") as made:
        made.load()
        assert made.size == (12, 9)
        assert made.info["icc_profile"] == wide()
        assert [round(float(v)) for v in made.info["dpi"]] == [150, 300]  # the sides have changed places
        exif = made.getexif()
        assert exif[0x010F] == "a camera"
        assert exif.get(0x0112, 1) == 1
        if suffix == ".png":
            inner = exif.get_ifd(0x8769)
            assert inner[0x9003] == "2020:01:02 03:04:05"
            assert float(inner[0x829A]) == pytest.approx(0.005)
            assert (inner[0xA002], inner[0xA003]) == (12, 9)
            assert [float(v) for v in exif.get_ifd(0x8825)[2]] == [52.0, 31.0, 12.5]
            assert exif[0x0131] == "a program"
    assert apart(read_back(tmp_path / f"b{out}"), array) <= 2


def test_exif_of_a_tiff_goes_on_to_jpeg_and_back(tmp_path):
    array = soft(9, 12)
    (tmp_path / "a.tif").write_bytes(with_exif(uint16.encode_tiff([(array, None)], (72.0, 72.0)), camera(), ".tif"))
    for name in ("b.jpg", "c.png", "d.tif"):
        translate(tmp_path / "a.tif", tmp_path / name, raw())
        exif = Image.open(tmp_path / name).getexif()
        assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert exif.get_ifd(0x8825)[1] == "N"


def test_the_network_sees_srgb_in_16_bits(tmp_path):
    pytest.importorskip("imagecodecs")
    array = soft(16, 24)
    for suffix in (".tif", ".png"):
        data = uint16.encode_png(array, wide()) if suffix == ".png" else uint16.encode_tiff([(array, wide())])
        (tmp_path / f"a{suffix}").write_bytes(data)
        model = raw()
        translate(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", model)
        light = array / 65535
        expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        assert np.abs((model.network.seen[0] + 1) / 2 - expected).max() < 3 / 65535
        assert Image.open(tmp_path / f"b{suffix}").info["icc_profile"] == wide()
        assert apart(read_back(tmp_path / f"b{suffix}"), array) <= 3
        translate(tmp_path / f"a{suffix}", tmp_path / f"c{suffix}", raw(), profile="srgb")
        assert Image.open(tmp_path / f"c{suffix}").info["icc_profile"] == color.srgb_profile()
        assert np.abs(read_back(tmp_path / f"c{suffix}") - expected * 65535).max() < 3
        translate(tmp_path / f"a{suffix}", tmp_path / f"d{suffix}.jpg", raw(), quality=100)  # 8 bits, same colours
        made = Image.open(tmp_path / f"d{suffix}.jpg")
        assert made.info["icc_profile"] == wide()
        assert np.abs(np.asarray(made) - array / 257).mean() < 2


def test_gray_with_a_gray_profile(tmp_path):
    pytest.importorskip("imagecodecs")
    array = soft(8, 16)[..., 0]
    write_tiff(tmp_path / "a.tif", array, iccprofile=grey_profile())
    model = raw(1)
    translate(tmp_path / "a.tif", tmp_path / "b.tif", model)
    assert (model.network.seen[0].mean() + 1) / 2 > array.mean() / 65535 + 0.1  # linear light is brighter in sRGB
    assert apart(tifffile.imread(tmp_path / "b.tif"), array) <= 3
    assert Image.open(tmp_path / "b.tif").info["icc_profile"] == grey_profile()
    translate(tmp_path / "a.tif", tmp_path / "c.tif", raw(3))
    assert Image.open(tmp_path / "c.tif").info["icc_profile"] == color.srgb_profile()


def test_without_the_extra_the_numbers_stay_and_the_profile_says_what_they_mean(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    array = soft(16, 24)
    (tmp_path / "a.tif").write_bytes(uint16.encode_tiff([(array, wide())]))
    model = raw()
    translate(tmp_path / "a.tif", tmp_path / "b.tif", model)
    assert np.abs((model.network.seen[0] + 1) * 32767.5 - array).max() < 0.01
    assert apart(tifffile.imread(tmp_path / "b.tif"), array) <= 1
    assert Image.open(tmp_path / "b.tif").info["icc_profile"] == wide()


@pytest.mark.parametrize("profile", [b"rubbish" * 100, wide()[:400]])
def test_broken_profiles_cost_nothing_but_themselves(tmp_path, profile):
    array = soft(16, 24)
    (tmp_path / "a.tif").write_bytes(uint16.encode_tiff([(array, profile)]))
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", raw()).failed == []
    assert apart(tifffile.imread(tmp_path / "b.tif"), array) <= 1


def test_pages_of_any_depth_each_with_its_own_profile(tmp_path):
    pages = [
        (soft(8, 10), wide()),
        (noise(12, 6, 3), None),
        (deep_noise(7, 9, 4), color.srgb_profile()),
        (deep_noise(5, 5, 1), None),
        (noise(6, 6, 1), None),
    ]
    (tmp_path / "a.tif").write_bytes(uint16.encode_tiff(pages))
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", raw()).failed == []
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        assert len(made.pages) == 5
        for page, (array, profile) in zip(made.pages, pages):
            found = page.asarray()
            assert found.dtype == array.dtype
            expected = laid_on_white(array) if array.shape[-1] == 4 else array
            assert apart(found, expected if array.shape[-1] > 1 else array.repeat(3, 2)) <= 2
            assert getattr(page.tags.get(34675), "value", None) == profile
    with Image.open(tmp_path / "b.tif") as made:  # Pillow reads them too
        assert [f.size for f in ImageSequence.Iterator(made)] == [(10, 8), (6, 12), (9, 7), (5, 5), (6, 6)]


# ---- what is bad ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_cut_short(tmp_path, options, share):
    whole = write_tiff(tmp_path / "a.tif", deep_noise(64, 64, 3), **options).read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: int(len(whole) * share)])
    result = translate(tmp_path / "a.tif", tmp_path / "b.tif", raw())
    assert len(result.failed) == 1
    assert not (tmp_path / "b.tif").exists()


def test_large_sizes_are_refused_from_the_header(tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("decoded")

    write_tiff(tmp_path / "a.tif", deep_noise(20, 20, 3))
    pages = [(deep_noise(20, 20, 3), None), (deep_noise(40, 40, 3), None)]
    (tmp_path / "b.tif").write_bytes(uint16.encode_tiff(pages))
    assert "1,000" in translate(tmp_path / "b.tif", tmp_path / "o.tif", raw(), max_pixels=1000).failed[0][1]
    monkeypatch.setattr(uint16, "decode", never)
    assert "300" in translate(tmp_path / "a.tif", tmp_path / "o.tif", raw(), max_pixels=300).failed[0][1]


def test_sizes_that_contradict_each_other(tmp_path):
    data = write_tiff(tmp_path / "a.tif", deep_noise(20, 20, 3)).read_bytes()
    with pytest.raises(Exception, match="contradict"):
        uint16.decode(data, (21, 20), True)
    assert uint16.decode(write_png(tmp_path / "a.png", deep_noise(8, 9, 3)).read_bytes(), (8, 8), False) is None
