"""Networks of BicycleGAN and pix2pixHD, label maps and their norm against stored numbers."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from i2i.losses import kl_normal, lsgan, over_scales
from i2i.metrics import diversity
from i2i.metrics.diversity import random_pairs
from i2i.metrics.perceptual import LPIPS
from i2i.nets.bicycle import Encoder, NoisyUNet
from i2i.nets.labels import instance_edges, label_input
from i2i.nets.multiscale import MultiScale
from i2i.nets.pix2pixhd import GlobalGenerator, LocalEnhancer
from i2i.nets.spade import SpatialNorm
from tests.golden_family.reading import case, real_weights
from tests.golden_gans.reading import Case, fill, gradients

# ---- BicycleGAN ----------------------------------------------------------------------------------------------------


def bicycle_unet(o: dict[str, Any]) -> NoisyUNet:
    upsample = {"basic": "transposed", "bilinear": "bilinear"}[o["upsample"]]
    sizes = (o["input_nc"], o["output_nc"], o["nz"], o["num_downs"], o["ngf"])
    return NoisyUNet(*sizes, o["norm"], o["nl"], upsample)


def unet_name(name: str) -> str:
    """model(.submodule)^d.down.1.weight -> down.d.weight, in our words."""
    level = name.count("submodule")
    side, position, *leaf = name.replace("model.", "").replace("submodule.", "").replace("sub", "").split(".")
    end = ".".join(leaf)
    if side == "down":
        return f"down_norm.{level}.{end}" if position == "2" else f"down.{level}.{end}"
    if position in ("1", "3"):
        return f"up.{level}.{'conv.' if position == '3' else ''}{end}"
    return f"up_norm.{level}.{end}"


def bicycle_encoder(o: dict[str, Any]) -> Encoder:
    return Encoder(o["output_nc"], o["nz"], o["e_blocks"], o["nef"], o["norm"])


def encoder_name(name: str) -> str:
    table = {
        r"^conv\.0\.": "first.",
        r"^fc\.0\.": "mean.",
        r"^fcVar\.0\.": "log_variance.",
        r"\.conv\.0\.": ".norm1.",
        r"\.conv\.2\.": ".conv1.",
        r"\.conv\.3\.": ".norm2.",
        r"\.conv\.5\.0\.": ".conv2.",
        r"\.shortcut\.1\.": ".shortcut.",
    }
    block = re.match(r"conv\.([1-9]\d*)\.", name)
    if block:
        name = f"blocks.{int(block[1]) - 1}.{name[block.end() :]}"
    for pattern, new in table.items():
        name = re.sub(pattern, new, name)
    return name


def renamed(weights: dict[str, Tensor], name_of: Any) -> dict[str, Tensor]:
    return {name_of(k): v for k, v in weights.items() if not k.endswith("num_batches_tracked")}


def stored_gradients(net: nn.Module, weights: dict[str, Tensor], name_of: Any, prefix: str) -> dict[str, Tensor]:
    """Gradients by the names of the case."""
    ours = gradients(net)
    return {f"{prefix}{k}": ours[name_of(k)] for k in weights if name_of(k) in ours}


def test_bicycle_generator() -> None:
    found = case("bicycle_g")
    net = bicycle_unet(found.options).train()
    fill(net, renamed(found.weights, unet_name))
    x, z = (found.inputs[k].clone().requires_grad_() for k in ("x", "z"))
    out = net(x, z)
    (out * found.inputs["R"]).sum().backward()
    assert x.grad is not None
    assert z.grad is not None
    got = {"out": out, "grad_x": x.grad, "grad_z": z.grad}
    got |= {f"after.{k}": net.state_dict()[unet_name(k)] for k in found.weights if "running" in k}
    found.check(got | stored_gradients(net, found.weights, unet_name, "grad."))


def test_bicycle_encoder() -> None:
    found = case("bicycle_e")
    net = bicycle_encoder(found.options).train()
    fill(net, renamed(found.weights, encoder_name))
    y = found.inputs["y"].clone().requires_grad_()
    mean, log_variance = net(y)
    z = mean + (log_variance / 2).exp() * found.inputs["eps"]
    kl = kl_normal(mean, log_variance)
    (kl + (z * found.inputs["R"]).sum()).backward()
    assert y.grad is not None
    got = {"mu": mean, "logvar": log_variance, "z": z, "kl": kl, "grad_y": y.grad}
    got |= {f"after.{k}": net.state_dict()[encoder_name(k)] for k in found.weights if "running" in k}
    found.check(got | stored_gradients(net, found.weights, encoder_name, "grad."))


# ---- pix2pixHD -----------------------------------------------------------------------------------------------------


def global_generator(o: dict[str, Any], channels_in: int) -> GlobalGenerator:
    downs, blocks = o["n_downsample_global"], o["n_blocks_global"]
    return GlobalGenerator(channels_in, o["output_nc"], downs, blocks, o["ngf"], o["norm"])


def local_generator(o: dict[str, Any], channels_in: int) -> LocalEnhancer:
    downs, blocks = o["n_downsample_global"], o["n_blocks_global"]
    local = (o["n_local_enhancers"], o["n_blocks_local"])
    return LocalEnhancer(channels_in, o["output_nc"], downs, blocks, *local, o["ngf"], o["norm"])


def test_pix2pixhd_generators() -> None:
    found = case("pix2pixhd_g")
    nets = {"global": global_generator, "local": local_generator}
    got: dict[str, Tensor] = {}
    trunks: list[Tensor] = []
    for prefix, make in nets.items():
        net = make(found.options, found.options["input_nc"]).train()
        fill(net, found.under(f"{prefix}."))
        if isinstance(net, LocalEnhancer):
            net.model.register_forward_hook(lambda *a: trunks.append(a[2].detach().clone()))
        x = found.inputs["x"].clone().requires_grad_()
        out = net(x)
        (out * found.inputs[f"R_{prefix}"]).sum().backward()
        assert x.grad is not None
        got |= {f"{prefix}.out": out, f"{prefix}.grad_x": x.grad}
        got |= {f"grad.{prefix}.{k}": g for k, g in gradients(net).items()}
        got |= {f"after.{prefix}.{k}": v for k, v in net.state_dict().items() if "running" in k}
    found.check(got | {"local.trunk": trunks[0]})


def discriminator_name(name: str, scales: int) -> str:
    """scaleK_layerJ.N.weight, which counts backwards, in our words."""
    scale, layer, rest = re.fullmatch(r"scale(\d+)_layer(\d+)\.(.*)", name).groups()  # type: ignore[union-attr]
    return f"scales.{scales - 1 - int(scale)}.{layer}.{rest}"


def test_pix2pixhd_discriminator() -> None:
    found = case("pix2pixhd_d")
    o = found.options
    net = MultiScale(o["input_nc"], o["num_D"], o["n_layers_D"], o["ndf"], o["norm"]).train()

    def name_of(name: str) -> str:
        return discriminator_name(name, o["num_D"])

    fill(net, renamed(found.weights, name_of))
    x = found.inputs["x"].clone().requires_grad_()
    maps = net(x)
    by_name = {f"s{s}.l{j}": m for s, layers in enumerate(maps) for j, m in enumerate(layers)}
    torch.stack([(m * found.inputs[f"R.{k}"]).sum() for k, m in by_name.items()]).sum().backward()
    assert x.grad is not None
    got = {f"feat.{k}": m for k, m in by_name.items()} | {"grad_x": x.grad}
    got |= {"lsgan_real": over_scales(lsgan.real, maps), "lsgan_fake": over_scales(lsgan.fake, maps)}
    got |= {f"after.{k}": net.state_dict()[name_of(k)] for k in found.weights if "running" in k}
    found.check(got | stored_gradients(net, found.weights, name_of, "grad."))


# ---- label maps ----------------------------------------------------------------------------------------------------


def labels_of(found: Case) -> Tensor:
    """The generator's input of a case with label maps."""
    label, instances = found.inputs["label"], found.inputs.get("inst")
    if not found.options["label_nc"]:
        return label.float()
    return label_input(label, found.options["label_nc"], None if found.options["no_instance"] else instances)


