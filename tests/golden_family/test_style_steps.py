"""Whole training steps of BicycleGAN and pix2pixHD against stored numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from i2i.data.batch import Batch, Shape
from i2i.methods._method import Method, Now
from i2i.methods.bicyclegan import BicycleGAN
from i2i.methods.pix2pixhd import Pix2PixHD
from i2i.nets.multiscale import MultiScale
from tests.golden_family.reading import case
from tests.golden_family.test_styles import (
    bicycle_encoder,
    bicycle_unet,
    discriminator_name,
    encoder_name,
    global_generator,
    labels_of,
    local_generator,
    renamed,
    unet_name,
)
from tests.golden_gans.reading import Case, fill


def run(method: Method, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One step as the loop makes it: {optimizer/term: value}, and gradients by network and parameter."""
    optimizers = method.train().optimizers()
    terms_seen: dict[str, Tensor] = {}
    grads: dict[str, Tensor] = {}
    names = {id(p): k for k, p in method.named_parameters()}
    for name, terms in method.step(batch, Now(batch=len(batch))):
        own = method.owned(optimizers[name])
        torch.stack(list(terms.values())).sum().backward(inputs=own)
        terms_seen |= {f"{name}/{k}": v.detach() for k, v in terms.items()}
        grads |= {names[id(p)]: p.grad.clone() for p in own if p.grad is not None}
        optimizers[name].step()
        optimizers[name].zero_grad()
    return terms_seen, grads


