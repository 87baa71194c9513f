"""Networks that have several answers for one image, and what the user chooses of them.

A network that translates between many domains, takes noise or an example, or samples in steps, is a `Choosing`. Its
`chosen(choice)` is a plain network of images [B, C, H, W] in [-1, 1], so tiles, batches and export work as for any.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from i2i.nets.registry import NETWORKS, Network

PARTS = {"to": "--to", "answers": "--answers or --seed", "like": "--like", "steps": "--steps"}  # of a choice: options


@dataclass(frozen=True, eq=False)
class Choice:
    """What the user wants of a network with several answers.

    Noise is a function of (seed, answer) alone, so that an answer repeats bit for bit whatever batch it is in."""

    to: tuple[str, ...] = ()  # names of domains or attributes
    seed: int = 0
    answer: int = 0  # number of the answer, from 0
    like: Tensor | None = None  # an example image [1, C, H, W] in [-1, 1]
    steps: int = 0  # of a sampler; 0: the model's own number

    @property
    def given(self) -> tuple[str, ...]:
        """The parts (keys of PARTS) that differ from the defaults."""
        differs = {
            "to": bool(self.to),
            "answers": self.seed != 0 or self.answer != 0,
            "like": self.like is not None,
            "steps": self.steps != 0,
        }
        return tuple(part for part, is_given in differs.items() if is_given)

    def facts(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON holds it: an example image by its digest."""
        like = None if self.like is None else self.like.detach().cpu().contiguous().numpy().tobytes()
        values = {
            "to": ",".join(self.to),
            "seed": self.seed,
            "answer": self.answer,
            "like": None if like is None else hashlib.blake2b(like, digest_size=16).hexdigest(),
            "steps": self.steps,
        }
        return {name: value for name, value in values.items() if value}


class Choosing(Network, ABC):
    """Base class of networks with several answers for one image. A sub-class sets `choices` and defines `chosen`."""

    choices: tuple[str, ...] = ()  # keys of PARTS that the network understands

    @property
    def domains(self) -> tuple[str, ...]:
        """The names that `to` may hold, in the order of a sheet of all domains; empty without domains."""
        return ()

    @abstractmethod
    def chosen(self, choice: Choice) -> nn.Module:
        """A network x [B, C, H, W] -> y that shares the weights and makes the answer that `choice` names.

        Raises I2IError for a name or a number that the network does not have."""

    def forward(self, x: Tensor) -> Tensor:
        """The default answer for [B, C, H, W]."""
        return self.chosen(Choice())(x)


def networks_that_choose(part: str) -> list[str]:
    """Names of the registered networks that understand a part of a choice: "to", "answers", "like" or "steps"."""
    return sorted(name for name, kind in NETWORKS.items() if issubclass(kind, Choosing) and part in kind.choices)
