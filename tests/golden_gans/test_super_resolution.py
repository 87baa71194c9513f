"""SRResNet and SRGAN's discriminator against stored numbers: outputs and gradients, in training and in eval mode."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.nets import SRGANDiscriminator, SRResNet
from tests.golden_gans.reading import Case, case, fill, gradients


def names(blocks: int) -> dict[str, str]:
    """The beginnings of the reference's names -> ours. It counts its blocks from the first convolution."""
    table = {f"block{i + 2}.": f"body.{i}." for i in range(blocks)}
    ups = {f"block{blocks + 3}.{i}.": f"up.{i}." for i in range(2)}
    return {
        **table,
        **ups,
        "block1.": "first.",
        f"block{blocks + 2}.": "after.",
        f"block{blocks + 3}.2.": "last.",
    }


def test_srresnet() -> None:
    found = case("srresnet")
    options = found.options
    channels = found.inputs["x"].shape[1]
    net = SRResNet(channels, channels, options["scale"], options["width"], options["blocks"])
    table = names(options["blocks"])
    fill(net, found.weights, table)

    with torch.no_grad():
        got = {"eval.sr": net.eval().unit(found.inputs["x"])}
    x = found.inputs["x"].clone().requires_grad_()
    got["train.sr"] = net.train().unit(x)
    (got["train.sr"] * found.inputs["R"]).sum().backward()
    assert x.grad is not None
    got["train.grad_x"] = x.grad
    back = {ours: theirs for theirs, ours in table.items()}
    for name, gradient in gradients(net).items():
        start = max((s for s in back if name.startswith(s)), key=len)
        got[f"grad.{back[start]}{name.removeprefix(start)}"] = gradient
    found.check(got)


def test_srgan_discriminator() -> None:
    found = case("srgan_d")
    got = scores(found, SRGANDiscriminator(found.inputs["x"].shape[1], found.options["base"]))
    found.check(got)


def scores(found: Case, net: SRGANDiscriminator) -> dict[str, Tensor]:
    fill(net, found.weights)
    with torch.no_grad():
        got = {"eval.prob": net.eval()(found.inputs["x"]).sigmoid()}
    x = found.inputs["x"].clone().requires_grad_()
    logits = net.train()(x)
    loss = fn.softplus(-logits).mean()
    loss.backward()
    assert x.grad is not None
    got |= {"train.prob": logits.sigmoid(), "train.neg_log_prob": loss, "train.grad_x": x.grad}
    return got | {f"grad.{name}": gradient for name, gradient in gradients(net).items()}
