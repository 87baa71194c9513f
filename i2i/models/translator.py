"""A loaded model as a function of images: what `i2i.load` returns.

PIL images, arrays, tensors, paths and lists of them go in; the same kinds come out, in the size they came in:

| in                                    | values                              | out                                 |
|---------------------------------------|-------------------------------------|-------------------------------------|
| `PIL.Image`                           | any mode; EXIF orientation applied  | `PIL.Image`                         |
| path, bytes of a file, open file      | as above                            | `PIL.Image`                         |
| array [H, W] or [H, W, C]             | uint8, uint16, or floats in [0, 1]  | array of the same dtype             |
| tensor [C, H, W] or [B, C, H, W]      | floats in [-1, 1], or uint8         | tensor of the same dtype and device |

Grey and colour are turned into what the network takes (tensors are not: their channels must fit). An alpha channel is
kept aside and put back untouched. PIL images and files with a colour profile are converted into sRGB for the network
and back into that profile (16 bits keep their numbers). 16 bits stay 16 bits where the kind can hold them (Pillow has
no 16-bit colour).
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from i2i.core.device import device_of
from i2i.core.errors import I2IError
from i2i.media import adapt
from i2i.media.adapt import Prepared, Size
from i2i.models import flat, tiles
from i2i.nets.blocks import eval_mode

LARGE = 256 * 256  # pixels; an image of no more goes through the network whole without asking for the memory
LARGEST_WINDOW = 1024  # pixels a side, of windows chosen here
NARROW = 32  # channels
SMALLEST = 8  # pixels; under this the inner maps of a generator are a single pixel, which no norm or padding can take


@dataclass(frozen=True)
class TileSettings:
    """When and how images are cut into windows that overlap and blend (i2i.tiles)."""

    size: int | None = None  # pixels, side of a window; None: only above the memory limit, as large as fits; 0: never
    overlap: int | None = None  # pixels around each window's core; None: the receptive field
    memory: float | None = None  # bytes for one pass of the network; None: half of what is free, at most 2 GiB on a CPU
    exact: bool = False  # norm statistics of the whole image itself, even where that takes many passes

    def __post_init__(self) -> None:
        for name, value in (("tile", self.size), ("overlap", self.overlap)):
            if value is not None and value < 0:
                raise I2IError(f"{name} is {value} pixels.", "Allowed: 0 or more.")
        if self.memory is not None and not 0 < self.memory < math.inf:
            raise I2IError(f"memory is {self.memory} bytes.", "Allowed: more than 0.")


class Translator:
    """A model that maps images to images; see the module's docstring for the kinds. Safe to call from threads."""

    def __init__(
        self,
        network: nn.Module,
        header: dict[str, Any],
        name: str = "model",
        dtype: torch.dtype | None = None,
        tiling: TileSettings | None = None,
    ) -> None:
        self.noisy = bool(header.get("dropout_at_test"))
        self.network = eval_mode(network, bool(header.get("train_mode_norm")), self.noisy).requires_grad_(False)
        self.header, self.name, self.dtype, self.tiling = header, name, dtype, tiling or TileSettings()
        self.device = next(network.parameters()).device
        arguments: dict[str, Any] = dict(getattr(network, "arguments", {}))
        self.channels_in = int(arguments.get("channels_in", header.get("channels_in", 3)))
        self.channels_out = int(arguments.get("channels_out", header.get("channels_out", 3)))
        self.multiple = int(getattr(network, "multiple", header.get("multiple", 1)))
        self._compiled: nn.Module | None = None
        self._check_windows()

    def _check_windows(self) -> None:
        if getattr(self.network, "whole", False) and self.tiling.size:
            raise I2IError(
                f"{self.name} is an ONNX file whose norms look at the whole image; it cannot be cut into windows.",
                "Give the model that it was made from, or no --tile.",
            )
        if self.tiling.size:
            self.cut()  # a size that cannot be is refused here, and not for each image

    def __call__(self, pictures: Any, *, size: Size = None, batch: int = 8) -> Any:
        """Translates an image or a list of images.

        size: None keeps each image's size, N makes its shorter side N pixels, (width, height) is exact. batch: most
        images in one pass of the network; only those of equal padded size share one, and the result does not depend
        on it (but for rounding in the last bits on a GPU). Images too large for the memory are cut into windows.
        Raises I2IError for what is no image or has channels that do not fit.
        """
        if not isinstance(batch, int):
            raise I2IError(f"The batch is {batch!r}.", "Give a whole number.")
        if isinstance(pictures, list | tuple):
            flat = list(pictures)
        elif isinstance(pictures, Tensor) and pictures.ndim == 4:
            if not len(pictures):
                raise I2IError("A batch without images was given.", "Give [B, C, H, W] with B of 1 or more.")
            return torch.stack(self([*pictures], size=size, batch=batch))
        else:
            return self([pictures], size=size, batch=batch)[0]
        taken = [self.take(p).resized(size) for p in flat]
        groups: dict[tuple[int, int], list[int]] = {}
        for i, one in enumerate(taken):
            groups.setdefault(self.padded(one), []).append(i)
        made = [None] * len(flat)
        for side, members in groups.items():
            for start in range(0, len(members), max(1, batch) if self.fits(side) else 1):
                part = members[start : start + max(1, batch)] if self.fits(side) else members[start : start + 1]
                for i, levels in zip(part, self.levels([taken[i] for i in part])):
                    made[i] = self.give(taken[i], levels)
        return made

    def __repr__(self) -> str:
        kind = type(self.network).__name__
        return f"Translator({self.name!r}, {kind} {self.channels_in} -> {self.channels_out} channels, {self.device})"

    # ---- the network -----------------------------------------------------------------------------------------------

    def padded(self, taken: Prepared) -> tuple[int, int]:
        """Height and width that the network sees for an image."""
        height, width = (max(SMALLEST, n) for n in (taken.height, taken.width))
        return -(-height // self.multiple) * self.multiple, -(-width // self.multiple) * self.multiple

    def fits(self, padded: tuple[int, int]) -> bool:
        """Whether an image of this padded size goes through the network whole."""
        if getattr(self.network, "whole", False):
            return True
        if self.tiling.size is not None:
            return self.tiling.size == 0 or max(padded) <= self.tiling.size
        return padded[0] * padded[1] <= LARGE or padded[0] * padded[1] * self.bytes_per_pixel <= self.memory

    @cached_property
    def bytes_per_pixel(self) -> float:
        """Memory for one pass of the network, a pixel of its input."""
        if (known := getattr(self.network, "bytes_per_pixel", None)) is not None:
            return float(known)
        return tiles.bytes_per_pixel(self.network, self.channels_in, self.multiple)

    @property
    def memory(self) -> float:
        """Bytes that one pass of the network may take."""
        if self.tiling.memory is not None:
            return self.tiling.memory
        if self.device.type == "cuda":
            return float(torch.cuda.mem_get_info(self.device)[0]) / 2
        return min(2.0**31, _free_memory() / 2)

    @cached_property
    def narrow(self) -> bool:
        """Whether all maps inside have so few channels that a CPU computes them faster channels last."""
        widths = [max(m.weight.shape[:2]) for m in self.network.modules() if isinstance(m, nn.modules.conv._ConvNd)]
        return 0 < max(widths, default=0) <= NARROW

    @cached_property
    def radius(self) -> int:
        """How far, in pixels, one pixel of the input reaches in the output."""
        if (known := getattr(self.network, "radius", None)) is not None:
            return int(known)
        return tiles.receptive_radius(self.network, self.channels_in, self.multiple)

    def levels(self, pictures: Sequence[Prepared]) -> list[np.ndarray]:
        """The network's output for images of one padded size, each as [H, W, C] in its own values."""
        side = self.padded(pictures[0])
        if self.fits(side):
            return [t.level(made) for t, made in zip(pictures, self.run([t.pixels for t in pictures], side))]
        return [self.in_windows(taken) for taken in pictures]

    @torch.inference_mode()
    def run(self, pictures: Sequence[Tensor], padded: tuple[int, int]) -> list[Tensor]:
        """The network on images [C, H, W] of one padded size: float32 on the CPU, cut back to their own sizes."""
        height, width = padded
        x = torch.stack([adapt.pad_reflect(p, height, width) for p in pictures])
        network = self._compiled or self.network
        if self.device.type == "cpu" and self.dtype is None:  # a batch is no faster there, and would change last bits
            y = torch.cat([self._forward(network, one[None]) for one in x])
        else:
            y = self._forward(network, x)
        for i, one in enumerate(x):
            if flat.is_flat(one):
                y[i] = self._forward(flat.steady(self.network), one[None], exact=True)[0]
        scale = y.shape[-2] // height  # 1, or the factor of an enlarging network
        return [out[:, : p.shape[-2] * scale, : p.shape[-1] * scale] for out, p in zip(y.clamp_(-1, 1), pictures)]

    def tiled(self, tiling: TileSettings) -> Translator:
        """The same model with another way of cutting large images."""
        made = copy.copy(self)
        made.tiling = tiling
        made._check_windows()
        return made

    def to(self, device: str | torch.device) -> Translator:
        """Moves the network to a device ("cpu", "cuda:1", ...) and gives the translator itself back. Raises I2IError if
        the device cannot be used."""
        self.device = device_of(device)
        self.network.to(self.device)
        self._compiled = None
        return self

    def half(self) -> Translator:
        """The same model computing in half precision: fp16 on a GPU, bf16 on a CPU. Its weights are shared."""
        made = copy.copy(self)
        made.dtype = torch.bfloat16 if self.device.type == "cpu" else torch.float16
        made._compiled = None
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}  # compiled code stays in its process

    @cached_property
    def digest(self) -> str:
        """Of the weights and of what else decides this model's output."""
        made = hashlib.blake2b(repr((self.noisy, self.header.get("train_mode_norm"))).encode(), digest_size=16)
        for key, value in sorted(self.network.state_dict().items()):
            made.update(key.encode())
            made.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return made.hexdigest()

    def compile(self) -> Translator:
        """Compiles the network (seconds to minutes at first use of each size); gives itself back."""
        self._compiled = torch.compile(self.network)  # type: ignore[assignment]
        return self

    def _forward(self, network: nn.Module, x: Tensor, exact: bool = False) -> Tensor:
        """`network` on [B, C, H, W] with this model's device and precision (exact: in fp32): float32 on the CPU."""
        x = x.to(self.device)
        if self.device.type == "cuda" or (self.device.type == "cpu" and self.narrow):
            x = x.contiguous(memory_format=torch.channels_last)
        lower = self.dtype is not None and not exact
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=lower):
            y = torch.cat([_seeded(network, one[None]) for one in x]) if self.noisy else network(x)
        made: Tensor = y.float().cpu()
        return made

    @torch.inference_mode()
    def in_windows(self, taken: Prepared, window: int | None = None) -> np.ndarray:
        """One image cut into windows (of that many pixels a side), with the norm statistics of all of it: levels."""
        height, width = self.padded(taken)
        cut = self.cut(window)
        tiled = tiles.Tiled(self.network, self._forward, self.multiple)

        def read(rows: slice, columns: slice) -> Tensor:
            return adapt.read_reflected(taken, rows, columns)

        self._measure(tiled, read, height, width, cut, window)
        levels: np.ndarray | None = None
        begun = 0
        for band in tiled.rows(read, height, width, cut):
            scale = band.shape[-1] // width
            some = taken.level(band[:, : max(0, taken.height * scale - begun), : taken.width * scale])
            if levels is None:
                levels = np.empty((taken.height * scale, taken.width * scale, some.shape[-1]), some.dtype)
            levels[begun : begun + len(some)] = some
            begun += len(some)
        assert levels is not None
        return levels

    def _measure(
        self, tiled: tiles.Tiled, read: tiles.Read, height: int, width: int, cut: tiles.Grid, window: int | None
    ) -> None:
        """Gives the norms the statistics of the whole image, or of a reduced one where that costs too much."""
        if not tiled.held:
            return
        fits = window**2 if window else int(self.memory / self.bytes_per_pixel)
        factor, at_once = tiles.factor_for(height * width, fits, len(tiled.held))
        if factor > 1 and self.tiling.exact:
            factor, at_once = 1, False
        if factor > 1:
            small = tiles.reduced(read, height, width, factor, self.multiple)
            height, width = int(small.shape[-2]), int(small.shape[-1])

            def read(rows: slice, columns: slice) -> Tensor:
                return small[:, rows, columns]

        if at_once:
            tiled.measure(read(slice(0, height), slice(0, width)))
        else:
            tiled.measure_in_windows(read, height, width, cut)

    def cut(self, side: int | None = None) -> tiles.Grid:
        """The windows for images that do not fit."""
        side = side or self.tiling.size
        if not side:
            fits = math.sqrt(self.memory / self.bytes_per_pixel)
            side = min(LARGEST_WINDOW, max(self.multiple, int(fits) // self.multiple * self.multiple))
        return tiles.grid(side, self.multiple, self.radius, self.tiling.overlap)

    def take(self, picture: Any) -> Prepared:
        """Reads an image of any kind. Raises I2IError if it is none."""
        return adapt.prepare(picture, self.channels_in)

    def give(self, taken: Prepared, levels: np.ndarray) -> Any:
        """What `levels` made, in the kind and with the alpha of the image it was made from."""
        return adapt.restore(taken, levels)


def _seeded(network: nn.Module, x: Tensor) -> Tensor:
    """Dropout as the network's source of noise: the same noise for every image, so that results repeat."""
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(0)
        made: Tensor = network(x)
        return made


def _free_memory() -> float:
    """Bytes of main memory that are free; 4 GiB where the system does not say."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return 2.0**32
