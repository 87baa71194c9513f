"""The two ways from a source image to its target by small steps: a Brownian bridge, and a flow.

A process says what the network sees at a time, what it shall answer, and how an answer moves the state. Sources and
targets are images [B, C, H, W] in [-1, 1]; times are one number per image, [B].

BrownianBridge   Li et al. 2022, BBDM, arXiv 2205.07680
Flow             Lipman et al. 2022, arXiv 2210.02747; Tong et al. 2023, arXiv 2302.00482; x prediction as in Li and He
                 2025, JiT, arXiv 2511.13720
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from i2i.core.errors import I2IError, among
from i2i.nets.chain import State

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]
Noise = Callable[[int, Tensor], Tensor]  # number of the step, images -> noise for images of that shape


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """Numbers [B] as [B, 1, 1, 1], in the type of `like` and on its device."""
    return values.to(like)[:, None, None, None]


@dataclass(frozen=True)
class BrownianBridge:
    """The state at time i of T is (1 - m_i) target + m_i source + sqrt(v_i) noise, v_i = 2 variance m_i (1 - m_i).

    predict: what the network answers: grad (state - target), noise, or ysubx (source - target). course: m grows
    linear or like sin, the authors' exponential. eta: strength of the noise that sampling adds. clip_target: keep
    predicted targets in [-1, 1]."""

    timesteps: int = 1000
    course: str = "linear"
    variance: float = 1.0
    predict: str = "grad"
    eta: float = 1.0
    clip_target: bool = True

    PREDICTIONS = ("grad", "noise", "ysubx")
    CLOCK = 1.0  # the network gets this times the time
    COURSES = ("linear", "sin")

    def __post_init__(self) -> None:
        for name, allowed in (("predict", self.PREDICTIONS), ("course", self.COURSES)):
            if getattr(self, name) not in allowed:
                raise I2IError(f"{name} is {getattr(self, name)!r} for a bridge.", among(getattr(self, name), allowed))

    @cached_property
    def m(self) -> Numbers:
        """m_i for i from 0 to T - 1: the share of the source."""
        if self.course == "linear":
            return np.linspace(0.001, 0.999, self.timesteps)
        m = 1.0075 ** np.linspace(0, self.timesteps, self.timesteps)
        m = m / m[-1]
        m[-1] = 0.999
        return m

    @cached_property
    def v(self) -> Numbers:
        """The variance v_i of the state for i from 0 to T - 1."""
        return 2 * self.variance * (self.m - self.m**2)

    def at(self, i: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """(m, v) at times i, int64 [B], each [B, 1, 1, 1] like images; computed where i is, without waiting for it."""
        last = self.timesteps - 1
        position = i.double() / last
        if self.course == "linear":
            m = 0.001 + 0.998 * position
        else:
            m = torch.where(i == last, 0.999, 1.0075 ** (self.timesteps * (position - 1)))
        v = 2 * self.variance * (m - m**2)
        return per_image(m, like), per_image(v, like)

    def state(self, source: Tensor, target: Tensor, i: Tensor, noise: Tensor) -> Tensor:
        """The state at times i, int64 [B]."""
        m, v = self.at(i, target)
        return (1 - m) * target + m * source + v.sqrt() * noise

    def wanted(self, source: Tensor, target: Tensor, i: Tensor, noise: Tensor) -> Tensor:
        """What the network shall answer at times i, int64 [B]."""
        if self.predict == "noise":
            return noise
        if self.predict == "ysubx":
            return source - target
        m, v = self.at(i, target)
        return m * (source - target) + v.sqrt() * noise

    def target(self, state: Tensor, source: Tensor, m: Tensor | float, v: Tensor | float, answer: Tensor) -> Tensor:
        """The target that an answer stands for, where (m, v) are those of its time."""
        if self.predict == "grad":
            return state - answer
        if self.predict == "ysubx":
            return source - answer
        return (state - m * source - v**0.5 * answer) / (1 - m)

    def times(self, steps: int) -> list[int]:
        """The times of `steps` evaluations, from T - 1 on: evenly spaced down to 1, and 0 at the end."""
        last = self.timesteps - 1
        if steps < 3:
            return [last, 0][:steps]
        spaced = [last - k * last / (steps - 2) for k in range(steps - 2)]
        return [*(int(i) for i in spaced if i > 1), 1, 0]

    def start(self, source: Tensor, noise: Noise) -> State:
        """The source itself."""
        return (source,)

    def advance(self, k: int, times: list[int], state: State, source: Tensor, answer: Tensor, noise: Noise) -> State:
        """The state at the next time, drawn from the bridge between the predicted target and the source."""
        m, v = float(self.m[times[k]]), float(self.v[times[k]])
        target = self.target(state[0], source, m, v, answer)
        if self.clip_target:
            target = target.clamp(-1, 1)
        if k + 1 == len(times):
            return (target,)
        m_next, v_next = float(self.m[times[k + 1]]), float(self.v[times[k + 1]])
        drawn = (v - v_next * (1 - m) ** 2 / (1 - m_next) ** 2) * v_next / v  # variance of the new noise
        pull = (max(v_next - drawn, 0) / v) ** 0.5
        mean = (1 - m_next) * target + m_next * source + pull * (state[0] - (1 - m) * target - m * source)
        if self.eta == 0:
            return (mean,)
        return (mean + self.eta * max(drawn, 0) ** 0.5 * noise(k, mean),)


@dataclass(frozen=True)
class Flow:
    """The state at time t from 0 to 1 is t target + (1 - t) start + sigma noise; the network learns where it moves.

    from_noise: the start is noise, and the network sees the source beside the state; else the start is the source.
    predict: v, the velocity target - start, or x, the target (the loss compares velocities all the same). solver: euler
    or heun, which evaluates the network twice for each step."""

    from_noise: bool = False
    sigma: float = 0.0
    predict: str = "v"
    solver: str = "euler"

    PREDICTIONS = ("v", "x")
    SOLVERS = ("euler", "heun")
    NEAREST = 0.05  # smallest 1 - t that a target is divided by
    CLOCK = 1000.0  # the network gets this times the time: the range of a diffusion's times

    def __post_init__(self) -> None:
        for name, allowed in (("predict", self.PREDICTIONS), ("solver", self.SOLVERS)):
            if getattr(self, name) not in allowed:
                raise I2IError(f"{name} is {getattr(self, name)!r} for a flow.", among(getattr(self, name), allowed))

    def state(self, begin: Tensor, target: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The state at times t [B]; begin: the source, or noise."""
        t = per_image(t, target)
        return t * target + (1 - t) * begin + self.sigma * noise

    def velocity(self, state: Tensor, t: Tensor | float, answer: Tensor) -> Tensor:
        """The velocity that an answer at times t [B], or at one time, stands for."""
        if self.predict == "v":
            return answer
        if isinstance(t, Tensor):
            return (answer - state) / (1 - per_image(t, state)).clamp_min(self.NEAREST)
        return (answer - state) / max(1 - t, self.NEAREST)

    def wanted(self, begin: Tensor, target: Tensor, state: Tensor, t: Tensor) -> Tensor:
        """The velocity that the network shall learn."""
        return target - begin if self.predict == "v" else self.velocity(state, t, target)

    def start(self, source: Tensor, noise: Noise) -> State:
        """The source, or noise."""
        return (noise(-1, source).expand(source.shape[0], -1, -1, -1),) if self.from_noise else (source,)

    def times(self, steps: int) -> list[float]:
        """The time of each evaluation."""
        if self.solver == "euler":
            return [k / steps for k in range(steps)]
        return [(k + i) / steps for k in range(steps) for i in (0, 1)]

    def advance(self, k: int, times: list[float], state: State, source: Tensor, answer: Tensor, noise: Noise) -> State:
        """The state after an evaluation; between the two of a Heun step also the state and velocity before it."""
        velocity = self.velocity(state[0], times[k], answer)
        if self.solver == "euler":
            return (state[0] + velocity / len(times),)
        step = 2 / len(times)
        if k % 2 == 0:
            return state[0] + step * velocity, state[0], velocity
        return (state[1] + step * (state[2] + velocity) / 2,)


Process = BrownianBridge | Flow
