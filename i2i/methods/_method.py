"""The contract between a training method and everything else.

A method is a set of networks plus `step`, a generator that reads like its paper's algorithm and yields
`(optimizer name, {term: scalar loss})`. Whoever iterates it (only the training loop) sums the terms, back-propagates
into that optimizer's parameters alone, steps, and resumes it; code after a `yield` runs with updated weights.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.errors import I2IError, I2IWarning
from i2i.core.user_code import place_of, shown
from i2i.data.batch import Batch, Shape
from i2i.losses import Adversarial

Terms = dict[str, Tensor]
Judge = tuple[Callable[[Tensor], Tensor], Tensor]  # (scores [B] or [B, ...] of images [B, C, H, W], real images)

# Members of Method that had another name before. A class that defines the old name is understood, with a warning.
RENAMED = {
    "rate": "lr_factor",
    "critics": "discriminators",
    "local": "per_process_note",
    "titles": "class_titles",
}


@dataclass(frozen=True)
class Now:
    """The moment in training. Time is counted in images seen by all processes together."""

    images: int = 0  # images seen before this step
    total: int = 1  # images of the whole run
    batch: int = 1  # images per step, all processes together
    seed: int = 0

    @property
    def step(self) -> int:
        """Number of steps before this one."""
        return self.images // self.batch

    @property
    def fraction(self) -> float:
        """Progress in [0, 1]."""
        return min(1.0, self.images / max(1, self.total))

    def every(self, n: int) -> bool:
        """True on the first step and on each n-th after it."""
        return self.step % n == 0

    def last_of(self, n: int) -> bool:
        """True on the last of each n steps: G's turn, where D makes n steps for one of G."""
        return self.step % n == n - 1


