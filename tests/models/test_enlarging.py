"""Networks whose output is larger than their input: sizes, limits, tiles, others' weights by their keys alone."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import i2i as library
from i2i import nets
from i2i.core.errors import I2IError
from i2i.inference.demo import Studio
from i2i.inference.translate import translate
from i2i.models import format as model_file
from i2i.models import pth, pth_sr, zoo
from i2i.models.load import load, translator_of
from i2i.models.tiling import TileSettings
from tests.cli.program import i2i
from tests.media.test_metadata import CASES

SMALL = {"width": 6, "blocks": 2, "growth": 3}


def network(scale=4, seed=0, **more):
    torch.manual_seed(seed)
    return nets.build("rrdbnet", scale=scale, **{**SMALL, **more}).eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file that enlarges four times."""
    path = tmp_path_factory.mktemp("models") / "big.safetensors"
    return model_file.save(path, {"G": network()}, {"method": "esrgan", "scale": 4})


def photo(height=21, width=34, channels=3, dtype=np.uint8):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / 5 + i) * np.cos(y / 7 - i) * 0.5 + 0.5 for i in range(channels)]
    return (np.stack(waves, -1) * np.iinfo(dtype).max).astype(dtype)


# ---- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("side", [(21, 34), (1, 3), (40, 7)])
def test_an_output_is_larger_by_the_scale(tmp_path, scale, side):
    path = model_file.save(tmp_path / "m.safetensors", {"G": network(scale)}, {"method": "esrgan"})
    translator = load(path, "cpu")
    assert translator.scale == scale
    height, width = side
    image = photo(height, width)
    assert translator(image).shape == (height * scale, width * scale, 3)
    assert translator(Image.fromarray(image)).size == (width * scale, height * scale)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    assert translator(tensor).shape == (3, height * scale, width * scale)
    assert np.array_equal(translator(tensor).permute(1, 2, 0).numpy(), translator(image))


def test_the_command_enlarges_files_of_all_kinds(model, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769).update({0xA002: 34, 0xA003: 21})
    Image.fromarray(photo()).save(source / "a.jpg", exif=exif)
    Image.fromarray(photo(channels=4)).save(source / "b.png")
    Image.fromarray(photo(channels=1, dtype=np.uint16)[..., 0]).save(source / "c.png")
    i2i("translate", source, "-o", tmp_path / "out", "--model", model)

    with Image.open(tmp_path / "out" / "a.jpg") as turned:  # upright, and EXIF states its own size
        assert turned.size == (84, 136)
        assert turned.getexif().get(0x0112, 1) == 1
        stated = turned.getexif().get_ifd(0x8769)
        assert (stated[0xA002], stated[0xA003]) == (84, 136)
    with Image.open(tmp_path / "out" / "b.png") as clear:
        assert (clear.size, clear.mode) == ((136, 84), "RGBA")
        alpha = Image.fromarray(photo(channels=4)[..., 3])
        assert np.abs(np.asarray(clear.getchannel("A").resize(alpha.size)).astype(int) - alpha).mean() < 6
    head = (tmp_path / "out" / "c.png").read_bytes()[:26]
    assert (head[16:24], head[24]) == ((136).to_bytes(4) + (84).to_bytes(4), 16)  # its size, and 16 bits


def test_geotiff_tags_are_left_out_with_a_note(model, tmp_path):
    result = translate(CASES / "geo.tif", tmp_path / "big.tif", model)
    assert result.outcomes[0].note == "Its GeoTIFF tags were left out, because the size of the image has changed."


@pytest.mark.parametrize(("size", "wide", "high"), [("42", 68, 42), ("50x40", 50, 40), ("136x84", 136, 84)])
def test_size_is_that_of_the_output_and_the_network_sees_the_whole_image(model, tmp_path, size, wide, high):
    image = photo()
    Image.fromarray(image).save(tmp_path / "a.png")
    i2i("translate", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model, "--size", size)
    output = np.asarray(Image.open(tmp_path / "b.png"))
    assert output.shape == (high, wide, 3)
    whole = Image.fromarray(load(model, "cpu")(image)).resize((wide, high), Image.Resampling.BICUBIC)
    assert np.abs(output.astype(int) - np.asarray(whole)).mean() < 2
    asked = int(size) if size.isdecimal() else (wide, high)
    assert np.array_equal(load(model, "cpu")(image, size=asked), output)
    floats = torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1  # dark values stay dark
    assert torch.equal(load(model, "cpu")(floats, size=asked).sign(), load(model, "cpu")(floats, size=asked).sign())
    assert load(model, "cpu")(floats, size=asked).amin() < -0.01 or output.min() > 127


