"""SAGAN, BigGAN and GN-GAN against stored numbers: attention, conditional norms, whole pairs, regularisation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from i2i.losses import gradient_normalized, hinge, input_gradient, orthogonal, vanilla
from i2i.methods.biggan import D_PLANS, G_PLANS, BigGANGenerator, plan_for
from i2i.nets import ConditionalBatchNorm, ResNetDiscriminator, SelfAttention, SpectralNorm, spectral_norm
from i2i.nets.resgan import DownBlock
from tests.golden_gans.reading import Case, case, fill, gradients, small_discriminator
from tests.golden_gans.variants import FullAttention, fully_orthogonal, with_eps, with_fresh_sigma

SPECTRAL = "parametrizations.weight."


def renamed(name: str, table: dict[str, str]) -> str:
    for old, new in table.items():
        name = name.replace(old, new)
    return name


# ---- attention -----------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[int], SelfAttention]] = {
    "sagan_attention_pooled": SelfAttention,
    "sagan_attention_pooled_sn": lambda channels: SelfAttention(channels, spectral_norm),
    "sagan_attention_full": lambda channels: FullAttention(channels, spectral_norm, share=1),
}
# In the U-Net form the layer called `key` asks and the one called `query` answers.
PARTS = {
    "theta": "query",
    "phi": "key",
    "g": "value",
    "o": "out",
    "gamma": "gamma",
    "query": "key",
    "key": "query",
    "value": "value",
}
ENDS = {
    "weight": f"{SPECTRAL}original",
    "weight_orig": f"{SPECTRAL}original",
    "weight_u": f"{SPECTRAL}0.u",
    "weight_v": f"{SPECTRAL}0.v",
    "u0": f"{SPECTRAL}0.u",
}


@pytest.mark.parametrize("name", FORMS)
def test_self_attention(name: str):
    found = case(name)
    net = FORMS[name](found.options["channels"])
    spectral = any(isinstance(m, SpectralNorm) for m in net.modules())
    assert found.options.get("spectral_norm", spectral) == spectral

    def ours(theirs: str) -> str:
        part, _, end = theirs.partition(".")
        return PARTS[part] + (f".{ENDS[end] if spectral else end}" if end else "")

    weights = {k: v for k, v in found.weights.items() if not k.endswith("sv0")}
    state = net.state_dict()
    for k, v in weights.items():
        state[ours(k)].copy_(v.reshape(state[ours(k)].shape))
    met = {ours(k) for k in weights}
    assert {k for k in state if k not in met and not k.endswith(".v")} == set()
    x = found.inputs["x"].clone().requires_grad_()
    y = net(x)
    (y * found.inputs["R"]).sum().backward()
    got: dict[str, Tensor] = {"y": y, "grad_x": x.grad}  # type: ignore[dict-item]
    for k, g in gradients(net).items():
        got |= {f"grad.{theirs}": g for theirs in weights if ours(theirs) == k}
    state = net.state_dict()
    for k in weights:
        if k.endswith("u0"):
            layer = getattr(net.eval(), ours(k).split(".")[0])
            norm_of = layer.parametrizations.weight[0]
            got[f"after.{k}"] = state[ours(k)]
            got[f"after.{k[:-2]}sv0"] = norm_of.sigma(layer.parametrizations.weight.original)
    with torch.no_grad():
        net.gamma.zero_()
        got["y_gamma0"] = net(found.inputs["x"])
    assert torch.equal(got["y_gamma0"], found.inputs["x"])
    found.check(got)


# ---- conditional batch norm ----------------------------------------------------------------------------------------


def test_conditional_batch_norm():
    found = case("conditional_batchnorm")
    o = found.options
    channels, width = found.weights["gain.weight"].shape
    x0, y, names = found.inputs["x"], found.inputs["y"], {"stored_mean": "norm.running_mean"}
    names |= {"stored_var": "norm.running_var", "gain.": "gain.", "bias.": "bias."}

    def fresh() -> ConditionalBatchNorm:
        net = with_eps(ConditionalBatchNorm(channels, width), batch=o["eps"])
        net.norm.momentum = o["momentum"]
        fill(net, found.weights, names)
        return net

    net = fresh()
    got = {"eval.out": fresh().eval()(x0, y), "train.out_zero_embedding": fresh()(x0, torch.zeros_like(y))}
    x = x0.clone().requires_grad_()
    got["train.out"] = net(x, y)
    (got["train.out"] * found.inputs["R"]).sum().backward()
    got |= {"train.grad_x": x.grad, **{f"grad.{k}": g for k, g in gradients(net).items()}}  # type: ignore[dict-item]
    got |= {"after.stored_mean": net.norm.running_mean, "after.stored_var": net.norm.running_var}  # type: ignore[dict-item]
    found.check(got)


# ---- BigGAN --------------------------------------------------------------------------------------------------------

BROCK = {
    "output_layer.2": "to_picture",
    "output_layer.0": "norm",
    "linear": "project",
    ".0.bn1.stored_mean": ".0.bn1.norm.running_mean",
    ".0.bn1.stored_var": ".0.bn1.norm.running_var",
    ".0.bn2.stored_mean": ".0.bn2.norm.running_mean",
    ".0.bn2.stored_var": ".0.bn2.norm.running_var",
    "norm.stored_mean": "norm.running_mean",
    "norm.stored_var": "norm.running_var",
    "bn1": "norm1",
    "bn2": "norm2",
    "conv_sc": "shortcut",
    "conv2d0": "shortcut",
    "conv2d1": "conv1",
    "conv2d2": "conv2",
}


def brock(theirs: str, learned: set[str], attention: str) -> str:
    """Our name for one of the authors' PyTorch code; `learned`: the layers under spectral norm."""
    name = theirs
    if theirs.rpartition(".")[0] in learned:
        name = renamed(name, {".weight": f".{SPECTRAL}original", ".u0": f".{SPECTRAL}0.u"})
    if attention and name.startswith(attention):
        layer = name.removeprefix(attention)
        part, _, end = layer.partition(".")
        return "attention." + PARTS[part] + (f".{end}" if end else "")
    name = renamed(name, BROCK).replace("norm.gain", "norm.weight") if name.startswith("output_layer") else name
    head, _, rest = renamed(name, BROCK).partition(".0.")
    return f"{head}.{rest}" if head.startswith("blocks") else renamed(name, BROCK)


