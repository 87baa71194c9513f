"""What the processes of one run do together. Each holds all weights and its own share of every batch."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from i2i.core.errors import I2IError

BUCKET_BYTES = 1 << 26


def processes() -> int:
    """The number of processes of this run, as `i2i train --processes`, torchrun or accelerate started them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """True if this process is alone, or the first of those that train together."""
    return os.environ.get("RANK", "0") == "0"


def leave_at_exit(*, succeeded: bool = False) -> None:
    """Makes this process leave its group when the interpreter ends. Does nothing in a process without a group.

    gloo's threads must not outlive the interpreter: without this, some processes abort after their work is done. NCCL
    has no such threads, and leaving waits for the other processes, which may never come if this one has failed. So a
    group of NCCL is left only after `succeeded`."""
    if dist.is_available() and dist.is_initialized() and (succeeded or "nccl" not in dist.get_backend()):
        atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def broadcast_weights(tensors: Iterable[Tensor], device: torch.device) -> None:
    """Replaces each tensor by that of the first process. device: where the processes exchange them."""
    for t in tensors:
        on_device = t.data.to(device)
        dist.broadcast(on_device, 0)
        t.data.copy_(on_device)


def check_same_step(start: int, device: torch.device) -> None:
    """Raises I2IError in every process if they resume from different checkpoints. start: images seen at this one's."""
    extremes = torch.tensor([start, -start], dtype=torch.int64, device=device)
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    high, low = int(extremes[0]), -int(extremes[1])
    if high != low:
        raise I2IError(
            f"Some processes found a checkpoint of {high} images, others of {low}.",
            "All hosts must see the same run folder: keep it on a shared disk.",
        )


def check_same_weights(parameters: Iterable[Tensor], world: int, images: int) -> None:
    """Raises I2IError if the processes no longer hold the same weights, judged by their sum."""
    checksum = torch.stack([p.detach().double().sum() for p in parameters]).sum()
    checksums = [torch.empty_like(checksum) for _ in range(world)]
    dist.all_gather(checksums, checksum)
    if any(not torch.equal(checksum, other) for other in checksums):
        raise I2IError(f"The processes hold different weights after {images} images.", "Resume the run.")


def all_reduce_mean(tensors: list[Tensor], world: int) -> None:
    """Replaces each tensor by its mean over the processes, with one all-reduce for each bucket of up to 64 MiB.

    It takes the place of a wrapper around the networks, which gives silently wrong gradients for a gradient penalty in
    a backward of its own, and for a second forward.
    """
    bucket: list[Tensor] = []
    size = 0
    for i, t in enumerate(tensors):
        bucket.append(t)
        size += t.numel() * t.element_size()
        if size >= BUCKET_BYTES or i == len(tensors) - 1 or tensors[i + 1].dtype != t.dtype:
            flat = torch.cat([b.reshape(-1) for b in bucket])
            dist.all_reduce(flat)
            flat /= world
            for b, part in zip(bucket, torch.split(flat, [b.numel() for b in bucket]), strict=True):
                b.copy_(part.view(b.shape))
            bucket, size = [], 0


def gather_rows(x: Tensor) -> Tensor:
    """`x` [B, ...] of all processes in rank order [world * B, ...], without gradient; with one process `x` itself."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x.detach()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def local_rows(x: Tensor) -> Tensor:
    """This process's rows [B, ...] of an `x` [world * B, ...] that `gather_rows` made."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    n = len(x) // dist.get_world_size()
    return x[dist.get_rank() * n : (dist.get_rank() + 1) * n]
