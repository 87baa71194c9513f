"""The smallest method that uses everything the loop offers, and data for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core import random as rng
from i2i.data.batch import Batch, Shape
from i2i.methods._method import Method, Now, Terms
from i2i.training.loop import Loop
from i2i.training.settings import TrainSettings


class ToyGAN(Method):
    """One convolution against another; dropout and noise make it as random as real methods are."""

    @dataclass(frozen=True)
    class Config:
        lr: float = 0.01
        dropout: float = 0.0
        poison_at: int = -1  # images after which a term becomes NaN
        poison_until: int = 1_000_000  # images after which it is one no more

    needs = "paired"

    def __init__(self, config: Any, shape: Shape) -> None:
        super().__init__(config, shape)
        self.config = config
        self.G = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Dropout(config.dropout), nn.Conv2d(4, 3, 1))
        self.D = nn.Sequential(nn.Conv2d(6, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))

    def optimizers(self) -> dict[str, Optimizer]:
        return {
            "D": torch.optim.Adam(self.D.parameters(), lr=self.config.lr, fused=True),
            "G": torch.optim.Adam(self.G.parameters(), lr=self.config.lr, fused=True),
        }

    def lr_factor(self, fraction: float) -> float:
        return 1.0 - 0.5 * fraction

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        assert batch.y is not None
        assert batch.ids is not None
        x = batch.x + 0.1 * rng.hashed_normal(batch.ids, batch.x.shape[1:], now.seed).to(batch.x.dtype)
        fake = self.G(x)
        real_score, fake_score = self.D(torch.cat([x, batch.y], 1)), self.D(torch.cat([x, fake.detach()], 1))
        yield "D", {"real": ((real_score - 1) ** 2).mean(), "fake": (fake_score**2).mean()}
        adv = ((self.D(torch.cat([x, fake], 1)) - 1) ** 2).mean()
        if 0 <= self.config.poison_at <= now.images < self.config.poison_until:
            adv = adv * float("nan")
        yield "G", {"adv": adv, "l1": 10 * (fake - batch.y).abs().mean()}

    def infer(self, batch: Batch) -> Tensor:
        return self.G(batch.x).clamp(-1, 1)


class ToyData:
    """Random pairs that are a pure function of their number."""

    count = 8
    splits = ("train",)

    def _rows(self, numbers: list[int]) -> Batch:
        ids = torch.tensor(numbers)
        x = rng.hashed_normal(ids % self.count, (3, 8, 8), salt="toy").clamp(-1, 1)
        return Batch(x, -x.flip(1), None, ids)

    def batches(self, start: int, batch: int, rank: int = 0, world: int = 1, seed: int = 0) -> Iterator[Batch]:
        while True:
            first = start + rank * batch
            yield self._rows(list(range(first, first + batch)))
            start += batch * world

    def fixed(self, n: int) -> Batch:
        return self._rows(list(range(min(n, self.count))))

    def augment_on_device(self, batch: Batch, seed: int) -> Batch:
        return batch


class Notes:
    """A report that remembers."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.grids: list[int] = []

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        self.lines.append({"images": images, "kind": "losses", "terms": terms, "rates": rates})

    def event(self, images: int, kind: str, **facts: Any) -> None:
        self.lines.append({"images": images, "kind": kind, **facts})

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        self.grids.append(images)

    def kinds(self) -> list[str]:
        return [line["kind"] for line in self.lines]


def toy_loop(
    folder: Path,
    total: int = 32,
    *,
    config: dict[str, Any] | None = None,
    observer: Any = None,
    save_model: Any = None,
    judge: Any = None,
    model_images: Any = None,
    **changes: Any,
) -> Loop:
    """A loop over ToyGAN from seed 0; `changes` override the settings."""
    torch.manual_seed(0)
    method = ToyGAN(ToyGAN.Config(**(config or {})), Shape(size=8))
    settings = TrainSettings(
        **{"batch": 4, "save_every": 8, "sample_every": 1000, "log_every": 1, "device": "cpu", **changes}
    )
    facts = {"recipe": {"lr": method.config.lr, "batch": settings.batch}, "data set": {"count": 8}, "length": total}
    observer = observer or Notes()
    calls = {"save_model": save_model, "judge": judge, "model_images": model_images}
    return Loop(method, ToyData(), settings, folder, observer, total=total, facts=facts, **calls)


def stopped_in_its_first_step(loop: Loop, number: int = signal.SIGTERM) -> Loop:
    """The same loop, to which a signal comes during its first step."""
    plain = loop.step

    def step(batch: Batch, now: Any) -> None:
        loop.stop_signal.number = number
        plain(batch, now)

    loop.step = step  # type: ignore[method-assign]
    return loop


def weights(loop: Loop) -> dict[str, Tensor]:
    """Every number of a loop's state by name."""
    tensors, _ = loop.state()
    return {k: v.clone() for k, v in tensors.items()}
