"""RRDBNet, Real-ESRGAN's discriminator and NAFNet against stored numbers, and the published weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.nets import RRDBNet, UNetDiscriminator
from i2i.nets.nafnet import NAFBlock, NAFNet
from tests.golden_family.reading import case, real_weights
from tests.golden_gans.reading import fill, gradients

SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0.u",
    "weight_v": "parametrizations.weight.0.v",
}


def test_rrdbnet() -> None:
    found = case("rrdbnet")
    got: dict[str, Tensor] = {}
    for prefix, options in found.options["nets"].items():
        channels = {"channels_in": options["in_channels"], "channels_out": options["out_channels"]}
        net = RRDBNet(**channels, **{k: options[k] for k in ("scale", "width", "blocks", "growth")})
        fill(net, found.under(f"{prefix}."))
        x = found.inputs[f"{prefix}.x"].clone().requires_grad_()
        out = net.unit(x)
        (out * found.inputs[f"{prefix}.R"]).sum().backward()
        assert x.grad is not None
        got |= {f"{prefix}.out": out, f"{prefix}.grad_x": x.grad}
        got |= {f"{prefix}.grad.{name}": gradient for name, gradient in gradients(net).items()}
    found.check(got)


def test_the_published_weights_give_the_published_images() -> None:
    found = case("rrdbnet_real")
    options = found.options
    net = RRDBNet(**{k: options[k] for k in ("scale", "width", "blocks", "growth")}).eval()
    fill(net, real_weights(found))
    got: dict[str, Tensor] = {}
    for i in range(options["pictures"]):
        with torch.no_grad():
            out = net.unit(found.inputs[f"picture{i}"][None] / 255)[0]
        got |= {f"fp16.out{i}": out, f"fp16.uint8_{i}": (out.clamp(0, 1) * 255).round()}
    found.check(got, but=("fp32.*",))


def unet_discriminator(weights: dict[str, Tensor], options: dict[str, object]) -> UNetDiscriminator:
    net = UNetDiscriminator(options["in_channels"], options["width"], options["skip_connection"])  # type: ignore[arg-type]
    names = {name: ours(name) for name in weights}
    fill(net, weights, names)
    return net.train()


def ours(name: str) -> str:
    layer, _, leaf = name.rpartition(".")
    return f"{layer}.{SPECTRAL.get(leaf, leaf)}"


def theirs(name: str) -> str:
    for leaf, long in SPECTRAL.items():
        name = name.replace(long, leaf)
    return name


def state(net: nn.Module) -> dict[str, Tensor]:
    return {theirs(k): v.clone() for k, v in net.state_dict().items()}


def test_unet_discriminator() -> None:
    found = case("realesrgan_unet_d")
    real, fake = found.inputs["x"], found.inputs["fake"].clone().requires_grad_()

    # One forward and backward pass.
    net = unet_discriminator(found.weights, found.options)
    with torch.no_grad():
        got = {"eval.out": net.eval()(real)}
    x = real.clone().requires_grad_()
    out = net.train()(x)
    (out * found.inputs["R"]).sum().backward()
    assert x.grad is not None
    got |= {"train.out": out, "train.grad_x": x.grad}
    got |= {f"grad.{theirs(name)}": gradient for name, gradient in gradients(net).items()}
    got |= {f"after.{name}": value for name, value in state(net).items()}

    # The adversarial losses, in the reference's order.
    net = unet_discriminator(found.weights, found.options)
    scores = net(fake)
    loss = found.options["gan_weight"] * fn.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))
    got |= {"loss.g": loss, "loss.grad_fake": torch.autograd.grad(loss, fake)[0]}
    for name, images, target in (("d_real", real, 1.0), ("d_fake", fake.detach(), 0.0)):
        scores = net(images)
        got[f"loss.{name}"] = fn.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))
    (got["loss.d_real"] + got["loss.d_fake"]).backward()
    got |= {f"loss.grad.{theirs(name)}": gradient for name, gradient in gradients(net).items()}
    got |= {f"loss.after.{name}": value for name, value in state(net).items()}
    found.check(got)


def test_nafnet() -> None:
    found = case("nafnet_block")
    options = found.options
    block = NAFBlock(options["block_channels"], options["dw_expand"], options["ffn_expand"])
    channels = options["img_channel"]
    levels = (options["enc_blk_nums"], options["middle_blk_num"], options["dec_blk_nums"])
    net = NAFNet(channels, channels, options["width"], *levels)
    got: dict[str, Tensor] = {}
    for name, module, run in (("block", block, block), ("net", net, net.unit)):
        fill(module, found.under(f"{name}."))
        x = found.inputs[f"x_{name}"].clone().requires_grad_()
        out = run(x)
        (out * found.inputs[f"R_{name}"]).sum().backward()
        assert x.grad is not None
        got |= {f"{name}.out": out, f"{name}.grad_x": x.grad}
        got |= {f"grad.{name}.{parameter}": gradient for parameter, gradient in gradients(module).items()}
    found.check(got)
