"""Models that enlarge are scored beside the bicubic enlargement, on the luma without a border, from one folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i import nets
from i2i.core.errors import I2IError
from i2i.inference.compare import compare
from i2i.inference.evaluate import enlarged, evaluate
from i2i.metrics import pixel
from i2i.models import format as model_file
from i2i.models.translator import Translator
from i2i.training.doctor.examine import diagnose
from tests.cli.program import i2i
from tests.data.test_make import photo


class Bilinear(nn.Module):
    """Enlarges twice, a little worse than bicubic."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments = {"channels_in": 3, "channels_out": 3}
        self.multiple, self.scale = 1, 2
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return fn.interpolate(x * self.gain, scale_factor=2, mode="bilinear", align_corners=False)


HEADER = {"preprocess": "crop", "size": 32, "scale": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photos"
    for split, count in (("train", 2), ("test", 3)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(photo(45, 50 + i, seed=i)).save(folder / split / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = nets.build("srresnet", scale=2, width=4, blocks=1, norm="none", residual=True)
    return model_file.save(
        tmp_path_factory.mktemp("models") / "m.safetensors", {"G": net}, {"method": "srgan", **HEADER}
    )


def test_scores_are_those_of_papers(photos: Path) -> None:
    found = evaluate(Translator(Bilinear(), HEADER), photos, metrics="pixel,y")
    assert found["count"] == 3
    assert {title for title in found if isinstance(found[title], dict)} == {"model", "bicubic", "intervals"}
    values = []
    for path in sorted((photos / "test").iterdir()):
        large = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None].float()
        large = large[..., :44, : large.shape[-1] // 2 * 2]
        small = fn.interpolate(large, [n // 2 for n in large.shape[2:]], mode="bicubic", antialias=True)
        guess = fn.interpolate(small.round().clamp(0, 255), large.shape[2:], mode="bicubic", antialias=True)
        inner = (..., slice(2, -2), slice(2, -2))
        weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64)[:, None, None] / 255
        a, b = ((x[inner].round().clamp(0, 255).double() * weights).sum(1) for x in (guess, large))
        values.append(10 * torch.log10(255**2 / (a - b).square().mean()))
    assert found["bicubic"]["psnr_y"] == pytest.approx(float(torch.stack(values).mean()), abs=2e-3)
    assert found["model"]["psnr_y"] < found["bicubic"]["psnr_y"]
    assert found["model"]["ssim_y"] < found["bicubic"]["ssim_y"] < 1
    assert found["bicubic"]["psnr"] != found["bicubic"]["psnr_y"]


def test_luma_scores_leave_out_the_border_and_round() -> None:
    torch.manual_seed(0)
    real = pixel.as_files(torch.rand(2, 3, 24, 20) * 2 - 1)
    fake = real.clone()
    fake[..., :4, :] = -fake[..., :4, :]  # in the border
    fake += 0.4 / 127.5  # rounding takes it away
    assert pixel.luma_scores(fake, real, 4)["psnr_y"].isinf().all()
    assert pixel.luma_scores(fake, real, 3)["psnr_y"].isfinite().all()
    gray = pixel.luma_scores(fake[:, :1], real[:, :1], 0)
    torch.testing.assert_close(gray["psnr_y"], pixel.scores(pixel.as_files(fake[:, :1]), real[:, :1])["psnr"])
    assert "ssim_y" not in pixel.luma_scores(fake, real, 6)
    assert pixel.luma_scores(fake, real, 10) == {}


def test_the_bicubic_guess_is_that_of_pillow() -> None:
    image = photo(12, 15)
    x = torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1
    ours = ((enlarged(x, 4) + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(image).resize((60, 48), Image.Resampling.BICUBIC))
    assert np.abs(ours - theirs).max() <= 1
    assert torch.equal(enlarged(x, 1), x)


def test_the_program_compares_with_bicubic(photos: Path, model: Path) -> None:
    words = ("evaluate", "--model", model, "--data", photos)
    found = json.loads(i2i(*words, "--json", "--save", photos.parent / "out")[0])
    # the network begins as a bicubic enlargement by another filter
    assert 40 < found["model"]["psnr_y"] < found["bicubic"]["psnr_y"]
    assert "lpips" in found["bicubic"]
    assert "input copied" not in found
    assert Image.open(next((photos.parent / "out").rglob("*.png"))).size == (50, 44)
    table, _ = i2i(*words, "--metrics", "y")
    assert "PSNR-Y dB" in table
    assert "bicubic" in table


def test_models_are_compared_and_examined_on_one_folder(photos: Path, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(model.read_bytes())
    found = compare([model, other], photos, metrics="y", device="cpu")
    assert set(found["scores"]["other"]) == {"psnr_y", "ssim_y"}
    diagnosis = diagnose(model, photos, device="cpu")
    states = {finding.sign: finding.state for finding in diagnosis.findings}
    assert states["black"] == "not found"
    assert states["no-op"] == "cannot be judged", "a good enlargement is close to its input"


def test_models_of_different_scales_are_not_compared(photos: Path, model: Path, tmp_path: Path) -> None:
    four = nets.build("srresnet", scale=4, width=4, blocks=1)
    path = model_file.save(tmp_path / "four.safetensors", {"G": four}, {**HEADER, "method": "srgan", "scale": 4})
    with pytest.raises(I2IError, match="The models differ in the scale"):
        compare([model, path], photos, device="cpu")
