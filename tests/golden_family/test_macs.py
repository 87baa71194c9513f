"""Parameters and multiply-accumulates of generators, as the authors' profiler counts them."""

from __future__ import annotations

import math

import torch
from torch import nn

from i2i.nets.macs import count_macs
from i2i.nets.resnet import MobileResNet, ResNet
from i2i.nets.unet import UNet
from tests.golden_family.reading import case


def built(arch: str, ngf: int, size: int, norm: str, input_nc: int, output_nc: int) -> nn.Module:
    """The network of an entry of `options.models`."""
    if arch == "unet":
        return UNet(input_nc, output_nc, int(math.log2(size)), ngf, norm)
    kind = MobileResNet if arch == "mobile_resnet9" else ResNet
    return kind(input_nc, output_nc, 9, ngf, norm)


def test_parameters_and_macs_are_those_of_the_authors_profiler() -> None:
    golden = case("macs")
    found: dict[str, torch.Tensor] = {}
    for k, options in enumerate(golden.options["models"]):
        net, batch = built(**options).eval(), golden.options["batch"]
        macs = count_macs(net, torch.zeros(batch, options["input_nc"], options["size"], options["size"]))
        counts = {
            "parameters": sum(p.numel() for p in net.parameters()),
            "macs_conv": macs.conv,
            "macs_conv_input_positions": macs.needed,
            "macs_profiler": macs.conv + macs.norm,
        }
        found |= {f"{k}.{name}": torch.tensor(n, dtype=torch.int64) for name, n in counts.items()}
    golden.check(found)
