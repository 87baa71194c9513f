"""The noise z from which a generator makes an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from i2i.core.errors import I2IError, among
from i2i.core.random import counter_uniform


@dataclass(frozen=True)
class Latent:
    """The noise z of a generator: parts joined side by side, each given as (kind, width).

    Kinds: normal, N(0, 1); uniform, on [-1, 1]; cube, uniform with variance 1, on [-sqrt 3, sqrt 3]; code, a one-hot
    category. Each number is a pure function of (seed, salt, id, position), whatever the batch or the process. Raises
    I2IError for an unknown kind or a width under 1."""

    parts: tuple[tuple[str, int], ...]

    KINDS: ClassVar[tuple[str, ...]] = ("normal", "uniform", "cube", "code")

    def __post_init__(self) -> None:
        for kind, width in self.parts:
            if kind not in self.KINDS:
                raise I2IError(f"noise is {kind!r}.", among(kind, self.KINDS))
            if width < 1:
                raise I2IError(f"The width of the noise ({kind}) is {width}.", "It must be at least 1.")

    @property
    def width(self) -> int:
        """Numbers in one z."""
        return sum(width for _, width in self.parts)

    @property
    def codes(self) -> int:
        """Categories of the first code; 0 if there is none."""
        return next((width for kind, width in self.parts if kind == "code"), 0)

    def draw(
        self, ids: Tensor, seed: int = 0, salt: str = "z", truncation: float = 0.0, code: Tensor | None = None
    ) -> Tensor:
        """z float32 [len(ids), width].

        truncation: above 0, normal parts are drawn from the normal distribution truncated to [-truncation, truncation].
        code: int64 [len(ids)], the category of the first code, which is then not drawn."""
        u = counter_uniform(ids, self.width, seed, salt)
        parts = []
        for (kind, width), part in zip(self.parts, u.split([w for _, w in self.parts], 1), strict=True):
            if kind == "normal":
                if truncation > 0:
                    tail = 0.5 * math.erfc(truncation / math.sqrt(2))
                    part = tail + (1 - 2 * tail) * part
                parts.append(torch.special.ndtri(part))
            elif kind == "code":
                chosen, code = (part[:, 0] * width).long() if code is None else code.to(part.device), None
                parts.append(torch.nn.functional.one_hot(chosen, width).double())
            else:
                parts.append((2 * part - 1) * (math.sqrt(3) if kind == "cube" else 1))
        return torch.cat(parts, 1).float().to(ids.device)

    def between(self, a: Tensor, b: Tensor, t: float) -> Tensor:
        """The z at `t` in [0, 1] of the way from a to b, all [B, width].

        Normal parts follow the great circle (`slerp`), others a straight line."""
        widths = [w for _, w in self.parts]
        ends = zip(self.parts, a.split(widths, 1), b.split(widths, 1), strict=True)
        return torch.cat([slerp(p, q, t) if kind == "normal" else p.lerp(q, t) for (kind, _), p, q in ends], 1)


def slerp(p: Tensor, q: Tensor, t: float) -> Tensor:
    """Spherical interpolation of rows [B, n]: (sin((1 - t) w) p + sin(t w) q) / sin w, where w is their angle.

    White 2016, arXiv 1609.04468. Parallel and antiparallel rows are interpolated on a straight line."""
    cosine = torch.nn.functional.cosine_similarity(p.double(), q.double(), dim=1).clamp(-1, 1)
    w = cosine.acos()[:, None]
    sine = w.sin()
    on_circle = (((1 - t) * w).sin() * p + (t * w).sin() * q) / sine.clamp_min(1e-12)
    return torch.where(sine < 1e-4, p.lerp(q, t).double(), on_circle).to(p.dtype)