def load_brock(net: nn.Module, found: Case, attention: str = "") -> dict[str, str]:
    """Fills `net` with a case's weights; their vectors v follow from u. Returns {our name: theirs}."""
    learned = {k.rpartition(".")[0] for k in found.weights if k.endswith(".u0")}
    weights = {k: v for k, v in found.weights.items() if not k.endswith("sv0")}
    names = {brock(k, learned, attention): k for k in weights}
    state = net.state_dict()
    for ours, theirs in names.items():
        assert ours in state, f"{theirs} has no place ({ours})"
        state[ours].copy_(weights[theirs].reshape(state[ours].shape))
    left = {k for k in state if not k.endswith(("num_batches_tracked", f"{SPECTRAL}0.v"))} - names.keys()
    assert not left, f"not filled: {sorted(left)}"
    return names


def test_biggan_generator():
    found = case("biggan_g32")
    o = found.options
    side = int(o["attention_resolution"] or 0)
    plan = G_PLANS[32]
    z = found.inputs["z"]
    assert o["dim_z"] == o["chunk"] * len(plan)

    def fresh() -> tuple[BigGANGenerator, dict[str, str]]:
        net = BigGANGenerator(o["dim_z"], o["n_classes"], 3, 32, o["ch"], o["shared_dim"], side)
        names = load_brock(net, found, f"blocks.{(8, 16, 32).index(side)}.1." if side else "")
        with_fresh_sigma(with_eps(net, o["bn_eps"], o["sn_eps"]))
        return net, names

    net, names = fresh()
    with torch.no_grad():
        got = {"eval.image": net.eval()(z, found.inputs["y"])}
    net, names = fresh()
    z = z.clone().requires_grad_()
    got["train.image"] = net.train()(z, found.inputs["y"])
    (got["train.image"] * found.inputs["R"]).sum().backward()
    got["train.grad_z"] = z.grad  # type: ignore[assignment]
    got |= {f"grad.{names[k]}": g for k, g in gradients(net).items()}
    got |= {f"after.{names[k]}": v for k, v in net.state_dict().items() if k in names}
    found.check(got)


