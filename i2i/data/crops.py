"""Cutting images to the training size, where the target of a pair may be several times as large as its source.

grid: of which positions and whole sizes are multiples, in pixels: the scale for targets, 1 for all others. So the crops
of a pair show the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from i2i.core.errors import I2IError
from i2i.data.sampler import Draws


def drawn(image: np.ndarray, size: int, grid: int, draws: Draws) -> np.ndarray:
    """A crop of size x size pixels at a random position, as a view of [H, W, C]."""
    height, width = image.shape[:2]
    left, top = (draws.below((side - size) // grid + 1) * grid for side in (width, height))
    return image[top : top + size, left : left + size]


def middle(image: np.ndarray, size: int, grid: int) -> np.ndarray:
    """The crop in the middle, as a view; a side that is too short stays as it is."""
    height, width = image.shape[:2]
    left, top = (max(0, (side // grid - size // grid) // 2 * grid) for side in (width, height))
    return image[top : top + size, left : left + size]


def whole(image: np.ndarray, grid: int) -> np.ndarray:
    """The image without the last rows and columns that the grid does not divide, as a view."""
    height, width = (max(1, side // grid) * grid for side in image.shape[:2])
    return image[:height, :width]


def too_small(name: str, shape: tuple[int, ...], size: int) -> I2IError:
    """The error for an image [H, W, C] that has no crop of that size."""
    return I2IError(
        f"{name} has {shape[1]}x{shape[0]} pixels, too few for a crop of {size}.",
        "Use preprocess resize_and_crop, or a smaller size.",
    )


def check_pair(x: Path, y: Path, x_shape: tuple[int, ...], y_shape: tuple[int, ...], scale: int) -> None:
    """Raises I2IError unless the target [H, W, C] is `scale` times as large as its source, but for fewer than `scale`
    pixels at the right and the bottom."""
    if x_shape[:2] == tuple(side // scale for side in y_shape[:2]):
        return
    sizes = f"{x_shape[1]}x{x_shape[0]} and {y_shape[1]}x{y_shape[0]}"
    if scale == 1:
        raise I2IError(
            f"{x} and {y} are a pair of different sizes ({sizes}).",
            "Use preprocess resize_and_crop, or give both images the same size.",
        )
    raise I2IError(
        f"{x} and {y} are a pair of {sizes} pixels, but scale is {scale}.",
        f"The second image must be {scale} times as wide and as high. Give the scale of these images, or one folder of "
        "large images only: the small ones are made then.",
    )
