"""Networks whose features sets of images are compared by."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.metrics import feature_networks, features
from i2i.nets.inception import InceptionV3


@pytest.fixture(scope="module")
def torchvision_inception() -> nn.Module:
    """A seeded Inception-v3 with activations of a usual size."""
    torch.manual_seed(0)
    net = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=True).eval()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return net


def pictures(count: int, side: int = 40) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(0, 256, (3, side, side + 8), dtype=torch.uint8, generator=draw) for _ in range(count)]


def test_torchvision_form_of_inception_is_torchvisions(torchvision_inception: nn.Module) -> None:
    ours = feature_networks.inception(torchvision_inception.state_dict())
    assert ours.name == "inception_torchvision"
    assert ours.frechet_name == "fd_inception_torchvision"
    x = torch.randn(2, 3, 299, 299, generator=torch.Generator().manual_seed(0))
    net = InceptionV3("torchvision").eval()
    net.load_state_dict({k: v for k, v in torchvision_inception.state_dict().items() if not k.startswith("Aux")})
    with torch.no_grad():
        inner, logits = net(x)
        theirs = torchvision_inception(x)
    assert inner.std() > 0.01
    torch.testing.assert_close(logits + net.fc.bias, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_fid_form_is_recognized_by_its_1008_logits() -> None:
    torch.manual_seed(0)
    found = feature_networks.recognize(InceptionV3("fid").state_dict())
    assert (found.name, found.frechet_name, found.rule) == ("inception", "fid", "clean")
    assert found.inception_score_name == "is"
    got = found(pictures(2))
    assert got.features.shape == (2, 2048)
    assert got.logits is not None
    assert got.logits.shape == (2, 1008)


def test_script_gets_levels_and_gives_features() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

    found = feature_networks.script(torch.jit.trace(Mean(), torch.zeros(1, 3, 299, 299)), "mean")
    got = found([torch.full((3, 8, 8), 100, dtype=torch.uint8)])
    torch.testing.assert_close(got.features, torch.full((1, 3), 100.0))
    assert found.frechet_name == "fd_mean"


def test_any_classifier_gives_what_goes_into_its_last_layer() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7))
    got = feature_networks.classifier("tiny", net, 16)(pictures(3))
    assert got.features.shape == (3, 3)
    assert got.logits is not None
    torch.testing.assert_close(got.logits, net[2](got.features))


def test_blur_is_farther_from_real_images_than_another_half_of_them() -> None:
    """With the shipped networks; noise of two strengths stands for two kinds of images."""
    draw = torch.Generator().manual_seed(0)

    def kind(strength: float) -> list[Tensor]:
        return [
            (128 + strength * torch.randn(3, 64, 64, generator=draw)).clamp(0, 255).to(torch.uint8) for _ in range(12)
        ]

    for name in ("effnet", "alex"):
        net = feature_networks.named(name)
        one, same, other = (net(kind(s)).features for s in (40, 40, 4))
        assert features.mmd(one, other) > 5 * abs(features.mmd(one, same))


def test_gray_images_are_repeated_to_color() -> None:
    net = feature_networks.named("lpips_alex")
    gray = pictures(1)[0][:1]
    torch.testing.assert_close(net([gray]).features, net([gray.expand(3, -1, -1)]).features)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"fc.weight": torch.zeros(10, 4), "Mixed_7c.branch_pool.conv.weight": torch.zeros(1)}, "neither 1,008"),
        ({"layer.weight": torch.zeros(1)}, "no feature network"),
        ({"conv12.weight": torch.zeros(1)}, "conv0"),
        ({"_conv_stem.weight": torch.zeros(1)}, "is missing"),
    ],
)
def test_other_weights_are_refused_in_a_sentence(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(I2IError, match=said):
        feature_networks.recognize(state)


def test_unknown_name_is_refused() -> None:
    with pytest.raises(I2IError, match="effne"):
        feature_networks.named("effne")


def test_no_image_and_odd_channels_are_refused() -> None:
    net = feature_networks.named("alex")
    with pytest.raises(I2IError, match="no image"):
        net([])
    with pytest.raises(I2IError, match="1 or 3"):
        net([torch.zeros(2, 32, 32, dtype=torch.uint8)])
