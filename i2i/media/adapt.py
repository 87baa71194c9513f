"""Images as networks take them, from any kind and back to it.

| kind                                  | values                              | comes back as                       |
|---------------------------------------|-------------------------------------|-------------------------------------|
| `PIL.Image`                           | any mode; EXIF orientation applied  | `PIL.Image`                         |
| path, bytes of a file, open file      | as above                            | `PIL.Image`                         |
| array [H, W] or [H, W, C]             | uint8, uint16, or floats in [0, 1]  | array of the same dtype             |
| tensor [C, H, W]                      | floats in [-1, 1], or uint8         | tensor of the same dtype and device |
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from i2i.core.errors import I2IError
from i2i.media import color, images

Size = int | tuple[int, int] | None


@dataclass
class Prepared:
    """An image made ready for the network, and the way back to its kind."""

    height: int
    width: int
    read: Callable[[slice, slice], Tensor]  # rows, columns -> float32 [C, h, w] in [-1, 1], the network's channels
    level: Callable[[Tensor], np.ndarray]  # float32 [C, h, w] in [-1, 1] -> [h, w, C] in the image's own values
    finish: Callable[[np.ndarray], Any]  # all levels [H, W, C] -> the kind it came as
    alpha: np.ndarray | None = None  # [H, W, 1] in the image's own values

    @property
    def pixels(self) -> Tensor:
        """All of it: float32 [C, H, W] in [-1, 1]."""
        return self.read(slice(0, self.height), slice(0, self.width))

    def resized(self, size: Size) -> Prepared:
        """The same image with pixels of another size (see Translator.__call__); its alpha stays."""
        if size is None:
            return self
        pixels = resize(self.pixels, size)
        height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
        if (height, width) == (self.height, self.width):
            return self
        return replace(self, height=height, width=width, read=lambda rows, columns: pixels[:, rows, columns])


def prepare(picture: Any, channels: int) -> Prepared:
    """Reads an image of any kind for a network of `channels` input channels. Raises I2IError if it is none."""
    if isinstance(picture, bytes | bytearray | memoryview):
        picture = io.BytesIO(picture)
    if isinstance(picture, str | Path) or hasattr(picture, "read"):
        with images.open_image(cast("str | Path | BinaryIO", picture)) as image:
            return _take_pil(image, channels)
    if isinstance(picture, Image.Image):
        return _take_pil(images.upright(picture), channels)
    if isinstance(picture, np.ndarray):
        flat = picture.ndim == 2
        return prepare_array(picture, channels, lambda made: made[..., 0] if flat and made.shape[-1] == 1 else made)
    if isinstance(picture, Tensor):
        return _take_tensor(picture, channels)
    raise I2IError(
        f"A {type(picture).__name__} is no image.",
        "Give a PIL image, an array, a tensor, a path, a file's bytes, or a list of them.",
    )


def restore(taken: Prepared, levels: np.ndarray) -> Any:
    """A network's output as levels [H, W, C], in the kind and with the alpha of the image it was made from."""
    if taken.alpha is not None and levels.shape[-1] in (1, 3):
        levels = np.concatenate([levels, resize_levels(taken.alpha, levels.shape[0], levels.shape[1])], -1)
    return taken.finish(levels)


def _take_pil(image: Image.Image, channels: int) -> Prepared:
    """Of 8 bits in sRGB, and back in its own profile; 16 bits keep their numbers."""
    known: tuple[bytes | None, bool] = (image.info.get("icc_profile"), False)
    if not image.mode.startswith("I") and image.mode != "F":
        image, known = in_srgb(image, known[0])
    return prepare_array(to_array(image), channels, lambda made: color.restore_profile(to_pil(made), *known))


def in_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, tuple[bytes | None, bool]]:
    """An upright image of 8 bits (1, 3 or, with alpha, 4 channels) with its colours in sRGB if its profile tells how;
    the profile that has a way back, and whether it was converted."""
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode not in ("CMYK", "RGB", "RGBA", "L", "LA"):
        image = images.convert(image, None)
    was = image.mode
    image, fits = color.into_srgb(image, profile)
    if was == "CMYK":  # there is no way back
        profile = color.srgb_profile() if fits else None
        image = images.convert(image, None)
    return image, (profile, fits)


