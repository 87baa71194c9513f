"""Pixel metrics against values worked out by hand."""

import math

import pytest
import torch

from i2i.core.errors import I2IError
from i2i.metrics import pixel


def picture(value: float, batch: int = 1, side: int = 16) -> torch.Tensor:
    return torch.full((batch, 3, side, side), value)


def test_values_known_by_hand():
    a, b = picture(0.0), picture(0.5)
    assert float(pixel.l1(a, b)) == 0.5
    assert float(pixel.psnr(a, b)) == pytest.approx(10 * math.log10(4 / 0.25), abs=1e-5)
    # two flat images: SSIM is its luminance term alone, (2ab + c1) / (a^2 + b^2 + c1) with c1 = (0.01 * 2)^2, where
    # black is 0: these two are 1 and 1.5
    assert float(pixel.ssim(a, b)) == pytest.approx((3 + 4e-4) / (3.25 + 4e-4), abs=1e-5)


def test_equal_pictures():
    a = torch.rand(2, 1, 12, 20) * 2 - 1
    assert float(pixel.l1(a, a)) == 0
    assert float(pixel.psnr(a, a)) == math.inf
    assert float(pixel.ssim(a, a)) == pytest.approx(1)


def test_scores_are_per_picture_and_do_not_mix_them():
    torch.manual_seed(0)
    a, b = torch.rand(3, 3, 13, 17) * 2 - 1, torch.rand(3, 3, 13, 17) * 2 - 1
    found = pixel.scores(a, b)
    assert {k: tuple(v.shape) for k, v in found.items()} == {"l1": (3,), "psnr": (3,), "ssim": (3,)}
    for i in range(3):
        alone = pixel.scores(a[i : i + 1], b[i : i + 1])
        for key, values in alone.items():
            assert float(values[0]) == pytest.approx(float(found[key][i]), abs=1e-6)
    assert float(pixel.psnr(a, b)) == pytest.approx(float(found["psnr"].mean()))


def test_small_pictures_have_no_ssim():
    assert set(pixel.scores(picture(0.0, side=10), picture(1.0, side=10))) == {"l1", "psnr"}
    with pytest.raises(I2IError, match="10 x 10"):
        pixel.ssim(picture(0.0, side=10), picture(1.0, side=10))


@pytest.mark.parametrize("other", [(1, 3, 16, 15), (1, 1, 16, 16), (3, 16, 16)])
def test_shapes_must_agree(other):
    with pytest.raises(I2IError, match="cannot be compared"):
        pixel.l1(picture(0.0), torch.zeros(other))
