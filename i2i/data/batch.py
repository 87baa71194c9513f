"""What the loop gets from a data set (Batch), and what a method must know of it (Shape)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """What a method has to know of the data, read from the images themselves."""

    channels_in: int = 3  # channels of x (source)
    channels_out: int = 3  # channels of y (target)
    size: int = 256  # pixels, side of the square training crop
    classes: int = 0  # number of classes; 0 without labels


@dataclass
class Batch:
    """One process's part of a step. Images are float32 [B, C, H, W] in [-1, 1].

    paired: x source, y target of the same place; unpaired: x from A, y from B; images: x; labelled: x and c.
    """

    x: Tensor
    y: Tensor | None = None
    c: Tensor | None = None  # int64 [B], class index
    ids: Tensor | None = None  # int64 [B], number of each sample in the order of training, counted from 0

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str, **kwargs: Any) -> Batch:
        """The same batch on `device` (dtype changes reach the images only)."""

        def move(t: Tensor | None, floating: bool = True) -> Tensor | None:
            return None if t is None else t.to(device, **(kwargs if floating else {}))

        x = self.x.to(device, **kwargs)
        return replace(self, x=x, y=move(self.y), c=move(self.c, False), ids=move(self.ids, False))

    def split(self, parts: int) -> list[Batch]:
        """`parts` micro-batches of equal size, in order."""
        n = len(self) // parts

        def cut(t: Tensor | None, i: int) -> Tensor | None:
            return None if t is None else t[i * n : (i + 1) * n]

        return [
            Batch(self.x[i * n : (i + 1) * n], cut(self.y, i), cut(self.c, i), cut(self.ids, i)) for i in range(parts)
        ]
