"""What the processes of one run do together; each holds all weights, and its own share of a batch."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from i2i.core.errors import I2IError


def processes() -> int:
    """Number of processes this one was started with (by `i2i train --processes`, torchrun or accelerate)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def broadcast_weights(tensors: Iterable[Tensor], device: torch.device) -> None:
    """Every process begins with the weights of the first one."""
    for t in tensors:
        on_device = t.data.to(device)
        dist.broadcast(on_device, 0)
        t.data.copy_(on_device)


def check_same_step(start: int, device: torch.device) -> None:
    """Raises I2IError in every process if one of them found another checkpoint than the first."""
    found = torch.tensor([start, -start], dtype=torch.int64, device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    high, low = int(found[0]), -int(found[1])
    if high != low:
        raise I2IError(
            f"Some processes found a checkpoint of {high} images, others of {low}.",
            "All hosts must see the same run folder: keep it on a shared disk.",
        )


def check_same_weights(parameters: Iterable[Tensor], world: int, images: int) -> None:
    """Stops a run whose processes no longer hold the same weights, with I2IError."""
    check = torch.stack([p.detach().double().sum() for p in parameters]).sum()
    every = [torch.empty_like(check) for _ in range(world)]
    dist.all_gather(every, check)
    if any(not torch.equal(check, other) for other in every):
        raise I2IError(f"The processes hold different weights after {images} images.", "Resume the run.")


def all_reduce_mean(tensors: list[Tensor], world: int) -> None:
    """Replaces each tensor by its mean over the processes; one all-reduce a bucket of at most 64 MiB.

    No wrapper around the networks is needed, which a gradient penalty alone or a second forward would silently break.
    """
    bucket: list[Tensor] = []
    size = 0
    for i, t in enumerate(tensors):
        bucket.append(t)
        size += t.numel() * t.element_size()
        if size >= 1 << 26 or i == len(tensors) - 1 or tensors[i + 1].dtype != t.dtype:
            flat = torch.cat([b.reshape(-1) for b in bucket])
            dist.all_reduce(flat)
            flat /= world
            for b, part in zip(bucket, torch.split(flat, [b.numel() for b in bucket]), strict=True):
                b.copy_(part.view(b.shape))
            bucket, size = [], 0


def gather_rows(x: Tensor) -> Tensor:
    """`x` [B, ...] of all processes joined in rank order [world * B, ...], without gradient; `x` itself if alone."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x.detach()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def local_rows(x: Tensor) -> Tensor:
    """The rows of `x` [world * B, ...], as made by `gather`, that belong to this process [B, ...]."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    n = len(x) // dist.get_world_size()
    return x[dist.get_rank() * n : (dist.get_rank() + 1) * n]
