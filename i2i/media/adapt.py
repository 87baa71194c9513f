"""Images of any kind as networks take them, and results back as the same kind.

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
from i2i.media import color, exif, images, png, uint16
from i2i.media.color import ColorState

Size = int | tuple[int, int] | None  # pixels of the shorter side, (width, height), or None: as it is
LUMA = (0.299, 0.587, 0.114)  # gray from RGB by ITU-R BT.601, as Pillow has it


@dataclass
class PreparedImage:
    """An image prepared for a network, and the way back to its kind."""

    height: int
    width: int
    read: Callable[[slice, slice], Tensor]  # rows, columns -> float32 [C, h, w] in [-1, 1], the network's channels
    to_levels: Callable[[Tensor], np.ndarray]  # float32 [C, h, w] in [-1, 1] -> [h, w, C] in the image's own values
    finish: Callable[[np.ndarray], Any]  # all levels [H, W, C] -> the kind it came as
    alpha: np.ndarray | None = None  # [H, W, 1] in the image's own values
    output: tuple[int, int] | None = None  # width and height of the result; None: as the network makes it
    has_bytes: bool = True  # its own values have 8 bits
    held: int = 0  # pixels that are in memory, where these are not height times width

    @property
    def pixels(self) -> Tensor:
        """The whole image: float32 [C, H, W] in [-1, 1]."""
        return self.read(slice(0, self.height), slice(0, self.width))

    def resized(self, size: Size, scale: int = 1, labels: bool = False) -> PreparedImage:
        """The same image, whose result will have that size (see Translator.__call__); its alpha keeps its size.

        Its pixels are resized before the network, but not for a network that enlarges images `scale` times: it gets
        all there are, and what it makes of them is resized. labels: by the nearest pixel, so that no color is new."""
        if size is None:
            return self
        if scale > 1:
            width, height = target_size(self.width * scale, self.height * scale, size)
            return replace(
                self, output=None if width == self.width * scale and height == self.height * scale else (width, height)
            )
        pixels = resize(self.pixels, size, labels)
        height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
        if (height, width) == (self.height, self.width):
            return self
        return replace(self, height=height, width=width, read=lambda rows, columns: pixels[:, rows, columns])

    def sized(self, levels: np.ndarray) -> np.ndarray:
        """What a network made of the whole image, [h, w, C], in the size that the result will have."""
        if self.output is None:
            return levels
        width, height = self.output
        return resize_levels(levels, height, width)


# ---- kinds of images -------------------------------------------------------------------------------------------


def prepare(image: Any, channels: int) -> PreparedImage:
    """Reads an image of any kind for a network of `channels` input channels. Raises I2IError if it is none."""
    if isinstance(image, bytes | bytearray | memoryview):
        image = io.BytesIO(image)
    if isinstance(image, str | Path) or hasattr(image, "read"):
        with images.open_image(cast("str | Path | BinaryIO", image)) as opened:
            return _prepare_pil(opened, channels)
    if isinstance(image, Image.Image):
        png.read_code(image)
        return _prepare_pil(images.upright(image), channels)
    if isinstance(image, np.ndarray):
        is_flat = image.ndim == 2
        return prepare_array(
            image, channels, lambda levels: levels[..., 0] if is_flat and levels.shape[-1] == 1 else levels
        )
    if isinstance(image, Tensor):
        return _prepare_tensor(image, channels)
    raise I2IError(
        f"An object of the type {type(image).__name__} is no image.",
        "Give a PIL image, an array, a tensor, a path, a file's bytes, or a list of them.",
    )


def restore(prepared: PreparedImage, levels: np.ndarray) -> Any:
    """A network's output, as levels [H, W, C], in the kind and with the alpha of the image it was made from."""
    if prepared.alpha is not None and levels.shape[-1] in (1, 3):
        levels = np.concatenate([levels, resize_levels(prepared.alpha, levels.shape[0], levels.shape[1])], -1)
    return prepared.finish(levels)


