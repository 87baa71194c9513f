"""Networks that answer in several steps: samplers of bridges, flows and diffusion.

One network is evaluated again and again. Between two evaluations there is only arithmetic on single pixels, and noise
that is a function of (seed, answer, step, channel, row, column). So an image may be cut into tiles at each evaluation
(i2i.models.stepwise): the noise knows nothing of tiles, batches and other images.
"""

from __future__ import annotations

import copy
from abc import abstractmethod

from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.core.random import pixel_normal
from i2i.nets.choice import Choice, Choosing

State = tuple[Tensor, ...]  # images [B, C, H, W]; the first one is the answer when all evaluations are done


class Chain(Choosing):
    """Base class of networks x [B, channels_in, H, W] -> y that evaluate an inner network several times.

    A sub-class sets `default_steps` and `most_steps`, and defines `question`, `evaluation` and `advance`."""

    choices: tuple[str, ...] = ("answers", "steps")
    default_steps: int = 1
    most_steps: int = 1
    choice: Choice = Choice()

    @property
    def steps(self) -> int:
        """Steps of this answer."""
        return self.choice.steps or self.default_steps

    @property
    def evaluations(self) -> int:
        """How often the inner network is evaluated."""
        return self.steps

    def chosen(self, choice: Choice) -> Chain:
        """The same network with another seed, another answer or another number of steps; it shares the weights.

        Raises I2IError for a number of steps that it cannot make."""
        if choice.steps and not 1 <= choice.steps <= self.most_steps:
            raise I2IError(f"steps is {choice.steps}.", f"Allowed for this model: 1 to {self.most_steps}.")
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.choice = choice
        return other

    def start(self, x: Tensor) -> State:
        """The state before the first evaluation."""
        return (x,)

    @abstractmethod
    def question(self, k: int, state: State, x: Tensor) -> Tensor:
        """What the inner network sees at evaluation k, [B, C, H, W]."""

    @abstractmethod
    def evaluation(self, k: int) -> nn.Module:
        """The inner network as it is at evaluation k: a question -> an answer of the same height and width."""

    @abstractmethod
    def advance(self, k: int, state: State, x: Tensor, answer: Tensor) -> State:
        """The state after evaluation k; each pixel depends on the same pixel of `state`, `x` and `answer` alone."""

    def noise(self, k: int, like: Tensor) -> Tensor:
        """Standard normal noise of step k for images like [B, C, H, W]: [1, C, H, W], the same for each image."""
        _, channels, height, width = like.shape
        counters = ("chain", self.choice.seed, self.choice.answer, k)
        return pixel_normal(channels, height, width, *counters, device=like.device).to(like.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> the answer [B, channels_out, H, W], both in [-1, 1]."""
        state = self.start(x)
        for k in range(self.evaluations):
            state = self.advance(k, state, x, self.evaluation(k)(self.question(k, state, x)))
        return state[0]


class AtTime(nn.Module):
    """A network of images and a time, at one time: `net(question, t)`."""

    def __init__(self, net: nn.Module, t: float) -> None:
        super().__init__()
        self.net, self.t = net, t

    def forward(self, question: Tensor) -> Tensor:
        """[B, C, H, W] -> what the network makes of it at time t."""
        return self.net(question, question.new_full((question.shape[0],), self.t))
