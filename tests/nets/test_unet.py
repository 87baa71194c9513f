"""The U-Net's convolutions at the full size (`detail`)."""

import pytest
import torch

from i2i import nets
from i2i.models import pth
from i2i.nets.factory import TranslationNets, generator


def test_by_default_the_network_is_the_papers():
    net = nets.build("unet", depth=3, width=2)
    assert net.arguments["detail"] == 0
    assert {key.split(".")[0] for key in net.state_dict()} == {"model"}


@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_detail_sees_each_pixel_of_the_input_without_the_way_through_the_u(upsample):
    net = nets.build("unet", channels_out=2, depth=3, width=2, norm="instance", upsample=upsample, detail=5).eval()
    for parameter in net.model.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.zeros(1, 3, 16, 16)
    dot = x.clone()
    dot[..., 8, 9] = 1
    with torch.no_grad():
        changed = (net(dot) != net(x)).any(1)[0].nonzero()
    assert net(x).shape == (1, 2, 16, 16)
    assert changed.amin(0).tolist() == [6, 7]  # two convolutions 3x3: two pixels to each side
    assert changed.amax(0).tolist() == [10, 11]


def test_a_u_net_with_detail_is_made_by_its_setting_and_recognized_from_its_weights(tmp_path):
    net = generator(TranslationNets(generator="unet", width=2, upsample="resize", detail=4), 1, 3, 16)
    assert net.arguments["detail"] == 4
    torch.save(net.state_dict(), tmp_path / "latest_net_G.pth")
    read = pth.load_pth(tmp_path / "latest_net_G.pth").eval()
    assert {**read.arguments, "norm": "instance"} == net.arguments
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        assert read(x).shape == net.eval()(x).shape == (1, 3, 16, 16)
