"""Brownian bridges, flows and the diffusion U-Net against stored numbers."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.nets.bridge import Sampler
from i2i.nets.bridge_processes import BrownianBridge, Flow
from i2i.nets.chain import State
from i2i.nets.diffusion_unet import DiffusionUNet
from tests.golden_family.reading import case
from tests.golden_gans.reading import Case, fill, gradients

NAMES = {
    r"^time_embed\.": "embedding.",
    r"^input_blocks\.": "encoder.",
    r"^middle_block\.": "middle.",
    r"^output_blocks\.": "decoder.",
    r"\.in_layers\.0\.": ".norm1.",
    r"\.in_layers\.2\.": ".conv1.",
    r"\.emb_layers\.1\.": ".time.",
    r"\.out_layers\.0\.": ".norm2.",
    r"\.out_layers\.3\.": ".conv2.",
    r"\.skip_connection\.": ".skip.",
    r"\.proj_out\.": ".out.",
    r"\.(op|conv)\.(weight|bias)$": r".\2",
}


def ours(name: str) -> str:
    for pattern, new in NAMES.items():
        name = re.sub(pattern, new, name)
    return name


def test_diffusion_unet() -> None:
    found = case("bbdm_unet")
    o = found.options
    sizes = (o["in_channels"], o["out_channels"], o["model_channels"], o["channel_mult"], o["num_res_blocks"])
    attention = (o["attention_resolutions"], o["num_head_channels"], o["groups"])
    net = DiffusionUNet(*sizes, *attention, o["use_scale_shift_norm"], o["resblock_updown"])
    fill(net, {ours(k): v for k, v in found.weights.items()})
    x = found.inputs["x_t"].clone().requires_grad_()
    out = net(torch.cat([x, found.inputs["y"]], 1), found.inputs["t"])
    (out * found.inputs["R"]).sum().backward()
    assert x.grad is not None
    slopes = gradients(net)
    found.check({"out": out, "grad_x_t": x.grad} | {f"grad.{k}": slopes[ours(k)] for k in found.weights})


class StandIn(nn.Module):
    """The predictor of the cases. scale: what the times are divided by."""

    def __init__(self, channels_in: int, channels: int, width: int, scale: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, padding=1)
        self.time = nn.Linear(1, width)
        self.conv2 = nn.Conv2d(width, channels, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time((t.float() / self.scale)[:, None])
        return self.conv2(fn.silu(self.conv1(x) + time[:, :, None, None]))


def learnt(found: Case, net: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """The gradients of `loss`, and the weights after one step of Adam."""
    loss.backward()
    got = {f"grad.net.{k}": v.clone() for k, v in gradients(net).items()}
    torch.optim.Adam(net.parameters(), found.options["lr"]).step()
    return got | {f"after.net.{k}": v for k, v in net.state_dict().items()}


def stand_in(found: Case, scale: float, beside: bool) -> StandIn:
    o = found.options
    net = StandIn(o["channels"] * (2 if beside else 1), o["channels"], o["net_width"], scale)
    fill(net, found.under("net."))
    return net


def bridge(options: dict[str, Any], **changes: Any) -> BrownianBridge:
    o = options
    values = {"timesteps": o["num_timesteps"], "course": o["mt_type"], "variance": o["max_var"]}
    return BrownianBridge(**{**values, "predict": o["objective"], **changes})


def test_brownian_bridge() -> None:
    found = case("bbdm_step")
    o, inputs = found.options, found.inputs
    x, y, noise, t = inputs["y"], inputs["x0"], inputs["noise"], inputs["t"]
    process, beside = bridge(o), o["condition"] == "concat"
    m, v = torch.from_numpy(process.m), torch.from_numpy(process.v)
    before_m, before_v = (torch.cat([torch.zeros(1, dtype=torch.float64), s[:-1]]) for s in (m, v))
    conditional = v - before_v * ((1 - m) / (1 - before_m)) ** 2
    got = {"m_t": m, "variance_t": v, "variance_t_tminus": conditional}
    got["posterior_variance_t"] = conditional * before_v / v
    got["x_t"] = state = process.state(x, y, t, noise)
    net = stand_in(found, o["num_timesteps"], beside)
    answer = net(torch.cat([state, x], 1) if beside else state, t)
    for name in BrownianBridge.PREDICTIONS:
        other = bridge(o, predict=name)
        wanted = other.wanted(x, y, t, noise)
        got |= {
            f"objective_{name}.target": wanted,
            f"objective_{name}.x0_recon": other.target(state, x, *other.at(t, state), answer),
        }
        got |= {f"objective_{name}.loss_l1": fn.l1_loss(answer, wanted)}
        got |= {f"objective_{name}.loss_l2": fn.mse_loss(answer, wanted)}
    found.check(got | learnt(found, net, got[f"objective_{o['objective']}.loss_{o['loss_type']}"]))


class Stored(Sampler):
    """A sampler with stored noises, that keeps its states and the targets that it predicts."""

    noises: Tensor
    states: list[Tensor]
    targets: list[Tensor]

    def noise(self, k: int, like: Tensor) -> Tensor:
        return self.noises[k]

    def advance(self, k: int, state: State, x: Tensor, answer: Tensor) -> State:
        after = super().advance(k, state, x, answer)
        if isinstance(self.process, BrownianBridge):
            m, v = (float(values[int(self.times[k])]) for values in (self.process.m, self.process.v))
            target = self.process.target(state[0], x, m, v, answer)
            self.targets.append(target.clamp(-1, 1) if self.process.clip_target else target)
        if len(after) == 1:
            self.states.append(after[0])
        return after


def sampled(
    net: nn.Module, process: BrownianBridge | Flow, steps: int, beside: bool, x: Tensor, noises: Tensor
) -> Stored:
    run = Stored(net, process, steps, beside, x.shape[1])
    run.noises, run.states, run.targets = noises, [], []
    with torch.no_grad():
        run(x)
    return run


def test_sampling_of_a_bridge() -> None:
    found = case("bbdm_sample")
    o, beside = found.options, found.options["condition"] == "concat"
    process = bridge(o, eta=o["eta"], clip_target=o["clip_denoised"])
    net = stand_in(found, o["num_timesteps"], beside)
    run = sampled(net, process, o["sample_step"], beside, found.inputs["y"], found.inputs["noise"])
    got = {"steps": torch.tensor(process.times(o["sample_step"]))}
    got |= {f"x.{k + 1}": v for k, v in enumerate(run.states)} | {f"x0.{k + 1}": v for k, v in enumerate(run.targets)}
    found.check(got)


def test_flow() -> None:
    found = case("flow_matching")
    o, inputs = found.options, found.inputs
    from_noise = o["start"] == "noise"
    source, target, t = inputs["source"], inputs["target"], inputs["t"]
    begin = inputs["x0_noise"] if from_noise else source
    process = Flow(from_noise, o["sigma"])
    net = stand_in(found, Flow.CLOCK, from_noise)
    state = process.state(begin, target, t, inputs["eps"])
    wanted = process.wanted(begin, target, state, t)
    answer = net(torch.cat([state, source], 1) if from_noise else state, Flow.CLOCK * t)
    got = {"x_t": state, "u_t": wanted, "v": answer, "loss": fn.mse_loss(answer, wanted)}
    for solver, steps in (("euler", o["steps_euler"]), ("heun", o["steps_heun"])):
        noises = begin.expand(1, *begin.shape) if from_noise else begin
        run = sampled(net, Flow(from_noise, o["sigma"], solver=solver), steps, from_noise, source, noises)
        got |= {f"{solver}.x.{k + 1}": v for k, v in enumerate(run.states)}
    found.check(got | learnt(found, net, got["loss"]))
