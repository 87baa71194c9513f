"""From images uint8 [H, W, C] to the batch that training sees."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.data.batch import Batch

Raw = tuple[np.ndarray, np.ndarray | None, list[Any] | None, list[int]]  # x uint8 [B, C, H, W], y, classes, ids


def batch_of(raw: Raw) -> Batch:
    """Arrays uint8 [B, C, H, W] as the batch that training sees."""
    x, y, labels, ids = raw
    return Batch(
        x=_floats(x),
        y=None if y is None else _floats(y),
        c=None if labels is None else _answers(labels),
        ids=torch.tensor(ids, dtype=torch.int64),
    )


def _floats(array: np.ndarray) -> Tensor:
    """uint8 to float32, each value bit for bit (u / 255 - 0.5) / 0.5."""
    return torch.from_numpy(array).to(torch.float32).div_(127.5).sub_(1)


def _answers(labels: list[Any]) -> Tensor:
    """Classes as int64 [B], attributes as float32 [B, k]."""
    return torch.tensor(labels, dtype=torch.float32 if isinstance(labels[0], list) else torch.int64)


def stacked(rows: list[np.ndarray]) -> np.ndarray:
    """Images uint8 [H, W, C] as one array [B, C, H, W]. Moving the channels of bytes is cheaper than of floats."""
    if len({r.shape for r in rows}) > 1:
        sizes = ", ".join(sorted({f"{r.shape[1]}x{r.shape[0]}" for r in rows}))
        raise I2IError(f"The images of a batch have different sizes ({sizes}).", "Use a preprocess rule with crop.")
    height, width, channels = rows[0].shape
    batch = np.empty((len(rows), channels, height, width), np.uint8)
    for planes, row in zip(batch, rows, strict=True):
        for plane, channel in zip(planes, cv2.split(row), strict=True):
            plane[:] = channel
    return batch
