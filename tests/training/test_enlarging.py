"""Methods that enlarge, from one folder of photographs to enlarged files: training, resuming, export, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import nets
from i2i.core.errors import I2IError
from i2i.methods import load_method
from i2i.models import format as model_file
from i2i.models.load import load
from i2i.models.tiling import TileSettings
from i2i.training.resolve import resolve_run
from tests.cli.program import i2i
from tests.data.test_make import photo

SMALL = ("width=4", "d_width=2", "blocks=1", "content=none")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photos"
    for split, count in (("train", 4), ("test", 2)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(photo(50, 61 + i, seed=i)).save(folder / split / f"{i}.png")
    Image.fromarray(photo(50, 20)).save(folder / "train" / "narrow.png")
    return folder


def trained(photos: Path, out: Path, method: str, *settings: str) -> str:
    words = ("train", method, "--data", photos, "--out", out, "--size", 32, "--batch", 2, "--images", 8)
    return "".join(i2i(*words, "--device", "cpu", "--set", *SMALL, *settings))


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "four"
    text = trained(photos, out, "srgan", "scale=4")
    assert "Left out: 1 image is smaller than the crops of 32 pixels: narrow.png (20x50)." in text
    assert "bicubic" in text
    assert "PSNR-Y dB" in text
    return out


def test_a_run_ends_in_a_model_that_enlarges(run: Path, photos: Path, tmp_path: Path) -> None:
    header = load(run, "cpu").header
    assert (header["scale"], header["degrade"]) == (4, "x4")
    i2i("translate", photos / "test", "--model", run, "-o", tmp_path / "out", "--device", "cpu")
    assert Image.open(tmp_path / "out" / "0.png").size == (244, 200)
    scores = json.loads((run / "metrics.json").read_text())
    assert scores["bicubic"]["psnr_y"] > 20
    assert scores["model"].keys() == {"l1", "psnr", "ssim", "psnr_y", "ssim_y", "lpips"} == scores["bicubic"].keys()


def test_grids_show_the_bicubic_enlargement(run: Path) -> None:
    grid = Image.open(sorted((run / "samples").glob("*.png"))[-1])
    cells = (grid.width - 24 + 4) / (128 + 4)
    assert cells % 4 == pytest.approx(0, abs=0.3), "input, bicubic, translated, real"


def test_tiles_of_a_trained_model_leave_no_seams(run: Path) -> None:
    image = photo(90, 70)
    whole, tiled = load(run, "cpu"), load(run, "cpu", tiling=TileSettings(size=40))
    assert np.abs(whole(image).astype(int) - tiled(image)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "residual", "light"), [(2, True, False), (3, True, True), (8, False, True)])
def test_an_exported_network_enlarges_alike(tmp_path: Path, scale: int, residual: bool, light: bool) -> None:
    torch.manual_seed(0)
    net = nets.build("srresnet", scale=scale, width=4, blocks=1, norm="none", residual=residual, light=light)
    torch.nn.init.normal_(net.last.weight, std=0.02)  # type: ignore[union-attr, arg-type]
    path = model_file.save(tmp_path / "m.safetensors", {"G": net}, {"method": "srgan", "scale": scale})
    i2i("export", "--model", path, "-o", tmp_path / "m.onnx")
    image = photo(19, 26)
    ours, theirs = load(path, "cpu")(image), load(tmp_path / "m.onnx", "cpu")(image)
    assert theirs.shape == (19 * scale, 26 * scale, 3)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_esrgan_repairs_what_degrade_makes(photos: Path, tmp_path: Path) -> None:
    settings = ("degrade=real", "scale=2", "growth=2", "discriminator=unet", "sharpen=true", "warmup=0.3")
    trained(photos, tmp_path / "run", "esrgan", *settings)
    assert load(tmp_path / "run", "cpu").header["degrade"] == "real"
    found = json.loads(i2i("evaluate", "--model", tmp_path / "run", "--json", "--metrics", "y")[0])
    assert found["bicubic"]["psnr_y"] < 40, "the pairs are as bad as in training"


def test_nafnet_stands_in_for_srresnet_at_scale_1(photos: Path, tmp_path: Path) -> None:
    form = {"width": 4, "d_width": 2, "blocks": 2, "content": "none", "size": 32, "preprocess": "crop"}
    values = {**form, "precision": "fp32", "scale": 1, "generator": "nafnet", "make": "noise"}
    method = resolve_run("srgan", [str(photos)], None, values).build()
    path = model_file.save(tmp_path / "m.safetensors", {"G": method.G}, {"method": "srgan"})
    image = photo(37, 45)
    assert load(path, "cpu").header["networks"]["G"]["type"] == "nafnet"
    assert load(path, "cpu")(image).shape == image.shape


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("srgan", {"scale": 5}, "scale is 5, which srgan cannot make. Allowed: 1, 2, 3, 4, 8."),
        (
            "srgan",
            {"scale": 2, "size": 32, "generator": "nafnet"},
            "generator is nafnet and scale is 2: a NAFNet keeps the size.",
        ),
        ("esrgan", {"scale": 3}, "scale is 3, which esrgan cannot make. Allowed: 1, 2, 4."),
        ("pix2pix", {"scale": 3}, "scale is 3, but pix2pix makes images as large as its inputs. Methods that enlarge"),
        ("srgan", {"size": 4096}, "No image is large enough. 5 images are smaller than the crops of 4096 pixels"),
        ("srgan", {"size": 30}, "size is 30 and scale is 4. Give a multiple of it, such as 28."),
        ("srgan", {"degrade": "reel"}, "degrade is 'reel', and its part 'reel' is unknown. Did you mean real?"),
        (
            "esrgan",
            {"size": 48, "blocks": 1},
            "This discriminator cannot take crops of 48 pixels. Give a multiple of 32",
        ),
        ("esrgan", {"size": 36, "blocks": 1, "discriminator": "unet"}, "halves it three times. Give a multiple of 8"),
    ],
)
def test_what_cannot_be_enlarged_is_refused(photos: Path, method: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(I2IError) as caught:
        resolve_run(method, [str(photos)], None, {"preprocess": "crop", "precision": "fp32"} | settings).build()
    assert words in f"{caught.value.what} {caught.value.hint}".replace("'real'", "real")


def test_the_default_scale_is_the_methods(photos: Path) -> None:
    run = resolve_run("esrgan", [str(photos)], None, {"size": 32, "blocks": 1, "precision": "fp32"})
    assert (run.shape.scale, run.shape.size_in, run.settings["scale"]) == (4, 8, 4)
    assert resolve_run("pix2pix", [str(photos)], None, {"make": "grey", "precision": "fp32"}).shape.scale == 1


def test_learning_rates_fall_as_the_papers_say() -> None:
    from i2i.data.batch import Shape

    kind = load_method("srgan")
    srgan = kind(kind.Config(width=4, blocks=1, d_width=2, content="none", warmup=0.5), Shape(size=16, scale=2))
    assert [srgan.lr_factor(f) for f in (0, 0.5, 0.74, 0.75, 1)] == [1, 1, 1, 0.1, 0.1]
    kind = load_method("esrgan")
    form = {"width": 4, "blocks": 1, "growth": 2, "d_width": 2, "content": "none", "discriminator": "unet"}
    esrgan = kind(kind.Config(**form, warmup=0.2), Shape(size=16, scale=2))
    assert [esrgan.lr_factor(f) for f in (0, 0.2, 0.31, 0.41, 0.61, 0.81)] == [1, 1, 0.5, 0.25, 0.125, 0.0625]
    assert kind(kind.Config(**form, warmup=1.0), Shape(size=16, scale=2)).lr_factor(1.0) == 1


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_esrgan_can_start_from_the_bicubic_enlargement(scale: int) -> None:
    torch.manual_seed(0)
    G = nets.build("rrdbnet", scale=scale, width=4, blocks=1, growth=2, residual=True).eval()
    x = torch.rand(1, 3, 8, 12) * 2 - 1
    bicubic = torch.nn.functional.interpolate(x, scale_factor=float(scale), mode="bicubic", align_corners=False)
    torch.testing.assert_close(G(x), bicubic, atol=1e-5, rtol=0)
    G(x).square().mean().backward()
    assert G.conv_last.weight.grad.abs().max() > 0
    plain = nets.build("rrdbnet", scale=scale, width=4, blocks=1, growth=2).eval()
    plain.load_state_dict(G.state_dict())  # the same weights: released files fit both
    assert plain(x).unique().numel() == 1
    with pytest.raises(I2IError, match="residual is on"):
        nets.build("rrdbnet", channels_out=1, residual=True)
