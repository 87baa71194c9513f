"""Bridge: from a source image to its target by many small steps, which one diffusion U-Net learns by regression.

Two processes, chosen by `process`, for pairs (x, y) of source and target.

bridge (Li, Xue, Liu, Lai, 2022, BBDM, arXiv 2205.07680). A Brownian bridge leads from y, at time 0, to x, at time T:

    x_t = (1 - m_t) y + m_t x + sqrt(v_t) e,    m_t from 0.001 to 0.999,    v_t = 2 s (m_t - m_t^2)
    min_G  E | m_t (x - y) + sqrt(v_t) e - G(x_t, x, t) |                           (predict: grad, noise or ysubx)

flow (Lipman et al. 2022, arXiv 2210.02747; Tong et al. 2023, arXiv 2302.00482). A straight line leads from x to y, or
from noise to y beside x (`from_noise`):

    x_t = t y + (1 - t) x + sigma e,    min_G  E || (y - x) - G(x_t, t) ||^2        (predict: v; or x, the target)

What is unusual: there is no discriminator, so nothing has to be balanced, and the loss says how far training is. A
translation evaluates G 1 to 200 times (`steps`, or `--steps` of `i2i translate`). The bridge adds noise on the way: it
has many answers. Averaged weights (`ema`) matter; the recipes have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from i2i.core.config import Blocks, NonNegative, Positive, UnderOne, Width
from i2i.core.errors import I2IError, among
from i2i.core.random import counter_normal, counter_uniform
from i2i.losses.adversarial import at_least_float32
from i2i.methods import Batch, Now, Shape, Terms, Translate, adam, sample_ids, schedule
from i2i.nets.bridge import Bridge, Multiple, Steps, Timesteps
from i2i.nets.bridge_processes import BrownianBridge, Flow

LOSSES = ("", "l1", "l2")
TIMES = ("uniform", "logit_normal")
# Settings that are arguments of the network.
SAMPLER: tuple[str, ...] = ("process", "predict", "condition", "steps", "timesteps", "course", "variance", "eta")
SAMPLER += ("clip_target", "from_noise", "sigma", "solver")
UNET = ("width", "multiples", "blocks", "attention", "head", "groups", "modulate", "block_resize")


@dataclass(frozen=True)
class BridgeSettings:
    """Settings of bridges and flows."""

    process: str = "bridge"  # bridge (Brownian bridge, as BBDM) or flow (flow matching)
    predict: str = ""  # bridge: grad (default), noise, ysubx; flow: v (default), x
    loss: str = ""  # l1 (default of bridge), l2 (default of flow)
    steps: Steps = 20  # steps of a translation, unless --steps says otherwise; the BBDM paper has 200
    condition: bool = True  # the network sees the source beside the state
    timesteps: Timesteps = 1000  # bridge: length of the process
    course: str = "linear"  # bridge: course of m_t: linear, sin
    variance: Positive = 1.0  # bridge: largest variance s of the noise
    eta: NonNegative = 1.0  # bridge: strength of the noise that translating adds; 0: one answer for each image
    clip_target: bool = True  # bridge: keep predicted targets within [-1, 1] while translating
    from_noise: bool = False  # flow: start from noise beside the source, not from the source
    sigma: NonNegative = 0.0  # flow: standard deviation of the noise around the line
    times: str = "uniform"  # flow: times in training: uniform, or logit_normal (early ones more often, as JiT)
    solver: str = "euler"  # flow: euler, or heun, which evaluates the network twice for each step
    width: Width = 64  # channels of the U-Net at the full size; BBDM: 128
    multiples: tuple[Multiple, ...] = (1, 2, 4)  # channels at each size, each half of the one before; BBDM: 1, 4, 8
    blocks: Blocks = 2  # residual blocks at each size
    attention: tuple[
        Multiple, ...
    ] = ()  # reductions of the size (1, 2, 4, ...) with attention, beside the smallest map
    head: Width = 32  # channels of an attention head; BBDM: 64
    groups: Width = 32  # groups of the group norms
    modulate: bool = True  # the time scales and shifts the norms, else it is added
    block_resize: bool = True  # resize by residual blocks, else by convolutions
    lr: NonNegative = 1e-4  # learning rate of Adam
    beta1: UnderOne = 0.9  # beta1 of Adam
    decay: str = "constant"  # learning-rate schedule: constant, linear (to 0 over the second half), cosine, step


class BridgeMethod(Translate):
    """A Brownian bridge or a flow: one network, one loss."""

    Config = BridgeSettings
    config: BridgeSettings
    G: Bridge
    term_notes = {
        "distance": "How far the network's answers are from the right ones. Lower is better; it falls fast at first "
        "and slowly for a long time, while images still get better."
    }
    tiny = {"width": 8, "groups": 4, "head": 4, "multiples": (1, 2), "blocks": 1, "steps": 3, "size": 16}

    def __init__(self, config: BridgeSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        c = config
        for name, allowed in (("loss", LOSSES), ("times", TIMES)):
            if getattr(c, name) not in allowed:
                raise I2IError(f"{name} is {getattr(c, name)!r}.", among(getattr(c, name), [a for a in allowed if a]))
        self.curve = schedule(c.decay)
        self.G = Bridge(
            shape.channels_in,
            shape.channels_out,
            **{name: getattr(c, name) for name in SAMPLER + UNET},
            palette=shape.palette,
            label_edges=shape.label_edges,
        )
        if shape.size % self.G.multiple:
            raise I2IError(
                f"size is {shape.size}, and a U-Net of {len(c.multiples)} sizes needs a multiple of {self.G.multiple}.",
                "Give another --size, or fewer multiples.",
            )
        self.squared = (c.loss or ("l1" if c.process == "bridge" else "l2")) == "l2"

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam."""
        return {"G": adam(self.G, self.config.lr, self.config.beta1)}

    def lr_factor(self, fraction: float) -> float:
        """The schedule that `decay` names."""
        return self.curve(fraction)

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] after `steps` steps, clamped to [-1, 1]."""
        return self.generator(batch.x).clamp(-1, 1)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """The network's answer at a random time of the process, against the right one."""
        x, y = batch.x, batch.y
        assert y is not None
        ids, process = sample_ids(batch, now), self.G.process
        draw = counter_uniform(ids, 1, now.seed, "bridge/time")[:, 0]
        noise = counter_normal(ids, y.shape[1:], now.seed, "bridge/noise").to(y)

        if isinstance(process, BrownianBridge):
            i = (draw * process.timesteps).long()
            state, wanted = process.state(x, y, i, noise), process.wanted(x, y, i, noise)
            answer = self.answer(state, x, i)
        else:
            t = self.time(draw).to(y)
            begin = counter_normal(ids, y.shape[1:], now.seed, "bridge/start").to(y) if process.from_noise else x
            state = process.state(begin, y, t, noise)
            wanted = process.wanted(begin, y, state, t)
            answer = process.velocity(state, t, self.answer(state, x, Flow.CLOCK * t))
        error = at_least_float32(answer) - at_least_float32(wanted)
        yield "G", {"distance": error.square().mean() if self.squared else error.abs().mean()}

    def answer(self, state: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """What the network says of states [B, C, H, W] at times t [B]."""
        return self.G.net(self.G.question(0, (state,), x), t.to(state.device))

    def time(self, draw: Tensor) -> Tensor:
        """Times of a flow in (0, 1) from uniform draws [B]."""
        if self.config.times == "uniform":
            return draw
        return torch.sigmoid(0.8 * torch.special.ndtri(draw) - 0.8)
