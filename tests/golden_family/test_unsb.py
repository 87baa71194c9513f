"""UNSB's networks, chain and one whole training iteration against stored numbers, as released and as meant."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from i2i.data.batch import Batch, Shape
from i2i.methods import Now
from i2i.methods.unsb import UNSB, UNSBSettings
from i2i.nets.choice import Choice
from i2i.nets.unsb import TimePatchGAN, UNSBGenerator, UNSBNet, bridge_times
from tests.golden_family.reading import case
from tests.golden_gans.reading import Case, fill, gradients

FORMS = {"released": False, "meant": True}
G_NAMES = {
    r"^model\.": "encoder.",
    r"^model_upsample\.": "decoder.",
    r"^model_res\.(\d+)\.conv_block\.1": r"blocks.\1.conv1.1",
    r"^model_res\.(\d+)\.conv_fin\.2": r"blocks.\1.conv2.1",
    r"^model_res\.(\d+)\.adaptive\.style_net": r"blocks.\1.style",
    r"^model_res\.(\d+)\.Dense_time": r"blocks.\1.time",
    r"^time_embed\.": "time.dense.",
}
UNUSED = re.compile(r"^model_res\.\d+\.style\.")  # in either form
TIMED = re.compile(r"^model_res\.\d+\.(conv_block|Dense_time)|^time_embed")


def ours_of_g(name: str) -> str:
    for pattern, new in G_NAMES.items():
        name = re.sub(pattern, new, name)
    return re.sub(r"^z_transform\.(\d+)", lambda m: f"style.{int(m[1]) - 1}", name)


def ours_of_d(name: str, layers: int) -> str:
    """Our name in CUT's PatchGAN, whose blocks are one list."""
    if block := re.match(r"model_main\.(\d+)\.(conv1|down)\.(.*)", name):
        k = int(block[1])
        first = 4 * k - 1 if k else 0
        return f"model.{first + (0 if block[2] == 'conv1' else 2 + (k > 0))}.{block[3]}"
    name = re.sub(r"^final_conv", f"model.{4 * layers + 2}", name)
    return name.replace("model_main.0.dense", "time").replace("t_embed.main.", "embedding.dense.")


def g_weights(weights: dict[str, Tensor], timed: bool) -> dict[str, Tensor]:
    left_out = [UNUSED] if timed else [UNUSED, TIMED]
    return {ours_of_g(k): v for k, v in weights.items() if not any(p.search(k) for p in left_out)}