def test_the_limit_counts_the_pixels_of_the_output(model, tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    words = ("translate", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model, "--max-pixels")
    _, err = i2i(*words, 136 * 84 - 1, code=1)
    assert "a.png, enlarged 4 times, would have 136x84 pixels, more than the limit of 11,423" in " ".join(err.split())
    assert not (tmp_path / "b.png").exists()
    i2i(*words, 136 * 84)
    assert Image.open(tmp_path / "b.png").size == (136, 84)


def bicubic(image, width, height):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)).astype(int)


def test_a_video_is_enlarged(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as made:
        stream = made.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 34, 22, "yuv420p"
        for _ in range(3):
            made.mux(stream.encode(av.VideoFrame.from_ndarray(photo(22, 34))))
        made.mux(stream.encode())
    i2i("translate", tmp_path / "a.mp4", "-o", tmp_path / "b.mp4", "--model", "sr_x4_small")
    with av.open(str(tmp_path / "a.mp4")) as small, av.open(str(tmp_path / "b.mp4")) as large:
        before, after = ([f.to_ndarray(format="rgb24") for f in v.decode(video=0)] for v in (small, large))
    assert [frame.shape for frame in after] == [(88, 136, 3)] * 3
    assert np.abs(after[1] - bicubic(before[1], 136, 88)).mean() < 12, "the frames show what they showed"


def test_the_web_page_enlarges():
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "PNG")
    result = Studio(["sr_x4_small"]).translate("sr_x4_small", "a.png", buffer.getvalue())
    assert result.size == (136, 84)
    assert result.before.size == result.after.size == (136, 84)
    assert np.abs(np.asarray(result.after) - bicubic(photo(), 136, 84)).mean() < 12


def test_onnx_enlarges_the_same(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    source = model_file.save(tmp_path / "m.safetensors", {"G": network(blocks=1)}, {"method": "esrgan"})
    library.export(source, tmp_path / "big.onnx")
    exported = load(tmp_path / "big.onnx")
    assert exported.scale == 4
    image = photo()
    assert np.abs(exported(image).astype(int) - load(source, "cpu")(image)).max() <= 1


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_tiles_show_no_seam(tmp_path, scale):
    path = model_file.save(tmp_path / "m.safetensors", {"G": network(scale)}, {"method": "esrgan"})
    image = photo(150, 190)
    whole = load(path, "cpu", tiling=TileSettings(0))(image)
    tiled = load(path, "cpu", tiling=TileSettings(128))(image)
    assert tiled.shape == whole.shape == (150 * scale, 190 * scale, 3)
    assert np.abs(tiled.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@torch.no_grad()
def test_nothing_outside_its_reach_matters_to_a_pixel_of_srresnet(scale):
    torch.manual_seed(0)
    net = nets.SRResNet(scale=scale, width=4, blocks=2).eval().double()
    x = torch.rand(1, 3, 9, 80, dtype=torch.double)
    changed = x.clone()
    changed[..., 40] += 1
    off = (net(changed) - net(x)).abs().amax((0, 1, 2)).nonzero().flatten()
    near = (40 - net.reach) * scale, (41 + net.reach) * scale
    assert near[0] <= off.min() < near[0] + 2 * scale
    assert near[1] - 2 * scale <= off.max() < near[1]


# ---- weights by others -----------------------------------------------------------------------------------------------


def counted(key):
    """A key of today -> that of the first code of ESRGAN, with two blocks."""
    if match := re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)\.(.*)", key):
        return "model.1.sub.{}.RDB{}.conv{}.0.{}".format(*match.groups())
    layer, _, leaf = key.partition(".")
    numbers = {"conv_first": 0, "conv_up1": 3, "conv_up2": 6, "conv_hr": 8, "conv_last": 10}
    return f"model.1.sub.2.{leaf}" if layer == "conv_body" else f"model.{numbers[layer]}.{leaf}"


def worded(key):
    """A key of today -> that of the second code of ESRGAN."""
    if match := re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)\.(.*)", key):
        return "RRDB_trunk.{}.RDB{}.conv{}.{}".format(*match.groups())
    old = {"conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2", "conv_hr": "HRconv"}
    layer, _, leaf = key.partition(".")
    return f"{old.get(layer, layer)}.{leaf}"


