"""The first GANs against stored numbers: spectral norm, losses, penalties, clipping, and whole steps of the methods."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.data.batch import Batch, Shape
from i2i.losses import (
    bce,
    category,
    gradient_penalty,
    hinge,
    input_gradient,
    least_squares,
    lsgan,
    minimax,
    r1,
    smooth_targets,
    vanilla,
    wasserstein,
)
from i2i.losses import gaussian_nll as library_gaussian_nll
from i2i.methods._method import Now
from i2i.methods.acgan import ACGANSmallGenerator
from i2i.methods.dcgan import DCGAN
from i2i.methods.sngan import SNGAN
from i2i.methods.wgan import WGAN
from i2i.metrics.collapse import coverage
from i2i.nets import MLPDiscriminator, MLPGenerator, ResNetDiscriminator, ResNetGenerator
from i2i.nets.spectral import SpectralNorm
from tests.golden_gans.reading import Case, case, fill, gradients, norm, small_discriminator
from tests.golden_gans.variants import (
    EmbeddedMLPDiscriminator,
    EmbeddedMLPGenerator,
    centered_penalty,
    gaussian_nll,
    with_eps,
    with_fresh_sigma,
)

# ---- spectral norm -------------------------------------------------------------------------------------------------


def test_spectral_norm():
    found = case("sn_power_iteration")
    got: dict[str, Tensor] = {}
    for layer, kind in found.options["layers"].items():
        weight = found.weights[f"{layer}.weight"]
        dim = 1 if kind == "convtranspose" else 0

        def fresh(weight: Tensor = weight, dim: int = dim, layer: str = layer) -> SpectralNorm:
            made: SpectralNorm = with_eps(SpectralNorm(weight, dim), spectral=found.options["eps"])
            made.u.copy_(found.inputs[f"{layer}.u0"])
            return made

        for n in found.options["iterations"]:
            norm_of = fresh()
            leaf = weight.clone().requires_grad_()
            for _ in range(n):
                made = norm_of(leaf)
            (made * found.inputs[f"{layer}.R"]).sum().backward()
            got |= {
                f"{layer}.it{n}.u": norm_of.u.clone(),
                f"{layer}.it{n}.v": norm_of.v.clone(),
                f"{layer}.it{n}.w_sn": made,
                f"{layer}.it{n}.grad_weight": leaf.grad,
                f"{layer}.it{n}.w_sn_eval_after": norm_of.eval()(weight),
                f"{layer}.it{n}.sigma": norm_of.sigma(weight),
            }
            assert torch.equal(norm_of.u, got[f"{layer}.it{n}.u"])
        converged = fresh().double()
        for _ in range(500):
            sigma = converged.sigma(weight.double())
        got[f"{layer}.sigma_exact"] = sigma
        other = with_fresh_sigma(fresh()).eval()
        assert isinstance(other, SpectralNorm)
        got[f"{layer}.biggan_eval_sigma"] = other.sigma(weight)
        assert torch.equal(other.u, found.inputs[f"{layer}.u0"])
    found.check(got)


def test_sngan_step():
    found = case("sngan_resnet32_step")
    options = found.options
    config = SNGAN.Config(options["z_dim"], width=4 * options["g_conv_dim"], d_width=2 * options["d_conv_dim"])
    channels, size = found.inputs["real"].shape[1], found.inputs["real"].shape[-1]
    method = SNGAN(config, Shape(channels, channels, size))
    method.G = with_eps(ResNetGenerator(options["z_dim"], width=4 * options["g_conv_dim"]), batch=1e-4)
    method.D = with_eps(ResNetDiscriminator(width=2 * options["d_conv_dim"]), spectral=1e-6)
    blocks = {f"blocks.{k}.0.": f"blocks.{k}." for k in range(4)}
    layers = {"conv2d0": "shortcut", "conv2d1": "conv1", "conv2d2": "conv2", "bn1": "norm1", "bn2": "norm2"}
    outer = {"linear0": "project", "bn4": "norm", "conv2d5": "to_picture", "linear1": "score"}
    ends = {
        "weight_orig": "parametrizations.weight.original",
        "weight_u": "parametrizations.weight.0.u",
        "weight_v": "parametrizations.weight.0.v",
    }

    def ours(name: str) -> str:
        for table in (blocks, layers, outer, ends):
            for old, new in table.items():
                name = name.replace(old, new)
        return name

    fill(method.G, {ours(k): v for k, v in found.under("G.").items()})
    fill(method.D, {ours(k): v for k, v in found.under("D.").items()})
    method.train()
    method.config = dataclasses.replace(method.config, critic_steps=1, g_batch=1)
    method.draw = lambda *_: found.inputs["z"]  # type: ignore[method-assign]

    got: dict[str, Tensor] = {}
    scores: list[Tensor] = []
    method.D.register_forward_hook(lambda *a: scores.append(a[2].detach()))
    optimizers = method.optimizers()
    for name, terms in method.step(Batch(found.inputs["real"]), Now()):
        total = torch.stack(list(terms.values())).sum()
        total.backward(inputs=method.owned(optimizers[name]))
        # no step here: the stored generator pass meets the discriminator it was
        got[{"D": "d_loss", "G": "g_loss"}[name]] = total
    theirs = {ours(k): k for k in found.under("D.")} | {ours(k): k for k in found.under("G.")}
    for side, net in (("D", method.D), ("G", method.G)):
        got |= {f"grad{side}.{theirs[k]}": g for k, g in gradients(net).items()}
    got["logit_real"], got["logit_fake"], got["logit_fake_second"] = scores
    fresh = with_eps(ResNetGenerator(options["z_dim"], width=4 * options["g_conv_dim"]), batch=1e-4)
    fill(fresh, {ours(k): v for k, v in found.under("G.").items()})
    got["fake"] = fresh(found.inputs["z"])
    found.check(got)


# ---- losses --------------------------------------------------------------------------------------------------------


def test_losses():
    found = case("losses")
    r, f = found.inputs["r"].double(), found.inputs["f"].double()
    critics = {
        "d_vanilla": vanilla,
        "d_hinge": hinge,
        "d_ls_half": least_squares(),
        "d_ls_m1_p1_0": least_squares(-1, 1, 0),
        "d_ls_0_1_1": least_squares(0, 1, 1),
        "d_wasserstein": wasserstein,
        "d_smooth09": smooth_targets(0.9),
    }
    makers = {
        "g_nonsaturating": vanilla,
        "g_minimax": minimax,
        "g_hinge": hinge,
        "g_ls_half": least_squares(),
        "g_ls_m1_p1_0": least_squares(-1, 1, 0),
        "g_ls_0_1_1": least_squares(0, 1, 1),
        "g_wasserstein": wasserstein,
        "g_smooth09_lecture": smooth_targets(0.9, 0.9),
    }
    got: dict[str, Tensor] = {}

    def critic(name: str, loss: Any, drift: float = 0.0) -> None:
        a, b = r.clone().requires_grad_(), f.clone().requires_grad_()
        value = loss.real(a) + loss.fake(b) + drift * a.square().mean()
        value.backward()
        got.update({name: value, f"{name}.grad_real": a.grad, f"{name}.grad_fake": b.grad})

    for name, loss in critics.items():
        critic(name, loss)
    critic("d_drift", wasserstein, 0.001)
    for name, loss in makers.items():
        b = f.clone().requires_grad_()
        value = loss.adv(b)
        value.backward()
        got |= {name: value, f"{name}.grad_fake": b.grad}
    x, mean, variance = (found.inputs[f"nll_{k}"].double() for k in ("x", "mu", "var"))
    got["infogan_nll"] = gaussian_nll(x, mean, variance, eps=1e-6)
    torch.testing.assert_close(library_gaussian_nll(x, mean), gaussian_nll(x, mean, torch.ones_like(x)))
    got["acgan_ce"] = category(found.inputs["ce_logits"].double(), found.inputs["ce_labels"])
    logits, labels = found.inputs["bce_logits"].double(), found.inputs["bce_labels"].double()
    got["stargan_bce_sum_over_batch"] = bce(logits, labels) * logits.shape[1]
    found.check(got)
    # and the form without the halves, which pix2pix and CycleGAN use
    assert torch.equal(lsgan.real(r), 2 * least_squares().real(r))


def test_gradient_penalties():
    found = case("gradient_penalties")
    real, fake, alpha = (found.inputs[k] for k in ("real", "fake", "alpha"))
    width = found.options["width"]
    got: dict[str, Tensor] = {}
    for act in ("lrelu", "tanh"):
        D = small_discriminator(act, real.shape[1], real.shape[-1], width)
        names = {"0": "c1", "2": "c2", "5": "fc"}
        fill(D, found.under(f"{act}."), {"c1": "0", "c2": "2", "fc": "5"})
        at = alpha.view(-1, 1, 1, 1) * real + (1 - alpha.view(-1, 1, 1, 1)) * fake
        length = input_gradient(D, at).norm(dim=1)
        values = {
            "gp": gradient_penalty(D, real, fake, alpha.flatten()),
            "maxgp": length.square().amax(),
            "r1": r1(D, real),
        }
        for name, value in values.items():
            D.zero_grad()
            value.backward()
            got[f"{act}.{name}"] = value
            got |= {
                f"{act}.{name}.grad.{names[k.split('.')[0]]}.{k.split('.')[1]}": g.clone()
                for k, g in gradients(D).items()
            }
        got[f"{act}.gradnorm_at_interp"] = length
        got[f"{act}.gp_one_sided"] = centered_penalty(D, real, fake, alpha.flatten(), relu=True)
        loss = wasserstein.real(D(real)) + wasserstein.fake(D(fake)) + found.options["lambda"] * values["gp"]
        got[f"{act}.d_loss_total"] = loss
    w = found.weights["linear.w"]
    got["linear.gp"] = gradient_penalty(lambda x: x.flatten(1) @ w, real, fake, alpha.flatten())
    found.check(got)


# ---- steps ---------------------------------------------------------------------------------------------------------


def test_wgan_clips_after_each_step():
    found = case("wgan_clip")
    steps, c, lr = found.options["steps"], found.options["c"], found.options["lr"]
    config = WGAN.Config(z=4, width=2, d_width=2, clamp=c, lr=lr, critic_steps=steps + 1, first=0)
    method = WGAN(config, Shape(1, 1, 8))
    hidden, features = found.weights["w1"].shape
    method.D = nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))
    names = {"w1": "0.weight", "b1": "0.bias", "w2": "2.weight", "b2": "2.bias"}
    fill(method.D, found.weights, names)
    optimizer = method.optimizers()["D"]
    got: dict[str, Tensor] = {}
    for k in range(steps):
        method.G = Stored(found.inputs["fake"][k])
        for _, terms in method.step(Batch(found.inputs["real"][k]), Now(images=k)):
            loss = torch.stack(list(terms.values())).sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        got[f"step{k + 1}.loss"] = loss
        state = method.D.state_dict()
        got |= {f"step{k + 1}.{a}": state[b].clone() for a, b in names.items()}
    found.check(got)


class Stored(nn.Module):
    """A generator whose images are given."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures = pictures

    def forward(self, z: Tensor) -> Tensor:
        return self.pictures