def _prepare_pil(image: Image.Image, channels: int) -> PreparedImage:
    """Images go to the network in sRGB and come back in their own profile."""
    profile = exif.icc_profile(image)
    state = ColorState(profile)
    if image.mode.startswith("I"):
        array, state = uint16.into_srgb(images.to_array(image), profile)
    else:
        if image.mode != "F":
            image, state = color.into_srgb(image, profile)
        array = images.to_array(image)

    def finish(levels: np.ndarray) -> Image.Image:
        if levels.shape[-1] > 4:
            raise I2IError(
                f"The model makes {levels.shape[-1]} channels, which no image file holds.",
                "Give arrays or tensors to this model.",
            )
        if levels.dtype == np.uint8:
            return color.out_of_srgb(images.to_pil(levels), state)
        levels, own = uint16.out_of_srgb(uint16.gray_alpha_to_color(levels), state)
        result = images.to_pil(levels)
        if own is not None:
            result.info["icc_profile"] = own
        return result

    return prepare_array(array, channels, finish)


def _prepare_tensor(tensor: Tensor, channels: int) -> PreparedImage:
    if tensor.ndim != 3 or tensor.shape[0] != channels or 0 in tensor.shape:
        raise I2IError(
            f"A tensor of shape {list(tensor.shape)} does not fit.",
            f"Give [C, H, W] or [B, C, H, W] with C = {channels}.",
        )
    is_uint8 = tensor.dtype == torch.uint8
    if not is_uint8 and not tensor.is_floating_point():
        raise I2IError(f"A tensor of {tensor.dtype} is no image.", "Give floats in [-1, 1], or uint8.")
    values = tensor.detach()
    if not is_uint8:
        _check_range(float(values.min()), float(values.max()), "A tensor", "Give floats in [-1, 1], or uint8.")

    def read(rows: slice, columns: slice) -> Tensor:
        part = values[:, rows, columns].to("cpu", torch.float32)
        return (part / 255 - 0.5) / 0.5 if is_uint8 else part

    def to_levels(output: Tensor) -> np.ndarray:
        return images.to_uint8(output) if is_uint8 else output.permute(1, 2, 0).numpy()

    def finish(levels: np.ndarray) -> Tensor:
        return torch.from_numpy(levels).permute(2, 0, 1).contiguous().to(tensor.device, tensor.dtype)

    return PreparedImage(int(tensor.shape[1]), int(tensor.shape[2]), read, to_levels, finish, has_bytes=is_uint8)


def prepare_array(array: np.ndarray, channels: int, finish: Callable[[np.ndarray], Any]) -> PreparedImage:
    """Prepares an array [H, W] or [H, W, C]: uint8, uint16, or floats in [0, 1]. finish: makes its kind from levels.

    An alpha channel that the network does not take is set aside, and the colors are laid on white, as in training: what
    a file stores under its transparent pixels is arbitrary, and would spill into the opaque ones."""
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
        alpha, array = array[..., -1:], images.on_white(array)
    fitted = _fit_channels(array, channels)

    def read(rows: slice, columns: slice) -> Tensor:
        part = np.ascontiguousarray(fitted[rows, columns].transpose(2, 0, 1)).astype(np.float32)
        return torch.from_numpy(part).div_(top).sub_(0.5).div_(0.5)

    def to_levels(output: Tensor) -> np.ndarray:
        levels = output.add(1).mul_(top / 2)
        if top > 1:
            levels.round_()
        return levels.permute(1, 2, 0).numpy().astype(dtype)

    return PreparedImage(array.shape[0], array.shape[1], read, to_levels, finish, alpha, has_bytes=top == 255)


def _check_range(low: float, high: float, what: str, hint: str) -> None:
    """Refuses floats that are not finite or on another scale, such as 0..255; a resize may overshoot a little."""
    if not -2 <= low <= high <= 2:
        raise I2IError(f"{what} with values from {low:g} to {high:g} is no image.", hint)


def _fit_channels(array: np.ndarray, wanted: int) -> np.ndarray:
    """[H, W, C] with the channels that a network takes: gray repeated, color as luma, opaque alpha added."""
    channels = array.shape[-1]
    if channels == wanted:
        return array
    if channels == 1 and wanted == 3:
        return np.broadcast_to(array, (*array.shape[:2], 3))
    if wanted == 4 and channels in (1, 3):
        rgb = _fit_channels(array, 3)
        opaque = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
        return np.concatenate([rgb, np.full_like(rgb[..., :1], opaque)], -1)
    if channels == 3 and wanted == 1:
        if array.dtype == np.uint8:  # exactly as training on gray images reads them
            return np.asarray(Image.fromarray(array).convert("L"))[..., None]
        gray = (array.astype(np.float32) @ np.array(LUMA, np.float32))[..., None]
        return gray.round().astype(array.dtype) if array.dtype == np.uint16 else gray
    raise I2IError(f"An image with {channels} channels does not fit this model.", f"It takes {wanted} channels.")


