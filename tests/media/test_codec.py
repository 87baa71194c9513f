"""What is kept around the pixels: profiles, transparency, depth, EXIF, animations, pages, and options of writing."""

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms, ImageSequence
from torch import nn

from i2i.core.errors import I2IError
from i2i.inference.translate import translate, translate_bytes
from i2i.media import color, container, uint16
from i2i.media.codec import WriteSettings
from i2i.media.metadata import Metadata
from i2i.models.load import load
from i2i.models.translator import Translator

CASES = Path(__file__).parents[1] / "cases"


class Net(nn.Module):
    """Gives back what it gets, or its negative, and notes what it saw."""

    multiple = 1

    def __init__(self, channels=3, sign=1.0):
        super().__init__()
        self.arguments = {"channels_in": channels, "channels_out": channels}
        self.sign = nn.Parameter(torch.tensor(sign))
        self.seen = []

    def forward(self, x):
        self.seen.append(((x[0] + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(int))
        return x * self.sign


def same(channels=3):
    return Translator(Net(channels), {}, "same")


def negative(channels=3):
    return Translator(Net(channels, -1.0), {}, "negative")


def noise(*shape, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, shape, dtype=dtype, endpoint=True)


def laid_on_white(array):
    """What comes of [H, W, 2 or 4] if nothing happens on the way: the colours on white, and the alpha."""
    top = np.iinfo(array.dtype).max
    share = array[..., -1:] / top
    return np.concatenate([(array[..., :-1] * share + top * (1 - share)).round(), array[..., -1:]], -1).astype(int)


def with_exif(data, exif, suffix):
    """A file with EXIF."""
    return container.inserted(data, Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0")), suffix)


def soft(height, width):
    """Colours without sharp edges, well inside every gamut."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([80 + 60 * x / width, 90 + 50 * y / height, 120 - 40 * x / width], -1).astype(np.uint8)


def wide():
    """An RGB profile unlike sRGB: linear light with the primaries of sRGB."""
    if "linear" not in wide.__dict__:
        data = bytearray(color.srgb_profile())
        # give each tone curve (rTRC, gTRC, bTRC share one) the single gamma 1.0
        count = int.from_bytes(data[128:132], "big")
        for i in range(count):
            tag = bytes(data[132 + 12 * i : 136 + 12 * i])
            place = int.from_bytes(data[136 + 12 * i : 140 + 12 * i], "big")
            if tag in (b"rTRC", b"gTRC", b"bTRC"):
                data[place : place + 14] = b"curv" + bytes(4) + (1).to_bytes(4, "big") + (0x0100).to_bytes(2, "big")
                data[140 + 12 * i : 144 + 12 * i] = (14).to_bytes(4, "big")
        wide.linear = bytes(data)
    return wide.linear


def grey_profile():
    """A grey profile with linear light, put together by hand: header, white point and tone curve."""
    white = b"XYZ " + bytes(4) + b"".join(v.to_bytes(4, "big") for v in (0xF6D6, 0x10000, 0xD32D))
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + (0x0100).to_bytes(2, "big") + bytes(2)
    text = b"desc" + bytes(4) + (2).to_bytes(4, "big") + b"x\0" + bytes(78)
    tags, place, body = b"", 128 + 4 + 36, b""
    for name, data in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text)):
        tags += name + (place + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data + bytes(-len(data) % 4)
    size = place + len(body)
    head = size.to_bytes(4, "big") + bytes(4) + b"\x02\x40\0\0" + b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    illuminant = b"".join(v.to_bytes(4, "big") for v in (0xF6D6, 0x10000, 0xD32D))
    head = head + illuminant
    return head + bytes(128 - len(head)) + (3).to_bytes(4, "big") + tags + body


# ---- colour profiles -----------------------------------------------------------------------------------------------


def test_the_network_sees_srgb_and_the_profile_is_kept(tmp_path):
    array = soft(16, 24)
    Image.fromarray(array).save(tmp_path / "a.png", icc_profile=wide())
    model = same()
    translate(tmp_path / "a.png", tmp_path / "b.png", model)
    linear = array / 255
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(model.network.seen[0] - expected).max() <= 2
    made = Image.open(tmp_path / "b.png")
    assert made.info["icc_profile"] == wide()
    assert np.abs(np.asarray(made).astype(int) - array).max() <= 2


def test_or_stays_srgb_and_says_so(tmp_path):
    Image.fromarray(soft(8, 8)).save(tmp_path / "a.jpg", icc_profile=wide(), quality=95)
    model = same()
    translate(tmp_path / "a.jpg", tmp_path / "b.png", model, profile="srgb")
    made = Image.open(tmp_path / "b.png")
    assert made.info["icc_profile"] == color.srgb_profile()
    assert np.abs(np.asarray(made).astype(int) - model.network.seen[0]).max() <= 1


@pytest.mark.parametrize("suffix", [".bmp", ".gif"])
def test_formats_without_profiles_are_in_srgb(tmp_path, suffix):
    Image.fromarray(soft(16, 24)).save(tmp_path / "a.png", icc_profile=wide())
    model = same()
    assert translate(tmp_path / "a.png", tmp_path / f"b{suffix}", model).failed == []
    made = np.asarray(Image.open(tmp_path / f"b{suffix}").convert("RGB")).astype(int)
    assert np.abs(made - model.network.seen[0]).mean() <= (0 if suffix == ".bmp" else 4)


def test_srgb_itself_changes_nothing(tmp_path):
    array = noise(8, 8, 3)
    Image.fromarray(array).save(tmp_path / "a.png", icc_profile=color.srgb_profile())
    translate(tmp_path / "a.png", tmp_path / "b.png", same())
    made = Image.open(tmp_path / "b.png")
    assert np.array_equal(made, array)
    assert made.info["icc_profile"] == color.srgb_profile()


def test_the_library_converts_profiles_as_files_are(tmp_path):
    array = soft(16, 24)
    Image.fromarray(array).save(tmp_path / "a.png", icc_profile=wide())
    model = same()
    translate(tmp_path / "a.png", tmp_path / "b.png", model)
    with Image.open(tmp_path / "a.png") as picture:
        for given in (picture, tmp_path / "a.png"):
            made = model(given)
            assert made.info["icc_profile"] == wide()
            assert np.array_equal(made, Image.open(tmp_path / "b.png"))
    assert all(np.array_equal(seen, model.network.seen[0]) for seen in model.network.seen)


def test_alpha_beside_a_profile(tmp_path):
    array = np.dstack([soft(8, 10), noise(8, 10) // 128 * 255])
    Image.fromarray(array).save(tmp_path / "a.png", icc_profile=wide())
    model = same()
    translate(tmp_path / "a.png", tmp_path / "b.png", model)
    made = np.asarray(Image.open(tmp_path / "b.png")).astype(int)
    assert np.array_equal(made[..., 3], array[..., 3])
    assert np.abs(made - array)[array[..., 3] == 255].max() <= 2
    assert np.abs(model.network.seen[0][array[..., 3] == 0] - 255).max() == 0


def test_gray_with_a_gray_profile(tmp_path):
    array = soft(8, 16)[..., 0]
    Image.fromarray(array).save(tmp_path / "a.png", icc_profile=grey_profile())
    for channels, mode in ((3, "RGB"), (1, "L")):
        model = same(channels)
        assert translate(tmp_path / "a.png", tmp_path / f"b{channels}.png", model).failed == []
        assert model.network.seen[0].mean() > array.mean() + 30  # linear light is brighter in sRGB
        made = Image.open(tmp_path / f"b{channels}.png")
        assert made.mode == mode
        if mode == "L":
            assert made.info["icc_profile"] == grey_profile()
            assert np.abs(np.asarray(made).astype(int) - array).max() <= 2
        else:
            assert made.info["icc_profile"] == color.srgb_profile()


@pytest.mark.parametrize("profile", [b"", b"rubbish" * 100, None])
def test_broken_profiles_cost_nothing_but_themselves(tmp_path, profile):
    array = noise(8, 8, 3)
    if profile is None:
        profile = wide()[:400]
    Image.fromarray(array).save(tmp_path / "a.png", icc_profile=profile)
    assert translate(tmp_path / "a.png", tmp_path / "b.png", same()).failed == []
    assert np.array_equal(Image.open(tmp_path / "b.png"), array)


def test_cmyk_and_palette(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95)
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    for name in ("c.jpg", "c.tif"):
        assert translate(tmp_path / name, tmp_path / f"o-{name}", same()).failed == []
        made = Image.open(tmp_path / f"o-{name}").convert("RGB")
        assert np.abs(np.asarray(made)[4, 4].astype(int) - (255, 0, 0)).max() <= 12
    palette = Image.fromarray(noise(8, 8, 3)).quantize(16)
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((2, 3)))
    translate(tmp_path / "p.png", tmp_path / "q.png", same())
    made = Image.open(tmp_path / "q.png")
    assert made.mode == "RGBA"
    assert made.getpixel((2, 3))[3] == 0


# ---- transparency --------------------------------------------------------------------------------------------------


def test_alpha_is_kept_dropped_or_translated(tmp_path):
    array = noise(8, 10, 4)
    Image.fromarray(array).save(tmp_path / "a.png")

    def made(alpha):
        translate(tmp_path / "a.png", tmp_path / f"{alpha}.png", negative(), alpha=alpha)
        return np.asarray(Image.open(tmp_path / f"{alpha}.png")).astype(int)

    assert np.array_equal(made("keep")[..., 3], array[..., 3])
    assert np.array_equal(made("translate")[..., 3], 255 - array[..., 3])
    assert np.array_equal(made("translate")[..., :3], made("keep")[..., :3])
    flat = Image.alpha_composite(Image.new("RGBA", (10, 8), "white"), Image.fromarray(array)).convert("RGB")
    dropped = made("drop")
    assert dropped.shape == (8, 10, 3)
    assert np.array_equal(dropped, 255 - np.asarray(flat).astype(int))
    assert np.array_equal(made("keep")[..., :3], dropped)
    Image.fromarray(array[..., :3]).save(tmp_path / "o.png")  # none to translate
    translate(tmp_path / "o.png", tmp_path / "p.png", negative(), alpha="translate")
    assert Image.open(tmp_path / "p.png").mode == "RGB"


def transparent(suffix, hidden):
    """A file's bytes: soft colours in the middle, and `hidden` colours under transparency around them."""
    array = np.dstack([soft(16, 16), np.zeros((16, 16), np.uint8)])
    array[4:12, 4:12, 3] = 255
    array[array[..., 3] == 0] = (*hidden, 0)
    image = Image.fromarray(array)
    buffer = io.BytesIO()
    options = {".webp": {"lossless": True, "exact": True}, ".avif": {"quality": 100}}.get(suffix, {})
    image.save(buffer, {".jp2": "JPEG2000", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()), **options)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tga", ".jp2", ".gif", ".avif"])
def test_colors_under_transparency_never_reach_the_network(tmp_path, suffix):
    seen = []
    for name, hidden in (("black", (0, 0, 0)), ("green", (0, 255, 0))):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(transparent(suffix, hidden))
        model = same()
        assert translate(path, tmp_path / f"{name}.out.png", model).failed == []
        model(path)  # in Python
        for network_input in model.network.seen:
            assert (network_input[:3] >= (253 if suffix == ".avif" else 255)).all()
        assert np.array_equal(*model.network.seen)
        made = Image.open(tmp_path / f"{name}.out.png")
        assert made.mode == "RGBA"
        assert np.asarray(made)[..., 3][:3].max() <= (2 if suffix == ".avif" else 0)
        seen.append(model.network.seen[0])
    assert suffix in (".avif", ".gif") or np.array_equal(*seen)  # the others lose nothing


def test_opaque_pixels_come_out_as_from_the_image_on_white(tmp_path):
    """A shipped model sees the drawn face, whose hidden colours are black, as the face on white, as in training."""
    result = translate([CASES / "face.png", CASES / "face_white.png"], tmp_path, load("pix2pix_emoji"))
    assert result.failed == []
    face, white = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("face", "face_white"))
    assert np.array_equal(face[..., 3], np.asarray(Image.open(CASES / "face.png"))[..., 3])
    assert np.array_equal(face[..., :3], white)


# ---- depth ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_color_png(tmp_path, channels):
    import cv2

    array = noise(9, 12, channels, dtype=np.uint16)
    swap = [2, 1, 0, 3][:channels]
    cv2.imwrite(str(tmp_path / "a.png"), array[..., swap])
    assert translate(tmp_path / "a.png", tmp_path / "b.png", same()).failed == []
    made = cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED)[..., swap]
    assert made.dtype == np.uint16
    assert np.abs(made.astype(int) - (laid_on_white(array) if channels == 4 else array)).max() <= 1
    translate(tmp_path / "a.png", tmp_path / "c.jpg", same())
    assert Image.open(tmp_path / "c.jpg").mode == "RGB"


def test_sixteen_bit_color_keeps_profile_exif_resolution_and_is_upright(tmp_path):
    import cv2

    array = noise(9, 12, 3, dtype=np.uint16)
    turned = np.rot90(array)  # stored lying; orientation 6 turns it clockwise
    _, data = cv2.imencode(".png", np.ascontiguousarray(turned[..., ::-1]))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a scanner"
    whole = with_exif(uint16.encode_png(turned, wide(), (300.0, 300.0)), exif, ".png")
    assert len(whole) > len(data)
    (tmp_path / "a.png").write_bytes(whole)
    assert translate(tmp_path / "a.png", tmp_path / "b.png", same()).failed == []
    made = Image.open(tmp_path / "b.png")
    made.load()
    assert made.size == (12, 9)
    assert made.info["icc_profile"] == wide()
    assert round(made.info["dpi"][0]) == 300
    assert made.getexif()[0x010F] == "a scanner"
    assert made.getexif()[0x0112] == 1
    found = cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    assert np.abs(found[..., ::-1].astype(int) - array).max() <= 1


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_by_hand_equals_pillows(orientation):
    array = noise(4, 6, 3)
    image = Image.fromarray(array)
    image.getexif()[0x0112] = orientation
    from PIL import ImageOps

    assert np.array_equal(uint16.upright(array, orientation), ImageOps.exif_transpose(image))


# ---- EXIF ----------------------------------------------------------------------------------------------------------


def test_exif_of_tiff_and_sizes_after_turning(tmp_path):
    image = Image.fromarray(noise(8, 12, 3))
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    image.save(tmp_path / "a.tif", exif=exif)
    translate(tmp_path / "a.tif", tmp_path / "b.jpg", same())
    made = Image.open(tmp_path / "b.jpg")
    assert made.size == (8, 12)
    assert made.getexif()[0x010F] == "a camera"
    assert 0x0100 not in made.getexif()  # the layout of the TIFF stays behind
    inner = exif.get_ifd(0x8769)
    inner[0xA002], inner[0xA003] = 12, 8
    image.save(tmp_path / "c.jpg", exif=exif)
    translate(tmp_path / "c.jpg", tmp_path / "d.jpg", same())
    sides = Image.open(tmp_path / "d.jpg").getexif().get_ifd(0x8769)
    assert (sides[0xA002], sides[0xA003]) == (8, 12)
    translate(tmp_path / "c.jpg", tmp_path / "e.jpg", same(), size=4)
    sides = Image.open(tmp_path / "e.jpg").getexif().get_ifd(0x8769)
    assert (sides[0xA002], sides[0xA003]) == (4, 6)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_place_and_resolution_are_kept_and_the_old_thumbnail_is_not(tmp_path, suffix):
    image, thumbnail = Image.fromarray(noise(40, 60, 3)), io.BytesIO()
    image.resize((12, 8)).save(thumbnail, "JPEG")
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 8, "somebody"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.5)})
    data = bytearray(exif.tobytes())  # and by hand a second directory with a thumbnail, which Pillow does not write
    order = "<" if data[6:8] == b"II" else ">"
    (count,) = struct.unpack_from(f"{order}H", data, 14)
    place, size = len(data) - 6, len(thumbnail.getvalue())
    struct.pack_into(f"{order}I", data, 16 + 12 * count, place)
    data += struct.pack(f"{order}H HHII HHII I", 2, 0x0201, 4, 1, place + 30, 0x0202, 4, 1, size, 0)
    data = bytes(data) + thumbnail.getvalue()
    image.save(tmp_path / "a.jpg", exif=data, dpi=(300, 150), quality=95)
    assert Image.open(tmp_path / "a.jpg").getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] == size
    translate(tmp_path / "a.jpg", tmp_path / f"b{suffix}", same())
    made = Image.open(tmp_path / f"b{suffix}")
    made.load()
    exif = made.getexif()
    assert made.size == (40, 60)
    assert exif[0x013B] == "somebody"
    assert exif.get(0x0112, 1) == 1
    assert [float(v) for v in exif.get_ifd(0x8825)[2]] == [52.0, 31.0, 12.5]
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    if suffix in (".jpg", ".png", ".tif"):
        assert [round(float(v)) for v in made.info["dpi"]] == [150, 300]  # the sides have changed places