def dcgan_step(found: Case, config: Any) -> tuple[DCGAN, dict[str, Tensor]]:
    channels, size = found.inputs["real"].shape[1], found.inputs["real"].shape[-1]
    assert found.options.get("nc", channels) == channels
    method = DCGAN(config, Shape(channels, channels, size))
    fill(method.G, found.under("G."))
    fill(method.D, found.under("D."))
    got: dict[str, Tensor] = {}
    z, real = found.inputs["z"].flatten(1), found.inputs["real"]
    method.eval()
    with torch.no_grad():
        got |= {"eval.fake": method.G(z), "eval.prob_real": method.D(real).sigmoid()}
    method.train()
    method.draw = lambda *_: z  # type: ignore[method-assign]
    seen: list[Tensor] = []
    method.D.register_forward_hook(lambda *a: seen.append(a[2].detach().sigmoid()))
    method.G.register_forward_hook(lambda *a: got.update(fake=a[2].detach()))
    optimizers = method.optimizers()
    for name, terms in method.step(Batch(real), Now()):
        own = method.owned(optimizers[name])
        torch.stack(list(terms.values())).sum().backward(inputs=own)
        net = method.networks()[name]
        got |= {f"grad.{name}.{k}": g.clone() for k, g in gradients(net).items()}
        got |= {{"real": "loss_d_real", "fake": "loss_d_fake", "adv": "loss_g"}[k]: v for k, v in terms.items()}
        optimizers[name].step()
        optimizers[name].zero_grad()
    for name in ("D", "G"):
        got |= {f"after.{name}.{k}": v for k, v in method.networks()[name].state_dict().items()}
    got["prob_real"], got["prob_fake"], got["prob_fake_second"] = seen
    return method, got


