"""A pool of earlier fakes to show to a discriminator (Shrivastava et al. 2017, arXiv 1612.07828, section 2.3)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2i.core.distributed import gather_rows, local_rows
from i2i.core.errors import I2IError
from i2i.core.random import seed_of


class ImagePool(nn.Module):
    """Holds `size` images of `shape` [C, H, W] in buffers, so that they are saved and resumed with the method.

    For each new fake: while the pool is not full, the fake is stored and returned. Then, with probability one half, a
    random stored image is returned and the fake takes its place; otherwise the fake is returned and not stored. Each
    process sees the fakes of all processes in rank order, so all hold the same pool. Draws are a pure function of
    (salt, fakes seen), or come from `random` if it is set. size 0: `query` returns the fakes themselves.
    """

    pictures: Tensor  # checkpoints hold the buffer by this name
    seen: Tensor

    def __init__(self, size: int, shape: Sequence[int] = (3, 256, 256), salt: str = "") -> None:
        super().__init__()
        self.size, self.salt = size, salt
        self.random: random.Random | None = None
        self.register_buffer("pictures", torch.zeros(size, *shape))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self._seen: int | None = 0  # copy of `seen` that is read without waiting for the device
        self.register_load_state_dict_post_hook(ImagePool._forget)  # type: ignore[no-untyped-call]

    @staticmethod
    def _forget(module: nn.Module, _: Any) -> None:
        module._seen = None  # type: ignore[assignment]

    @torch.no_grad()
    def query(self, fakes: Tensor) -> Tensor:
        """Fakes [B, C, H, W] -> images [B, C, H, W] without gradient, to show to the discriminator.

        Raises I2IError if the fakes have another shape than the pool's images."""
        fakes = fakes.detach()
        if self.size == 0:
            return fakes
        if fakes.shape[1:] != self.pictures.shape[1:]:
            given, held = tuple(fakes.shape[1:]), tuple(self.pictures.shape[1:])
            raise I2IError(
                f"The pool of earlier fakes holds images of {held} (channels, height, width), but a fake has {given}.",
                "Train on images of one size, or without the pool (--set pool=0).",
            )
        if self._seen is None:
            self._seen = int(self.seen)
        all_fakes = gather_rows(fakes)
        shown = all_fakes.clone()
        for i, fake in enumerate(all_fakes):
            slot = self._slot(self._seen)
            if slot is not None:
                if self._seen >= self.size:
                    shown[i] = self.pictures[slot].to(fake.dtype)
                self.pictures[slot] = fake.to(self.pictures.dtype)
            self._seen += 1
        self.seen += len(all_fakes)
        return local_rows(shown)

    def _slot(self, seen: int) -> int | None:
        """The index at which fake number `seen` is stored; None if it is not stored."""
        if seen < self.size:
            return seen
        draw = self.random or random.Random(seed_of("history", self.salt, seen))
        return draw.randint(0, self.size - 1) if draw.uniform(0, 1) > 0.5 else None