# ---- sizes -----------------------------------------------------------------------------------------------------


def check_size(size: Size) -> None:
    """Raises I2IError if `size` is not None, a whole number, or two of them, of at least 1."""
    sides = (size,) if isinstance(size, int) else tuple(size) if isinstance(size, tuple | list) else ()
    if size is not None and (
        len(sides) != (1 if isinstance(size, int) else 2) or not all(isinstance(n, int) for n in sides)
    ):
        raise I2IError(f"The size {size!r} is not understood.", "Give N for the shorter side, or a width and a height.")
    if sides and min(sides) < 1:
        asked = "x".join(map(str, sides))
        raise I2IError(f"The size {asked} is not at least 1 pixel.", "Give N for the shorter side, or WIDTHxHEIGHT.")


def target_size(width: int, height: int, size: Size) -> tuple[int, int]:
    """Width and height of an image of `width` x `height` once it is resized to `size`."""
    check_size(size)
    if size is None:
        return width, height
    if isinstance(size, int):
        factor = size / min(height, width)
        return max(1, round(width * factor)), max(1, round(height * factor))
    return size[0], size[1]


def resize(pixels: Tensor, size: Size, labels: bool = False) -> Tensor:
    """[C, H, W] in [-1, 1] -> [C, h, w], bicubic with anti-aliasing; labels: by the nearest pixel, as in training."""
    height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
    new_width, new_height = target_size(width, height, size)
    if (width, height) == (new_width, new_height):
        return pixels
    if labels:
        return functional.interpolate(pixels[None], (new_height, new_width), mode="nearest-exact")[0]
    return _interpolate(pixels, new_height, new_width).clamp(-1, 1)


def _interpolate(pixels: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(pixels[None], (height, width), mode="bicubic", antialias=True, align_corners=False)[0]


def resize_levels(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values [H, W, C], such as an alpha channel, -> [height, width, C] of the same dtype."""
    if levels.shape[:2] == (height, width):
        return levels
    is_float = levels.dtype.kind == "f"
    low, top = (min(0.0, float(levels.min())), 1) if is_float else (0, np.iinfo(levels.dtype).max)
    pixels = torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1)).astype(np.float32))
    resized = _interpolate(pixels, height, width).clamp_(low, top)
    return (resized if is_float else resized.round_()).permute(1, 2, 0).numpy().astype(levels.dtype)


# ---- reflection ------------------------------------------------------------------------------------------------


def pad_reflect(pixels: Tensor, height: int, width: int) -> Tensor:
    """[C, H, W] -> [C, height, width], grown at the lower and right edges by reflection.

    An image smaller than the border is reflected again and again, which torch's own padding refuses."""
    if pixels.shape[-2] != height:
        pixels = pixels.index_select(-2, reflected_indices(int(pixels.shape[-2]), 0, height))
    if pixels.shape[-1] != width:
        pixels = pixels.index_select(-1, reflected_indices(int(pixels.shape[-1]), 0, width))
    return pixels


def reflected_indices(length: int, start: int, stop: int) -> Tensor:
    """Indices [stop - start] into a row of `length` pixels, for positions start..stop of its reflected continuation."""
    if length == 1:
        return torch.zeros(stop - start, dtype=torch.long)
    phase = torch.arange(start, stop) % (2 * length - 2)
    return torch.where(phase < length, phase, 2 * length - 2 - phase)


def read_reflected(image: PreparedImage, rows: slice, columns: slice) -> Tensor:
    """A part [C, h, w] of an image that goes on by reflection below and to the right."""
    down = reflected_indices(image.height, rows.start, rows.stop)
    across = reflected_indices(image.width, columns.start, columns.stop)
    top, left = int(down.min()), int(across.min())
    part = image.read(slice(top, int(down.max()) + 1), slice(left, int(across.max()) + 1))
    if rows.stop > image.height:
        part = part.index_select(-2, down - top)
    if columns.stop > image.width:
        part = part.index_select(-1, across - left)
    return part
