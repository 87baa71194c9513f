"""Colorization: pix2pix in Lab, and what goes wrong with the data and the settings of `colorize`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i import data
from i2i.core.errors import I2IError
from i2i.data import DataSettings
from i2i.media import luma
from i2i.methods import load_method
from i2i.methods._method import Now
from i2i.models import format as model_file
from i2i.models.coloring import ColorTranslator
from i2i.models.load import load
from i2i.training.gray_targets import gray_targets
from tests.methods.tiny import BATCH, batch_of, made

# ---- colorization in Lab -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels_in", [1, 3])
def test_pix2pix_in_lab_learns_colors_from_lightness(channels_in: int, tmp_path: Path) -> None:
    method = made("pix2pix", space="lab", channels_in=channels_in)
    batch = batch_of("pix2pix", space="lab", channels_in=channels_in)
    optimizers = method.optimizers()
    seen: list[tuple[int, int]] = []
    method.G.generator.register_forward_hook(  # type: ignore[union-attr]
        lambda _, inputs, out: seen.append((inputs[0].shape[1], out.shape[1]))
    )
    assert method.D.arguments["channels"] == 3
    losses = []
    for _ in range(30):
        for name, terms in method.step(batch, Now(batch=BATCH)):
            torch.stack(list(terms.values())).sum().backward(inputs=method.owned(optimizers[name]))
            optimizers[name].step()
            optimizers[name].zero_grad()
        losses.append(float(terms["l1"].detach()))
    assert set(seen) == {(1, 2)}
    assert losses[-1] < 0.97 * losses[0]

    # The model colors: the brightness of the input stays.
    method.eval()
    with torch.no_grad():
        expected = method.infer(batch)
    header = {"size": 16, **type(method).facts(method.config)}
    path = model_file.save(tmp_path / "m.safetensors", {"G": method.G}, header)
    found = load(path, "cpu")
    assert isinstance(found, ColorTranslator)
    torch.testing.assert_close(found(batch.x), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(luma.gray(expected), luma.gray(batch.x), rtol=0, atol=1e-6)


def test_lab_needs_colors() -> None:
    with pytest.raises(I2IError, match="all gray"):
        made("pix2pix", space="lab", channels_out=1)
    with pytest.raises(I2IError, match="space is 'lap'"):
        made("pix2pix", space="lap")


# ---- colorize ------------------------------------------------------------------------------------------------------


def test_the_parts_of_a_run_follow_each_other() -> None:
    method = made("colorize", alone=0.5, d_alone=0.3)
    assert [method.part(f)[0] for f in (0, 0.49, 0.51, 0.79, 0.81, 1.0)] == [1, 1, 2, 2, 3, 3]  # type: ignore[operator]
    assert method.lr_factors(0.4)["G"][-1] == pytest.approx(1.0)  # the top of the first cycle
    assert method.lr_factors(0.59)["D"][0] == pytest.approx(1.0)
    assert method.lr_factors(0.9)["G"][0] == 0  # the encoder rests
    assert method.betas_at(0.9) == (0.0, 0.9)


def test_the_discriminator_goes_on_until_its_loss_is_low() -> None:
    batch = batch_of("colorize")

    def turns(threshold: float) -> list[str]:
        method = made("colorize", alone=0.0, d_alone=0.0, threshold=threshold)
        now = [Now(images=BATCH * i, total=100 * BATCH, batch=BATCH) for i in range(4)]
        return [name for moment in now for name, _ in method.step(batch, moment)]

    assert turns(0.0) == ["D", "D", "D", "D"]
    assert turns(9.0) == ["D", "G", "D", "G"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels_out": 1}, "target images are all gray"),
        ({"alone": 0.9, "d_alone": 0.2}, "alone is 0.9 and d_alone 0.2"),
        ({"d_blocks": 3}, "size is 32 pixels; the discriminator with d_blocks=3 needs 64"),
        ({"encoder": "resnet43"}, "encoder is 'resnet43'"),
        ({"form": "wide", "width": 18}, "width is 18"),
        ({"encoder_weights": "nowhere.pth"}, "encoder_weights is 'nowhere.pth'. There is no such file"),
    ],
)
def test_settings_that_do_not_go_together_are_one_sentence(changes: dict[str, object], words: str) -> None:
    with pytest.raises(I2IError, match=words):
        made("colorize", **changes)


def test_an_encoder_starts_with_the_weights_of_a_classifier(tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(0)
    classifier = models.resnet18()
    torch.save(classifier.state_dict(), tmp_path / "r18.pth")
    weights = str(tmp_path / "r18.pth")
    encoder = made("colorize", encoder="resnet18", encoder_weights=weights).G.encoder.eval()  # type: ignore[union-attr]
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        y = classifier.eval().maxpool(classifier.relu(classifier.bn1(classifier.conv1(x))))
        for stage, found in zip((1, 2, 3, 4), encoder.maps(x)[1:], strict=True):  # type: ignore[operator]
            y = getattr(classifier, f"layer{stage}")(y)
            torch.testing.assert_close(found, y)
    with pytest.raises(I2IError, match="does not hold the weights of this encoder"):
        made("colorize", encoder="resnet34", encoder_weights=weights)


# ---- the training images -------------------------------------------------------------------------------------------


def photos(folder: Path, color: int, gray: int) -> Path:
    """A folder of that many color and gray images."""
    folder.mkdir()
    draws = np.random.default_rng(0)
    for i in range(color + gray):
        image = Image.fromarray(draws.integers(0, 256, (40, 40, 3)).astype(np.uint8)).resize((80, 80))
        image = image.convert("L").convert("RGB") if i >= color else image
        image.save(folder / f"{'gray' if i >= color else 'color'}{i}.jpg")
    return folder


def test_gray_targets_are_counted_and_named(tmp_path: Path) -> None:
    settings = DataSettings(layout="paired", make="grey", size=32)

    def remarks(name: str, color: int, gray: int) -> str:
        return " ".join(gray_targets(data.open(photos(tmp_path / name, color, gray), settings)))

    assert "4 of 9 target images are gray (gray5.jpg, gray6.jpg, gray7.jpg, ...)" in remarks("some", 5, 4)
    assert remarks("none", 2, 0) == ""
    with pytest.raises(I2IError, match="2 of 2 target images are gray"):
        remarks("all", 0, 2)


def test_one_folder_becomes_a_model_that_colors(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 4, 0)
    tiny = {**load_method("colorize").tiny, "degrade": "grey", "images": 4, "batch": 2}
    run = i2i.train("colorize", data=folder, out=tmp_path / "run", **tiny)
    image = Image.open(folder / "color0.jpg")
    output = i2i.load(run, device="cpu")(image)
    assert output.size == image.size
    before, after = (np.asarray(x).astype(float) @ np.array(luma.WEIGHTS) for x in (image, output))
    assert np.abs(before - after).max() <= 1
    header = model_file.read_header(tmp_path / "run" / "model.safetensors")
    assert header["colorizes"] is True
    assert header["degrade"] == "grey"


def test_merged_losses_leave_the_brightness_to_the_input() -> None:
    batch = batch_of("colorize")
    method = made("colorize", merged=True)
    x = luma.gray(batch.x)
    torch.testing.assert_close(luma.gray(method.output(x)), x, rtol=0, atol=1e-5)  # type: ignore[operator]
    terms = dict(next(method.step(batch, Now(batch=BATCH)))[1])
    terms["pixel"].backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in method.G.parameters())


def test_weights_that_cannot_be_downloaded_may_come_from_a_file(monkeypatch):
    def offline(name, weights):
        raise OSError("no connection")

    monkeypatch.setattr("torchvision.models.get_model", offline)
    with pytest.raises(I2IError, match=r"resnet18 cannot be downloaded: no connection.*--set encoder_weights=FILE"):
        made("colorize", encoder="resnet18", encoder_weights="torchvision")