def d_weights(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Without the time layers of later blocks, whose effect the norm removes, and the last block's unused blur."""
    later = re.compile(rf"model_main\.([1-9]\d*\.dense|{layers}\.down)")
    return {ours_of_d(k, layers): v for k, v in weights.items() if not later.match(k)}


def g_gradients(net: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients by their names; what no gradient reaches is left out."""
    found = gradients(net)
    return {k: found[ours_of_g(k)] for k in weights if ours_of_g(k) in found}


def d_gradients(net: nn.Module, weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    found = gradients(net)
    return {k: found[ours_of_d(k, layers)] for k in weights if ours_of_d(k, layers) in found}


def generator(options: dict[str, Any], timed: bool) -> UNSBNet:
    o = options
    return UNSBNet(o["input_nc"], o["output_nc"], o["n_blocks"], o["ngf"], o["n_mlp"], timed)


def test_generator() -> None:
    found = case("unsb_g")
    o, z = found.options, found.inputs["z"]
    got: dict[str, Tensor] = {}
    for form, timed in FORMS.items():
        net = generator(o, timed)
        fill(net, g_weights(found.weights, timed))
        x, style = found.inputs["x"].clone().requires_grad_(), z.clone().requires_grad_()
        for t in o["times"]:
            out = net(x, t, style)
            got[f"{form}.out.t{t}"] = out
        (out * found.inputs["R"]).sum().backward()
        got |= {f"{form}.grad_x": x.grad, f"{form}.grad_z": style.grad}  # type: ignore[dict-item]
        got |= {f"{form}.grad.{k}": v for k, v in g_gradients(net, found.weights).items()}
        with torch.no_grad():
            features = net.features(found.inputs["x"], o["nce_layers"], z)
        got |= {f"{form}.feat.l{n}": f for n, f in zip(o["nce_layers"], features, strict=True)}
    found.check(got)


def test_discriminator() -> None:
    found = case("unsb_d")
    o = found.options
    net = TimePatchGAN(o["input_nc"], o["n_layers_D"], o["ndf"])
    fill(net, d_weights(found.weights, o["n_layers_D"]))
    x = found.inputs["x"].clone().requires_grad_()
    got: dict[str, Tensor] = {}
    for t in o["times"]:
        score = net(x, t)
        got[f"score.t{t}"] = score
    (score * found.inputs["R"]).sum().backward()
    assert x.grad is not None
    got["grad_x"] = x.grad
    found.check(got | {f"grad.{k}": v for k, v in d_gradients(net, found.weights, o["n_layers_D"]).items()})


def method_of(options: dict[str, Any], **changes: Any) -> UNSB:
    """The method whose settings are a case's options; networks that the case lacks are as small as can be."""
    o = options
    values = {
        "timesteps": o.get("num_timesteps", 5),
        "tau": o.get("tau", 0.01),
        "blocks": o.get("n_blocks", 1),
        "width": o.get("ngf", 2),
        "style_layers": o.get("n_mlp", 1),
        "layers": o.get("n_layers_D", 3),
        "d_width": o.get("ndf", 2),
        "adv": o.get("lambda_GAN", 1.0),
        "sb": o.get("lambda_SB", 1.0),
        "nce": o.get("lambda_NCE", 1.0) ** 2,  # the released code multiplies by it twice
        "taps": tuple(o.get("nce_layers", (0,))),
        "patches": o.get("num_patches", 4),
        "dim": o.get("netF_nc", 2),
        "temperature": o.get("nce_T", 0.07),
        "lr": o.get("lr", 2e-4),
        "beta1": o.get("beta1", 0.5),
    }
    shape = Shape(o["input_nc"], o.get("output_nc", o["input_nc"]), o["height"])
    return UNSB(UNSBSettings(**{**values, **changes}), shape)


def test_energy_network() -> None:
    found = case("unsb_e")
    o, layers = found.options, found.options["n_layers_D"]
    method = method_of(o)
    fill(method.E, d_weights(found.weights, layers))
    pairs = [found.inputs[k].clone() for k in ("xt1", "fake1", "xt2", "fake2")]
    fake = pairs[1].requires_grad_()
    same, log_sum = method.energies(*pairs, o["time"])
    (gradient,) = torch.autograd.grad(same - log_sum, fake, retain_graph=True)
    got = {"ET": same - log_sum, "ET.grad_fake1": gradient, "loss_E": -same + log_sum + log_sum.square()}
    got["loss_E"].backward()
    got |= {f"grad.{k}": v for k, v in d_gradients(method.E, found.weights, layers).items()}
    a, b = torch.cat(pairs[:2], 1), torch.cat(pairs[2:], 1)
    with torch.no_grad():
        got["score_same"] = method.E(torch.cat([a, a], 1), o["time"])
        got["score_other"] = method.E(torch.cat([a, b], 1), o["time"])
    found.check(got)


class StoredChain(UNSBGenerator):
    """The chain with stored noises."""

    stored: dict[str, Tensor]

    def style(self, k: int) -> Tensor:
        return self.stored["z"][k]

    def noise(self, k: int, like: Tensor) -> Tensor:
        return self.stored["noise"][k]

    def question(self, k: int, state: tuple[Tensor, ...], x: Tensor) -> Tensor:
        self.stored[f"x{k}"] = super().question(k, state, x)
        return self.stored[f"x{k}"]


def test_chain() -> None:
    found = case("unsb_sample")
    o = found.options
    got = {"times": torch.tensor(bridge_times(o["num_timesteps"]))}
    for form, timed in FORMS.items():
        sizes = (o["input_nc"], o["output_nc"], o["n_blocks"], o["ngf"], o["n_mlp"])
        net = StoredChain(*sizes, timed, o["num_timesteps"], o["tau"]).eval()
        fill(net.net, g_weights(found.weights, timed))
        net.stored = dict(found.inputs)
        with torch.no_grad():
            for steps in range(1, o["num_timesteps"] + 1):
                got[f"{form}.nfe{steps}"] = net.chosen(Choice(steps=steps))(found.inputs["x"])
        got |= {f"{form}.x{k}": net.stored[f"x{k}"] for k in range(o["num_timesteps"])}
    found.check(got)


class Stored(UNSB):
    """UNSB with the draws and the second images of a case."""

    found: Case
    got: dict[str, Tensor]

    def time(self, now: Now) -> int:
        return int(self.found.options["time"])

    def drawn(self, salt: str) -> Tensor:
        """z of the two sides, or of the second images."""
        inputs, (part, _, k) = self.found.inputs, salt.partition("/")
        if part == "walk":
            return torch.cat([inputs["z_x"][int(k)], inputs["z_y"][int(k)]])
        return inputs["z_fake"] if part == "fake" else inputs[f"z_nce_{k}"]

    def style(self, batch: Batch, now: Now, salt: str, sides: int = 1) -> Tensor:
        return self.drawn(salt)

    def noise(self, batch: Batch, now: Now, k: int, like: Tensor) -> Tensor:
        return torch.cat([self.found.inputs["noise_x"][k], self.found.inputs["noise_y"][k]])

    def positions(self, features: list[Tensor], now: Now, side: str) -> list[Tensor]:
        return [self.found.inputs[f"ids_{side}.l{n}"] for n in self.config.taps]

    def walked(self, x: Tensor, t: int, batch: Batch, now: Now) -> Tensor:
        seen = super().walked(x, t, batch, now)
        self.got["xt"], self.got["xt_y"] = seen.chunk(2)
        return seen

    def contrast(self, source: Tensor, translated: Tensor, batch: Batch, now: Now, side: str) -> Tensor:
        if side == "y":
            self.got["idt"] = translated.detach()
        return super().contrast(source, translated, batch, now, side)

    def partners(self, x_t: Tensor, fake: Tensor, t: int, batch: Batch, now: Now) -> tuple[Tensor, Tensor]:
        inputs = self.found.inputs
        x2 = inputs["x2"]
        with torch.no_grad():
            for k in range(t):
                x2 = self.G.moved(k, x2, self.G.net(x2, k, inputs["z_x2"][k]), inputs["noise_x2"][k])
        fake2 = self.G.net(x2, t, inputs["z_fake2"])
        self.got |= {"fake": fake.detach(), "xt2": x2, "fake2": fake2.detach()}
        return x2, fake2


def iteration(found: Case, timed: bool) -> dict[str, Tensor]:
    """What one iteration gives, by the case's names without the form."""
    o, layers, inputs = found.options, found.options["n_layers_D"], found.inputs
    method = method_of(o, timed=timed)
    method.__class__ = Stored
    assert isinstance(method, Stored)
    method.found, method.got = found, {}
    fill(method.G.net, g_weights(found.under("G."), timed))
    fill(method.D, d_weights(found.under("D."), layers))
    fill(method.E, d_weights(found.under("E."), layers))
    fill(method.H, found.under("F."))
    got, terms = method.got, {}
    optimizers = method.optimizers()
    for name, part in method.step(Batch(inputs["x"], inputs["y"]), Now()):
        terms |= {k: v.detach() for k, v in part.items()}
        torch.stack(list(part.values())).sum().backward(inputs=method.owned(optimizers[name]))
        optimizers[name].step()

    # The losses as the reference logs them.
    lambdas = {k: o[f"lambda_{k}"] for k in ("GAN", "SB", "NCE")}
    got |= {"loss.D_real": 2 * terms["real"], "loss.D_fake": 2 * terms["fake"], "loss.D": terms["real"] + terms["fake"]}
    got |= {"loss.E": terms["energy"], "loss.G_GAN": terms["adv"], "loss.SB": terms["sb"] / lambdas["SB"]}
    got |= {f"loss.NCE_{k}": 2 * terms[n] / lambdas["NCE"] for k, n in (("x", "nce"), ("y", "nce_identity"))}
    got["loss.G"] = terms["adv"] + terms["sb"] + terms["nce"] + terms["nce_identity"]

    # Gradients and weights after the updates.
    g, d, e = found.under("G."), found.under("D."), found.under("E.")
    got |= {f"grad.G.{k}": v for k, v in g_gradients(method.G.net, g).items()}
    got |= {f"grad.D.{k}": v for k, v in d_gradients(method.D, d, layers).items()}
    got |= {f"grad.E.{k}": v for k, v in d_gradients(method.E, e, layers).items()}
    got |= {f"grad.F.{k}": v for k, v in gradients(method.H).items()}
    states = {"G": method.G.net.state_dict(), "D": method.D.state_dict(), "E": method.E.state_dict()}
    for net, weights in (("G", g), ("D", d), ("E", e)):
        for name in weights:
            ours = ours_of_g(name) if net == "G" else ours_of_d(name, layers)
            if ours in states[net]:
                got[f"after.{net}.{name}"] = states[net][ours]
    got |= {f"after.F.{k}": v for k, v in method.H.state_dict().items()}
    return got


def test_a_whole_iteration() -> None:
    found = case("unsb_step")
    got: dict[str, Tensor] = {}
    for form, timed in FORMS.items():
        got |= {f"{form}.{k}": v for k, v in iteration(found, timed).items()}
    found.check(got)