def test_broken_exif_costs_nothing_but_itself(tmp_path):
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=95)
    assert translate(tmp_path / "a.jpg", tmp_path / "b.jpg", same()).failed == []


# ---- many frames ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_frame_by_frame_with_their_timing(tmp_path, suffix):
    frames = [Image.new("RGB", (10, 8), c) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    times = [100, 250, 400]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], duration=times, loop=2, **options)
    result = translate(tmp_path / f"a{suffix}", tmp_path / "out", negative())
    assert result.failed == []
    with Image.open(result.done[0]) as made:
        assert result.done[0].suffix == suffix
        assert made.n_frames == 3
        found = []
        for i, frame in enumerate(ImageSequence.Iterator(made)):
            frame.load()
            found.append(frame.info["duration"])
            expected = 255 - np.asarray(frames[i])[0, 0].astype(int)
            assert np.abs(np.asarray(frame.convert("RGB"))[4, 4].astype(int) - expected).max() <= 8
        assert found == times
        assert made.info["loop"] == 2
    still = translate(tmp_path / f"a{suffix}", tmp_path / "a.jpg", negative())
    assert still.failed == []
    assert np.abs(np.asarray(Image.open(tmp_path / "a.jpg"))[4, 4].astype(int) - (0, 255, 255)).max() <= 8