def test_dcgan_step():
    found = case("dcgan_step")
    o = found.options
    _, got = dcgan_step(found, DCGAN.Config(o["nz"], width=o["ngf"], d_width=o["ndf"]))
    found.check(got)


def test_dcgan_step_with_projection_and_smoothed_targets():
    found = case("dcgan_lfw_step")
    o = found.options
    config = DCGAN.Config(
        o["nz"], width=o["d"], d_width=o["d"], project=True, real_target=o["real_label"], adv_target=o["real_label"]
    )
    _, got = dcgan_step(found, config)
    found.check(got)


# ---- perceptrons and small generators ------------------------------------------------------------------------------


def test_gan_of_perceptrons():
    found = case("gan_mlp")
    o = found.options
    G = MLPGenerator(o["nz"], o["out"], 1, (o["hidden"],), slope=0.01)  # images of one pixel: any number of values
    D = MLPDiscriminator(o["out"], 1, (o["hidden"],), slope=0.01)
    names = {"fc1": "model.0", "fc2": "model.2"}
    fill(G, found.under("G."), names)
    fill(D, found.under("D."), names)
    real = found.inputs["real"].view(-1, o["out"], 1, 1)
    fake = G(found.inputs["z"])
    got: dict[str, Tensor] = {"fake": fake, "logit_real": D(real), "logit_fake": D(fake)}
    back = {"model.0": "fc1", "model.2": "fc2"}

    def record(name: str, loss: Tensor, side: str, net: nn.Module) -> None:
        G.zero_grad()
        D.zero_grad()
        loss.backward()
        found_here = {back[k.rpartition(".")[0]] + "." + k.rpartition(".")[2]: g for k, g in gradients(net).items()}
        got.update({f"{name}.grad.{side}.{k}": g.clone() for k, g in found_here.items()})
        got.update({name: loss, f"{name}.grad_norm": norm(found_here)})

    record("d", vanilla.real(D(real)) + vanilla.fake(D(fake.detach())), "D", D)
    record("g_minimax", minimax.adv(D(G(found.inputs["z"]))), "G", G)
    record("g_nonsaturating", vanilla.adv(D(G(found.inputs["z"]))), "G", G)
    found.check(got)


