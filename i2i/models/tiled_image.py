"""One image through a network in tiles, put together again."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from i2i.media import adapt
from i2i.media.adapt import PreparedImage
from i2i.models import tiles
from i2i.models.runner import Runner
from i2i.models.tiles import TileGrid
from i2i.models.tiling import Tiling


def run_tiles(
    network: nn.Module,
    runner: Runner,
    tiling: Tiling,
    image: PreparedImage,
    size: tuple[int, int],
    grid: TileGrid,
    side: int | None,
) -> np.ndarray:
    """The output of a network for an image, with norm statistics of the whole image: levels [H, W, C].

    size: padded height and width. side: of a tile in pixels, if it was asked for."""
    height, width = size
    tiled = tiles.TiledNetwork(network, runner, tiling.multiple)

    def read(rows: slice, columns: slice) -> Tensor:
        return adapt.read_reflected(image, rows, columns)

    # The first pass or passes measure the norms; then the tiles are translated and put together.
    tiling.measure(tiled, read, height, width, grid, side)
    levels: np.ndarray | None = None
    begun = 0  # rows of the output that are done
    for rows in tiled.rows(read, height, width, grid):
        scale = rows.shape[-1] // width
        part = image.to_levels(rows[:, : max(0, image.height * scale - begun), : image.width * scale])
        if levels is None:
            levels = np.empty((image.height * scale, image.width * scale, part.shape[-1]), part.dtype)
        levels[begun : begun + len(part)] = part
        begun += len(part)
    assert levels is not None
    return levels
