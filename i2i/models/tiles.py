"""Images in overlapping tiles: how they are cut, and how the translated tiles are blended.

Each tile has a core, the part that it alone answers for, and a margin around it that it shares with its neighbors. The
core of a tile equals the translation of the whole image if the margin is as wide as the network's receptive field and
the norms use statistics of the whole image (i2i.models.norm_stats).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, product
from typing import TypeVar

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.models.flat import copy_sharing_tensors, per_image_norms, replace
from i2i.models.norm_stats import FixedNorm, Measured, Read

Forward = Callable[[nn.Module, Tensor], Tensor]  # network, [B, C, h, w] on any device -> float32 output on the CPU
T = TypeVar("T")


# ---- how an image is cut -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels: it reads [start, stop), and its core is [first, last)."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class TileGrid:
    """How an image is cut: the sides of a tile and the margin around its core, all in pixels and multiples of the
    network's `multiple`."""

    height: int
    width: int
    margin: int
    radius: int  # pixels, the receptive field: what lies nearer to a cut edge than this may be wrong

    def spans(self, length: int, side: int, multiple: int) -> list[Span]:
        """The tiles of `side` pixels along an axis of `length` pixels (a multiple): their cores partition it."""
        if length <= side:
            return [Span(0, length, 0, length)]
        count = -(-(length - side) // (side - 2 * self.margin)) + 1
        starts = [round(i * (length - side) / (count - 1) / multiple) * multiple for i in range(count)]
        borders = [0, *((a + side + b) // 2 // multiple * multiple for a, b in pairwise(starts)), length]
        return [Span(s, s + side, a, b) for s, a, b in zip(starts, borders, borders[1:])]


def tile_grid(size: int, multiple: int, radius: int, overlap: int | None = None) -> TileGrid:
    """The grid of square tiles of `size` pixels, rounded up to a multiple of `multiple`.

    radius: of the receptive field, in pixels. overlap: margin around each core, in pixels; None: the radius, at most a
    quarter of the tile. Raises I2IError if the overlap leaves no core."""
    side = max(1, -(-size // multiple)) * multiple
    if overlap is None:
        margin = min(-(-radius // multiple) * multiple, max(multiple, side // 4 // multiple * multiple))
    else:
        margin = -(-overlap // multiple) * multiple
    if 2 * margin >= side:
        raise I2IError(
            f"Tiles of {size} pixels with an overlap of {margin} pixels leave nothing in the middle.",
            f"Give tiles of at least {4 * max(margin, multiple)} pixels, or a smaller overlap.",
        )
    return TileGrid(side, side, margin, radius)


def blend_weights(spans: Sequence[Span], index: int, radius: int) -> Tensor:
    """Weights [length] of tile `index`: 1 inside, falling to 0 across what it shares with each neighbor.

    Pixels nearer to a cut edge than `radius` get weight 0 where the neighbor has better ones."""
    tile = spans[index]
    positions = torch.arange(tile.start, tile.stop, dtype=torch.float32) + 0.5
    weights = torch.ones(tile.stop - tile.start)
    for neighbor, edge, sign in ((index - 1, tile.start, 1), (index + 1, tile.stop, -1)):
        if not 0 <= neighbor < len(spans):
            continue
        shared = spans[neighbor].stop - tile.start if sign > 0 else tile.stop - spans[neighbor].start
        unreliable = radius if 2 * radius <= shared else shared // 4
        fall = max(1e-3, shared - 2 * unreliable)
        weights = torch.minimum(weights, (((positions - edge) * sign - unreliable) / fall).clamp(0, 1))
    return weights


# ---- a network that runs over the tiles of one image ---------------------------------------------------------------


class TiledNetwork:
    """A network with norm statistics for one image: tiles in, blended rows out. Not shared between threads.

    First call `measure` or `measure_in_tiles` if `norms` is not empty, then `rows`. batch: tiles in one pass. clamp:
    keep outputs within [-1, 1]."""

    def __init__(self, network: nn.Module, forward: Forward, multiple: int, batch: int = 1, clamp: bool = True) -> None:
        self.forward, self.multiple, self.batch, self.clamp = forward, multiple, max(1, batch), clamp
        self.network = copy_sharing_tensors(network)
        self.norms: list[FixedNorm] = []
        for name in per_image_norms(network):
            norm = FixedNorm(network.get_submodule(name))
            self.norms.append(norm)
            replace(self.network, name, norm)

    def measure(self, x: Tensor) -> None:
        """Takes the norm statistics from one pass over an image [C, H, W], whole or reduced."""
        if self.norms:
            self.forward(self.network, x[None])

    def measure_in_tiles(self, read: Read, height: int, width: int, grid: TileGrid) -> None:
        """Takes the exact norm statistics of an image of any size, norm after norm in the order of the network."""
        for norm in self.norms:
            norm.ends_pass = True
        for _ in self.norms:
            # Every tile ends at the first norm without statistics, which gathers those of the tile's core.
            for tiles in self._tiles(height, width, grid):
                cores = [(*_core_fractions(down), *_core_fractions(across)) for down, across in tiles]
                for norm in self.norms:
                    norm.cores = cores
                try:
                    self.forward(self.network, _stack(read, tiles))
                except Measured:
                    continue
                return  # all norms have statistics
            for norm in self.norms:
                norm.settle()

    def rows(self, read: Read, height: int, width: int, grid: TileGrid) -> Iterator[Tensor]:
        """The translated image from top to bottom, some rows at a time: float32 [C, h, width * scale].

        read: gives parts of the image. height, width: multiples of the network's."""
        vertical = grid.spans(height, grid.height, self.multiple)
        horizontal = grid.spans(width, grid.width, self.multiple)
        column_weights = [blend_weights(horizontal, i, grid.radius) for i in range(len(horizontal))]
        sums = weights = None  # of the rows that the present row of tiles covers
        scale, finished = 1, 0  # output pixels for an input pixel; rows handed out so far
        for i, down in enumerate(vertical):
            # Translate one row of tiles and add it, weighted, to the sums.
            row_weights = blend_weights(vertical, i, grid.radius)
            for indices in _batched(range(len(horizontal)), self.batch):
                outputs = self.forward(self.network, _stack(read, [(down, horizontal[j]) for j in indices]))
                if sums is None or weights is None:
                    scale = outputs.shape[-1] // (horizontal[0].stop - horizontal[0].start)
                    sums = outputs.new_zeros(outputs.shape[1], (down.stop - down.start) * scale, width * scale)
                    weights = outputs.new_zeros(sums.shape[1:])
                for j, output in zip(indices, outputs):
                    weight = torch.outer(row_weights, column_weights[j])
                    weight = weight.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
                    columns = slice(horizontal[j].start * scale, horizontal[j].stop * scale)
                    sums[:, :, columns] += output * weight
                    weights[:, columns] += weight
            assert sums is not None
            assert weights is not None

            # Hand out the rows that no later tile covers, and move the others up.
            final = (vertical[i + 1].start if i + 1 < len(vertical) else height) * scale - finished
            ready = sums[:, :final] / weights[:final]
            yield ready.clamp(-1, 1) if self.clamp else ready
            finished += final
            sums = torch.cat([sums[:, final:], torch.zeros_like(sums[:, :final])], 1)
            weights = torch.cat([weights[final:], torch.zeros_like(weights[:final])])

    def _tiles(self, height: int, width: int, grid: TileGrid) -> Iterator[list[tuple[Span, Span]]]:
        """All tiles of an image as (vertical span, horizontal span), in batches."""
        vertical = grid.spans(height, grid.height, self.multiple)
        yield from _batched(product(vertical, grid.spans(width, grid.width, self.multiple)), self.batch)


def _core_fractions(span: Span) -> tuple[float, float]:
    """Where the core begins and ends, as fractions of the tile."""
    length = span.stop - span.start
    return (span.first - span.start) / length, (span.last - span.start) / length


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _stack(read: Read, tiles: Sequence[tuple[Span, Span]]) -> Tensor:
    """The pixels [B, C, h, w] of tiles of one size."""
    return torch.stack([read(slice(v.start, v.stop), slice(h.start, h.stop)) for v, h in tiles])
