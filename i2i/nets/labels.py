"""Label maps as the input of networks: one channel for each class, and the edges between things.

As in pix2pixHD (Wang et al. 2018, arXiv 1711.11585, section 3.3).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn


def one_hot_map(label: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Classes int64 [B, 1, H, W] as maps [B, classes, H, W] of 0 and 1."""
    numbers = torch.arange(classes, device=label.device)[None, :, None, None]
    return (label == numbers).to(dtype)


def instance_edges(ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """1 where a pixel's number differs from that of the pixel to the left, right, above or below; else 0.

    ids: whole numbers [B, 1, H, W] of things; not in 8 bits, if there are more than 256. Outside of the image nothing
    differs."""
    rows, columns = ids[:, :, 1:] != ids[:, :, :-1], ids[..., 1:] != ids[..., :-1]
    edges = fn.pad(rows, (0, 0, 1, 0)) | fn.pad(rows, (0, 0, 0, 1))
    return (edges | fn.pad(columns, (1, 0)) | fn.pad(columns, (0, 1))).to(dtype)


def label_input(label: Tensor, classes: int, ids: Tensor | None = None) -> Tensor:
    """pix2pixHD's input [B, classes (+ 1), H, W]: the classes int64 [B, 1, H, W] one-hot, then the edges of `ids`."""
    maps = one_hot_map(label, classes)
    return maps if ids is None else torch.cat([maps, instance_edges(ids)], 1)
