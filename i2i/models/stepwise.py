"""Chains (i2i.nets.chain) over images that do not fit the memory: tiles at each evaluation, not around the whole chain.

The state of the chain is held for the whole image. At each evaluation the inner network runs over tiles of it, with
norm statistics of the whole image, and the blended answer moves the state. So tiles need no larger margin than for one
evaluation, they cannot drift apart, and noise is that of the whole image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from i2i.media.adapt import PreparedImage, read_reflected
from i2i.models import norm_stats
from i2i.models.norm_stats import Read
from i2i.models.runner import Runner
from i2i.models.tiles import TiledNetwork, TileGrid
from i2i.models.tiling import Tiling
from i2i.nets.chain import Chain, State


def run_chain(
    chain: Chain,
    runner: Runner,
    tiling: Tiling,
    image: PreparedImage,
    padded: tuple[int, int],
    grid: TileGrid,
    side: int | None = None,
) -> np.ndarray:
    """An image translated by a chain in tiles: levels [H, W, C].

    padded: its height and width as the network sees it. The rest: see TiledChain."""

    def read(rows: slice, columns: slice) -> Tensor:
        return read_reflected(image, rows, columns)

    answer = TiledChain(chain, runner, tiling, grid, side).answer(read, *padded)
    return image.to_levels(answer[:, : image.height, : image.width])


class TiledChain:
    """A chain over one image in tiles. grid: the tiles. side: of the tiles in pixels, if another than usual."""

    def __init__(self, chain: Chain, runner: Runner, tiling: Tiling, grid: TileGrid, side: int | None = None) -> None:
        self.chain, self.runner, self.tiling, self.grid, self.side = chain, runner, tiling, grid, side

    def answer(self, read: Read, height: int, width: int) -> Tensor:
        """The answer [C, H, W] in [-1, 1] for an image of these sides, of which `read` gives parts."""
        x = read(slice(0, height), slice(0, width))[None]
        state = self.chain.start(x)
        sketch: Iterator[TiledNetwork] | None = None
        for k in range(self.chain.evaluations):
            question = self.chain.question(k, state, x)
            tiled = self._network(k)
            factor, one_pass = self.tiling.reduction(height * width, len(tiled.norms), self.side)
            if not tiled.norms:
                pass
            elif factor == 1:
                self._measure(tiled, question, one_pass)
            else:  # the noise of a state that is averaged down would be too small: a small chain of its own measures
                if sketch is None:
                    sketch = self._sketch(
                        norm_stats.reduced(read, height, width, factor, self.tiling.multiple), one_pass
                    )
                tiled = next(sketch)
            state = self.chain.advance(k, state, x, self._through(tiled, question))
        return state[0][0].clamp(-1, 1)

    def _sketch(self, x: Tensor, one_pass: bool) -> Iterator[TiledNetwork]:
        """The networks of all evaluations, with the norm statistics of the chain over a small image x [C, H, W]."""
        source = x[None]
        state: State = self.chain.start(source)
        for k in range(self.chain.evaluations):
            question = self.chain.question(k, state, source)
            tiled = self._network(k)
            self._measure(tiled, question, one_pass)
            state = self.chain.advance(k, state, source, self._through(tiled, question))
            yield tiled

    def _network(self, k: int) -> TiledNetwork:
        return TiledNetwork(self.chain.evaluation(k), self.runner, self.tiling.multiple, clamp=False)

    def _measure(self, tiled: TiledNetwork, question: Tensor, one_pass: bool) -> None:
        """Gives the norms the statistics of a question [1, C, H, W]."""
        if one_pass:
            tiled.measure(question[0])
        else:
            height, width = question.shape[2:]
            tiled.measure_in_tiles(parts_of(question), height, width, self.grid)

    def _through(self, tiled: TiledNetwork, question: Tensor) -> Tensor:
        """The answer [1, C, H, W] to a question [1, C, H, W], in tiles."""
        height, width = question.shape[2:]
        return torch.cat([*tiled.rows(parts_of(question), height, width, self.grid)], 1)[None]


def parts_of(image: Tensor) -> Read:
    """Reads parts of an image [1, C, H, W]."""

    def read(rows: slice, columns: slice) -> Tensor:
        return image[0, :, rows, columns]

    return read