def test_edges_of_instances() -> None:
    found = case("pix2pixhd_edges")
    found.check({"edges": instance_edges(found.inputs["inst"]), "input": labels_of(found)})


def test_spatial_norm() -> None:
    found = case("spade_norm")
    o = found.options
    net = SpatialNorm(o["channels"], o["classes"], o["hidden"], o["norm"]).train()
    fill(net, found.weights)
    x, labels = found.inputs["x"].clone().requires_grad_(), label_input(found.inputs["label"], o["classes"])
    out = net(x, labels)
    (out * found.inputs["R"]).sum().backward()
    assert x.grad is not None
    gain, bias = net.maps(labels, *x.shape[2:])
    got = {"normalised": net.normalized(x), "gain_map": gain, "bias_map": bias, "out": out, "grad_x": x.grad}
    found.check(got | {f"grad.{k}": g for k, g in gradients(net).items()})


# ---- diversity -----------------------------------------------------------------------------------------------------


def test_diversity() -> None:
    found = case("bicycle_diversity")
    metric = LPIPS(real_weights(found))
    answers = found.inputs["pictures"].float() / 127.5 - 1
    count = answers.shape[1]
    every = random_pairs(count, count * count, 0, 0)
    with torch.no_grad():
        rows = [diversity.distances(a, p, metric) for a, p in zip(answers, found.inputs["pairs"])]
        complete = [diversity.distances(a, every, metric) for a in answers]
    per_pair = torch.stack(rows)
    per_input = per_pair.mean(1)
    got = {"distances": per_pair, "per_input": per_input, "diversity": per_pair.mean()}
    got |= {"std_over_inputs": per_input.std(correction=0), "all_pairs": torch.stack(complete).mean()}
    found.check(got)
    if found.options["collapsed_last"]:
        assert per_pair[-1].abs().max() <= 1e-6
