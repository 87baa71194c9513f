"""TransGAN and DiffAugment against stored numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from i2i.data.batch import Batch, Shape
from i2i.methods import Now
from i2i.methods.transgan import TransGAN, TransGANDiscriminator, TransGANGenerator, TransGANSettings
from i2i.nets.transformer import Attention, TransformerBlock, split_windows
from i2i.training import discriminator_augment
from tests.golden_gans.reading import Case, case, fill, gradients

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


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm of tokens [B, N, C] by channel."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class TokenInstanceNorm(nn.InstanceNorm1d):
    """Instance norm of tokens [B, N, C] by channel, over the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


# The norms that the authors' code offers and no published model has; layer norm and pixel norm are options of ours.
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "bn": TokenBatchNorm,
    "in": TokenInstanceNorm,
    "none": lambda _: nn.Identity(),
}


def own_norm(found: Case) -> str:
    """The norm of the case, if our networks have it."""
    name: str = found.options.get("norm", "ln")
    return "ln" if name in NORMS else name


def with_norm(net: nn.Module, found: Case) -> Any:
    """`net` with the norm of the case in place of each layer norm, if our networks lack it."""
    name = found.options.get("norm", "ln")
    for module in list(net.modules()):
        for part, child in list(module.named_children()):
            if isinstance(child, nn.LayerNorm) and name in NORMS:
                setattr(module, part, NORMS[name](child.normalized_shape[0]))
    return net.eval() if found.manifest.get("mode") == "eval" else net


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
    net = with_norm(TransformerBlock(o["dim"], o["heads"], o["grid"], o["window"], own_norm(found)), found)
    fill(net, {ours(k): v for k, v in found.weights.items() if "relative_position_index" not in k})
    x = found.inputs["x"]
    found.check({"y": net(x), "windows": split_windows(x, o["grid"], o["window"])})


def generator(found: Case) -> TransGANGenerator:
    o, weights = found.options, found.weights
    depths = tuple(int(d) for d in o["depth"].split(","))
    z, channels = weights["l1.weight"].shape[1], weights["deconv.0.weight"].shape[0]
    size = o["bottom_width"] * 2 ** (len(depths) - 1)
    shuffles = len(depths) - 1
    net = TransGANGenerator(z, channels, size, o["C"], depths, shuffles, o["heads"], size, own_norm(found))
    with_norm(net, found)
    table = {f"pos_embed_{k + 1}": f"places.{k}" for k in range(len(depths))}
    table |= {f"upsample_blocks.{k - 1}.block.": f"stages.{k}." for k in range(1, len(depths))}
    table |= {"blocks.block.": "stages.0.", "l1.": "dense.", "deconv.0.": "to_picture."}
    fill(net, {ours(k, table): v for k, v in weights.items() if "noise_strength" not in k})
    return net


def test_transgan_generator():
    found = case("transgan_g")
    found.check({"image": generator(found)(found.inputs["z"])})