EMBEDDINGS = {"G": "label_emb", "D": "label_embedding"}


def test_conditional_perceptrons():
    found = case("cgan_mlp")
    o, y = found.options, found.inputs["y"]
    channels = found.inputs["x"].shape[1]
    embed = {side: found.weights[f"{side}.{name}.weight"].shape[1] for side, name in EMBEDDINGS.items()}
    widths = [found.weights[f"G.model.{k}.weight"].shape[0] for k in (0, 2, 5, 8)]
    told = {side: {"classes": o["classes"], "embed": width} for side, width in embed.items()}
    G = with_eps(EmbeddedMLPGenerator(o["nz"], channels, o["image"], widths, 0.2, True, **told["G"]), o["bn_eps"])
    hidden = [found.weights[f"D.model.{k}.weight"].shape[0] for k in (0, 2, 5)]
    D = EmbeddedMLPDiscriminator(channels, o["image"], hidden, dropout=0.4, **told["D"])
    fill(G, found.under("G."), {EMBEDDINGS["G"]: "embedding"})
    fill(D, found.under("D."), {EMBEDDINGS["D"]: "embedding"})
    D.eval()
    fake = G(found.inputs["z"], y)
    found.check({"fake": fake, "score_real": D(found.inputs["x"], y), "score_fake": D(fake, y)})


def test_acgan_generator():
    found = case("acgan_g")
    o = found.options
    channels = found.outputs["fake"].shape[1]
    G = ACGANSmallGenerator(o["nz"], o["classes"], channels, o["image"], o["base"])
    with_eps(G.main[1:], batch=0.8)  # the first batch norm has the usual one
    fill(G, found.under("G."), {"label_emb": "embedding", "l1.0": "dense", "conv_blocks": "main"})
    found.check({"fake": G(found.inputs["z"], found.inputs["y"])})


def test_a_wrong_number_is_noticed():
    found = case("acgan_g")
    wrong = found.outputs["fake"] + 1e-3
    with pytest.raises(AssertionError, match=r"fake is off by up to 0\.001"):
        found.check({"fake": wrong})
    with pytest.raises(AssertionError, match="not computed: fake"):
        found.check({})
    assert fn.mse_loss(wrong, found.outputs["fake"]) < 1e-5


def test_mode_coverage():
    found = case("mode_counting")
    got = coverage(found.inputs["points"], found.inputs["centers"], found.options["sigma"])
    numbers = {"modes": got.modes(), "modes_20": got.modes(20), "hq_share": got.good, "kl_to_uniform": got.kl}
    found.check({"counts": got.counts, **{k: torch.tensor(v, dtype=torch.float64) for k, v in numbers.items()}})
