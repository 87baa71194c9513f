"""DeOldify's generator, merge of brightness and color, Lab, and the NoGAN schedule against stored numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from i2i.media import lab, luma
from i2i.nets.deoldify import DEVIATION, MEAN, DeOldifyUNet
from tests.golden_family.reading import case
from tests.golden_gans.reading import Case, fill, gradients
from tests.golden_gans.spectral import ours, theirs

# ---- the generator -------------------------------------------------------------------------------------------------


def unet(found: Case) -> DeOldifyUNet:
    options = found.options
    sizes = {"width": options["block_width"]} if options["form"] == "wide" else {"depth": options["depth_factor"]}
    net = DeOldifyUNet(options["form"], "small", **sizes, widths=options["encoder"], blocks=[1, 1, 1, 1])
    weight_normed = {"layers.8.conv.0.weight_g", "layers.8.conv.0.weight_v"}
    fill(net, found.weights, {name: ours(name, weight_normed) for name in found.weights})
    return net


def note(got: dict[str, Tensor], name: str, layer: nn.Module, inputs: object, out: Tensor) -> None:
    """A hook that keeps the first output of a layer."""
    got.setdefault(name, out.detach())


@pytest.mark.parametrize("name", ["deoldify_unet_wide", "deoldify_unet_deep"])
def test_unet(name: str) -> None:
    found = case(name)
    low, high = found.options["y_range"]
    assert (low, high) == (-3, 3)
    net, x = unet(found), found.inputs["x"]
    got: dict[str, Tensor] = {}
    for title, layer in (("middle", 3), ("block_1", 4), ("block_2", 5)):
        net.layers[layer].register_forward_hook(partial(note, got, f"eval.{title}"))
    with torch.no_grad():
        got["eval.out"] = net.eval().normalized(x)
    got["train.out"] = net.train().normalized(x)
    (got["train.out"] * found.inputs["R"]).sum().backward()
    got |= {f"grad.{theirs(key)}": gradient for key, gradient in gradients(net).items()}
    got |= {f"after.{theirs(key)}": value for key, value in net.state_dict().items()}
    found.check(got)


# ---- brightness and color ------------------------------------------------------------------------------------------


class StandIn(nn.Module):
    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 5, padding=2), nn.Conv2d(4, 3, 1)
        fill(self, weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).tanh())


def test_merge() -> None:
    found = case("deoldify_merge")
    net, options = StandIn(found.weights), found.options
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    got: dict[str, np.ndarray] = {}
    for i in range(options["pictures"]):
        image = found.inputs[f"{i}.picture"].numpy()
        height, width = image.shape[:2]
        got[f"{i}.grey"] = luma.luma(image)
        got[f"{i}.yuv"] = luma.to_yuv(image)
        got[f"{i}.yuv_back"] = luma.from_yuv(got[f"{i}.yuv"])
        got[f"{i}.merge_only"] = luma.merged(image, found.inputs[f"{i}.colours"].numpy())
        for factor in options["render_factor"]:
            name = f"{i}.rf{factor}"
            side = options["render_base"] * factor
            gray = luma.squeezed(image, side, side)
            got[f"{name}.square"] = np.repeat(gray[..., None], 3, -1)
            x = torch.from_numpy(got[f"{name}.square"]).permute(2, 0, 1)[None].float() / 255
            with torch.no_grad():
                unit = net((x - mean) / deviation) * deviation + mean
            got[f"{name}.model"] = luma.truncated(2 * unit[0] - 1)
            got[f"{name}.raw"] = luma.enlarged(got[f"{name}.model"], height, width)
            got[f"{name}.merged"] = luma.merged(image, got[f"{name}.raw"])
    found.check({k: torch.from_numpy(v.copy()) for k, v in got.items()})


def test_lab() -> None:
    found = case("lab_colorization")
    got: dict[str, Tensor] = {}
    for name in found.options["pictures"]:
        x = found.inputs[f"{name}.picture"].permute(2, 0, 1)[None].double() / 255
        got[f"{name}.lab"] = lab.rgb_to_lab(x)[0].permute(1, 2, 0)
        got[f"{name}.A"], got[f"{name}.B"] = lab.lightness(2 * x - 1)[0], lab.chroma(2 * x - 1)[0]
        a = got[f"{name}.A"][None]
        for title, b in (("real", got[f"{name}.B"]), ("fake", found.inputs[f"{name}.fake_B"].double())):
            got[f"{name}.{title}_rgb"] = (lab.joined(a, b[None])[0].permute(1, 2, 0) + 1) * 127.5
        got[f"{name}.fake_uint8"] = got[f"{name}.fake_rgb"].floor()
    found.check(got)
