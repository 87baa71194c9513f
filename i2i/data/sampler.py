"""Which sample comes when: pure functions of (seed, number of the sample), so that nothing needs saving.

The samples of a run are numbered from 0 in the order of training, over all processes together.
"""

from __future__ import annotations

import functools

import numpy as np

from i2i.core.random import seed_of


@functools.lru_cache(maxsize=4)
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the `count` samples in an epoch, int64 [count]."""
    return np.random.Generator(np.random.PCG64(seed_of(seed, "order", epoch))).permutation(count)


def index_of(number: int, count: int, seed: int) -> int:
    """Index in [0, count) of sample `number`: every epoch is a permutation of its own."""
    return int(permutation(count, seed, number // count)[number % count])


class Draws:
    """Random numbers of one sample, a pure function of (seed, number, salt)."""

    def __init__(self, seed: int, number: int, salt: str = "") -> None:
        self.state = seed_of(seed, "draw", salt, number)

    def below(self, n: int) -> int:
        """A whole number in [0, n); calls on one object must be few (63 bits are shared out among them)."""
        self.state, drawn = divmod(self.state, max(1, n))
        return drawn


def sample_numbers(start: int, batch: int, rank: int = 0) -> list[int]:
    """Numbers of the samples of one process in the step that starts at `start`."""
    first = start + rank * batch
    return list(range(first, first + batch))
