"""Randomness by counters: pure functions of seed and ids, the same in any batch, order, process and resumed run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def seed_of(*counters: int | str) -> int:
    """A 63-bit seed, a pure function of `counters`: the same on every machine and in every process."""
    digest = hashlib.blake2b("/".join(map(str, counters)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def hashed_normal(ids: Tensor, shape: Sequence[int], seed: int = 0, salt: str = "z") -> Tensor:
    """Standard normal noise [len(ids), *shape]; row i is a pure function of (seed, salt, ids[i])."""
    rows = []
    for i in ids.tolist():
        generator = torch.Generator().manual_seed(seed_of(seed, salt, i))
        rows.append(torch.randn(*shape, generator=generator))
    return torch.stack(rows).to(ids.device)


def hashed_uniform(ids: Tensor, seed: int = 0, salt: str = "u") -> Tensor:
    """One number in [0, 1) for each id, float32 [len(ids)], each a pure function of (seed, salt, id)."""
    values = [seed_of(seed, salt, i) / 2**63 for i in ids.tolist()]
    return torch.tensor(values, dtype=torch.float32, device=ids.device)


def _signed(x: int) -> int:
    """The int64 with the bits of an unsigned 64-bit number."""
    return x - (1 << 64) if x >> 63 else x


_STEP, _MIX_A, _MIX_B = map(_signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _mixed(x: Tensor) -> Tensor:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014) on int64, whose products wrap around."""
    for shift, factor in ((30, _MIX_A), (27, _MIX_B)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def counter_uniform(ids: Tensor, n: int, seed: int = 0, salt: str = "u") -> Tensor:
    """`n` numbers in (0, 1) for each id, float64 [len(ids), n]: pure functions of (seed, salt, id, column).

    Computed on the device of `ids` without waiting for it (on the CPU for mps, which has no float64)."""
    ids = ids.cpu() if ids.device.type == "mps" else ids
    rows = _mixed(ids * _STEP + seed_of(seed, salt))
    cells = _mixed(rows[:, None] + torch.arange(1, n + 1, device=ids.device) * _STEP)
    return (((cells >> 11) & ((1 << 53) - 1)).double() + 0.5) * 2.0**-53


def counter_normal(ids: Tensor, shape: Sequence[int], seed: int = 0, salt: str = "z") -> Tensor:
    """Standard normal noise float32 [len(ids), *shape]; row i is a pure function of (seed, salt, ids[i]).

    Computed on the device of `ids` without waiting for it, which `hashed_normal` is not."""
    n = math.prod(shape)
    return torch.special.ndtri(counter_uniform(ids, n, seed, salt)).float().view(len(ids), *shape).to(ids.device)


_LOW32 = 0xFFFFFFFF


def _scrambled(x: Tensor) -> Tensor:
    """A mixing of 32-bit numbers, held in int64 so that no product overflows: other programs compute it, too."""
    for _ in range(2):
        x = ((x ^ (x // 65536)) * 0x45D9F3B) & _LOW32
    return x ^ (x // 65536)


def pixel_normal(
    channels: int, height: int, width: int, *counters: int | str, device: torch.device | None = None
) -> Tensor:
    """Standard normal noise float32 [1, channels, height, width], a function of `counters` and of each value's place.

    A value depends on its channel, row and column, and not on the size: a part of a larger field is the smaller one."""
    rows = _scrambled(torch.arange(height, device=device)[:, None] ^ (seed_of(*counters, "rows") & _LOW32))
    cells = _scrambled((rows + torch.arange(width, device=device) * 0x9E3779B1) & _LOW32)
    fields = []
    for c in range(channels):
        first, second = (
            ((_scrambled(cells ^ (seed_of(*counters, c, part) & _LOW32)) // 256).float() + 0.5) * 2.0**-24
            for part in ("radius", "angle")
        )
        fields.append((-2 * first.log()).sqrt() * (2 * math.pi * second).cos())  # Box and Muller 1958
    return torch.stack(fields)[None]
