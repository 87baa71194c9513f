"""Networks that translate by a bridge or a flow: a diffusion U-Net, the process that it learns, and its sampler."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from i2i.core.config import Blocks, Channels, NonNegative, Positive, Range, Width
from i2i.core.errors import I2IError, among
from i2i.media.palette import Palette
from i2i.nets.bridge_processes import BrownianBridge, Flow, Process
from i2i.nets.chain import AtTime, Chain, State
from i2i.nets.diffusion_unet import DiffusionUNet
from i2i.nets.labels import LabelEncoder
from i2i.nets.registry import register

PROCESSES = ("bridge", "flow")
MOST_STEPS = 200
Steps = Annotated[int, Range(1, MOST_STEPS)]
Timesteps = Annotated[int, Range(4, 100_000)]
Multiple = Annotated[int, Range(1, 64)]  # of a width, or by which a size is reduced


class Sampler(Chain):
    """x [B, C, H, W] -> y by `steps` steps of a process; `net(question, times [B])` is the trained network.

    condition: the network sees the source beside the state. channels_out: of the images that it makes. encode: gives
    the network a label map in one channel for each class; the process itself starts at its colors."""

    def __init__(
        self,
        net: nn.Module,
        process: Process,
        steps: int,
        condition: bool,
        channels_out: int = 3,
        encode: LabelEncoder | None = None,
    ) -> None:
        super().__init__()
        self.encode = encode
        self.net, self.process, self.condition, self.channels_out = net, process, condition, channels_out
        self.default_steps, self.most_steps = steps, MOST_STEPS

    @property
    def times(self) -> list[float] | list[int]:
        """The times of the evaluations."""
        return self.process.times(self.steps)

    @property
    def evaluations(self) -> int:
        """How often the network is evaluated: once a step, or twice with Heun's method."""
        return len(self.times)

    def start(self, x: Tensor) -> State:
        """The source, or noise of the target's channels."""
        return self.process.start(x, self.start_noise)

    def start_noise(self, k: int, x: Tensor) -> Tensor:
        """Noise with the target's channels."""
        return self.noise(k, x[:, :1].expand(-1, self.channels_out, -1, -1))

    def question(self, k: int, state: State, x: Tensor) -> Tensor:
        """The state, beside the source if the network is conditioned on it."""
        if not self.condition:
            return state[0]
        return torch.cat([state[0], x if self.encode is None else self.encode(x).to(x)], 1)

    def evaluation(self, k: int) -> nn.Module:
        """The network at the time of evaluation k."""
        return AtTime(self.net, self.process.CLOCK * self.times[k])

    def advance(self, k: int, state: State, x: Tensor, answer: Tensor) -> State:
        """The state that the process goes to."""
        return self.process.advance(k, self.times, state, x, answer, self.noise)  # type: ignore[arg-type]


@register("bridge")
class Bridge(Sampler):
    """x [B, channels_in, H, W] in [-1, 1] -> y [B, channels_out, H, W] by a Brownian bridge or a flow.

    process: bridge or flow; predict, timesteps, course, variance, eta, clip_target, from_noise, sigma, solver: see
    i2i.nets.bridge_processes. condition: see Sampler. steps: of the sampler, if the user chooses none. width,
    multiples, blocks, attention, head, groups, modulate, block_resize: of the DiffusionUNet. palette, label_edges: the
    colors of label maps as sources, see LabelEncoder; the network sees their classes, if `condition` is on.
    Raises I2IError for words and numbers that do not go together."""

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        process: str = "bridge",
        predict: str = "",
        condition: bool = True,
        steps: Steps = 20,
        timesteps: Timesteps = 1000,
        course: str = "linear",
        variance: Positive = 1.0,
        eta: NonNegative = 1.0,
        clip_target: bool = True,
        from_noise: bool = False,
        sigma: NonNegative = 0.0,
        solver: str = "euler",
        width: Width = 64,
        multiples: tuple[Multiple, ...] = (1, 2, 4),
        blocks: Blocks = 2,
        attention: tuple[Multiple, ...] = (),
        head: Width = 32,
        groups: Width = 32,
        modulate: bool = True,
        block_resize: bool = True,
        palette: str = "",
        label_edges: bool = False,
    ) -> None:
        if process == "bridge":
            learnt: Process = BrownianBridge(timesteps, course, variance, predict or "grad", eta, clip_target)
        elif process == "flow":
            learnt = Flow(from_noise, sigma, predict or "v", solver)
        else:
            raise I2IError(f"process is {process!r}.", among(process, PROCESSES))
        starts_at_source = process == "bridge" or not from_noise
        if starts_at_source and channels_in != channels_out:
            raise I2IError(
                f"A {process} from the source goes between images of one kind, but the sides have {channels_in} and "
                f"{channels_out} channels.",
                "Set channels_in and channels_out to the same number, or process=flow and from_noise=yes.",
            )
        condition = condition or not starts_at_source
        encode = LabelEncoder(Palette.of_text(palette), label_edges) if palette and condition else None
        source = encode.channels if encode else channels_in
        seen = channels_out + (source if condition else 0)
        net = DiffusionUNet(
            seen, channels_out, width, multiples, blocks, attention, head, groups, modulate, block_resize
        )
        super().__init__(net, learnt, steps, condition, channels_out, encode)
        self.multiple, self.reach = net.multiple, net.reach
        if not from_noise if process == "flow" else eta == 0:  # no noise: one answer
            self.choices = ("steps",)