def test_transgan_critic():
    found = case("transgan_d")
    o = found.options
    assert o["depth"] == sum(k.startswith("blocks_1") and k.endswith("qkv.weight") for k in found.weights)
    channels, patch = found.weights["fRGB_1.weight"].shape[1], found.weights["fRGB_1.weight"].shape[-1]
    net = TransGANDiscriminator(channels, o["image"], o["C"], o["depth"], patch, o["heads"], largest=o["image"])
    with_norm(net, found)
    table = {"pos_embed_1": "places.0", "pos_embed_2": "places.1", "cls_token": "token", "fRGB_1": "fine"}
    table |= {"fRGB_2": "coarse", "blocks_1": "stage1", "blocks_2": "stage2", "last_block.0": "last"}
    table |= {"norm.norm": "norm", "head": "score"}
    weights = {k: v for k, v in found.weights.items() if "relative_position_index" not in k}
    blocks = {k: v for k, v in weights.items() if k.startswith(("blocks_", "last_block"))}
    rest = {k: v for k, v in weights.items() if k not in blocks}
    short = {k: v for k, v in table.items() if k != "norm.norm"}
    fill(net, {ours(k, short): v for k, v in blocks.items()} | {ours(k, table): v for k, v in rest.items()})
    got = {"score": net(found.inputs["x"])}
    if "score_of_generated" in found.outputs:
        pair = case("transgan_g")
        with torch.no_grad():
            got["score_of_generated"] = net(generator(pair)(pair.inputs["z"]))
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
    # The policy: its parts one after the other, with the case's ratios.
    draws = {k: inputs[f"policy.{k}"].flatten() for k in ("b", "s", "c", "tx", "ty", "ox", "oy")}
    colored = discriminator_augment.saturation(discriminator_augment.brightness(x, draws["b"]), draws["s"])
    shifted = discriminator_augment.translation(
        discriminator_augment.contrast(colored, draws["c"]), draws["tx"], draws["ty"]
    )
    got["policy"] = discriminator_augment.cutout(shifted, draws["ox"], draws["oy"], o["cutout_ratio"])
    found.check(got)
    # Ours in one call has the paper's ratios; it takes whole-number draws as the numbers in [0, 1) that lead to them.
    if (o["translation_ratio"], o["cutout_ratio"]) != (1 / 8, 1 / 2):
        return
    most = [int(s / 8 + 0.5) for s in (high, wide)]
    positions = [s + 1 - int(s / 2 + 0.5) % 2 for s in (high, wide)]
    columns = [draws[k].double() for k in ("b", "s", "c")]
    columns += [(draws[k] + m + 0.5) / (2 * m + 1) for k, m in zip(("tx", "ty"), most, strict=True)]
    columns += [(draws[k] + 0.5) / n for k, n in zip(("ox", "oy"), positions, strict=True)]
    found.close("policy", discriminator_augment.diffaugment(x, torch.stack(columns, 1)))


def test_the_generator_for_256_pixels_is_the_released_one() -> None:
    """Of LSUN Church: pixel norm without parameters, windows of 16 above 32 x 32 tokens, three pixel shuffles."""
    with torch.device("meta"):
        net = TransGANGenerator(512, 3, 256, 1024, (5, 4, 4, 4, 4, 4), 3, norm="pn", positions=True)
        image = net(torch.zeros(1, 512))
    assert image.shape == (1, 3, 256, 256)
    assert not [m for m in net.modules() if isinstance(m, nn.LayerNorm)]
    widths = [place.shape[-1] for place in net.places]
    assert widths == [1024, 1024, 1024, 256, 64, 16]
    blocks = [stage[0] for stage in net.stages]
    assert [getattr(block, "window", None) for block in blocks] == [8, 16, 32, 16, 16, 16]
    assert sum(p.numel() for p in net.parameters()) == 205_291_927  # the released one without its learned noise


def test_token_noise_has_one_strength_in_each_block_of_the_released_generator() -> None:
    with torch.device("meta"):
        net = TransGANGenerator(512, 3, 256, 1024, (5, 4, 4, 4, 4, 4), 3, norm="pn", positions=True, token_noise=True)
    assert sum(p.numel() for p in net.parameters()) == 205_291_927 + 25


def test_the_modulated_generator_is_the_released_one_for_celeba_hq() -> None:
    """The released network, whose weights ours gave equal images with, has 20 more: strengths that it never uses."""
    with torch.device("meta"):
        depths = (0, 4, 4, 4, 4, 4)
        net = TransGANGenerator(512, 3, 256, 1024, depths, 3, 4, 32, "pn", True, token_noise=True, modulate=True)
        plain = TransGANGenerator(512, 3, 256, 1024, depths, 3, 4, 32, "pn", True)
        assert net(torch.zeros(1, 512)).shape == (1, 3, 256, 256)
    cross = sum(4 * (2 * c * c + 2 * c * 1024 + c) for c in (1024, 1024, 256, 64, 16))  # q, proj; k, v; bias of proj
    tokens = 512 * 65_536 + 65_536 + 64 * 1024  # of z: weights, biases, positions
    counts = [sum(p.numel() for p in net.parameters()) for net in (net, plain)]
    assert counts[0] == counts[1] + cross + tokens + 20 == 212_903_255


