"""Which answers of a model with several the user wants: from options such as `--to all` or `-n 8` to named choices.

AnswerSettings(to="Blond_Hair,Young")     one answer
AnswerSettings(to="all")                  one for each domain, called by its name
AnswerSettings(answers=8, seed=1)         eight, called 1 to 8
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.media import adapt
from i2i.nets.choice import Choice, Choosing, networks_that_choose

ALL = "all"  # as a name of a domain: each of them
MOST = 1000  # answers of one image


class ChoiceOptions(TypedDict, total=False):
    """Keywords that choose one answer of a loaded model."""

    to: str | Sequence[str]  # domains or attributes: "A,B" or ["A", "B"]
    seed: int  # of the noise, 0 or more
    answer: int  # number of the answer, from 0
    like: Any  # an example image of any kind
    steps: int | None  # of a sampler, 1 or more


class CallOptions(ChoiceOptions, total=False):
    """Keywords of a call of a translator."""

    size: adapt.Size
    batch: int


@dataclass(frozen=True)
class AnswerSettings:
    """Which answers of a model with several are wanted."""

    to: str | Sequence[str] = ()  # domains or attributes, as text with commas or a list; "all": each domain
    answers: int = 1  # of each image (and domain), each with noise of its own
    seed: int = 0  # of the noise
    like: Any = None  # an example: a file's name, or an image of any kind that i2i.load takes
    steps: int | None = None  # of a sampler; None: the model's own number

    def __post_init__(self) -> None:
        if not 1 <= self.answers <= MOST:
            raise I2IError(f"The number of answers is {self.answers}.", f"Allowed: 1 to {MOST}.")
        if self.seed < 0:
            raise I2IError(f"The seed is {self.seed}.", "Allowed: 0 or more.")
        if self.steps is not None and self.steps < 1:
            raise I2IError(f"The number of steps is {self.steps}.", "Allowed: 1 or more.")

    @property
    def is_default(self) -> bool:
        """Whether nothing is chosen, so that a model of any kind will do."""
        nothing = not self.to and self.seed == 0 and self.like is None and self.steps is None
        return nothing and self.answers == 1

    @property
    def every_domain(self) -> bool:
        """Whether each domain is wanted."""
        return self.to in (ALL, [ALL], (ALL,))

    def facts(self) -> dict[str, Any]:
        """What changes the outputs of one name, as JSON holds it; empty without a choice.

        The number of answers is not among it: the first of eight answers is the first of four."""
        to = (self.to,) if isinstance(self.to, str) and self.to else tuple(self.to)
        like = None if self.like is None else _example(self.like, 3)
        return Choice(to, self.seed, 0, like, self.steps or 0).facts()


@dataclass(frozen=True)
class Answer:
    """One of the answers that are wanted. label: in the names of files; empty if there is only one."""

    label: str
    choice: Choice


def answers_of(settings: AnswerSettings, network: nn.Module, channels: int = 3) -> list[Answer]:
    """The answers that are wanted of a network, in the order in which they are written.

    channels: of an example. Raises I2IError if all domains are wanted of a network without any, or several answers of
    one that has only one. Whether it has the domains is said when they are chosen (Translator.with_choice)."""
    choosing = network if isinstance(network, Choosing) else None
    understood = choosing.choices if choosing else ()
    if settings.answers > 1 and "answers" not in understood:
        raise I2IError(
            f"{settings.answers} answers were asked for, and the model has one answer for each image.",
            "Leave out -n (answers= in Python).",
        )
    like = None if settings.like is None else _example(settings.like, channels)
    domains = choosing.domains if choosing else ()
    wanted: list[tuple[str, tuple[str, ...]]] = [("", names_of(settings.to, domains))]
    if settings.every_domain:
        if not domains:
            raise I2IError("The model has no domains, so `all` of them cannot be made.", "Leave out --to.")
        wanted = [(label, (name,)) for label, name in zip(file_labels(domains), domains)]
    return [
        Answer(
            "_".join(part for part in (label, str(i + 1) if settings.answers > 1 else "") if part),
            Choice(names, settings.seed, i, like, settings.steps or 0),
        )
        for label, names in wanted
        for i in range(settings.answers)
    ]


def names_of(to: str | Sequence[str], domains: Sequence[str] = ()) -> tuple[str, ...]:
    """The names in "A,B" or ["A", "B"]. A text that is a domain's name as a whole is that domain."""
    if isinstance(to, str):
        return (to,) if to in domains else tuple(part.strip() for part in to.split(",") if part.strip())
    return tuple(map(str, to))


def choice_of(options: ChoiceOptions, domains: Sequence[str] = (), channels: int = 3) -> Choice:
    """The one answer that keywords choose. Raises I2IError for a bad value, and for all domains at once."""
    settings = AnswerSettings(
        options.get("to", ()), 1, options.get("seed", 0), options.get("like"), options.get("steps")
    )
    if settings.every_domain:
        raise I2IError(
            "All domains were asked for where one image is made.",
            'Call model.answers(image, to="all") for all of them.',
        )
    if (answer := options.get("answer", 0)) < 0:
        raise I2IError(f"The answer is {answer}.", "Allowed: 0 or more.")
    like = None if settings.like is None else _example(settings.like, channels)
    return Choice(names_of(settings.to, domains), settings.seed, answer, like, settings.steps or 0)


def _example(image: Any, channels: int) -> Tensor:
    """An example image [1, C, H, W] in [-1, 1]. Raises I2IError if it is none."""
    if isinstance(image, Tensor) and image.ndim == 4:
        if len(image) != 1:
            raise I2IError(f"The example is a batch of {len(image)} images.", "Give one image.")
        image = image[0]
    return adapt.prepare(image, channels).pixels[None]


def file_labels(names: Sequence[str]) -> list[str]:
    """Each name as it may stand in the name of a file: names come from a model's file, which may come from anybody."""
    labels: list[str] = []
    for number, name in enumerate(names, 1):
        label = re.sub(r"[^\w.+-]+", "-", name).strip(".-")[:80] or str(number)
        is_taken = label.casefold() in (*(one.casefold() for one in labels), ALL)
        labels.append(f"{label}-{number}" if is_taken else label)
    return labels


def who_understands(part: str) -> str:
    """The hint for a model that has no choice of this part, a key of `nets.choice.PARTS`."""
    names = networks_that_choose(part)
    return f"Models with these networks have it: {', '.join(names)}." if names else "Leave the option out."
