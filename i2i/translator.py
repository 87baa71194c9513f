"""A loaded model as a function of pictures: what `i2i.load` returns.

PIL pictures, arrays, tensors, paths and lists of them go in; the same kinds come out, in the size they came in:

| in                                    | values                              | out                                 |
|---------------------------------------|-------------------------------------|-------------------------------------|
| `PIL.Image`                           | any mode; EXIF orientation applied  | `PIL.Image`                         |
| path                                  | as above                            | `PIL.Image`                         |
| array [H, W] or [H, W, C]             | uint8, uint16, or floats in [0, 1]  | array of the same dtype             |
| tensor [C, H, W] or [B, C, H, W]      | floats in [-1, 1], or uint8         | tensor of the same dtype and device |

Grey and colour are turned into what the network takes (tensors are not: their channels must fit). An alpha channel is
kept aside and put back untouched. 16 bits stay 16 bits where the kind can hold them (Pillow has no 16-bit colour).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from i2i import bundle, images, zoo
from i2i.errors import I2IError, nearest
from i2i.nets.blocks import as_tested

SMALLEST = 8  # pixels; under this the inner maps of a generator are a single pixel, which no norm or padding can take
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
NETWORK_OF = {"AtoB": "G", "BtoA": "F"}
GENERATORS = ("unet", "resnet")
Size = int | tuple[int, int] | None


def load(
    model: str | Path,
    device: str = "auto",
    precision: str = "fp32",
    direction: str = "AtoB",
    statistics: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Translator:
    """The translator of a saved model.

    model: a .safetensors file, a run's folder, a .pth file of the papers' authors, or a name of `i2i models` (fetched
    on first use; `progress(bytes, total)` is told). precision: fp32, bf16 or fp16. direction: AtoB, the way the model
    was trained, or BtoA, the way back, which CycleGAN models hold too. statistics: what batch normalisation uses, the
    `picture`'s own (as pix2pix does) or the `stored` ones of the training; `auto` does what the model says.
    Raises I2IError for anything unknown, missing or unreadable.
    """
    place = _device(device)
    if precision not in PRECISIONS:
        raise I2IError(f"Precision {precision!r} is unknown.", nearest(precision, PRECISIONS))
    if precision == "fp16" and place.type == "cpu":
        raise I2IError("fp16 is for GPUs; this would run on the CPU.", "Give bf16 or fp32.")
    if direction not in NETWORK_OF:
        raise I2IError(f"Direction {direction!r} is unknown.", nearest(direction, NETWORK_OF))
    if statistics not in ("auto", "picture", "stored"):
        raise I2IError(f"Statistics {statistics!r} is unknown.", nearest(statistics, ("auto", "picture", "stored")))
    path = find(model, progress)
    header, net = _read(path, NETWORK_OF[direction], direction)
    if statistics != "auto":
        header = {**header, "train_mode_norm": statistics == "picture"}
    return Translator(net.to(place), header, name_of(model), PRECISIONS[precision])


def find(model: str | Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """The file of a model given by path, run folder or name; a published model is fetched. Raises I2IError."""
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
    if path.suffix in (".safetensors", ".pth", ".pt") or len(path.parts) > 1:
        raise I2IError(f"There is no model at {path}.", "Give a file, a run's folder, or a name of `i2i models`.")
    raise I2IError(f"No model is called {str(model)!r}, and there is no such file.", nearest(str(model), zoo.names()))


def name_of(model: str | Path) -> str:
    """A short name for a model: its file's stem, its run's folder, or its name."""
    path = Path(model)
    if path.name == "model.safetensors":
        path = path.resolve().parent
    elif path.is_dir():
        path = path.resolve()
    return path.stem if path.suffix in (".safetensors", ".pth", ".pt") else path.name


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


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise I2IError(f"The device {name!r} cannot be used: {str(error).splitlines()[0]}") from error


@dataclass
class Taken:
    """A picture made ready for the network, and the way back to its kind."""

    pixels: Tensor  # float32 [C, H, W] in [-1, 1] with the network's channels
    alpha: Tensor | None  # float32 [1, H, W] in [0, 1]
    back: Callable[[Tensor, Tensor | None], Any]  # (float32 [C, H, W], alpha of its size) -> the kind it came as


class Translator:
    """A model that maps pictures to pictures; see the module's docstring for the kinds. Safe to call from threads."""

    def __init__(
        self, network: nn.Module, header: dict[str, Any], name: str = "model", dtype: torch.dtype | None = None
    ) -> None:
        self.noisy = bool(header.get("dropout_at_test"))
        self.network = as_tested(network, bool(header.get("train_mode_norm")), self.noisy).requires_grad_(False)
        self.header, self.name, self.dtype = header, name, dtype
        self.device = next(network.parameters()).device
        arguments: dict[str, Any] = dict(getattr(network, "arguments", {}))
        self.channels_in = int(arguments.get("channels_in", header.get("channels_in", 3)))
        self.channels_out = int(arguments.get("channels_out", header.get("channels_out", 3)))
        self.multiple = int(getattr(network, "multiple", header.get("multiple", 1)))

    def __call__(self, pictures: Any, *, size: Size = None, batch: int = 8) -> Any:
        """Translates a picture or a list of pictures.

        size: None keeps each picture's size, N makes its shorter side N pixels, (width, height) is exact. batch: most
        pictures in one pass of the network; only those of equal padded size share one, and the result does not depend
        on it (but for rounding in the last bits). Raises I2IError for what is no picture or has channels that do not
        fit.
        """
        if isinstance(pictures, list | tuple):
            flat = list(pictures)
        elif isinstance(pictures, Tensor) and pictures.ndim == 4:
            made = self([*pictures], size=size, batch=batch)
            return torch.stack(made)
        else:
            return self([pictures], size=size, batch=batch)[0]
        taken = [self.take(p) for p in flat]
        ready = [resize(t.pixels, size) for t in taken]
        groups: dict[tuple[int, int], list[int]] = {}
        for i, pixels in enumerate(ready):
            groups.setdefault(self.padded(pixels), []).append(i)
        made = [None] * len(flat)
        for members in groups.values():
            for start in range(0, len(members), max(1, batch)):
                part = members[start : start + max(1, batch)]
                for i, out in zip(part, self.run([ready[i] for i in part])):
                    made[i] = self.give(taken[i], out)
        return made

    def padded(self, pixels: Tensor) -> tuple[int, int]:
        """Height and width that the network sees for a picture [C, H, W]."""
        height, width = (max(SMALLEST, int(n)) for n in pixels.shape[-2:])
        return -(-height // self.multiple) * self.multiple, -(-width // self.multiple) * self.multiple

    @torch.inference_mode()
    def run(self, pictures: Sequence[Tensor]) -> list[Tensor]:
        """The network on pictures [C, H, W] of one padded size: float32 on the CPU, cut back to their own sizes."""
        height, width = self.padded(pictures[0])
        x = torch.stack([reflect(p, height, width) for p in pictures]).to(self.device)
        if self.device.type == "cuda":
            x = x.contiguous(memory_format=torch.channels_last)
        if self.noisy:
            y = torch.cat([self._noisy(one[None]) for one in x])
        else:
            y = self._forward(x)
        y = y.float().clamp(-1, 1).cpu()
        scale = y.shape[-2] // height  # 1, or the factor of an enlarging network
        return [out[:, : p.shape[-2] * scale, : p.shape[-1] * scale] for out, p in zip(y, pictures)]

    def _forward(self, x: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            made: Tensor = self.network(x)
        return made

    def _noisy(self, x: Tensor) -> Tensor:
        """Dropout as the network's source of noise: the same noise for every picture, so that results repeat."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            return self._forward(x)

    def take(self, picture: Any) -> Taken:
        """Reads a picture of any kind."""
        if isinstance(picture, str | Path):
            with images.opened(picture) as image:
                return self._take_pil(image)
        if isinstance(picture, Image.Image):
            return self._take_pil(images.upright(picture))
        if isinstance(picture, np.ndarray):
            flat = picture.ndim == 2
            return self._take_array(picture, lambda made: made[..., 0] if flat and made.shape[-1] == 1 else made)
        if isinstance(picture, Tensor):
            return self._take_tensor(picture)
        raise I2IError(
            f"A {type(picture).__name__} is no picture.", "Give a PIL picture, an array, a tensor, a path, or a list."
        )

    def give(self, taken: Taken, made: Tensor) -> Any:
        """The network's output `made` [C, H, W] in the kind and with the alpha of the picture it was made from."""
        alpha = taken.alpha
        if alpha is not None and alpha.shape[-2:] != made.shape[-2:]:
            alpha = _interpolate(alpha, int(made.shape[-2]), int(made.shape[-1])).clamp(0, 1)
        return taken.back(made, alpha)

    def _take_pil(self, image: Image.Image) -> Taken:
        profile = image.info.get("icc_profile")

        def finish(made: np.ndarray) -> Image.Image:
            picture = to_pil(made)
            # a profile says what the numbers mean: one for colour says nothing about grey, and the other way round
            if profile and profile[16:20] == (b"GRAY" if picture.mode in ("L", "LA", "I;16") else b"RGB "):
                picture.info["icc_profile"] = profile
            return picture

        return self._take_array(to_array(image), finish)

    def _take_tensor(self, picture: Tensor) -> Taken:
        if picture.ndim != 3 or picture.shape[0] != self.channels_in or 0 in picture.shape:
            raise I2IError(
                f"A tensor of shape {list(picture.shape)} does not fit.",
                f"Give [C, H, W] or [B, C, H, W] with C = {self.channels_in}.",
            )
        whole = picture.dtype == torch.uint8
        if not whole and not picture.is_floating_point():
            raise I2IError(f"A tensor of {picture.dtype} is no picture.", "Give floats in [-1, 1], or uint8.")

        def back(made: Tensor, _: Tensor | None) -> Tensor:
            if whole:
                made = ((made + 1) / 2 * 255).round()
            return made.to(picture.device, picture.dtype)

        pixels = picture.detach().to("cpu", torch.float32)
        return Taken((pixels / 255 - 0.5) / 0.5 if whole else pixels, None, back)

    def _take_array(self, array: np.ndarray, finish: Callable[[np.ndarray], Any]) -> Taken:
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3 or 0 in array.shape:
            raise I2IError(f"An array of shape {list(array.shape)} is no picture.", "Give [H, W] or [H, W, C].")
        dtype = array.dtype
        top = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}.get(dtype, 1)
        if top == 1 and dtype.kind != "f":
            raise I2IError(f"An array of {dtype} is no picture.", "Give uint8, uint16, or floats in [0, 1].")
        alpha = None
        channels = array.shape[-1]
        if channels in (2, 4) and channels != self.channels_in:
            alpha = torch.from_numpy(array[..., -1:].astype(np.float32) / top).permute(2, 0, 1)
            array = array[..., :-1]
        array = self._fit_channels(array)

        def back(made: Tensor, alpha: Tensor | None) -> Any:
            levels = (made + 1) / 2
            if alpha is not None and levels.shape[0] in (1, 3):
                levels = torch.cat([levels, alpha])
            values = levels.permute(1, 2, 0).numpy()
            return finish((values * top).round().astype(dtype) if top > 1 else values.astype(dtype))

        pixels = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).permute(2, 0, 1)
        return Taken((pixels / top - 0.5) / 0.5, alpha, back)

    def _fit_channels(self, array: np.ndarray) -> np.ndarray:
        channels, wanted = array.shape[-1], self.channels_in
        if channels == wanted:
            return array
        if channels == 1 and wanted == 3:
            return np.repeat(array, 3, axis=-1)
        if channels == 3 and wanted == 1:
            if array.dtype == np.uint8:  # exactly what training on grey pictures reads
                return np.asarray(Image.fromarray(array).convert("L"))[..., None]
            grey = (array.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
            return grey.round().astype(array.dtype) if array.dtype == np.uint16 else grey
        raise I2IError(f"A picture with {channels} channels does not fit this model.", f"It takes {wanted} channels.")


def resize(pixels: Tensor, size: Size) -> Tensor:
    """A picture [C, H, W] in another size (bicubic, anti-aliased): the shorter side N, or (width, height)."""
    if size is None:
        return pixels
    height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
    if isinstance(size, int):
        factor = size / min(height, width)
        size = (max(1, round(width * factor)), max(1, round(height * factor))) if size > 0 else (0, 0)
    if min(size) < 1:
        raise I2IError("A size must be at least 1 pixel.", "Give N for the shorter side, or a width and a height.")
    if (width, height) == tuple(size):
        return pixels
    return _interpolate(pixels, size[1], size[0]).clamp(-1, 1)


def _interpolate(pixels: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(pixels[None], (height, width), mode="bicubic", antialias=True, align_corners=False)[0]


def reflect(pixels: Tensor, height: int, width: int) -> Tensor:
    """A picture [C, H, W] grown to `height` x `width` at its right and lower edges by reflection, as often as it
    takes: pictures smaller than the border repeat their reflection."""

    def places(old: int, new: int) -> Tensor:
        if old == 1:
            return torch.zeros(new, dtype=torch.long)
        step = torch.arange(new) % (2 * old - 2)
        return torch.where(step < old, step, 2 * old - 2 - step)

    if pixels.shape[-2] != height:
        pixels = pixels.index_select(-2, places(int(pixels.shape[-2]), height))
    if pixels.shape[-1] != width:
        pixels = pixels.index_select(-1, places(int(pixels.shape[-1]), width))
    return pixels


def to_array(image: Image.Image) -> np.ndarray:
    """[H, W, C] of an upright PIL picture: uint16 for 16-bit grey, else uint8 with 1, 3 or (with alpha) 4 channels."""
    if not image.mode.startswith("I"):
        return images.to_array(images.convert(image, None))
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise I2IError("A picture of 32-bit integers is not supported.", "Give 8 or 16 bits.")
    return values.astype(np.uint16)[..., None]


def to_pil(array: np.ndarray) -> Image.Image:
    """The PIL picture of [H, W, C], C of 1 to 4; 16 bits stay for grey and become 8 otherwise."""
    channels = array.shape[-1]
    if channels > 4:
        raise I2IError(f"{channels} channels are no picture file.", "Give arrays or tensors to this model.")
    if array.dtype == np.uint16:
        if channels == 1:
            return Image.fromarray(np.ascontiguousarray(array[..., 0]))
        array = (array.astype(np.float32) / 257).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if channels == 1 else array))
