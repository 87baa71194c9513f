"""Models that color: brightness and size are kept, and only the brightness is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import i2i
from i2i.core.errors import I2IError
from i2i.inference.domain_check import unlike_training
from i2i.media import luma
from i2i.metrics.domain import Domain, describe
from i2i.models import format as model_file
from i2i.models.coloring import ColorTranslator
from i2i.models.load import load, translator_of
from i2i.nets import DeOldifyUNet

HEADER = {"colorizes": True, "size": 64}


@pytest.fixture(scope="module")
def net() -> DeOldifyUNet:
    """A network of strong colors."""
    torch.manual_seed(0)
    found = DeOldifyUNet("wide", "small", 16, widths=[4, 4, 6, 8, 8])
    with torch.no_grad():
        found.layers[11][0].bias.copy_(torch.tensor([2.0, -1.0, 0.5]))  # type: ignore[index]
    return found.eval()


@pytest.fixture(scope="module")
def translator(net: DeOldifyUNet) -> ColorTranslator:
    found = translator_of({"G": net}, HEADER, "colors")
    assert isinstance(found, ColorTranslator)
    return found


def photo(height: int, width: int, top: int = 255, dtype: type = np.uint8) -> np.ndarray:
    """Smooth colors from black to white with a little noise, [H, W, 3]."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    noise = np.random.default_rng(1).uniform(-0.03, 0.03, (height, width, 3))
    image = np.stack([across, down, (across * down) ** 0.5], -1) + noise
    return (image.clip(0, 1) * top).round().astype(dtype)


def brightness(x: np.ndarray) -> np.ndarray:
    return x.astype(float) @ np.array(luma.WEIGHTS)


@pytest.mark.parametrize("size", [(40, 57), (64, 64), (150, 91)])
def test_size_and_brightness_are_kept(translator: ColorTranslator, size: tuple[int, int]) -> None:
    image = photo(*size)
    output = translator(image)
    assert output.shape == image.shape
    assert output.dtype == image.dtype
    assert np.abs(brightness(output) - brightness(image)).max() <= 1
    assert np.abs(output.astype(int) - np.round(brightness(output))[..., None]).mean() > 10  # there is color


def test_other_kinds_keep_their_brightness(translator: ColorTranslator) -> None:
    wide = photo(50, 60, 65535, np.uint16)
    assert np.abs(brightness(translator(wide)) - brightness(wide)).max() <= 2
    values = (photo(50, 60) / 255).astype(np.float32)
    assert np.abs(brightness(translator(values)) - brightness(values)).max() < 1e-5
    gray = Image.fromarray(photo(50, 60)).convert("LA")
    output = translator(gray)
    assert (output.mode, output.size) == ("RGBA", gray.size)
    deep = Image.fromarray(photo(50, 60, 65535, np.int32)[..., 0].astype(np.uint16))
    assert translator(deep).mode == "RGB"


def test_the_colors_of_the_input_make_no_difference(translator: ColorTranslator) -> None:
    image = photo(70, 90)
    gray = luma.luma(image)
    outputs = [translator(x).astype(int) for x in (image, np.repeat(gray[..., None], 3, -1), gray)]
    assert np.array_equal(outputs[1], outputs[2])
    assert np.abs(outputs[0] - outputs[1]).max() <= 6  # of rounding: gray and chroma are whole numbers


def test_colors_are_made_in_a_square_of_the_render_factor(translator: ColorTranslator) -> None:
    seen: list[tuple[int, ...]] = []
    handle = translator.network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    image = photo(90, 130)
    default = translator(image)
    larger = translator.with_render_factor(6)(image)
    handle.remove()
    assert seen == [(1, 3, 64, 64), (1, 3, 96, 96)]
    assert not np.array_equal(default, larger)
    assert np.array_equal(translator.with_render_factor(0)(image), default)
    with pytest.raises(I2IError, match="render factor is 300"):
        translator.with_render_factor(300)


def test_files_are_colored_as_images_are(translator: ColorTranslator, net: DeOldifyUNet, tmp_path: Path) -> None:
    model = model_file.save(tmp_path / "m.safetensors", {"G": net}, HEADER)
    image = photo(90, 130)
    Image.fromarray(image).convert("L").save(tmp_path / "old.png")
    result = i2i.translate(tmp_path / "old.png", tmp_path / "new.png", model=model, tile=32)
    assert not result.failed
    expected = translator(luma.luma(image))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new.png")), expected)
    i2i.translate(tmp_path / "old.png", tmp_path / "six.png", model=model, render_factor=6)
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "six.png")), expected)


def test_a_color_photo_is_no_unusual_input(net: DeOldifyUNet, tmp_path: Path) -> None:
    levels = [luma.luma(photo(64, 64 + i))[:, :64] for i in range(20)]
    grays = torch.stack([torch.from_numpy(x / 127.5 - 1).float().expand(3, -1, -1) for x in levels])
    domain = Domain.of(describe(grays))
    assert domain is not None
    header = {**HEADER, "preprocess": "resize", "domain": {"AtoB": domain.facts()}}
    Image.fromarray(photo(64, 70)[:, :64].copy()).save(tmp_path / "photo.png")
    for colorizes, is_told in ((True, False), (False, True)):
        model = translator_of({"G": net}, {**header, "colorizes": colorizes}, "m")
        assert bool(unlike_training(model, "AtoB", [tmp_path / "photo.png"])) is is_told


def test_a_model_that_does_not_color_has_no_render_factor(tmp_path: Path) -> None:
    plain = translator_of({"G": torch.nn.Conv2d(3, 3, 1)}, {}, "plain")
    with pytest.raises(I2IError, match="plain does not color images"):
        plain.with_render_factor(3)


@pytest.mark.slow
def test_onnx_colors_alike(net: DeOldifyUNet, translator: ColorTranslator, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = model_file.save(tmp_path / "m.safetensors", {"G": net}, HEADER)
    i2i.export(model, tmp_path / "m.onnx")
    image = photo(90, 131)
    found = load(tmp_path / "m.onnx", "cpu")(image).astype(int)
    assert np.abs(found - translator(image).astype(int)).max() <= 2


def test_no_color_moves_the_brightness() -> None:
    draws = np.random.default_rng(0)
    image, colors = (draws.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(2))
    image[:8], image[8:16] = 0, 255
    merged = luma.merged(image, luma.within_range(image, colors))
    assert np.abs(brightness(merged) - brightness(image)).max() <= 1.5
    assert np.array_equal(merged[:8], image[:8])  # black and white have no room for color
    assert np.array_equal(merged[8:16], image[8:16])


def test_tensors_are_merged_alike() -> None:
    x = torch.rand(2, 3, 20, 24) * 2 - 1
    colors = torch.rand(2, 3, 20, 24) * 2 - 1
    y: Tensor = luma.colored(x, colors)
    assert y.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(luma.gray(y), luma.gray(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(luma.colored(x, x), x, rtol=0, atol=1e-6)
