"""A loaded model as a function of pictures: what `i2i.load` returns.

PIL pictures, arrays, tensors, paths and lists of them go in; the same kinds come out, in the size they came in:

| in                                    | values                              | out                                 |
|---------------------------------------|-------------------------------------|-------------------------------------|
| `PIL.Image`                           | any mode; EXIF orientation applied  | `PIL.Image`                         |
| path, bytes of a file, open file      | as above                            | `PIL.Image`                         |
| array [H, W] or [H, W, C]             | uint8, uint16, or floats in [0, 1]  | array of the same dtype             |
| tensor [C, H, W] or [B, C, H, W]      | floats in [-1, 1], or uint8         | tensor of the same dtype and device |

Grey and colour are turned into what the network takes (tensors are not: their channels must fit). An alpha channel is
kept aside and put back untouched. 16 bits stay 16 bits where the kind can hold them (Pillow has no 16-bit colour).
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from i2i import bundle, hub, pixels, steady, tiles, zoo
from i2i.errors import I2IError, nearest
from i2i.nets.blocks import as_tested
from i2i.pixels import Size, Taken

LARGE = 256 * 256  # pixels; a picture of no more goes through the network whole without asking for the memory
LARGEST_WINDOW = 1024  # pixels a side, of windows chosen here
NARROW = 32  # channels
SMALLEST = 8  # pixels; under this the inner maps of a generator are a single pixel, which no norm or padding can take
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
NETWORK_OF = {"AtoB": "G", "BtoA": "F"}
GENERATORS = ("unet", "resnet")


def load(
    model: str | Path,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    direction: str = "AtoB",
    statistics: str = "auto",
    tiling: Tiling | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Translator:
    """The translator of a saved model.

    model: a .safetensors file, a run's folder, a .pth file of the papers' authors, an .onnx file of `i2i export`
    (onnxruntime runs it, on the CPU), hf:USER/NAME[@REVISION] of the Hugging Face Hub, or a name of `i2i models`
    (fetched on first use; `progress(bytes, total)` is told). precision: fp32, bf16 or fp16. direction: AtoB, the way
    the model was trained, or BtoA, the way back, which CycleGAN models hold too. statistics: what batch normalisation
    uses, the `picture`'s own (as pix2pix does) or the `stored` ones of the training; `auto` does what the model says.
    tiling: when and how large pictures are cut into windows.
    Raises I2IError for anything unknown, missing or unreadable.
    """
    if not isinstance(model, str | Path):
        raise I2IError(f"A {type(model).__name__} is no model.", "Give a path, or a name of `i2i models`.")
    place = _device(device)
    if precision not in PRECISIONS:
        raise I2IError(f"Precision {precision!r} is unknown.", nearest(str(precision), PRECISIONS))
    if precision == "fp16" and place.type == "cpu":
        raise I2IError("fp16 is for GPUs; this would run on the CPU.", "Give bf16 or fp32.")
    if direction not in NETWORK_OF:
        raise I2IError(f"Direction {direction!r} is unknown.", nearest(direction, NETWORK_OF))
    if statistics not in ("auto", "picture", "stored"):
        raise I2IError(f"Statistics {statistics!r} is unknown.", nearest(statistics, ("auto", "picture", "stored")))
    path = find(model, progress)
    if path.suffix == ".onnx":
        return _onnx(path, name_of(model), str(device), precision, direction, statistics, tiling)
    header, net = _read(path, NETWORK_OF[direction], direction)
    if statistics != "auto":
        header = {**header, "train_mode_norm": statistics == "picture"}
    return Translator(net.to(place), header, name_of(model), PRECISIONS[precision], tiling)


def find(model: str | Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """The file of a model given by path, run folder or name; a published model is fetched. Raises I2IError."""
    if str(model).startswith(hub.PREFIX):
        return hub.pull(str(model))
    path = Path(model)
    if path.is_dir():
        inside = path / "model.safetensors"
        if inside.is_file():
            return inside
        raise I2IError(f"{path} holds no model.safetensors.", "Give a run's folder whose training has ended.")
    if path.is_file():
        return path
    if str(model) in zoo.names():
        return zoo.get(str(model), progress=progress)
    if path.suffix in (".safetensors", ".pth", ".pt", ".onnx") or len(path.parts) > 1:
        raise I2IError(f"There is no model at {path}.", "Give a file, a run's folder, or a name of `i2i models`.")
    raise I2IError(f"No model is called {str(model)!r}, and there is no such file.", nearest(str(model), zoo.names()))


def name_of(model: str | Path) -> str:
    """A short name for a model: its file's stem, its run's folder, or its name."""
    if str(model).startswith(hub.PREFIX):
        return hub.split(str(model))[0].partition("/")[2]
    path = Path(model)
    if path.name == "model.safetensors":
        path = path.resolve().parent
    elif path.is_dir():
        path = path.resolve()
    return path.stem if path.suffix in (".safetensors", ".pth", ".pt", ".onnx") else path.name


def _read(path: Path, network: str, direction: str) -> tuple[dict[str, Any], nn.Module]:
    if path.suffix in (".pth", ".pt"):
        if network != "G":
            raise I2IError(f"{path} holds one network, so one direction.", "Give the file of the other direction.")
        from i2i import legacy, nets

        net, _ = legacy.load_pth(path)
        if nets.name_of(net) not in GENERATORS:
            raise I2IError(f"{path} holds a {type(net).__name__}, which makes no pictures.", "Give a generator's file.")
        # its authors run such networks with the statistics of the picture
        return {"train_mode_norm": True}, net.eval()
    header = bundle.read_header(path)
    if header.get("kind") == "generate":
        raise I2IError(f"{path} makes pictures from noise, not from pictures.", "Use `i2i generate`.")
    if network not in header["networks"]:
        held = [d for d, n in NETWORK_OF.items() if n in header["networks"]]
        if not held:
            raise I2IError(f"{path} holds no generator that translates pictures.", "Give a model of a translation.")
        raise I2IError(f"{path} cannot translate {direction}.", f"It holds {' and '.join(held)}.")
    return header, bundle.load(path, [network]).networks[network]


def _onnx(
    path: Path, name: str, device: str, precision: str, direction: str, statistics: str, tiling: Tiling | None
) -> Translator:
    """What an ONNX file holds is settled: its way, its norms' statistics, its precision."""
    from i2i.onnx_net import OnnxNet

    if device not in ("auto", "cpu"):
        raise I2IError(f"ONNX files run on the CPU here; the device {device!r} was asked for.", "Give auto or cpu.")
    if precision != "fp32":
        raise I2IError(f"ONNX files run in fp32; {precision} was asked for.", "Give the model it was made from.")
    net = OnnxNet(path)
    if direction != net.direction:
        raise I2IError(f"{path} cannot translate {direction}.", f"It holds {net.direction}.")
    kept = "picture" if net.header.get("train_mode_norm") else "stored"
    if statistics not in ("auto", kept):
        raise I2IError(f"{path} was exported with the {kept} statistics, not the {statistics} ones.", "Export it anew.")
    return Translator(net, net.header, name, None, tiling)