@pytest.mark.parametrize("loop", [None, 0, 3])
def test_how_often_an_animation_plays_goes_from_format_to_format(tmp_path, loop):
    frames = [Image.new("RGB", (10, 8), c) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {} if loop is None else {"loop": loop}
    for duration in ([100, 250, 400], 0):  # a duration of nothing is one too
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=duration, **options)
        for suffix in (".gif", ".webp", ".png"):
            result = translate(tmp_path / "a.gif", tmp_path / f"b{suffix}", same(), overwrite=True)
            assert result.failed == []
            with Image.open(tmp_path / f"b{suffix}") as made:
                assert made.n_frames == 3
                once = None if suffix == ".gif" else 1  # a GIF that says nothing plays once
                if loop is not None or duration:
                    assert made.info.get("loop") == (once if loop is None else loop)
                found = []
                for frame in ImageSequence.Iterator(made):
                    frame.load()
                    found.append(frame.info.get("duration", 0))
                assert found == (duration or [0, 0, 0])


@pytest.mark.parametrize("disposal", [0, 1, 2])
@pytest.mark.parametrize("blend", [0, 1])
def test_frames_of_an_apng_are_seen_as_they_are_shown(tmp_path, disposal, blend):
    frames = []
    for i in range(3):
        array = np.zeros((16, 16, 4), np.uint8)
        array[4 * i : 4 * i + 4, 2:7] = (250, 60 * i, 9, 255)
        frames.append(Image.fromarray(array))
    options = {"disposal": disposal, "blend": blend, "duration": 80}
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], **options)
    translate(tmp_path / "a.png", tmp_path / "b.png", negative())

    def shown(name):
        with Image.open(tmp_path / name) as picture:
            return [np.asarray(f.convert("RGBA")).astype(int) for f in ImageSequence.Iterator(picture)]

    before, after = shown("a.png"), shown("b.png")
    assert len(before) == len(after) == 3
    for a, b in zip(before, after):
        assert np.array_equal(a[..., 3], b[..., 3])
        visible = a[..., 3] > 0
        assert np.array_equal(255 - a[visible][:, :3], b[visible][:, :3])


