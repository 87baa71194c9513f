"""Numbers of a human study: how often people called fakes real, and how sure that is.

The protocol is that of the pix2pix and CycleGAN papers: two images side by side for a second, one of them real; a fake
fools a person who calls it real. Half of the trials is the ceiling: a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from i2i.core.errors import I2IError

Z95 = 1.959963984540054  # of the normal distribution: 95 % lie within


@dataclass(frozen=True)
class Trials:
    """Scored trials of people, as integers [trials, people]; practice trials are not among them.

    real_side: where the real image was (0 left, 1 right); called_real: the side that was called real; algorithm: the
    number of the model that made the fake. A person with fewer trials than others has -1 there in the last rows."""

    real_side: Tensor
    called_real: Tensor
    algorithm: Tensor

    def counts(self, algorithms: int) -> Tensor:
        """(fooled trials, trials) of each algorithm: int64 [algorithms, 2]."""
        fooled = self.real_side != self.called_real
        rows = [((self.algorithm == m) & fooled, self.algorithm == m) for m in range(algorithms)]
        return torch.tensor([[int(a.sum()), int(b.sum())] for a, b in rows])

    def drawn(self, people: Tensor, trials: Tensor) -> Trials:
        """A new table: column a shows person `people`[a], in row t that person's trial `trials`[t, a]."""
        return Trials(*(part[trials, people[None]] for part in (self.real_side, self.called_real, self.algorithm)))


def fooled_rate(trials: Trials, algorithms: int) -> Tensor:
    """The fooled rate of each algorithm in [0, 1], float64 [algorithms], as the papers' script computes it.

    The script adds 1e-6 to a denominator, so the rate is off by about that much, and is 1 for an algorithm without any
    trial."""
    right = (trials.real_side == trials.called_real).double()
    rates = []
    for m in range(algorithms):
        mine = (trials.algorithm == m).double()
        rates.append(1 - (right * mine).mean() / (mine.mean() + 1e-6))
    return torch.stack(rates)


@dataclass(frozen=True)
class Bootstrap:
    """Rates of resampled studies, float64 [draws, algorithms], and what they say."""

    rates: Tensor

    @property
    def mean(self) -> Tensor:
        return self.rates.mean(0)

    @property
    def deviation(self) -> Tensor:
        return self.rates.std(0, correction=0)

    @property
    def interval(self) -> Tensor:
        """The 2.5th and 97.5th percentile: [2, algorithms]."""
        return torch.quantile(self.rates, torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)

    def better(self) -> Tensor:
        """[i, j]: share of the draws in which algorithm i fools more often than j; ties count as a half."""
        a, b = self.rates[:, :, None], self.rates[:, None, :]
        return (a > b).double().mean(0) + (a == b).double().mean(0) / 2


def bootstrap(trials: Trials, algorithms: int, people: Tensor, rows: Tensor) -> Bootstrap:
    """Resamples people, and trials within each drawn person.

    people: [draws, people] and rows: [draws, trials, people], the numbers that `draw_bootstrap` draws."""
    return Bootstrap(torch.stack([fooled_rate(trials.drawn(p, t), algorithms) for p, t in zip(people, rows)]))


def draw_bootstrap(trials: Trials, draws: int = 10_000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The people and rows of `bootstrap`, at random: of each drawn person as many trials as that person has."""
    count, people = trials.real_side.shape
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(people, (draws, people), generator=generator)
    lengths = (trials.algorithm >= 0).sum(0)
    if (lengths == count).all():
        return drawn, torch.randint(count, (draws, count, people), generator=generator)
    own = lengths[drawn][:, None]
    numbers = torch.arange(count)[None, :, None]
    rows = (torch.rand((draws, count, people), generator=generator, dtype=torch.float64) * own).long()
    return drawn, torch.where(numbers < own, rows, numbers)  # rows beyond a person's trials stay empty


def wilson(hits: int, trials: int, z: float = Z95) -> tuple[float, float, float]:
    """(share, low, high): a share of trials with its Wilson interval, which stays in [0, 1]. z: 1.96 for 95 %.

    Raises I2IError without trials, or with more hits than trials."""
    if not 0 <= hits <= trials or trials < 1:
        raise I2IError(f"{hits} of {trials} trials is no share.", "Give at least 1 trial, and 0 or more hits.")
    p, spread = hits / trials, z * z / trials
    middle = (p + spread / 2) / (1 + spread)
    half = z * math.sqrt(p * (1 - p) / trials + spread / (4 * trials)) / (1 + spread)
    return p, middle - half, middle + half
