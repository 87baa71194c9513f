"""When an image is cut into tiles, and into which: the policy for one network, its memory and its receptive field."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.core.machine import free_memory
from i2i.models import norm_stats, probe, tiles
from i2i.models.norm_stats import Read
from i2i.models.onnx import OnnxNet
from i2i.models.tiles import TiledNetwork, TileGrid
from i2i.nets.chain import Chain

ALWAYS_WHOLE = 256 * 256  # pixels; up to this size an image is never cut, unless a tile size is set
LARGEST_TILE = 1024  # pixels; side of tiles whose size is chosen here
MAX_CPU_MEMORY = 2.0**31  # bytes for one pass on a CPU


@dataclass(frozen=True)
class TileSettings:
    """What a user may set about tiles."""

    size: int | None = None  # pixels, side of a tile; 0: never cut; None: cut above the memory limit, as large as fits
    overlap: int | None = None  # pixels around the core of each tile; None: the network's receptive field
    memory: float | None = None  # bytes for one pass of the network; None: half of what is free, at most 2 GiB on a CPU
    exact: bool = False  # exact norm statistics of the whole image, even where that takes many passes

    def __post_init__(self) -> None:
        for name, value in (("tile", self.size), ("overlap", self.overlap)):
            if value is not None and value < 0:
                raise I2IError(f"{name} is {value} pixels.", "Allowed: 0 or more.")
        if self.memory is not None and not 0 < self.memory < math.inf:
            raise I2IError(f"memory is {self.memory} bytes.", "Allowed: more than 0.")


class Tiling:
    """Decides for one network whether an image is translated whole or in tiles, and in which tiles.

    channels: of the network's input. multiple: of which its height and width must be multiples."""

    def __init__(self, network: nn.Module, channels: int, multiple: int, settings: TileSettings | None = None) -> None:
        self.network, self.channels, self.multiple = network, channels, multiple
        self.settings = settings or TileSettings()
        self.onnx = network if isinstance(network, OnnxNet) else None  # its file says what is measured elsewhere

    def with_settings(self, settings: TileSettings) -> Tiling:
        """The policy of the same network with other settings; what was measured is kept."""
        other = copy.copy(self)
        other.settings = settings
        return other

    def check(self, name: str) -> None:
        """Raises I2IError if the tile size cannot be used with the model called `name`."""
        if not self.settings.size:
            return
        if self._only_whole:
            raise I2IError(
                f"{name} is an ONNX file whose norms use the whole image, so images cannot be cut into tiles.",
                "Leave out --tile, or give the model that the file was exported from.",
            )
        self.grid()

    def fits(self, padded: tuple[int, int]) -> bool:
        """True if an image of this padded height and width goes through the network whole."""
        height, width = padded
        if self._only_whole:
            return True
        if self.settings.size is not None:
            return self.settings.size == 0 or max(height, width) <= self.settings.size
        return height * width <= ALWAYS_WHOLE or height * width * self.bytes_per_pixel <= self.memory

    def grid(self, side: int | None = None) -> TileGrid:
        """The tiles for images that do not fit. side: pixels; None: the one set, or the largest that fits."""
        side = side or self.settings.size
        if not side:
            fitting = int(math.sqrt(self.memory / self.bytes_per_pixel))
            side = min(LARGEST_TILE, max(self.multiple, fitting // self.multiple * self.multiple))
        return tiles.tile_grid(side, self.multiple, self.radius, self.settings.overlap)

    def measure(
        self, tiled: TiledNetwork, read: Read, height: int, width: int, grid: TileGrid, side: int | None = None
    ) -> None:
        """Gives the norms of `tiled` the statistics of the whole image, or of a reduced one where that costs too much.

        read: gives parts of the image of `height` x `width` pixels. side: of the tiles, if another than usual."""
        if not tiled.norms:
            return
        factor, one_pass = self.reduction(height * width, len(tiled.norms), side)
        if factor > 1:
            small = norm_stats.reduced(read, height, width, factor, self.multiple)
            height, width = int(small.shape[-2]), int(small.shape[-1])

            def read(rows: slice, columns: slice) -> Tensor:
                return small[:, rows, columns]

        if one_pass:
            tiled.measure(read(slice(0, height), slice(0, width)))
        else:
            tiled.measure_in_tiles(read, height, width, grid)

    def reduction(self, pixels: int, norms: int, side: int | None = None) -> tuple[int, bool]:
        """By which factor an image of `pixels` is averaged down before `norms` norms are measured, and whether it then
        goes through the network in one pass."""
        fitting = side**2 if side else int(self.memory / self.bytes_per_pixel)
        factor, one_pass = norm_stats.reduction_for(pixels, fitting, norms)
        return (1, False) if factor > 1 and self.settings.exact else (factor, one_pass)

    @cached_property
    def bytes_per_pixel(self) -> float:
        """Memory of one pass of the network, in bytes for each pixel of its input."""
        if self.onnx is not None:
            return self.onnx.bytes_per_pixel
        return probe.bytes_per_pixel(*self._probed, self.multiple)

    @cached_property
    def radius(self) -> int:
        """The receptive field: how many pixels away an input pixel still changes the output."""
        if self.onnx is not None:
            return self.onnx.radius
        reach = getattr(self.network, "reach", None)
        if type(reach) is int:  # the network says how far it matters
            return reach
        return probe.receptive_radius(*self._probed, self.multiple)

    @cached_property
    def _probed(self) -> tuple[nn.Module, int]:
        """The network that tiles go through, and its channels: of a chain the first evaluation."""
        if not isinstance(self.network, Chain):
            return self.network, self.channels
        device = next(self.network.parameters()).device
        x = torch.zeros(1, self.channels, self.multiple, self.multiple, device=device)
        return self.network.evaluation(0), self.network.question(0, self.network.start(x), x).shape[1]

    @property
    def memory(self) -> float:
        """Bytes that one pass of the network may take."""
        if self.settings.memory is not None:
            return self.settings.memory
        device = next(self.network.parameters()).device
        if device.type == "cuda":
            cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, and free
            return float(torch.cuda.mem_get_info(device)[0] + cached) / 2
        return min(MAX_CPU_MEMORY, free_memory() / 2)

    @property
    def _only_whole(self) -> bool:
        return self.onnx is not None and self.onnx.whole
