"""Networks trained with image values from 0 to 1, adapted to i2i's values from -1 to 1."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from i2i.nets.registry import Network


def to_unit(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1], any shape."""
    return (x + 1) / 2


def from_unit(x: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], any shape."""
    return 2 * x - 1


class UnitNetwork(Network, ABC):
    """Base class: a network of images in [0, 1] as `unit`, and of images in [-1, 1] when it is called.

    scale: sides of an output divided by those of its input. multiple: of which the sides of an input must be multiples.
    reach: pixels around an output pixel that matter to it; tiles share that many."""

    scale: int
    multiple: int
    reach: int

    @abstractmethod
    def unit(self, x: Tensor) -> Tensor:
        """Images in [0, 1] -> images in about [0, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] in [-1, 1] -> [B, channels_out, H * scale, W * scale] in about [-1, 1]."""
        return from_unit(self.unit(to_unit(x)))