def test_token_noise_is_new_in_training_and_fixed_in_use() -> None:
    torch.manual_seed(0)
    net = TransGANGenerator(4, 3, 16, 32, (1, 2, 1), heads=2, largest=8, token_noise=True, modulate=True)
    z = torch.randn(2, 4)
    assert torch.equal(net(z), net(z))  # strengths start at 0
    strengths = [p for name, p in net.named_parameters() if name.endswith("noise.strength")]
    assert len(strengths) == 4
    with torch.no_grad():
        for strength in strengths:
            strength.fill_(1.0)
    assert (net(z) - net(z)).abs().max() > 0.01
    image = net.eval()(z)
    assert torch.equal(image, net(z))
    torch.testing.assert_close(image[1:], net(z[1:]))
    grads = torch.autograd.grad(image.square().sum(), strengths)
    assert all(g.abs() > 0 for g in grads)


def test_the_modulation_brings_z_to_every_block() -> None:
    torch.manual_seed(0)
    net = TransGANGenerator(4, 3, 16, 32, (0, 1, 1), heads=2, largest=8, modulate=True)
    with torch.no_grad():
        net.dense.weight.zero_()
    first, second = net(torch.randn(2, 4))
    assert (first - second).abs().max() > 0.01
    net.zero_grad()
    net(torch.randn(2, 4)).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_discriminator_with_pixel_norm_and_noise() -> None:
    torch.manual_seed(0)
    net = TransGANDiscriminator(3, 16, 16, 1, 2, 2, 8, norm="pn", token_noise=True)
    assert not [m for m in net.modules() if isinstance(m, nn.LayerNorm)]
    assert [name for name, _ in net.named_parameters() if name.endswith("strength")] == [
        "stage1.0.noise.strength",
        "stage2.0.noise.strength",
        "last.noise.strength",
    ]
    assert net(torch.randn(2, 3, 16, 16)).shape == (2,)


def test_the_discriminator_for_256_pixels_is_the_released_one() -> None:
    """Patches of 4, 8 and 16 pixels; windows of 16 in the first blocks, then the whole map."""
    with torch.device("meta"):
        net = TransGANDiscriminator(3, 256, 384, 3, 4, 4, 32, patch_sizes=3)
    assert sum(p.numel() for p in net.parameters()) == 17_754_569
    windows = [[block.window for block in stage] for stage in (net.stage1, net.stage2, net.stage3)]
    assert windows == [[16, 16, 64], [32] * 3, [16] * 4]


def test_a_discriminator_of_three_patch_sizes_uses_all_of_its_weights() -> None:
    torch.manual_seed(0)
    net = TransGANDiscriminator(3, 16, 16, 2, 2, 2, 4, patch_sizes=3)
    net(torch.randn(2, 3, 16, 16)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


@pytest.mark.slow
@pytest.mark.parametrize(("size", "depths"), [(128, (1, 1, 1, 1, 1)), (256, (0, 1, 1, 1, 1, 1))])
def test_a_step_of_large_images_fits_a_cpu(size: int, depths: tuple[int, ...]) -> None:
    """All that is released for large images at once, in narrow networks: each weight that is used gets a gradient."""
    torch.manual_seed(0)
    settings = TransGANSettings(
        z=8, width=128, depths=depths, shuffles=3, heads=2, norm="pn", positions=True, token_noise=True,
        modulate=size == 256, d_width=32, d_depth=1, patch=size // 32, patch_sizes=3, largest=16, critic_steps=1,
        g_batch=1,
    )  # fmt: skip
    method = TransGAN(settings, Shape(3, 3, size))
    steps = method.step(Batch(torch.rand(1, 3, size, size) * 2 - 1), Now())
    for name, terms in steps:
        loss = torch.stack(list(terms.values())).sum()
        network = {"D": method.D, "G": method.G}[name]
        weights = dict(network.named_parameters())
        grads = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        assert loss.isfinite()
        assert [key for key, grad in zip(weights, grads, strict=True) if grad is None] == []
