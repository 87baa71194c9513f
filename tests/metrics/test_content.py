"""Content losses: 0 for equal images, larger for worse ones, by the name of a network or a file of its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.data.batch import Shape
from i2i.methods import Content
from i2i.methods.srgan import SRGAN
from i2i.metrics import weights
from i2i.models import feature_weights
from i2i.nets.trunks import VGG16


@pytest.fixture(scope="module")
def image() -> Tensor:
    torch.manual_seed(0)
    return fn.interpolate(torch.rand(2, 3, 12, 12), (48, 48), mode="bicubic").mul(2).sub(1).clamp(-1, 1)


@pytest.mark.parametrize("name", ["effnet", "alex"])
def test_a_worse_image_is_farther_away(name: str, image: Tensor) -> None:
    loss = feature_weights.content(name)
    assert loss(image, image) == 0
    near = loss(image + 0.02, image)
    blurred = fn.interpolate(fn.avg_pool2d(image, 4), scale_factor=4.0)
    assert 0 < near < loss(blurred, image) < loss(-image, image) < 3


def test_the_gradient_goes_into_the_first_images_alone(image: Tensor) -> None:
    fake, real = image.clone().requires_grad_(), image.flip(0).requires_grad_()
    loss = feature_weights.content("effnet")
    loss(fake, real).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert real.grad is None
    assert not any(p.requires_grad for p in loss.parameters())


def test_gray_images_count_as_three_equal_channels(image: Tensor) -> None:
    loss = feature_weights.content("alex")
    gray, other = image[:, :1], image[:, 1:2]
    assert loss(gray, other) == loss(gray.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1))


def test_weights_come_from_a_file(tmp_path: Path, image: Tensor) -> None:
    save_file(weights.read(weights.LPIPS_ALEX), tmp_path / "own.safetensors")
    own = feature_weights.content(str(tmp_path / "own.safetensors"))
    assert own.name == "alex"
    assert own(image, image.flip(0)) == feature_weights.content("alex")(image, image.flip(0))
    torch.manual_seed(0)
    save_file(VGG16().state_dict(), tmp_path / "vgg.safetensors")
    assert feature_weights.content(str(tmp_path / "vgg.safetensors")).name == "vgg16"


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [("efnet", 64, "effnet"), ("alex", 16, "at least 31"), ("missing.pth", 64, "no network and no file")],
)
def test_what_cannot_be_a_content_loss_is_refused(name: str, size: int, words: str) -> None:
    with pytest.raises(I2IError) as caught:
        Content(name, size)
    assert words in f"{caught.value.what} {caught.value.hint}"


def test_a_method_holds_no_weights_of_its_content_loss() -> None:
    method = SRGAN(SRGAN.Config(width=4, blocks=1, d_width=2), Shape(size=16, scale=2))
    assert set(method.networks()) == {"G", "D"}
    assert len(method.state_dict()) < 100