class Method(nn.Module):
    """Base class of all methods. A sub-class sets Config and defines `__init__`, `optimizers`, `step` and `infer`.

    `Translate`, `TwoWay` and `Generate` define `infer` already. docs/your-own-method.md shows a whole method; `check`
    finds what is wrong in one, and `i2i train FILE --dry-run` calls it.

    `tiny` makes the method so small that a step takes milliseconds on a CPU, for tests: values of its Config, without
    batch norm and dropout where they are settings, and optionally "size", the side of the images (default 32), and
    other values of Shape: `tiny = {"width": 4, "norm": "instance", "size": 16}`. The contract tests run every
    installed method in that form; each optimizer must have its turn within six steps of four images.
    """

    Config: ClassVar[type]  # frozen dataclass of the settings, with the paper's numbers as defaults
    needs: ClassVar[str] = "paired"  # layout of the data: paired, unpaired, images, labelled, attributes
    scales: ClassVar[tuple[int, ...]] = (1,)  # how many times as large as x images can be made; first the default
    averaged: ClassVar[tuple[str, ...]] = ("G",)  # networks with an EMA copy, which are saved; the first is `generator`
    discriminators: ClassVar[tuple[str, ...]] = ()  # networks whose first argument is images; the tricks act on them
    per_process_note: ClassVar[str] = ""  # statistic that each process computes alone: results depend on their number
    term_notes: ClassVar[dict[str, str]] = {}  # what the terms of its losses mean, for the report: {"adv": "..."}
    tiny: ClassVar[dict[str, Any]] = {}  # settings (and "size") of the smallest form, for tests
    grows: ClassVar[bool] = False  # True if networks change their form during the run: then nothing is compiled
    double_backward: bool = False  # True if a loss differentiates through a gradient: then nothing is compiled
    class_titles: Sequence[str] = ()  # names of the classes, for previews; set before training where the data has them
    loss: Adversarial | None  # the loss whose labels the tricks may smooth or flip; None: the method has no such loss
    config: Any  # the Config that this method was made with
    shape: Shape  # the shape of the data that it was made for

    def __init__(self, config: Any, shape: Shape) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        self.loss = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Gives members with a name of an earlier version their new one, and warns."""
        super().__init_subclass__(**kwargs)
        for old, new in RENAMED.items():
            if old not in vars(cls):
                continue
            where = shown(getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__)
            if new in vars(cls):
                raise I2IError(f"{cls.__name__} in {where} defines both {old!r} and {new!r}.", f"Remove {old!r}.")
            setattr(cls, new, vars(cls)[old])
            warnings.warn(
                f"{cls.__name__} in {where} defines {old!r}, which is now called {new!r}. Rename it.",
                I2IWarning,
                stacklevel=2,
            )

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses a network under a name of the contract, behind which it could never be found again."""
        if isinstance(value, nn.Module) and hasattr(Method, name):
            where = f"{type(self).__name__} ({place_of(type(self))})"
            raise I2IError(
                f"{where} calls a network {name!r}, a name that Method uses itself.",
                "Rename the network.",
            )
        super().__setattr__(name, value)

    # What a method must define raises NotImplementedError here, and not at construction as abc would: `infer` may come
    # from one of the bases, `score` is needed by some tricks alone, and `check` names what is missing with its file.

    def optimizers(self) -> dict[str, Optimizer]:
        """{"D": Adam(...), "G": Adam(...)}; each owns whole networks. Called after the move to the device."""
        raise NotImplementedError("A method defines optimizers(self).")

    def lr_factor(self, fraction: float) -> float:
        """Learning-rate schedule: the factor on every learning rate at progress `fraction`, from 0 to 1."""
        return 1.0

    def momentum_at(self, fraction: float) -> float | None:
        """Momentum of gradient descent at progress `fraction`, from 0 to 1; None: that of the optimizers."""
        return None

    def lr_factors(self, fraction: float) -> dict[str, Sequence[float]]:
        """The factors at progress `fraction` where they differ: {optimizer: one for each of its parameter groups}.

        An optimizer that is not named has `lr_factor`."""
        return {}

    def betas_at(self, fraction: float) -> tuple[float, float] | None:
        """(beta1, beta2) of every Adam at progress `fraction`, from 0 to 1; None: those of the optimizers."""
        return None

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """One step of the algorithm: yields (optimizer name, {term: weighted scalar loss})."""
        raise NotImplementedError("A method defines step(self, batch, now).")

    def infer(self, batch: Batch) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] for a batch; what previews and evaluation call."""
        raise NotImplementedError("A method defines infer(self, batch).")

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The discriminator's raw scores [B] of images x [B, C, H, W] of the classes c [B]; `judging` calls it."""
        raise NotImplementedError("A method that takes r1 or ada defines score(self, x, c).")

    @property
    def middle(self) -> float | None:
        """The score between "real" and "fake", for ada; None: only differences of scores say something."""
        return self.loss.middle if isinstance(self.loss, Adversarial) else 0.0

    def judging(self, batch: Batch, now: Now) -> dict[str, Judge]:
        """The discriminators as the tricks r1 and ada see them: {suffix of their terms: (scores, real images)}.

        scores gives a number, or a map of patches, for each image: above `middle` for what is taken to be real."""
        return {"": (lambda x: self.score(x, batch.c), batch.x)}

    @classmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """Entries of the saved model's header that the method with this Config adds; JSON values."""
        return {}

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of the sample grid: {title: images [B, C, H, W] in [-1, 1]}."""
        columns = {"input": batch.x, "translated": self.infer(batch)}
        if self.needs == "paired" and batch.y is not None:
            columns["real"] = batch.y
        return columns

    def example(self, shape: Shape) -> tuple[Tensor, ...]:
        """Inputs of an averaged network for one image; the memory of a run is estimated with them."""
        return (torch.zeros(1, shape.channels_in, shape.size_in, shape.size_in),)

    def term_weights(self) -> dict[str, float]:
        """Weights of terms that are not called as their setting: {"identity": 5.0}; compression weighs by them."""
        return {}

    def notes(self) -> list[str]:
        """Sentences for the user to read before training, such as which loss is left out and why."""
        return []

    def check(self, batch: Batch, now: Now | None = None) -> None:
        """Checks the contract on one batch: one step without an update, `infer`, and the saved model in memory.

        Changes nothing: weights, gradients, buffers, attributes and random states are as before. now: the moment to
        check at; None: the start. Raises I2IError naming the fault with its file and line."""
        from i2i.methods._check import check_batch

        check_batch(self, batch, now or Now(batch=len(batch)))

    @property
    def generator(self) -> nn.Module:
        """The network that a saved model runs: the first one in `averaged`."""
        return self.networks()[self.averaged[0]]

    def networks(self) -> dict[str, nn.Module]:
        """The direct sub-modules by name."""
        return dict(self.named_children())

    def owned(self, optimizer: Optimizer) -> list[nn.Parameter]:
        """The parameters that `optimizer` updates, in its order."""
        return [p for group in optimizer.param_groups for p in group["params"]]
