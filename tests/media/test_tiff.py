"""TIFF files that Pillow does not read, or reads wrongly: the right values in translation and in training."""

import contextlib
import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.core.errors import I2IError
from i2i.inference.translate import translate, translate_bytes
from i2i.media import codec, images, pixels, reader, repair, uint16
from tests.media.test_codec import CASES, same, soft, with_exif

WHITE_TO_BLACK = {"photometric": "miniswhite"}


def ramp(bits):
    """[8, 16] from 0 to the highest value, in the smallest type that holds it."""
    dtype = bool if bits == 1 else np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    return np.linspace(0, 2**bits - 1, 128).round().astype(dtype).reshape(8, 16)


def seen(path, channels=1):
    """The values that go through the network, in the depth of the file."""
    part = reader.read(path, channels, codec.WriteSettings(), ".tif").parts[0]
    return part.to_levels(part.pixels)


def written(path, array, **options):
    tifffile.imwrite(path, array, metadata=None, **options)
    return path


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16, 32])
def test_zero_is_white(tmp_path, bits, byteorder, compression):
    if compression in ("lzw", "packbits") or bits in (10, 12, 14):
        pytest.importorskip("imagecodecs")
    if bits in (2, 4, 10, 12, 14) and (compression or byteorder == ">"):
        pytest.skip("tifffile does not write such files")
    options = {} if bits in (1, 8, 16, 32) else {"bitspersample": bits}
    path = written(
        tmp_path / "a.tif", ramp(bits), compression=compression, byteorder=byteorder, **options, **WHITE_TO_BLACK
    )
    expected = 1 - ramp(bits) / (2**bits - 1)
    values = seen(path)[..., 0]
    assert np.abs(values / np.iinfo(values.dtype).max - expected).max() <= 0.51 / np.iinfo(values.dtype).max
    assert values.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert np.abs(pixels.read(path, 1)[..., 0] - expected * 255).max() <= 1


def test_zero_is_white_in_floats_jpeg_and_with_alpha(tmp_path):
    pytest.importorskip("imagecodecs")
    floats = written(tmp_path / "a.tif", np.linspace(0, 1, 128, dtype=np.float32).reshape(8, 16), **WHITE_TO_BLACK)
    assert pixels.read(floats, 1)[..., 0].ravel()[[0, -1]].tolist() == [255, 0]
    jpeg = written(tmp_path / "b.tif", ramp(8), compression="jpeg", **WHITE_TO_BLACK)
    assert np.abs(pixels.read(jpeg, 1)[..., 0] - (255.0 - ramp(8))).max() <= 3
    for bits in (8, 16):
        opaque = np.dstack([ramp(bits), np.full_like(ramp(bits), 2**bits - 1)])
        path = written(tmp_path / "c.tif", opaque, planarconfig="contig", extrasamples=["unassalpha"], **WHITE_TO_BLACK)
        part = reader.read(path, 1, codec.WriteSettings(), ".tif").parts[0]
        assert part.to_levels(part.pixels).ravel()[[0, -1]].tolist() == [2**bits - 1, 0]
        assert part.alpha.min() == 2**bits - 1


def test_the_case_of_zero_is_white(tmp_path):
    assert translate(CASES / "white_is_zero_16.tif", tmp_path / "b.tif", same(1)).failed == []
    made = tifffile.imread(tmp_path / "b.tif")
    assert (made.dtype, made.ravel()[0], made.ravel()[-1]) == (np.uint16, 65535, 0)


def test_zero_is_white_on_a_later_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(ramp(16), photometric="minisblack", metadata=None)
        file.write(ramp(16), photometric="miniswhite", metadata=None)
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", same(1)).failed == []
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        assert [p.asarray().ravel()[0] for p in made.pages] == [0, 65535]