def test_a_transparent_animation(tmp_path):
    frames = []
    for i in range(3):
        array = np.zeros((8, 8, 4), np.uint8)
        array[i : i + 3, 2:5] = (200, 40 * i, 0, 255)
        frames.append(Image.fromarray(array))
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=80, disposal=2)
    translate(tmp_path / "a.gif", tmp_path / "b.gif", same())
    with Image.open(tmp_path / "b.gif") as made:
        assert made.n_frames == 3
        for i, frame in enumerate(ImageSequence.Iterator(made)):
            alpha = np.asarray(frame.convert("RGBA"))[..., 3]
            assert np.array_equal(alpha > 0, np.asarray(frames[i])[..., 3] > 0)


def test_every_page_of_a_tiff_in_its_own_size(tmp_path):
    pages = [Image.fromarray(noise(h, w, 3)) for h, w in ((8, 10), (12, 6), (8, 10))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", same()).failed == []
    with Image.open(tmp_path / "b.tif") as made:
        assert made.n_frames == 3
        for page, expected in zip(ImageSequence.Iterator(made), pages):
            assert np.array_equal(page, expected)


@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp", ".avif"])
def test_pages_that_differ_in_size_become_one_size_or_stay_pages(tmp_path, suffix):
    pages = [Image.fromarray(noise(h, w, 3)) for h, w in ((8, 10), (12, 6))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    result = translate(tmp_path / "a.tif", tmp_path / f"b{suffix}", same())
    assert "differ in size (6x12, 10x8)" in result.failed[0][1]
    result = translate(tmp_path / "a.tif", tmp_path / f"b{suffix}", same(), size=(9, 7))
    assert result.failed == []
    with Image.open(result.done[0]) as made:
        assert (made.n_frames, made.size) == (2, (9, 7))


def test_pages_are_never_lost_but_the_previews_of_a_photo_are(tmp_path):
    pages = [Image.fromarray(noise(8, 10, 3)) for _ in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    result = translate(tmp_path / "a.tif", tmp_path / "b.jpg", same())
    assert "a.tif has 2 pages; .jpg holds one. Give --format tif." in result.failed[0][1]
    Image.fromarray(soft(16, 24)).save(
        tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[Image.fromarray(noise(8, 12, 3))]
    )
    for suffix in (".jpg", ".png", ".tif"):
        made = translate(tmp_path / "phone.jpg", tmp_path / f"c{suffix}", same()).done[0]
        with Image.open(made) as picture:
            assert (getattr(picture, "n_frames", 1), picture.size) == (1, (24, 16))
    data = translate_bytes((tmp_path / "phone.jpg").read_bytes(), same())
    assert data == (tmp_path / "c.jpg").read_bytes()


def test_a_reduced_copy_beside_a_page_is_no_page(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "scan.tif") as file:
        file.write(noise(32, 32, 3), photometric="rgb")
        file.write(noise(8, 8, 3), photometric="rgb", subfiletype=1)
        file.write(noise(32, 24, 3), photometric="rgb")
    made = translate(tmp_path / "scan.tif", tmp_path / "b.tif", same()).done[0]
    with Image.open(made) as picture:
        assert [page.size for page in ImageSequence.Iterator(picture)] == [(32, 32), (24, 32)]
    with tifffile.TiffWriter(tmp_path / "one.tif") as file:
        file.write(noise(32, 32, 3), photometric="rgb")
        file.write(noise(8, 8, 3), photometric="rgb", subfiletype=1)
    for suffix in (".jpg", ".png", ".tif"):
        with Image.open(translate(tmp_path / "one.tif", tmp_path / f"c{suffix}", same()).done[0]) as picture:
            assert (getattr(picture, "n_frames", 1), picture.size) == (1, (32, 32))


def test_what_is_broken_behind_the_first_page_costs_a_still_image_nothing(tmp_path):
    Image.fromarray(noise(8, 10, 3)).save(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    start = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    data[start + 2 + 12 * count : start + 6 + 12 * count] = struct.pack("<I", 9)  # where the next page is not
    (tmp_path / "a.tif").write_bytes(data)
    assert translate(tmp_path / "a.tif", tmp_path / "b.jpg", same()).failed == []


@pytest.mark.parametrize("channels", [3, 1])
def test_an_animated_webp_of_rectangles_stays_transparent(tmp_path, channels):
    frames = []
    for i in range(3):
        array = np.full((16, 16, 4), 255, np.uint8)
        array[..., 0] = 80 * i
        array[:, :8, 3] = 0
        frames.append(Image.fromarray(array))
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=90, lossless=True)
    translate(tmp_path / "a.webp", tmp_path / "b.webp", same(channels))
    with Image.open(tmp_path / "b.webp") as made:
        for frame in ImageSequence.Iterator(made):
            alpha = np.asarray(frame.convert("RGBA"))[..., 3]
            assert alpha[:, :8].max() == 0
            assert alpha[:, 8:].min() == 255


def test_an_animation_cut_anywhere_is_a_sentence(tmp_path):
    frames = [Image.fromarray(np.roll(noise(12, 12, 3), k, 1)).quantize(16) for k in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=90)
    data = (tmp_path / "a.gif").read_bytes()
    for length in range(20, len(data), 7):
        with contextlib.suppress(I2IError):  # and nothing else
            translate_bytes(data[:length], same())


def test_the_limit_of_pixels_holds_for_all_frames_of_a_size(tmp_path):
    frames = [Image.fromarray(np.roll(noise(12, 12, 3), k, 1)).quantize(16) for k in range(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=90)
    given = {"size": (60, 60), "max_pixels": 10_000}
    result = translate(tmp_path / "a.gif", tmp_path / "b.gif", same(), **given)
    assert "would have 4 frames of 60x60 pixels, more than the limit of 10,000" in result.failed[0][1]
    assert translate(tmp_path / "a.gif", tmp_path / "b.jpg", same(), **given).failed == []


def test_a_color_that_is_transparent_stays_so_beside_a_profile(tmp_path):
    array = soft(8, 8)
    array[:, :4] = (1, 2, 3)
    Image.fromarray(array).save(tmp_path / "a.png", transparency=(1, 2, 3), icc_profile=wide())
    translate(tmp_path / "a.png", tmp_path / "b.png", same())
    for made in (Image.open(tmp_path / "b.png"), same()(tmp_path / "a.png")):
        assert made.mode == "RGBA"
        assert np.array_equal(np.asarray(made)[..., 3] > 0, np.arange(8)[None] + np.zeros((8, 1)) >= 4)
    grey = np.full((8, 8), 90, np.uint8)
    grey[:, :4] = 7
    Image.fromarray(grey).save(tmp_path / "g.png", transparency=7, icc_profile=grey_profile())
    assert np.array_equal(np.asarray(same()(tmp_path / "g.png"))[..., -1] > 0, grey != 7)


def test_transparency_of_later_pages_is_never_dropped(tmp_path):
    clear = np.dstack([soft(8, 8), np.full((8, 8), 50, np.uint8)])
    Image.fromarray(soft(8, 8)).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(clear)])
    translate(tmp_path / "a.tif", tmp_path / "b.tif", same(), alpha="translate")
    with Image.open(tmp_path / "b.tif") as made:
        made.seek(1)
        assert np.abs(np.asarray(made) - laid_on_white(clear)).max() <= 1


def test_a_still_gif_becomes_png_however_it_comes(tmp_path):
    Image.new("RGB", (8, 8), (9, 99, 199)).save(tmp_path / "a.gif")
    made = translate(tmp_path / "a.gif", None, same()).done[0]
    assert made.suffix == ".png"
    assert translate_bytes((tmp_path / "a.gif").read_bytes(), same()) == made.read_bytes()


def test_every_page_has_its_own_profile(tmp_path):
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    inks.save(tmp_path / "inks.tif", save_all=True, append_images=[inks])
    assert translate(tmp_path / "inks.tif", tmp_path / "b.tif", same()).failed == []
    with Image.open(tmp_path / "b.tif") as made:
        for page in ImageSequence.Iterator(made):
            assert np.abs(np.asarray(page.convert("RGB"))[4, 4].astype(int) - (255, 0, 0)).max() <= 2
    plain, marked = Image.fromarray(soft(8, 10)), Image.fromarray(soft(8, 10))
    marked.info["icc_profile"] = wide()
    marked.save(tmp_path / "a.tif", save_all=True, append_images=[plain], icc_profile=wide())
    model = same()
    translate(tmp_path / "a.tif", tmp_path / "c.tif", model)
    with Image.open(tmp_path / "a.tif") as given:  # Pillow may have marked both
        marks = [page.tag_v2.get(34675) for page in ImageSequence.Iterator(given)]
    for seen, mark in zip(model.network.seen, marks):
        assert (seen.mean() > soft(8, 10).mean() + 20) == (mark is not None)  # linear light is brighter in sRGB


def test_pages_that_grow_beyond_the_limit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    pages = [Image.new("RGB", size) for size in ((10, 10), (300, 300))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    decoded = []
    kept = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: decoded.append(self.size) or kept(self))
    result = translate(tmp_path / "a.tif", tmp_path / "b.tif", same(), max_pixels=50_000)
    assert "more than the limit of 50,000" in result.failed[0][1]
    assert (300, 300) not in decoded


def test_too_many_frames_are_refused(tmp_path):
    frames = [Image.new("RGB", (10, 10), (i, 0, 0)) for i in range(12)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    result = translate(tmp_path / "a.gif", tmp_path / "b.gif", same(), max_pixels=1000)
    assert "1,200 pixels in 12 frames" in result.failed[0][1]
    assert "--max-pixels" in result.failed[0][1]


# ---- writing -------------------------------------------------------------------------------------------------------


def test_format_and_quality(tmp_path):
    Image.fromarray(noise(64, 64, 3)).save(tmp_path / "a.png")
    for format in ("jpg", "webp", "tif", "bmp", "gif", "avif"):
        result = translate(tmp_path / "a.png", tmp_path / format, same(), format=format)
        assert [p.name for p in result.done] == [f"a.{format}"], result.failed
        assert Image.open(result.done[0]).size == (64, 64)
    sizes = [
        translate(tmp_path / "a.png", tmp_path / f"{q}.jpg", same(), quality=q).done[0].stat().st_size
        for q in (20, 60, 95)
    ]
    assert sizes == sorted(sizes)
    full = Image.open(tmp_path / "95.jpg")
    translate(tmp_path / "a.png", tmp_path / "s.jpg", same(), subsampling="4:2:0")
    from PIL import JpegImagePlugin

    assert JpegImagePlugin.get_sampling(full) == 0
    assert JpegImagePlugin.get_sampling(Image.open(tmp_path / "s.jpg")) == 2


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"alpha": "kep"}, "Did you mean keep"),
        ({"profile": "sRGB!"}, "Allowed: keep, srgb"),
        ({"metadata": "remove"}, "Allowed: keep, strip"),
        ({"subsampling": "4:2:1"}, "Allowed: 4:4:4"),
        ({"quality": 0}, "quality is 0"),
        ({"max_pixels": 0}, "limit of pixels is 0"),
    ],
)
def test_options_that_do_not_exist(options, match):
    with pytest.raises(I2IError, match=match):
        WriteSettings(**options)
    with pytest.raises(I2IError, match=r"Did you mean \.png"):
        translate("a.png", "b", same(), format="pgn")


def test_bytes_to_bytes():
    buffer = io.BytesIO()
    Image.fromarray(noise(8, 8, 3)).save(buffer, "PNG")
    made = Image.open(io.BytesIO(translate_bytes(buffer.getvalue(), negative())))
    assert made.format == "PNG"
    assert np.array_equal(made, 255 - noise(8, 8, 3))
    with pytest.raises(I2IError, match="cannot be written as"):
        translate_bytes(buffer.getvalue(), same(), format="xyz")


def test_the_profile_helper_itself():
    assert ImageCms.ImageCmsProfile(io.BytesIO(wide())).profile.xcolor_space.strip() == "RGB"
    assert color.mode_of(grey_profile()) == "L"
    assert color.mode_of(b"short") == ""
    assert color.mode_of(None) == ""