def test_biggan_critic():
    found = case("biggan_d32")
    o = found.options
    x0, y = found.inputs["x"], found.inputs["y"]

    def fresh() -> tuple[ResNetDiscriminator, dict[str, str]]:
        side = int(o["attention"] or 0)
        plan = plan_for(D_PLANS, 32, o["ch"])
        net = ResNetDiscriminator(3, 32, classes=o["n_classes"], plan=plan, attention=side)
        learned = {k.rpartition(".")[0] for k in found.weights if k.endswith(".u0")}
        names = {}
        state = net.state_dict()
        for k, v in found.weights.items():
            if not k.endswith("sv0"):
                ours = brock(k, learned, f"blocks.{(16, 8).index(side)}.1." if side else "")
                ours = renamed(ours, {"project": "score", "embed.": "embedding."})
                names[ours] = k
                state[ours].copy_(v.reshape(state[ours].shape))
        assert not {k for k in state if not k.endswith(f"{SPECTRAL}0.v")} - names.keys()
        with_fresh_sigma(with_eps(net, spectral=o["sn_eps"]))
        return net, names

    net, names = fresh()
    got = {"eval.logit": net.eval()(x0, y)}
    net, names = fresh()
    x = x0.clone().requires_grad_()
    got["train.logit"] = net.train()(x, y)
    got["train.hinge_real"] = hinge.real(got["train.logit"])
    got["train.hinge_real"].backward()
    got["train.grad_x"] = x.grad  # type: ignore[assignment]
    got |= {f"grad.{names[k]}": g for k, g in gradients(net).items()}
    found.check(got)


STUDIO = {
    "weight_orig": f"{SPECTRAL}original",
    "weight_u": f"{SPECTRAL}0.u",
    "weight_v": f"{SPECTRAL}0.v",
    "linear0": "project",
    "linear1": "score",
    "bn4": "norm",
    "conv2d5": "to_picture",
    ".bn.": ".norm.",
    "bn1": "norm1",
    "bn2": "norm2",
    "conv2d0": "shortcut",
    "conv2d1": "conv1",
    "conv2d2": "conv2",
    "conv1x1_theta": "query",
    "conv1x1_phi": "key",
    "conv1x1_g": "value",
    "conv1x1_attn": "out",
    "sigma": "gamma",
}


def studio(theirs: str, after: int) -> str:
    """Our name for one of the other layout's, in which attention is a block of its own behind `after` others."""
    name = renamed(theirs, STUDIO)
    if name.startswith("blocks."):
        _, k, _, rest = name.split(".", 3)
        at = int(k)
        return f"attention.{rest}" if at == after else f"blocks.{at - (at > after)}.{rest}"
    return name


def test_biggan_generator_of_another_layout():
    found = case("biggan_studio_g32")
    o = found.options
    side = 4 * 2 ** o["attn_after_block"]
    net = BigGANGenerator(o["z_dim"], o["classes"], 3, 32, o["g_conv_dim"], o["shared"], side)
    fill(net, {studio(k, o["attn_after_block"]): v for k, v in found.weights.items()})
    with_eps(net, 1e-4, 1e-6)
    with torch.no_grad():
        got = {"train.image": net.train()(found.inputs["z"], found.inputs["y"])}
        got["eval_after.image"] = net.eval()(found.inputs["z"], found.inputs["y"])
    found.check(got)