@pytest.mark.parametrize("bits", [6, 10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
def test_packed_values_are_scaled_to_the_full_range(tmp_path, bits, channels):
    pytest.importorskip("imagecodecs")
    array = ramp(bits) if channels == 1 else np.dstack([ramp(bits), ramp(bits)[::-1], ramp(bits)])
    path = written(tmp_path / "a.tif", array, bitspersample=bits, photometric="rgb" if channels == 3 else "minisblack")
    values = seen(path, channels).reshape(array.shape)
    top = 255 if bits <= 8 else 65535
    assert np.abs(values - array * (top / (2**bits - 1))).max() <= 0.51
    assert pixels.read(path, channels).max() == 255


def test_the_case_of_12_bits():
    pytest.importorskip("imagecodecs")
    assert seen(CASES / "grey_12_packed.tif").ravel()[[0, -1]].tolist() == [0, 65535]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize("channels", [1, 3])
def test_signed_values_are_refused(tmp_path, dtype, channels):
    array = np.full((8, 8, 3) if channels == 3 else (8, 8), 50, dtype)
    path = written(tmp_path / "a.tif", array, photometric="rgb" if channels == 3 else "minisblack")
    for read in (seen, pixels.read):
        with pytest.raises(I2IError, match=rf"a\.tif has signed values of {array.itemsize * 8} bits\. Save it"):
            read(path)
    with pytest.raises(I2IError, match="signed"):
        pixels.read(CASES / "int8.tif")


def test_a_signed_page_is_refused_in_translation_and_nobody_s_business_in_training(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(ramp(8), photometric="minisblack", metadata=None)
        file.write(ramp(8).astype(np.int8), photometric="minisblack", metadata=None)
    assert "signed" in translate(tmp_path / "a.tif", tmp_path / "b.tif", same(1)).failed[0][1]
    assert pixels.read(tmp_path / "a.tif", 1).max() == 255


@pytest.mark.parametrize(
    ("dtype", "words"),
    [(np.uint64, "values of 64 bits"), (np.float64, "floating-point values of 64 bits"), (np.float16, "of 16 bits")],
)
def test_other_depths_are_named(tmp_path, dtype, words):
    path = written(tmp_path / "a.tif", np.zeros((8, 8), dtype), photometric="minisblack")
    with pytest.raises(
        I2IError, match=rf"a\.tif is a TIFF with .*{words}.* which is not read\. Save it as gray or RGB"
    ):
        pixels.read(path)


@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("bits", [8, 16])
def test_gray_with_alpha(tmp_path, bits, alpha):
    top = 2**bits - 1
    gray = np.full((8, 8), top // 4, ramp(bits).dtype)
    share = np.full_like(gray, top)
    share[0] = top // 2
    stored = gray if alpha == "unassalpha" else (gray * (share / top)).round().astype(gray.dtype)
    path = written(
        tmp_path / "a.tif",
        np.dstack([stored, share]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=[alpha],
    )
    part = reader.read(path, 1, codec.WriteSettings(), ".tif").parts[0]
    assert np.array_equal(part.alpha[..., 0], share)
    values = part.to_levels(part.pixels)[..., 0].astype(int)
    assert np.abs(values[1:] - top // 4).max() <= 1
    assert np.abs(values[0] - round(top * (0.25 * 0.5 + 0.5))).max() <= top / 100


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("kind", ["gray 8", "gray 16", "rgb 8", "rgb 16", "rgba 16"])
def test_bigtiff_of_either_order(tmp_path, kind, byteorder):
    name, bits = kind.split()
    array = ramp(int(bits))
    if name != "gray":
        array = np.dstack([array, array[::-1], array])
    if name == "rgba":
        array = np.dstack([array, np.full_like(array[..., :1], 65535)])
    photometric = "minisblack" if name == "gray" else "rgb"
    path = written(tmp_path / "a.tif", array, bigtiff=True, byteorder=byteorder, photometric=photometric)
    values = seen(path, 1 if name == "gray" else 3)
    assert np.array_equal(values, array[..., :3] if array.ndim == 3 else array[..., None])
    assert translate(path, tmp_path / "b.tif", same(1 if name == "gray" else 3)).failed == []
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), array)


def test_the_case_of_bigtiff(tmp_path):
    assert translate(CASES / "big_8.tif", tmp_path / "b.tif", same()).failed == []
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), tifffile.imread(CASES / "big_8.tif"))
    assert np.array_equal(pixels.read(CASES / "big_8.tif"), tifffile.imread(CASES / "big_8.tif"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("is_color", [False, True])
def test_stacks_of_imagej_in_one_directory(tmp_path, dtype, is_color):
    generator = np.random.default_rng(0)
    shape = (5, 8, 16, 3) if is_color else (5, 8, 16)
    if is_color and dtype == np.uint16:
        pytest.skip("ImageJ has no 16-bit color")
    array = generator.integers(0, np.iinfo(dtype).max, shape, dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, **({"photometric": "rgb"} if is_color else {}))
    model = same(3 if is_color else 1)
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", model).failed == []
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        assert len(made.pages) == 5
        assert np.array_equal(np.stack([p.asarray() for p in made.pages]), array)
    assert "5 pages" in translate(tmp_path / "a.tif", tmp_path / "b.jpg", model).failed[0][1]
    assert pixels.read(tmp_path / "a.tif", 3).shape == (8, 16, 3)


def test_other_stacks_in_one_directory(tmp_path):
    array = np.stack([ramp(8), ramp(8)[::-1], ramp(8).T.reshape(8, 16)])
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", truncate=True)
    tifffile.imwrite(tmp_path / "b.tif", array, photometric="minisblack", volumetric=True, metadata=None)
    for name in ("a.tif", "b.tif"):
        assert translate(tmp_path / name, tmp_path / f"out_{name}", same(1)).failed == []
        with tifffile.TiffFile(tmp_path / f"out_{name}") as made:
            assert np.array_equal(np.stack([p.asarray() for p in made.pages]), array)


def test_a_stack_has_its_limit_of_pixels(tmp_path):
    with pytest.raises(I2IError, match="640 pixels, more than the limit of 500"):
        pixels.read(CASES / "stack_one_ifd.tif", 1, max_pixels=500)


def test_what_else_a_rewritten_file_holds_is_kept(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    data = with_exif(uint16.encode_tiff([(ramp(16)[..., None], None)], (200, 200)), exif, ".tif")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place = file.pages[0].tags["PhotometricInterpretation"].valueoffset
    (tmp_path / "a.tif").write_bytes(data[:place] + b"\0\0" + data[place + 2 :])
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", same(1)).failed == []
    with Image.open(tmp_path / "b.tif") as made:
        assert np.array_equal(np.asarray(made), 65535 - ramp(16))
        assert made.info["dpi"] == (200, 200)
        assert made.getexif()[0x010F] == "maker"
        assert made.getexif().get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"


def test_damaged_ones_are_refused_in_a_sentence(tmp_path, capfd):
    for name in ("white_is_zero_16.tif", "big_8.tif", "stack_one_ifd.tif", "grey_12_packed.tif"):
        data = (CASES / name).read_bytes()
        for length in range(4, len(data), max(1, len(data) // 40)):
            (tmp_path / "a.tif").write_bytes(data[:length])
            with contextlib.suppress(I2IError), images.open_image(tmp_path / "a.tif"):
                pass  # any other error fails the test
    assert capfd.readouterr().err == ""


def test_ordinary_files_are_not_rewritten(tmp_path):
    for name, array in (("a", soft(8, 8)), ("b", ramp(16)), ("c", ramp(8)), ("d", ramp(1))):
        Image.fromarray(array).save(tmp_path / f"{name}.tif")
        with images.open_image(tmp_path / f"{name}.tif") as image:
            assert repair.REPAIR not in image.info


@pytest.mark.parametrize("name", ["white_is_zero_16.tif", "big_8.tif", "stack_one_ifd.tif", "grey_12_packed.tif"])
def test_streams_are_read_as_files_and_stay_open(tmp_path, name):
    data = (CASES / name).read_bytes()
    stream = io.BytesIO(data)
    assert np.array_equal(pixels.read(stream), pixels.read(CASES / name))
    assert not stream.closed
    assert translate(CASES / name, tmp_path / name, same()).failed == []
    assert translate_bytes(data, same()) == (tmp_path / name).read_bytes()
    assert np.array_equal(np.asarray(same()(CASES / name).convert("RGB")).shape, pixels.read(CASES / name).shape)


@pytest.mark.parametrize(
    ("channels", "depth", "kind"),
    [(3, 16, "rgb"), (4, 16, "rgb"), (4, 16, "separated"), (2, 8, "minisblack"), (5, 8, "rgb")],
)
def test_separate_planes_are_read_as_those_side_by_side(tmp_path, channels, depth, kind):
    array = np.random.default_rng(0).integers(0, 2**depth, (8, 16, channels)).astype(f"uint{depth}")
    more = channels - {"rgb": 3, "separated": 4, "minisblack": 1}[kind]
    extra = ["unassalpha", "unspecified"][:more] or None
    for name, planar, values in (("a", "separate", np.moveaxis(array, -1, 0)), ("b", "contig", array)):
        options = {"photometric": kind, "planarconfig": planar, "extrasamples": extra}
        tifffile.imwrite(tmp_path / f"{name}.tif", values, metadata=None, **options)
    assert np.array_equal(pixels.read(tmp_path / "a.tif", None), pixels.read(tmp_path / "b.tif", None))
    assert pixels.read(tmp_path / "a.tif").std() > 50


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("predictor", [None, True])
def test_packed_floats_keep_their_values(tmp_path, order, predictor):
    array = np.linspace(0, 1, 128, dtype=np.float32).reshape(8, 16)
    tifffile.imwrite(tmp_path / "a.tif", array, compression="zlib", byteorder=order, predictor=predictor)
    assert np.abs(pixels.read(tmp_path / "a.tif", 1)[..., 0] - array * 255).max() <= 0.51
