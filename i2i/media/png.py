"""Color keys of PNG files: the one gray level or color that is transparent.

The key is stored in the depth of the file. Pillow compares it with pixels that it has scaled to 8 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

KEY = "transparency"  # in Pillow's info
FACTORS = {"1": 255, "L;2": 85, "L;4": 17}  # from the levels of the file to those of Pillow, by Pillow's raw mode


def scale_key(image: Image.Image) -> None:
    """Brings the key of an opened file with less than 8 bits to Pillow's levels."""
    key, factor = image.info.get(KEY), FACTORS.get(_raw_mode(image), 1)
    if isinstance(key, int) and key <= 255 // factor:  # some versions of Pillow scale it themselves
        image.info[KEY] = key * factor


def has_key_of_16_bits(image: Image.Image) -> bool:
    """True if an opened file, not decoded yet, has a key of 16 bits for its color, which Pillow compares with 8."""
    return KEY in image.info and ";16" in _raw_mode(image) and image.mode != "I;16"


def with_alpha(array: np.ndarray, key: object) -> np.ndarray:
    """uint16 [H, W, 1 or 3] with the alpha that a key stands for; unchanged without one, or if it has alpha already."""
    if array.dtype != np.uint16 or array.shape[-1] not in (1, 3) or not isinstance(key, int | tuple):
        return array
    is_key = (array == np.array(key, np.int64)).all(-1, keepdims=True)
    return np.concatenate([array, np.where(is_key, 0, 65535).astype(np.uint16)], -1)


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else ""
    return arguments if isinstance(arguments, str) else str(arguments[0] if arguments else "")