def by_their_names(method: Method, grads: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """grad.* and after.* of a case. names: {name in the case: ours}."""
    state = method.state_dict()
    got = {f"grad.{theirs}": grads[ours] for theirs, ours in names.items() if ours in grads}
    return got | {f"after.{theirs}": state[ours] for theirs, ours in names.items()}


def bicycle_discriminator(o: dict[str, Any]) -> MultiScale:
    channels = o["output_nc"] + (o["input_nc"] if o["conditional_D"] else 0)
    return MultiScale(channels, o["num_Ds"], o["d_layers"], o["ndf"], o["norm"], narrow=True, padding=1)


def bicycle_discriminator_name(name: str, layers: int) -> str:
    """model_S.N.weight, numbered through convolutions, norms and activations, in our words."""
    scale, position, leaf = name.removeprefix("model_").split(".")
    layer = 0 if position == "0" else (int(position) + 1) // 3
    assert int(position) in (0, *range(2, 3 * layers + 3, 3)), f"{name} is no convolution"
    return f"scales.{scale}.{layer}.0.{leaf}"


def interleaved(t: Tensor) -> Tensor:
    """The first half of a batch as rows 0, 2, ..., the second as rows 1, 3, ..."""
    first, second = t.chunk(2)
    return torch.stack([first, second], 1).flatten(0, 1)


def test_bicycle_step() -> None:
    found: Case = case("bicycle_step")
    o = found.options
    weights = {f"lambda_{theirs}": ours for theirs, ours in (("GAN", "adv"), ("GAN2", "adv2"), ("L1", "l1"))}
    weights |= {"lambda_kl": "kl", "lambda_z": "latent"}
    upsample = {"basic": "transposed", "bilinear": "bilinear"}[o["upsample"]]
    config = BicycleGAN.Config(
        z=o["nz"],
        depth=o["num_downs"],
        width=o["ngf"],
        e_width=o["nef"],
        e_blocks=o["e_blocks"],
        d_width=o["ndf"],
        layers=o["d_layers"],
        scales=o["num_Ds"],
        norm=o["norm"],
        activation=o["nl"],
        upsample=upsample,
        conditional=o["conditional_D"],
        shared=o["use_same_D"],
        loss=o["gan_mode"],
        lr=o["lr"],
        beta1=o["beta1"],
        **{ours: o[theirs] for theirs, ours in weights.items()},
    )
    method = BicycleGAN(config, Shape(o["input_nc"], o["output_nc"], o["size"]))
    assert [*method.bicycle.unet.state_dict()] == [*bicycle_unet(o).state_dict()]
    assert [*method.bicycle.encoder.state_dict()] == [*bicycle_encoder(o).state_dict()]
    names: dict[str, str] = {}
    for prefix, name_of, ours in (
        ("G.", unet_name, "G.unet."),
        ("E.", encoder_name, "G.encoder."),
        ("D.", lambda k: bicycle_discriminator_name(k, o["d_layers"]), "D."),
        ("D2.", lambda k: bicycle_discriminator_name(k, o["d_layers"]), "D2."),
    ):
        names |= {f"{prefix}{k}": ours + name_of(k) for k in found.under(prefix)}
    fill(method, {names[k]: v for k, v in found.weights.items()})

    draws = {"bicycle/eps": found.inputs["eps"], "bicycle/z": found.inputs["z_random"]}
    method.noise = lambda ids, now, salt: draws[salt]  # type: ignore[method-assign]
    got: dict[str, Tensor] = {}
    encoded: list[tuple[Tensor, Tensor]] = []
    method.bicycle.encoder.register_forward_hook(lambda *a: encoded.append(a[2]))
    images: list[Tensor] = []
    method.bicycle.unet.register_forward_hook(lambda *a: images.append(a[2].detach()))
    terms, grads = run(method, Batch(interleaved(found.inputs["A"]), interleaved(found.inputs["B"])))

    got["fake_encoded"], got["fake_random"] = images[0].chunk(2)
    (got["mu"], got["logvar"]), (got["mu2"], _) = encoded
    got["z_encoded"] = got["mu"] + (got["logvar"] / 2).exp() * found.inputs["eps"]
    table = {"G_GAN": "adv", "G_GAN2": "adv2", "kl": "kl", "G_L1": "l1", "z_L1": "latent"}
    got |= {f"loss.{theirs}": terms[f"G/{ours}"] for theirs, ours in table.items()}
    got["loss.G"] = torch.stack([got[f"loss.{k}"] for k in table if k != "z_L1"]).sum()
    second = ("D/fake2", "D/real2") if o["use_same_D"] else ("D2/fake", "D2/real")
    got |= {"loss.D_fake": terms["D/fake"], "loss.D_real": terms["D/real"]}
    got |= {"loss.D2_fake": terms[second[0]], "loss.D2_real": terms[second[1]]}
    got |= {f"loss.{D}": got[f"loss.{D}_fake"] + got[f"loss.{D}_real"] for D in ("D", "D2")}
    found.check(got | by_their_names(method, grads, names))


def test_pix2pixhd_step() -> None:
    found = case("pix2pixhd_step")
    o = found.options
    x, y = labels_of(found), found.inputs["image"]
    config = Pix2PixHD.Config(
        width=o["ngf"],
        downs=o["n_downsample_global"],
        blocks=o["n_blocks_global"],
        d_width=o["ndf"],
        layers=o["n_layers_D"],
        scales=o["num_D"],
        norm=o["norm"],
        features=o["lambda_feat"],
        lr=o["lr"],
        beta1=o["beta1"],
        content="none",
        coarse=0.0,
        alone=0.0,
    )
    method = Pix2PixHD(config, Shape(x.shape[1], y.shape[1], 256))
    method.G = {"global": global_generator, "local": local_generator}[o["netG"]](o, x.shape[1])
    names = {f"G.{k}": f"G.{k}" for k in found.under("G.")}
    names |= {f"D.{k}": f"D.{discriminator_name(k, o['num_D'])}" for k in found.under("D.")}
    fill(method, renamed(found.weights, lambda k: names[k]))
    got: dict[str, Tensor] = {"input": x}
    method.G.register_forward_hook(lambda *a: got.update(fake=a[2].detach()))
    terms, grads = run(method, Batch(x, y))

    got |= {"loss.G_GAN": terms["G/adv"], "loss.G_GAN_Feat": terms["G/features"]}
    got |= {"loss.D_fake": 2 * terms["D/fake"], "loss.D_real": 2 * terms["D/real"]}
    got |= {"loss.G": terms["G/adv"] + terms["G/features"], "loss.D": terms["D/fake"] + terms["D/real"]}
    found.check(got | by_their_names(method, grads, names))