def _take_tensor(picture: Tensor, channels: int) -> Prepared:
    if picture.ndim != 3 or picture.shape[0] != channels or 0 in picture.shape:
        raise I2IError(
            f"A tensor of shape {list(picture.shape)} does not fit.",
            f"Give [C, H, W] or [B, C, H, W] with C = {channels}.",
        )
    whole = picture.dtype == torch.uint8
    if not whole and not picture.is_floating_point():
        raise I2IError(f"A tensor of {picture.dtype} is no image.", "Give floats in [-1, 1], or uint8.")
    held = picture.detach()
    if not whole:
        _check_range(float(held.min()), float(held.max()), "A tensor", "Give floats in [-1, 1], or uint8.")

    def read(rows: slice, columns: slice) -> Tensor:
        part = held[:, rows, columns].to("cpu", torch.float32)
        return (part / 255 - 0.5) / 0.5 if whole else part

    def level(made: Tensor) -> np.ndarray:
        return images.to_uint8(made) if whole else made.permute(1, 2, 0).numpy()

    def finish(made: np.ndarray) -> Tensor:
        return torch.from_numpy(made).permute(2, 0, 1).contiguous().to(picture.device, picture.dtype)

    return Prepared(int(picture.shape[1]), int(picture.shape[2]), read, level, finish)


def prepare_array(array: np.ndarray, channels: int, finish: Callable[[np.ndarray], Any]) -> Prepared:
    """An array [H, W] or [H, W, C] (uint8, uint16, or floats in [0, 1]); `finish` makes the kind from an array."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or 0 in array.shape:
        raise I2IError(f"An array of shape {list(array.shape)} is no image.", "Give [H, W] or [H, W, C].")
    dtype = array.dtype
    top = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}.get(dtype, 1)
    if top == 1 and dtype.kind != "f":
        raise I2IError(f"An array of {dtype} is no image.", "Give uint8, uint16, or floats in [0, 1].")
    if top == 1:
        low, high = float(array.min()), float(array.max())
        _check_range(low, high, "An array of floats", "Give floats in [0, 1], or uint8.")
    alpha = None
    if array.shape[-1] in (2, 4) and array.shape[-1] != channels:
        alpha, array = array[..., -1:], array[..., :-1]
    fitted = _fit_channels(array, channels)

    def read(rows: slice, columns: slice) -> Tensor:
        part = np.ascontiguousarray(fitted[rows, columns].transpose(2, 0, 1)).astype(np.float32)
        return torch.from_numpy(part).div_(top).sub_(0.5).div_(0.5)

    def level(made: Tensor) -> np.ndarray:
        levels = made.add(1).mul_(top / 2)
        if top > 1:
            return levels.round_().permute(1, 2, 0).numpy().astype(dtype)
        return levels.permute(1, 2, 0).numpy().astype(dtype)

    return Prepared(array.shape[0], array.shape[1], read, level, finish, alpha)


def _check_range(low: float, high: float, what: str, hint: str) -> None:
    """Refuses floats that are no image's: not numbers, or on another scale; a resize may overshoot a little."""
    if not -2 <= low <= high <= 2:
        raise I2IError(f"{what} with values from {low:g} to {high:g} is no image.", hint)


