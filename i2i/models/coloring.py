"""Models that color: an image keeps its size and its brightness, and gets the colors that a network makes.

The network sees the image's brightness alone, squeezed into a square of one size (16 pixels times the render factor),
as in DeOldify: colors are soft, so they need fewer pixels than edges. So a large image needs no tiles, its colors are
decided of the whole image at once, and the colors that it has already make no difference.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.media import images, luma
from i2i.media.adapt import PreparedImage
from i2i.models.tiling import TileSettings
from i2i.models.translator import Translator

BASE = 16  # pixels of the square for a render factor of 1
LARGEST = 512  # pixels; side of the square of a model that does not say one, at most
LARGEST_FACTOR = 256
STRIP = 1 << 20  # pixels that are merged at once


class ColorTranslator(Translator):
    """A Translator that gives images the colors of its network. Headers with `colorizes` ask for it.

    render_factor of the header: the square's side in units of 16 pixels; 0 or none: the size of the training."""

    def __init__(
        self,
        network: nn.Module,
        header: Mapping[str, Any],
        name: str = "model",
        dtype: torch.dtype | None = None,
        tiling: TileSettings | None = None,
    ) -> None:
        super().__init__(network, header, name, dtype, TileSettings(size=0))  # the square is never cut
        factor = int(header.get("render_factor") or 0)
        self.side = factor * BASE or int(header.get("size") or 0)

    def with_tiling(self, settings: TileSettings) -> Translator:
        """The same model: its colors are made of the whole image at once, so there are no tiles."""
        return self

    def with_render_factor(self, factor: int) -> Translator:
        """The same model with another size of the square; see Translator.with_render_factor."""
        check_render_factor(factor)
        if not factor:
            return self
        other = copy.copy(self)
        other.side = factor * BASE
        return other

    def adapt(self, image: PreparedImage) -> PreparedImage:
        """The brightness of an image in a square, as the network takes it, and the way back to the colored image."""
        height, width = self.sides_for(image)
        square = functools.cache(lambda: self.square(image, height, width))
        return dataclasses.replace(
            image,
            height=height,
            width=width,
            read=lambda rows, columns: square()[:, rows, columns],
            to_levels=lambda colors: painted(image, colors),
            held=image.height * image.width,
        )

    def sides_for(self, image: PreparedImage) -> tuple[int, int]:
        """Height and width of what the network sees of an image."""
        if self.side:
            side = -(-self.side // self.multiple) * self.multiple
            return side, side
        if max(image.height, image.width) <= LARGEST:
            return image.height, image.width
        side = LARGEST // self.multiple * self.multiple or self.multiple
        return side, side

    def square(self, image: PreparedImage, height: int, width: int) -> Tensor:
        """The brightness of the whole image: float32 [channels_in, height, width] in [-1, 1]."""
        pixels = image.pixels
        if not image.has_bytes:
            gray = luma.gray(pixels[None])
            if (height, width) != (image.height, image.width):
                gray = fn.interpolate(gray, (height, width), mode="bilinear", antialias=True).clamp(-1, 1)
            return gray[0, : self.channels_in]
        levels = luma.squeezed(images.to_uint8(pixels), height, width)
        return (torch.from_numpy(levels.astype(np.float32)) / 127.5 - 1).expand(self.channels_in, -1, -1)


def painted(image: PreparedImage, colors: Tensor) -> np.ndarray:
    """The brightness of `image` with `colors` [3, h, w] in [-1, 1]: [H, W, 3] in the image's own values."""
    height, width = image.height, image.width
    merge = _of_bytes(image, colors) if image.has_bytes else _of_floats(image, colors)
    step = max(1, STRIP // width)
    return np.concatenate([merge(slice(top, min(top + step, height))) for top in range(0, height, step)])


def _of_bytes(image: PreparedImage, colors: Tensor) -> Callable[[slice], np.ndarray]:
    """Rows -> uint8, as DeOldify merges them; but no color moves the brightness."""
    large = luma.enlarged(luma.truncated(colors), image.height, image.width)

    def merge(rows: slice) -> np.ndarray:
        own = image.to_levels(image.read(rows, slice(0, image.width)))
        own = np.repeat(own, 3, -1) if own.shape[-1] == 1 else own[..., :3]
        return luma.merged(own, luma.within_range(own, large[rows]))

    return merge


def _of_floats(image: PreparedImage, colors: Tensor) -> Callable[[slice], np.ndarray]:
    """Rows -> values, for images of floats and of 16 bits."""
    large = colors[None]
    if large.shape[-2:] != (image.height, image.width):
        large = fn.interpolate(large, (image.height, image.width), mode="bilinear", antialias=True)

    def merge(rows: slice) -> np.ndarray:
        own = image.read(rows, slice(0, image.width))[None]
        return image.to_levels(luma.colored(own[:, :3], large[:, :, rows])[0])

    return merge


def check_render_factor(factor: int) -> None:
    """Raises I2IError for a render factor that is not allowed."""
    if not 0 <= factor <= LARGEST_FACTOR:
        raise I2IError(
            f"The render factor is {factor}.", f"Allowed: 1 to {LARGEST_FACTOR}, or 0 for that of the model."
        )
