"""Each part of Real-ESRGAN's degradation against stored numbers, with the stored draws."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.data import degrade
from tests.golden_family.reading import case


def test_degradations() -> None:
    found = case("degradations")
    options, inputs = found.options, found.inputs
    x = inputs["picture"].float() / 255
    got: dict[str, Tensor] = {}

    # kernels and filters
    for i, named in enumerate(options["kernels"]):
        arguments = {k: v for k, v in named.items() if k != "kind"}
        is_sinc = named["kind"] == "sinc"
        got[f"kernel{i}"] = (
            degrade.sinc_kernel(**arguments) if is_sinc else degrade.blur_kernel(named["kind"], **arguments)
        )
    got["filtered_one"] = degrade.filtered(x, inputs["filter_one"])
    got["filtered_each"] = degrade.filtered(x, inputs["filter_each"])
    for i, arguments in enumerate(options["usm"]):
        got[f"usm{i}"] = degrade.sharpened(x, **arguments)
        kernel = degrade.sharpening_kernel(arguments["radius"])
        assert torch.allclose(kernel.float(), inputs[f"usm_kernel{i}"], atol=1e-7)

    # noise
    def pick(name: str, colored: Tensor, plain: Tensor) -> Tensor:
        is_gray = torch.tensor(options[name]["gray"])[:, None, None, None]
        return torch.where(is_gray > 0, plain.expand_as(colored), colored)

    sigma = torch.tensor(options["gauss"]["sigma"])
    noise = degrade.gaussian_noise(pick("gauss", inputs["gauss.colour"], inputs["gauss.grey"]), sigma)
    got |= {"gauss.noise": noise, "gauss.out": (x + noise).clamp(0, 1)}
    got["gauss.out_rounded"] = degrade.quantized(x + noise)
    noises = []
    for kind, image in (("colour", x), ("grey", degrade.gray(x))):
        rate, levels = degrade.poisson_rate(image)
        got |= {f"poisson.{kind}_rate": rate, f"poisson.levels_{kind}": levels}
        noises.append(degrade.poisson_noise(inputs[f"poisson.{kind}_counts"], rate, levels))
    noise = pick("poisson", *noises) * torch.tensor(options["poisson"]["scale"])[:, None, None, None]
    got |= {"poisson.noise": noise, "poisson.out": (x + noise).clamp(0, 1)}

    # resizing and rounding
    for i, named in enumerate(options["resize"]):
        size = tuple(named["size"]) if "size" in named else None
        got[f"resize{i}"] = degrade.resized(x, named["mode"], named.get("scale_factor"), size)
    got["quantised"] = degrade.quantized(inputs["unquantised"])
    found.check(got)