def _device(name: str | torch.device) -> torch.device:
    if isinstance(name, str) and name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        if (made := torch.device(name)).type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(0, device=made)
        return made
    except (RuntimeError, AssertionError, TypeError) as error:
        raise I2IError(f"The device {name!r} cannot be used: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True)
class Tiling:
    """When and how pictures are cut into windows that overlap and blend (i2i.tiles)."""

    size: int | None = None  # pixels, side of a window; None: only above the memory limit, as large as fits; 0: never
    overlap: int | None = None  # pixels around each window's core; None: the receptive field
    memory: float | None = None  # bytes for one pass of the network; None: half of what is free, at most 2 GiB on a CPU
    exact: bool = False  # norm statistics of the whole picture itself, even where that takes many passes


class Translator:
    """A model that maps pictures to pictures; see the module's docstring for the kinds. Safe to call from threads."""

    def __init__(
        self,
        network: nn.Module,
        header: dict[str, Any],
        name: str = "model",
        dtype: torch.dtype | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        self.noisy = bool(header.get("dropout_at_test"))
        self.network = as_tested(network, bool(header.get("train_mode_norm")), self.noisy).requires_grad_(False)
        self.header, self.name, self.dtype, self.tiling = header, name, dtype, tiling or Tiling()
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
                f"{self.name} is an ONNX file whose norms look at the whole picture; it cannot be cut into windows.",
                "Give the model that it was made from, or no --tile.",
            )

    def __call__(self, pictures: Any, *, size: Size = None, batch: int = 8) -> Any:
        """Translates a picture or a list of pictures.

        size: None keeps each picture's size, N makes its shorter side N pixels, (width, height) is exact. batch: most
        pictures in one pass of the network; only those of equal padded size share one, and the result does not depend
        on it (but for rounding in the last bits on a GPU). Pictures too large for the memory are cut into windows.
        Raises I2IError for what is no picture or has channels that do not fit.
        """
        if not isinstance(batch, int):
            raise I2IError(f"The batch is {batch!r}.", "Give a whole number.")
        if isinstance(pictures, list | tuple):
            flat = list(pictures)
        elif isinstance(pictures, Tensor) and pictures.ndim == 4:
            if not len(pictures):
                raise I2IError("A batch without pictures was given.", "Give [B, C, H, W] with B of 1 or more.")
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

    def padded(self, taken: Taken) -> tuple[int, int]:
        """Height and width that the network sees for a picture."""
        height, width = (max(SMALLEST, n) for n in (taken.height, taken.width))
        return -(-height // self.multiple) * self.multiple, -(-width // self.multiple) * self.multiple

    def fits(self, padded: tuple[int, int]) -> bool:
        """Whether a picture of this padded size goes through the network whole."""
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

    def levels(self, pictures: Sequence[Taken]) -> list[np.ndarray]:
        """The network's output for pictures of one padded size, each as [H, W, C] in its own values."""
        side = self.padded(pictures[0])
        if self.fits(side):
            return [t.level(made) for t, made in zip(pictures, self.run([t.pixels for t in pictures], side))]
        return [self.in_windows(taken) for taken in pictures]

    @torch.inference_mode()
    def run(self, pictures: Sequence[Tensor], padded: tuple[int, int]) -> list[Tensor]:
        """The network on pictures [C, H, W] of one padded size: float32 on the CPU, cut back to their own sizes."""
        height, width = padded
        x = torch.stack([pixels.reflect(p, height, width) for p in pictures])
        network = self._compiled or self.network
        if self.device.type == "cpu" and self.dtype is None:  # a batch is no faster there, and would change last bits
            y = torch.cat([self._forward(network, one[None]) for one in x])
        else:
            y = self._forward(network, x)
        for i, one in enumerate(x):
            if steady.is_flat(one):
                y[i] = self._forward(steady.steady(self.network), one[None], exact=True)[0]
        scale = y.shape[-2] // height  # 1, or the factor of an enlarging network
        return [out[:, : p.shape[-2] * scale, : p.shape[-1] * scale] for out, p in zip(y.clamp_(-1, 1), pictures)]

    def tiled(self, tiling: Tiling) -> Translator:
        """The same model with another way of cutting large pictures."""
        made = copy.copy(self)
        made.tiling = tiling
        made._check_windows()
        return made

    def to(self, device: str | torch.device) -> Translator:
        """Moves the network to a device ("cpu", "cuda:1", ...) and gives the translator itself back. Raises I2IError if
        the device cannot be used."""
        self.device = _device(device)
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
    def in_windows(self, taken: Taken, window: int | None = None) -> np.ndarray:
        """One picture cut into windows (of that many pixels a side), with the norm statistics of all of it: levels."""
        height, width = self.padded(taken)
        cut = self.cut(window)
        tiled = tiles.Tiled(self.network, self._forward, self.multiple)

        def read(rows: slice, columns: slice) -> Tensor:
            return pixels.reflected(taken, rows, columns)

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
        """Gives the norms the statistics of the whole picture, or of a reduced one where that costs too much."""
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
        """The windows for pictures that do not fit."""
        side = side or self.tiling.size
        if not side:
            fits = math.sqrt(self.memory / self.bytes_per_pixel)
            side = min(LARGEST_WINDOW, max(self.multiple, int(fits) // self.multiple * self.multiple))
        return tiles.grid(side, self.multiple, self.radius, self.tiling.overlap)

    def take(self, picture: Any) -> Taken:
        """Reads a picture of any kind. Raises I2IError if it is none."""
        return pixels.take(picture, self.channels_in)

    def give(self, taken: Taken, levels: np.ndarray) -> Any:
        """What `levels` made, in the kind and with the alpha of the picture it was made from."""
        return pixels.give(taken, levels)


def _seeded(network: nn.Module, x: Tensor) -> Tensor:
    """Dropout as the network's source of noise: the same noise for every picture, so that results repeat."""
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
