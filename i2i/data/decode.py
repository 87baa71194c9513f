"""From a file to uint8 [H, W, C] of the size that the random crop starts from.

`exact` is Pillow throughout, as the papers' code. `fast` gives the same decoded pixels (libjpeg-turbo by torchvision
instead of Pillow) and resizes by torch's vectorised bicubic: equal to Pillow's in 99.8 % of the values, off by one
level in the rest, by two in about five of a million. Training uses fast; previews and evaluation use exact.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from i2i import images
from i2i.data.layouts import LEFT, WHOLE, Place

Size = Callable[[int, int], tuple[int, int]]  # (width, height) of a picture -> (width, height) wanted

_jpeg: Any = None
try:  # torchvision without its image extension still imports; then Pillow decodes
    from torchvision.io import ImageReadMode, decode_jpeg

    _jpeg = decode_jpeg
except (ImportError, RuntimeError, OSError):  # pragma: no cover
    pass


def exact(place: Place, channels: int, size: Size) -> np.ndarray:
    """uint8 [H, W, channels], by Pillow. Raises I2IError naming the file."""
    with images.opened(place.path) as image:
        image = images.convert(image, channels, source=place.path)
        if place.part != WHOLE:
            middle = image.width // 2
            left, right = (0, middle) if place.part == LEFT else (middle, image.width)
            image = image.crop((left, 0, right, image.height))
        wanted = size(*image.size)
        return images.to_array(image if wanted == image.size else image.resize(wanted, Image.Resampling.BICUBIC))


def fast(place: Place, channels: int, size: Size) -> np.ndarray:
    """As `exact`, faster. Raises I2IError naming the file."""
    return resized(half(whole(place.path, channels), place.part), size)


def fast_pair(path: Path, channels: tuple[int, int], size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Left and right half of one file, each as `fast` gives it, decoded once."""
    a = whole(path, channels[0])
    b = a if channels[1] == channels[0] else whole(path, channels[1])
    return resized(half(a, LEFT), size), resized(half(b, 1), size)


def half(array: np.ndarray, part: int) -> np.ndarray:
    """One half of a picture (a view), or all of it."""
    if part == WHOLE:
        return array
    middle = array.shape[1] // 2
    return array[:, :middle] if part == LEFT else array[:, middle:]


def whole(path: Path, channels: int) -> np.ndarray:
    """uint8 [H, W, channels] of a file; a plain JPEG takes the fast road. Raises I2IError naming the file."""
    if _jpeg is not None and path.suffix.lower() in (".jpg", ".jpeg"):
        with images.opened(path, load=False) as image:
            plain = image.format == "JPEG" and image.mode == {1: "L", 3: "RGB"}.get(channels)
            plain = plain and image.getexif().get(0x0112, 1) == 1
        if plain:
            mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
            try:
                data = torch.from_numpy(np.fromfile(path, np.uint8))
                return _jpeg(data, mode=mode).permute(1, 2, 0).numpy()
            except (RuntimeError, OSError, ValueError):
                pass  # Pillow, below, says in words what is wrong
    return images.read(path, channels)


def resized(array: np.ndarray, size: Size) -> np.ndarray:
    """uint8 [H, W, C] brought to `size` by antialiased bicubic interpolation, in memory of its own."""
    height, width = array.shape[:2]
    wanted = size(width, height)
    if wanted == (width, height):
        return np.ascontiguousarray(array)
    picture = torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None]
    made = functional.interpolate(picture, (wanted[1], wanted[0]), mode="bicubic", antialias=True)
    return np.ascontiguousarray(made[0].permute(1, 2, 0).numpy())
