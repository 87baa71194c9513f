"""JPEG files without their end, PNG files with large texts and with color keys."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from i2i.core.errors import I2IError
from i2i.data import checks, decode, layouts
from i2i.inference.translate import translate
from i2i.media import codec, images, jpeg, pixels, png, reader
from tests.cli.program import i2i
from tests.media.test_codec import CASES, noise, same, soft
from tests.media.test_uint16 import write_png

NOTE = "The marker at its end is missing; all pixels are there."


def encoded(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", **options)
    return buffer.getvalue()


# ---- the end of a JPEG ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 95, "subsampling": 0},
        {"quality": 75, "subsampling": 2},
        {"progressive": True},
        {"progressive": True, "quality": 95},
        {"restart_marker_blocks": 3},
    ],
)
@pytest.mark.parametrize("kind", ["noise", "soft", "gray"])
def test_a_jpeg_without_its_end_is_whole(tmp_path, kind, options, missing):
    array = {"noise": noise(40, 56, 3), "soft": soft(40, 56), "gray": noise(40, 56)}[kind]
    data = encoded(array, **options)
    (tmp_path / "a.jpg").write_bytes(data[:-missing])
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(pixels.read(tmp_path / "a.jpg"), expected)
    assert np.array_equal(decode.whole(tmp_path / "a.jpg", 3), expected)
    result = translate(tmp_path / "a.jpg", tmp_path / "b.png", same())
    assert [o.note for o in result.outcomes] == [NOTE]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png").convert("RGB")), expected)


@pytest.mark.parametrize(
    "options",
    [{"quality": 90}, {"quality": 20, "subsampling": 2}, {"progressive": True}, {"restart_marker_blocks": 2}],
)
@pytest.mark.parametrize("kind", ["noise", "soft", "flat"])
def test_a_jpeg_whose_pixels_are_missing_stays_refused(kind, options):
    """However many bytes are missing: what is taken for whole has all of its pixels."""
    flat = np.full((32, 40, 3), 128, np.uint8)
    data = encoded({"noise": noise(32, 40, 3), "soft": soft(32, 40), "flat": flat}[kind], **options)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    taken = 0
    for length in range(4, len(data)):
        whole = jpeg.completed(data[:length])
        if whole is not None:
            taken += 1
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(whole))), expected), length
    assert 2 <= taken < 8
    assert jpeg.completed(data) is None


def test_a_jpeg_cut_in_the_middle_is_refused_everywhere(tmp_path):
    data = encoded(noise(64, 64, 3), quality=90)
    (tmp_path / "a.jpg").write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(I2IError, match="damaged or cut short"):
        pixels.read(tmp_path / "a.jpg")
    assert "cut short" in translate(tmp_path / "a.jpg", tmp_path / "b.jpg", same()).failed[0][1]
    with pytest.raises(I2IError):
        decode.fast(layouts.Source(tmp_path / "a.jpg"), 3, lambda width, height: (width, height))


def test_bytes_behind_the_end_of_a_jpeg_do_not_matter(tmp_path):
    for more in (b"\n", b"\0\0", b"more" * 20):
        (tmp_path / "a.jpg").write_bytes(encoded(soft(16, 16)) + more)
        assert translate(tmp_path / "a.jpg", tmp_path / "b.jpg", same(), overwrite=True).outcomes[0].note == ""


def test_the_program_tells_the_note(tmp_path):
    _, err = i2i("translate", CASES / "no_end.jpg", "-o", tmp_path / "a.png", "--model", "pix2pix_emoji")
    assert f"no_end.jpg: {NOTE}" in err
    out, _ = i2i("translate", CASES / "no_end.jpg", "-o", tmp_path / "b.png", "--model", "pix2pix_emoji", "--json")
    assert json.loads(out.splitlines()[0])["note"] == NOTE


def test_several_processes_tell_it_too(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes((CASES / "no_end.jpg").read_bytes())
    result = translate(tmp_path / "in", tmp_path / "out", "pix2pix_emoji", processes=2)
    assert [o.note for o in result.outcomes] == [NOTE, NOTE]


# ---- texts of a PNG ------------------------------------------------------------------------------------------------


def with_text(length):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * length, zip=True)
    buffer = io.BytesIO()
    Image.fromarray(soft(8, 8)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_a_png_with_a_large_text_is_read(tmp_path):
    assert translate(CASES / "big_text.png", tmp_path / "b.png", same()).failed == []
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(with_text(3_000_000))
    assert np.array_equal(pixels.read(tmp_path / "in" / "a.png"), soft(8, 8))
    assert [f for f in checks.check(tmp_path / "in") if f.kind == "unreadable"] == []


def test_a_bomb_stays_a_bomb(tmp_path):
    (tmp_path / "a.png").write_bytes(with_text(100_000_000))
    assert (tmp_path / "a.png").stat().st_size < 200_000
    for read in (pixels.read, lambda path: reader.read(path, 3, codec.WriteSettings(), ".png")):
        with pytest.raises(I2IError, match=r"a\.png has texts of more than 16 MB"):
            read(tmp_path / "a.png")


# ---- color keys of a PNG -------------------------------------------------------------------------------------------


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def keyed_png(path, bits, rows, color, key):
    """rows: the packed bytes of each. color: PNG's color type, 0 gray or 2 RGB."""
    width = {0: 8, 2: 4}[color]
    head = struct.pack(">IIBBBBB", width, len(rows), bits, color, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    key = b"".join(struct.pack(">H", k) for k in key)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"tRNS", key) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_gray_with_a_key(tmp_path, bits):
    top = 2**bits - 1
    levels = np.array([[0, 1, top, top - 1, 1, 0, top, 1]] * 3)
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in levels]
    else:
        rows = [
            np.packbits(((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).ravel().astype(np.uint8)).tobytes()
            for row in levels
        ]
    path = keyed_png(tmp_path / "a.png", bits, rows, 0, [1])
    part = reader.read(path, 1, codec.WriteSettings(), ".png").parts[0]
    full = 65535 if bits == 16 else 255
    assert np.array_equal(part.alpha[..., 0], np.where(levels == 1, 0, full))
    values = part.to_levels(part.pixels)[..., 0]
    assert np.array_equal(values, np.where(levels == 1, full, levels * full // top))
    assert np.array_equal(pixels.read(path, 4)[..., 3], np.where(levels == 1, 0, 255))
    assert (pixels.read(path, 1)[..., 0][levels == 1] == 255).all()
    assert translate(path, tmp_path / "b.png", same(1)).failed == []
    assert np.array_equal(pixels.read(tmp_path / "b.png", 4)[..., 3], np.where(levels == 1, 0, 255))


@pytest.mark.parametrize("bits", [8, 16])
def test_colors_with_a_key(tmp_path, bits):
    """In 16 bits a color is transparent only if all of its bits agree."""
    row = [(1000, 2000, 3000), (1000, 2000, 3001), (1000, 2000, 3000), (0, 0, 0)]
    levels = (
        np.array([row] * 2) if bits == 16 else np.array([row] * 2) // 256 + [0, 0, 1] * np.array([[0], [1], [0], [0]])
    )
    path = keyed_png(
        tmp_path / "a.png",
        bits,
        [r.astype(">u2" if bits == 16 else "u1").tobytes() for r in levels],
        2,
        levels[0, 0].tolist(),
    )
    part = reader.read(path, 3, codec.WriteSettings(), ".png").parts[0]
    full = 65535 if bits == 16 else 255
    assert part.alpha[..., 0].tolist() == [[0, full, 0, full]] * 2
    assert part.to_levels(part.pixels)[0].tolist() == [[full] * 3, levels[0, 1].tolist(), [full] * 3, [0, 0, 0]]
    seen = pixels.read(path, 4)
    assert seen[..., 3].tolist() == [[0, 255, 0, 255]] * 2
    assert pixels.read(path, 3)[0, 0].tolist() == [255, 255, 255]
    with images.open_image(path) as image:
        assert images.natural_channels(image) == 4


def test_the_case_of_16_bits_with_a_key(tmp_path):
    assert translate(CASES / "grey_16_trns.png", tmp_path / "b.png", same()).failed == []
    import cv2

    made = cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED)
    assert made.dtype == np.uint16
    assert made[..., 3].ravel()[:3].tolist() == [0, 65535, 65535]
    assert pixels.read(CASES / "grey_16_trns.png", 1)[0, 0].tolist() == [255]


@pytest.mark.parametrize("channels", [2, 4])
def test_16_bits_with_alpha_are_laid_on_white_in_training(tmp_path, channels):
    array = noise(6, 8, channels, dtype=np.uint16)
    array[..., -1] = 0
    path = write_png(tmp_path / "a.png", array)
    assert (pixels.read(path, 3) == 255).all()
    assert (pixels.read(path, 1) == 255).all()


@pytest.mark.parametrize(
    ("name", "content", "check"),
    [
        (b"tEXt", b"key\0text", b"none"),
        (b"zTXt", b"key\0\7text", None),
        (b"iCCP", b"name\0\5profile", None),
        (b"pHYs", b"short", None),
        (b"gAMA", b"", None),
        (b"tRNS", b"\0\1\0", None),
        (b"tRNS", b"\0\1\0\1\0\1", b"none"),
    ],
)
def test_damaged_chunks_of_which_no_pixel_needs_any_are_passed_over(tmp_path, name, content, check):
    array = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    chunk = png.chunk(name, content)
    chunk = chunk[:-4] + check if check else chunk
    (tmp_path / "a.png").write_bytes(png.inserted((tmp_path / "a.png").read_bytes(), chunk))
    assert np.array_equal(pixels.read(tmp_path / "a.png"), array)
    translate(tmp_path / "a.png", tmp_path / "b.png", same())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), array)
    repaired = reader.read(tmp_path / "a.png", 3, codec.WriteSettings(), ".png")
    lost = " without their transparency" if name == b"tRNS" else ""
    assert repaired.note == f"Damaged parts ({name.decode()}) were left out; all pixels are there{lost}."


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "P"])
def test_a_color_key_of_a_wrong_length_is_passed_over(tmp_path, mode):
    """A gray key needs 2 bytes; a palette has 256 colors at most, and alphas behind these stand for none."""
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    image = Image.fromarray(gray.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(gray).convert(mode)
    path = tmp_path / "a.png"
    image.save(path)
    expected, data = pixels.read(path), path.read_bytes()
    at = data.index(b"IDAT") - 4
    path.write_bytes(data[:at] + png.chunk(b"tRNS", b"\xff" * (300 if mode == "P" else 1)) + data[at:])
    assert np.array_equal(pixels.read(path), expected)
    note = reader.read(path, 1, codec.WriteSettings(), ".png").note
    assert ("tRNS" in note) == (mode != "P")


def test_a_jpeg_2000_without_its_end_is_read(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(array).save(tmp_path / "a.jp2")
    data = (tmp_path / "a.jp2").read_bytes()
    (tmp_path / "a.jp2").write_bytes(data[:-2])
    assert np.array_equal(pixels.read(tmp_path / "a.jp2"), array)
    (tmp_path / "a.jp2").write_bytes(data[:-20])
    with pytest.raises(I2IError, match="cannot be read"):
        pixels.read(tmp_path / "a.jp2")
