"""Small tensor operations and counter-based randomness that every layer above may use."""

from __future__ import annotations

import ctypes
import hashlib
import platform
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from i2i.errors import I2IError

DEVICES = "Allowed: auto, cpu, cuda, cuda:1, mps."


def seed_of(*counters: int | str) -> int:
    """A 63-bit seed that is a pure function of `counters` (same on every machine and in every process)."""
    digest = hashlib.blake2b("/".join(map(str, counters)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def noise(ids: Tensor, shape: Sequence[int], seed: int = 0, salt: str = "z") -> Tensor:
    """Standard normal noise [len(ids), *shape], drawn row by row from (seed, salt, id) alone.

    Row i depends on nothing but ids[i], so it is the same in any batch, order or split over processes.
    """
    rows = []
    for i in ids.tolist():
        generator = torch.Generator().manual_seed(seed_of(seed, salt, i))
        rows.append(torch.randn(*shape, generator=generator))
    return torch.stack(rows).to(ids.device)


def uniform(ids: Tensor, seed: int = 0, salt: str = "u") -> Tensor:
    """One number in [0, 1) for each id [len(ids)], a pure function of (seed, salt, id)."""
    values = [seed_of(seed, salt, i) / 2**63 for i in ids.tolist()]
    return torch.tensor(values, dtype=torch.float32, device=ids.device)


def _signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


_STEP, _MIX_A, _MIX_B = map(_signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _mixed(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014) on int64, whose products wrap around."""
    for shift, factor in ((30, _MIX_A), (27, _MIX_B)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def draws(ids: Tensor, n: int, seed: int = 0, salt: str = "u") -> Tensor:
    """`n` numbers in (0, 1) for each id, float64 [len(ids), n]: pure functions of (seed, salt, id, place).

    Made where `ids` are (on the CPU where there is no float64), without waiting for the device."""
    at = ids.cpu() if ids.device.type == "mps" else ids
    rows = _mixed(at * _STEP + seed_of(seed, salt))
    cells = _mixed(rows[:, None] + torch.arange(1, n + 1, device=at.device) * _STEP)
    return (((cells >> 11) & ((1 << 53) - 1)).double() + 0.5) * 2.0**-53


def gather(x: Tensor) -> Tensor:
    """`x` [B, ...] of all processes joined in rank order [world * B, ...], without gradient; `x` itself if alone."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x.detach()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def mine(x: Tensor) -> Tensor:
    """The rows of `x` [world * B, ...], as made by `gather`, that belong to this process [B, ...]."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    n = len(x) // dist.get_world_size()
    return x[dist.get_rank() * n : (dist.get_rank() + 1) * n]


def keep_memory(most: int = 2**31 - 1) -> None:
    """Tells glibc's allocator to keep blocks of up to `most` bytes when they are freed, instead of returning them.

    Every step asks for the same large blocks again; from the system they come as fresh pages, which are cleared at the
    first touch: a fifth of a step of pix2pix on a CPU. Elsewhere than with glibc nothing happens. Not for windows of
    large pictures, whose blocks of many sizes then pile up: 7 GiB instead of 1.6 for one of 8192 x 8192 pixels."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
            if not libc.mallopt(parameter, most):
                libc.mallopt(parameter, 2**25)  # as much as older ones allow


def device_of(name: str | torch.device) -> torch.device:
    """The device of that name; auto: the GPU if there is one. Raises I2IError if it cannot be used."""
    if isinstance(name, str) and name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        made = torch.device(name)
    except (RuntimeError, TypeError) as error:  # its text lists three dozen kinds of devices
        raise I2IError(f"There is no device {name!r}.", DEVICES) from error
    try:
        if made.type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(0, device=made)
        return made
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0].split(". ")[0].rstrip(".")  # pages of advice follow
        raise I2IError(f"The device {str(name)!r} cannot be used: {why}.", DEVICES) from error