def _fit_channels(array: np.ndarray, wanted: int) -> np.ndarray:
    channels = array.shape[-1]
    if channels == wanted:
        return array
    if channels == 1 and wanted == 3:
        return np.broadcast_to(array, (*array.shape[:2], 3))
    if wanted == 4 and channels in (1, 3):  # what has no transparency is opaque
        colours = _fit_channels(array, 3)
        opaque = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
        return np.concatenate([colours, np.full_like(colours[..., :1], opaque)], -1)
    if channels == 3 and wanted == 1:
        if array.dtype == np.uint8:  # exactly what training on grey images reads
            return np.asarray(Image.fromarray(array).convert("L"))[..., None]
        grey = (array.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
        return grey.round().astype(array.dtype) if array.dtype == np.uint16 else grey
    raise I2IError(f"An image with {channels} channels does not fit this model.", f"It takes {wanted} channels.")


def check_size(size: Size) -> None:
    """Raises I2IError if that is no size to ask for."""
    sides = (size,) if isinstance(size, int) else tuple(size) if isinstance(size, tuple | list) else ()
    if size is not None and (
        len(sides) != (1 if isinstance(size, int) else 2) or not all(isinstance(n, int) for n in sides)
    ):
        raise I2IError(f"The size {size!r} is not understood.", "Give N for the shorter side, or a width and a height.")
    if sides and min(sides) < 1:
        asked = "x".join(map(str, sides))
        raise I2IError(f"The size {asked} is not at least 1 pixel.", "Give N for the shorter side, or WIDTHxHEIGHT.")


def target_size(width: int, height: int, size: Size) -> tuple[int, int]:
    """Width and height of an image of `width` x `height` in another size: the shorter side N, or (width, height)."""
    check_size(size)
    if size is None:
        return width, height
    if isinstance(size, int):
        factor = size / min(height, width)
        return max(1, round(width * factor)), max(1, round(height * factor))
    return size[0], size[1]


def resize(pixels: Tensor, size: Size) -> Tensor:
    """An image [C, H, W] in another size (bicubic, anti-aliased): the shorter side N, or (width, height)."""
    height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
    wide, high = target_size(width, height, size)
    if (width, height) == (wide, high):
        return pixels
    return _interpolate(pixels, high, wide).clamp(-1, 1)


def _interpolate(pixels: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(pixels[None], (height, width), mode="bicubic", antialias=True, align_corners=False)[0]


def resize_levels(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values [H, W, C] (an alpha channel) in another size, in the same type."""
    if levels.shape[:2] == (height, width):
        return levels
    top = 1 if levels.dtype.kind == "f" else np.iinfo(levels.dtype).max
    pixels = torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1)).astype(np.float32))
    made = _interpolate(pixels, height, width).clamp_(0, top)
    return (made if top == 1 else made.round_()).permute(1, 2, 0).numpy().astype(levels.dtype)


def pad_reflect(pixels: Tensor, height: int, width: int) -> Tensor:
    """An image [C, H, W] grown to `height` x `width` at its right and lower edges by reflection, as often as it
    takes: images smaller than the border repeat their reflection."""
    if pixels.shape[-2] != height:
        pixels = pixels.index_select(-2, _places(int(pixels.shape[-2]), 0, height))
    if pixels.shape[-1] != width:
        pixels = pixels.index_select(-1, _places(int(pixels.shape[-1]), 0, width))
    return pixels


def _places(old: int, start: int, stop: int) -> Tensor:
    """Which of `old` pixels stand at places start..stop of a row that goes on by reflection."""
    if old == 1:
        return torch.zeros(stop - start, dtype=torch.long)
    step = torch.arange(start, stop) % (2 * old - 2)
    return torch.where(step < old, step, 2 * old - 2 - step)


def read_reflected(taken: Prepared, rows: slice, columns: slice) -> Tensor:
    """A part [C, h, w] of an image that goes on by reflection below and to the right."""
    down, across = _places(taken.height, rows.start, rows.stop), _places(taken.width, columns.start, columns.stop)
    top, left = int(down.min()), int(across.min())
    part = taken.read(slice(top, int(down.max()) + 1), slice(left, int(across.max()) + 1))
    if rows.stop > taken.height:
        part = part.index_select(-2, down - top)
    if columns.stop > taken.width:
        part = part.index_select(-1, across - left)
    return part


def to_array(image: Image.Image) -> np.ndarray:
    """[H, W, C] of an upright PIL image: uint16 for 16-bit grey, else uint8 with 1, 3 or (with alpha) 4 channels."""
    if not image.mode.startswith("I"):
        return images.to_array(images.convert(image, None))
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise I2IError("An image of 32-bit integers is not supported.", "Give 8 or 16 bits.")
    return values.astype(np.uint16)[..., None]


def to_pil(array: np.ndarray) -> Image.Image:
    """The PIL image of [H, W, C], C of 1 to 4; 16 bits stay for grey and become 8 otherwise."""
    channels = array.shape[-1]
    if channels > 4:
        raise I2IError(f"{channels} channels are no image file.", "Give arrays or tensors to this model.")
    if array.dtype == np.uint16:
        if channels == 1:
            return Image.fromarray(np.ascontiguousarray(array[..., 0]))
        array = (array.astype(np.float32) / 257).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if channels == 1 else array))