STYLES = {"today": lambda key: key, "counted": counted, "worded": worded}


@pytest.mark.parametrize("container", ["", "params", "params_ema", "both"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_weights_of_all_key_styles_are_recognized(tmp_path, style, container, scale):
    net = network(scale)
    state = {STYLES[style](key): value for key, value in net.state_dict().items()}
    other = {key: value + 1 for key, value in state.items()}
    saved = (
        {"params": other, "params_ema": state} if container == "both" else {container: state} if container else state
    )
    torch.save(saved, tmp_path / "m.pth")
    translator = load(tmp_path / "m.pth", "cpu")
    assert translator.scale == scale
    image = photo()
    assert np.array_equal(translator(image), translator_of({"G": net}, {})(image))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_safetensors_file_of_another_program_works_too(tmp_path, dtype):
    net = network()
    save_file({counted(k): v.to(dtype) for k, v in net.state_dict().items()}, tmp_path / "m.safetensors")
    translator = load(tmp_path / "m.safetensors", "cpu")
    image = photo()
    assert np.abs(translator(image).astype(int) - translator_of({"G": net}, {})(image)).max() <= 1
    Image.fromarray(image).save(tmp_path / "a.png")
    i2i("translate", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", tmp_path / "m.safetensors")
    assert Image.open(tmp_path / "b.png").size == (136, 84)
    assert "rrdbnet" in i2i("models", "show", tmp_path / "m.safetensors")[0]


OTHERS = {
    "SRVGGNetCompact": {"body.0.weight": (8, 3, 3, 3), "body.1.weight": (8,)},
    "transformer": {"conv_first.weight": (8, 3, 3, 3), "layers.0.residual_group.blocks.0.norm1.weight": (8,)},
    "EDSR": {"head.0.weight": (8, 3, 3, 3), "body.0.body.0.weight": (8, 8, 3, 3), "tail.1.weight": (3, 8, 3, 3)},
    "MSRResNet": {"conv_first.weight": (8, 3, 3, 3), "body.0.conv1.weight": (8, 8, 3, 3)},
}


@pytest.mark.parametrize("family", OTHERS)
def test_other_families_are_named(tmp_path, family):
    torch.save({"params": {k: torch.zeros(s) for k, s in OTHERS[family].items()}}, tmp_path / "m.pth")
    with pytest.raises(I2IError, match=f"another family: .*{family}") as caught:
        load(tmp_path / "m.pth")
    assert "RRDBNet generators" in caught.value.hint


def test_one_upsampling_less_is_said(tmp_path):
    state = {counted(key): value for key, value in network().state_dict().items()}
    torch.save({k: v for k, v in state.items() if not k.startswith("model.10.")}, tmp_path / "m.pth")
    with pytest.raises(I2IError):
        load(tmp_path / "m.pth")


def test_names_of_today_are_left_as_they_are():
    state = network().state_dict()
    assert pth_sr.renamed(state) is state
    assert pth.recognize(state)[1] == {"channels_in": 3, "channels_out": 3, "scale": 4, **SMALL}


# ---- the published models --------------------------------------------------------------------------------------------


def test_the_cards_name_the_authors_files():
    for name, scale, blocks in (("realesrgan_x4", 4, 23), ("realesrgan_x4_anime", 4, 6), ("realesrgan_x2", 2, 23)):
        card = zoo.card(name)
        assert (card.scale, card.network) == (scale, f"RRDBNet, {blocks} blocks, width 64")
        assert card.addresses[0].startswith("https://github.com/xinntao/Real-ESRGAN/releases/download/v")
        assert re.fullmatch("[0-9a-f]{64}", card.sha256)