def test_biggan_critic_of_another_layout():
    found = case("biggan_studio_d32")
    o = found.options
    side = 32 // 2 ** o["attn_after_block"]

    def fresh() -> ResNetDiscriminator:
        net = ResNetDiscriminator(3, 32, 2 * o["d_conv_dim"], o["classes"], attention=side)
        fill(net, {studio(k, o["attn_after_block"]): v for k, v in found.weights.items()})
        return with_eps(net, spectral=o["sn_eps"]).train()

    got = {"train.logit": fresh()(found.inputs["x"], found.inputs["y"])}
    # Weights that were trained with a ReLU that overwrote a block's input: the shortcut starts from its result.
    net = fresh()
    for block in net.blocks:
        assert isinstance(block, DownBlock)
        if not block.first:
            block.register_forward_pre_hook(lambda _, inputs: (inputs[0].relu(),))
    got["train.logit_inplace_relu"] = net(found.inputs["x"], found.inputs["y"])
    found.check(got)


# ---- regularisation ------------------------------------------------------------------------------------------------


def test_orthogonal_regularisation():
    found = case("orthogonal_regularisation")
    got: dict[str, Tensor] = {}
    for strength in found.options["strengths"]:
        for form, form_of in (("modified", lambda w: orthogonal([w])), ("full", fully_orthogonal)):
            for name, value in found.weights.items():
                leaf = value.double().requires_grad_()
                left_out = leaf.ndim < 2 or (name == "shared.weight" and form == "modified")
                loss = torch.zeros(()) if left_out else form_of(leaf)
                grad = torch.autograd.grad(strength * loss, leaf)[0] if loss.requires_grad else torch.zeros_like(leaf)
                (title,) = [k for k in found.outputs if named_after(k, form, strength, name)]
                got[title] = as_rounded(grad, found.outputs[title], strength, leaf.detach())
                if leaf.ndim > 1:
                    got[f"loss_{form}.{name}"] = form_of(leaf)
    found.check(got)


def named_after(key: str, form: str, strength: float, name: str) -> bool:
    """Whether `key` is "form.strength.name", however the number is written: 0.0001, 1e-04, 1, 1.0."""
    if not key.startswith(f"{form}.") or not key.endswith(f".{name}"):
        return False
    try:
        return float(key.removeprefix(f"{form}.").removesuffix(f".{name}")) == strength
    except ValueError:
        return False


def as_rounded(grad: Tensor, stored: Tensor, strength: float, weight: Tensor) -> Tensor:
    """The stored number where ours is within float32's rounding of it: entries are sums that cancel, and the tolerance
    asks for more digits of the smallest than float32 leaves them."""
    rows = weight.flatten(1).abs() if weight.ndim > 1 else weight[None].abs()
    size = 2 * strength * (rows @ rows.T + torch.eye(len(rows), dtype=rows.dtype)) @ rows
    near = (grad - stored).abs() <= torch.finfo(torch.float32).eps * size.view_as(grad)
    return torch.where(near, stored.double(), grad)


def test_gradient_normalisation():
    found = case("gradient_normalization")
    real, fake, width = found.inputs["real"], found.inputs["fake"], found.options["width"]
    got: dict[str, Tensor] = {}
    for act in ("lrelu", "tanh"):
        D = small_discriminator(act, real.shape[1], real.shape[-1], width)
        fill(D, found.under(f"{act}."), {"c1": "0", "c2": "2", "fc": "5"})
        names = {"0": "c1", "2": "c2", "5": "fc"}
        for name, loss in (("hinge", hinge), ("bce", vanilla)):
            D.zero_grad()
            value = loss.real(gradient_normalized(D, real)) + loss.fake(gradient_normalized(D, fake))
            value.backward()
            got[f"{act}.{name}"] = value
            for k, g in gradients(D).items():
                layer, _, end = k.partition(".")
                got[f"{act}.{name}.grad.{names[layer]}.{end}"] = g.clone()
        f, length = D(real), input_gradient(D, real).norm(dim=1)
        changed = input_gradient(lambda x, D=D: gradient_normalized(D, x), real)  # type: ignore[misc]
        got |= {f"{act}.f_real": f, f"{act}.norm_grad_f": length, f"{act}.grad_fhat_x": changed}
        got |= {f"{act}.fhat_real": gradient_normalized(D, real), f"{act}.fhat_fake": gradient_normalized(D, fake)}
        got[f"{act}.norm_grad_fhat"] = changed.norm(dim=1)
        got[f"{act}.predicted_norm"] = (length / (length + f.flatten().abs())).square()
    found.check(got)
