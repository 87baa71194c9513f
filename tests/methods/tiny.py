"""Every method in its smallest form (`Method.tiny`), with data in memory of the layout it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2i.core import random as rng
from i2i.data.batch import Batch, Shape
from i2i.methods import load_method
from i2i.methods._method import Method
from i2i.models import format as model_file
from i2i.nets.domains import Domains
from i2i.training.loop import Loop
from i2i.training.settings import TrainSettings
from tests.training.toy import Notes

COUNT = 8  # images of the data set
BATCH = 4
DOMAINS = Domains(("dark", "light", "round"), (), (("dark", "light"),))


def settings(kind: type[Method], **changes: Any) -> tuple[Any, Shape]:
    """(Config, Shape) of a method's smallest form. What Config lacks of `tiny` and `changes` belongs to the Shape."""
    own = {f.name for f in dataclasses.fields(kind.Config)}
    values = {"size": 32, "classes": 3 if kind.needs == "labelled" else 0, **kind.tiny, **changes}
    if kind.needs == "attributes":
        values.setdefault("domains", DOMAINS)
    config = kind.Config(**{k: v for k, v in values.items() if k in own})
    return config, Shape(**{k: v for k, v in values.items() if k not in own})


def made(name: str, seed: int = 0, **changes: Any) -> Method:
    """The method `name` in its smallest form, with weights of `seed`."""
    kind = load_method(name)
    torch.manual_seed(seed)
    return kind(*settings(kind, **changes))


def picture(ids: Tensor, channels: int, size: int, salt: str) -> Tensor:
    """Smooth images with a little noise in [-1, 1], [B, channels, size, size], pure functions of their numbers."""
    coarse = rng.hashed_normal(ids, (channels, 4, 4), salt=salt)
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    return (smooth + 0.1 * rng.hashed_normal(ids, (channels, size, size), salt=salt + "/fine")).tanh()


class Memory:
    """Images of the layout that a method needs, pure functions of their numbers."""

    def __init__(self, needs: str, shape: Shape) -> None:
        self.needs, self.shape, self.count = needs, shape, COUNT

    def rows(self, numbers: list[int]) -> Batch:
        """The samples of these numbers as the loop takes them."""
        ids, shape = torch.tensor(numbers), self.shape
        which = ids % self.count
        x = picture(which, shape.channels_in, shape.size_in, "x")
        y = c = None
        if self.needs == "paired":
            y = picture(which, shape.channels_out, shape.size, "y")
            if y.shape == x.shape:  # something to be learnt
                y = (0.8 * -x.flip(1) + 0.2 * y).clamp(-1, 1)
        elif self.needs == "unpaired":
            y = picture(which, shape.channels_out, shape.size, "y")
        elif self.needs == "labelled":
            c = which % shape.classes
        elif self.needs == "attributes" and shape.domains is not None:
            c = (rng.hashed_normal(which, (len(shape.domains.bits),), salt="bits") > 0).float()
            if not shape.domains.bits:
                c = which % len(shape.domains.classes)
            elif shape.domains.both:
                y = picture(which, shape.channels_in, shape.size, "y")
                classes = shape.domains.classes
                c = torch.cat([c, nn.functional.one_hot(which % len(classes), len(classes)).float()], 1)
        return Batch(x, y, c, ids)

    def batches(self, start: int, batch: int, rank: int = 0, world: int = 1, seed: int = 0) -> Iterator[Batch]:
        while True:
            first = start + rank * batch
            yield self.rows(list(range(first, first + batch)))
            start += batch * world

    def fixed(self, n: int) -> Batch:
        return self.rows(list(range(min(n, self.count))))

    def augment_on_device(self, batch: Batch, seed: int) -> Batch:
        return batch


def batch_of(name: str, n: int = BATCH, dtype: torch.dtype = torch.float32, **changes: Any) -> Batch:
    """The first `n` samples for the method `name`."""
    kind = load_method(name)
    return Memory(kind.needs, settings(kind, **changes)[1]).fixed(n).to("cpu", dtype=dtype)


def loop(name: str, folder: Path, total: int = 3 * BATCH, seed: int = 0, **plan: Any) -> Loop:
    """A loop over the method `name` that saves at every step, its model included."""
    kind = load_method(name)
    config, shape = settings(kind)
    chosen: dict[str, Any] = {"batch": BATCH, "save_every": BATCH, "sample_every": 1000, "log_every": 1}
    settled = TrainSettings(**{**chosen, "keep": 9, "device": "cpu", "precision": "fp32", **plan})
    facts = {"recipe": dataclasses.asdict(config), "length": total}

    def save_model(method: Method, images: int) -> None:
        networks = {n: getattr(method, n) for n in method.averaged}
        header = {"method": name, "images": images, **kind.facts(config)}
        model_file.save(folder / "model.safetensors", networks, header)

    data = Memory(kind.needs, shape)
    return Loop(made(name, seed), data, settled, folder, Notes(), total=total, facts=facts, save_model=save_model)


def part_of_run(run: Loop, steps: int) -> None:
    """Makes the first steps of a loop, and leaves it there."""
    run.method.train()
    for number, batch in zip(range(steps), run.data.batches(0, BATCH, 0, 1, run.settings.seed)):
        now = run._now(number * BATCH)
        run.step(run._prepare(batch), now)
        run.ema.update(run.method, now.images + BATCH, BATCH)


def state(run: Loop) -> dict[str, Tensor]:
    """Every number of a loop's state by name."""
    return {k: v.detach().clone() for k, v in run.state()[0].items()}


def parameters(net: nn.Module) -> int:
    """The number of a network's parameters."""
    return sum(p.numel() for p in net.parameters())
