"""TransGAN and DiffAugment against stored numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.methods.transgan import Critic, Generator
from i2i.nets.transformer import Attention, TransformerBlock, split_windows
from i2i.training import discriminator_augment
from tests.golden_gans.reading import case, fill, gradients

NAMES = {
    "norm1.norm": "norm1",
    "norm2.norm": "norm2",
    "attn.relative_position_bias_table": "attention.table",
    "attn.": "attention.",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}


def ours(name: str, more: dict[str, str] | None = None) -> str:
    """Our name for one of the authors'."""
    for table in (more or {}, NAMES):
        for old, new in table.items():
            name = name.replace(old, new)
    return name


def test_attention_with_relative_positions():
    found = case("transgan_attention_relpos")
    o = found.options
    net = Attention(o["dim"], o["heads"], o["window"])
    fill(net, found.weights, {"relative_position_bias_table": "table"})
    x = found.inputs["x"].clone().requires_grad_()
    y = net(x)
    (y * found.inputs["R"]).sum().backward()
    got = {f"grad.{k}": g for k, g in gradients(net).items()}
    got["grad.relative_position_bias_table"] = got.pop("grad.table")
    found.check({"y": y, "grad_x": x.grad, **got})  # type: ignore[dict-item]


def test_grid_attention():
    found = case("transgan_grid_block")
    o = found.options
    assert o["norm"] == "ln"
    net = TransformerBlock(o["dim"], o["heads"], o["grid"], o["window"])
    fill(net, {ours(k): v for k, v in found.weights.items() if "relative_position_index" not in k})
    x = found.inputs["x"]
    found.check({"y": net(x), "windows": split_windows(x, o["grid"], o["window"])})


def generator(weights: dict[str, Tensor], depths: tuple[int, ...], heads: int, side: int, width: int) -> Generator:
    z = weights["l1.weight"].shape[1]
    size = side * 2 ** (len(depths) - 1)
    net = Generator(z, 3, size, width, depths, len(depths) - 1, heads, largest=size)
    table = {f"pos_embed_{k + 1}": f"places.{k}" for k in range(len(depths))}
    table |= {f"upsample_blocks.{k - 1}.block.": f"stages.{k}." for k in range(1, len(depths))}
    table |= {"blocks.block.": "stages.0.", "l1.": "dense.", "deconv.0.": "to_picture."}
    fill(net, {ours(k, table): v for k, v in weights.items() if "noise_strength" not in k})
    return net


def test_transgan_generator():
    found = case("transgan_g")
    o = found.options
    depths = tuple(int(d) for d in o["depth"].split(","))
    net = generator(found.weights, depths, o["heads"], o["bottom_width"], o["C"])
    found.check({"image": net(found.inputs["z"])})


def test_transgan_critic():
    found = case("transgan_d")
    o = found.options
    assert o["depth"] == sum(k.startswith("blocks_1") and k.endswith("qkv.weight") for k in found.weights)
    patch = found.weights["fRGB_1.weight"].shape[-1]
    net = Critic(3, o["image"], o["C"], o["depth"], patch, o["heads"], largest=o["image"])
    table = {"pos_embed_1": "places.0", "pos_embed_2": "places.1", "cls_token": "token", "fRGB_1": "fine"}
    table |= {"fRGB_2": "coarse", "blocks_1": "stage1", "blocks_2": "stage2", "last_block.0": "last"}
    table |= {"norm.norm": "norm", "head": "score"}
    weights = {k: v for k, v in found.weights.items() if "relative_position_index" not in k}
    blocks = {k: v for k, v in weights.items() if k.startswith(("blocks_", "last_block"))}
    rest = {k: v for k, v in weights.items() if k not in blocks}
    short = {k: v for k, v in table.items() if k != "norm.norm"}
    fill(net, {ours(k, short): v for k, v in blocks.items()} | {ours(k, table): v for k, v in rest.items()})
    got = {"score": net(found.inputs["x"])}
    pair = case("transgan_g")
    depths = tuple(int(d) for d in pair.options["depth"].split(","))
    made = generator(pair.weights, depths, pair.options["heads"], pair.options["bottom_width"], pair.options["C"])
    with torch.no_grad():
        got["score_of_generated"] = net(made(pair.inputs["z"]))
    found.check(got)


def test_diffaugment():
    found = case("diffaugment")
    o, inputs = found.options, found.inputs
    x, R = inputs["x"], inputs["R"]
    got: dict[str, Tensor] = {}
    high, wide = x.shape[2:]
    parts = {
        "brightness": lambda x: discriminator_augment.brightness(x, inputs["brightness.u"].flatten()),
        "saturation": lambda x: discriminator_augment.saturation(x, inputs["saturation.u"].flatten()),
        "contrast": lambda x: discriminator_augment.contrast(x, inputs["contrast.u"].flatten()),
        "translation": lambda x: discriminator_augment.translation(
            x, inputs["translation.tx"].flatten(), inputs["translation.ty"].flatten()
        ),
        "cutout": lambda x: discriminator_augment.cutout(
            x, inputs["cutout.ox"].flatten(), inputs["cutout.oy"].flatten(), o["cutout_ratio"]
        ),
    }
    for name, change in parts.items():
        leaf = x.clone().requires_grad_()
        got[name] = change(leaf)
        (got[name] * R).sum().backward()
        got[f"{name}.grad_x"] = leaf.grad  # type: ignore[assignment]
    # the policy, its whole-number draws given as the numbers in [0, 1) that lead to them
    most = [int(s * o["translation_ratio"] + 0.5) for s in (high, wide)]
    places = [s + 1 - int(s * o["cutout_ratio"] + 0.5) % 2 for s in (high, wide)]
    columns = [inputs[f"policy.{k}"].flatten().double() for k in ("b", "s", "c")]
    for k, m in zip(("tx", "ty"), most, strict=True):
        columns.append((inputs[f"policy.{k}"].flatten() + m + 0.5) / (2 * m + 1))
    for k, n in zip(("ox", "oy"), places, strict=True):
        columns.append((inputs[f"policy.{k}"].flatten() + 0.5) / n)
    got["policy"] = discriminator_augment.diffaugment(x, torch.stack(columns, 1))
    found.check(got)
