"""The contract between data and training: batches, their shape, and what the loop calls on a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from i2i.media.palette import Palette
from i2i.nets.domains import Domains


@dataclass(frozen=True)
class Shape:
    """What a method has to know about the data; read from the images themselves."""

    channels_in: int = 3  # channels of x (source)
    channels_out: int = 3  # channels of y (target)
    size: int = 256  # pixels, side of the square training crop; of y, where x is smaller
    classes: int = 0  # number of classes; 0 without labels
    scale: int = 1  # sides of y divided by those of x
    domains: Domains | None = None  # attributes and classes between which images are translated
    palette: str = ""  # of label maps as x, as text of `i2i.media.palette`; empty: x is an image
    label_edges: bool = False  # label maps get a last channel with the edges between things

    @property
    def size_in(self) -> int:
        """Side of the training crop of x, in pixels."""
        return self.size // self.scale

    @property
    def channels_seen(self) -> int:
        """Channels of x as networks see it: of label maps, one for each class."""
        return Palette.of_text(self.palette).count + self.label_edges if self.palette else self.channels_in


@dataclass
class Batch:
    """One process's part of a step. Images are float32 [B, C, H, W] in [-1, 1].

    Layout paired: x the source and y its target, `scale` times as large; unpaired: x from A and y from B; images: x;
    labelled: x and c;
    attributes: x and c; with two data sets c is [B, k + n], the k attributes of x and the n one-hot classes of y.
    """

    x: Tensor
    y: Tensor | None = None
    c: Tensor | None = None  # int64 [B], class index; layout attributes: float32 [B, k] for k attributes
    ids: Tensor | None = None  # int64 [B], number of each sample in the order of training, from 0

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str, **kwargs: Any) -> Batch:
        """The batch on `device`; `kwargs` (dtype, memory_format, ...) are those of Tensor.to, for the images only."""

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


class TrainingData(Protocol):
    """What training asks of a data set; `i2i.data.Data` documents the methods."""

    @property
    def count(self) -> int: ...  # samples in an epoch
    def batches(self, start: int, batch: int, rank: int, world: int, seed: int) -> Iterator[Batch]: ...
    def fixed(self, n: int) -> Batch: ...
    def augment_on_device(self, batch: Batch, seed: int) -> Batch: ...
