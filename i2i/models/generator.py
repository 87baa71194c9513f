"""A saved model that makes images from noise: what `i2i.load_generator` returns.

Image number s is the one of seed s: a pure function of the model, s, the label and the truncation. It is computed at
the same place of a pass of the same shape whatever else is asked for, so it has the same bits in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2i.core.device import device_of
from i2i.core.errors import I2IError, nearest
from i2i.core.progress import Progress
from i2i.models import format as model_file
from i2i.models.load import display_name, find
from i2i.nets.latent import Latent

LISTED = 60  # labels that an error lists


def load_generator(model: str | Path, device: str = "auto") -> Generator:
    """The generator of a saved model: a .safetensors file or a run's folder.

    Raises I2IError for anything missing or unreadable, and for a model that translates images instead."""
    path = find(model)
    if path.suffix != ".safetensors":
        raise I2IError(f"{path} is no model that generates.", "Give a .safetensors file or a run's folder.")
    header = model_file.read_header(path)
    if header.get("kind") != "generate" or "latent" not in header:
        raise I2IError(
            f"{path} turns images into images; it makes none from noise.",
            "`i2i translate` uses it, and i2i.load in Python.",
        )
    network = model_file.load(path, ["G"]).networks["G"]
    return Generator(network.to(device_of(device)), header, display_name(model))


class Generator:
    """A generator G(z) or G(z, c) with what its file says of it. The network is in eval mode."""

    def __init__(self, network: nn.Module, header: dict[str, Any], name: str = "model") -> None:
        self.network = network.eval().requires_grad_(False)
        self.header, self.name = header, name
        self.latent = Latent(tuple((str(kind), int(width)) for kind, width in header["latent"]))
        self.conditional = bool(header.get("class_names"))
        self.labels: list[str] = list(header.get("class_names") or [f"code {k}" for k in range(self.latent.codes)])
        grown = getattr(network, "sizes", None)  # of a growing generator: those that training has reached
        self.sizes: list[int] = [int(s) for s in header.get("sizes") or grown or [header.get("size", 64)]]
        self.device = next(network.parameters()).device
        self.standing = 0.0  # the truncation that batch norm's statistics are for
        self.stored = {k: v.clone() for k, v in network.state_dict().items()} if header.get("standing") else {}

    def label(self, text: str | int) -> int:
        """The number of a label given by name or else by number: where labels are called 7, 8, 9, the label "8" is the
        second one and "0" the first. Raises I2IError saying which there are."""
        if not self.labels:
            raise I2IError(f"{self.name} knows no labels.", "Leave --label out.")
        name = str(text).strip()
        if name in self.labels:
            return self.labels.index(name)
        if name.isdecimal() and int(name) < len(self.labels):
            return int(name)
        known = ", ".join(f"{i} ({n})" if n != str(i) else n for i, n in enumerate(self.labels[:LISTED]))
        more = f" and {len(self.labels) - LISTED} more" if len(self.labels) > LISTED else ""
        close = nearest(name, self.labels)
        hint = f"{close} " if close.startswith("Did you mean") else ""
        raise I2IError(f"{self.name} has no label {name!r}.", f"{hint}It has: {known}{more}.")

    def check(self, truncation: float = 0.0, size: int | None = None) -> None:
        """Raises I2IError for a truncation or a size that the model cannot take."""
        if not 0 <= truncation < math.inf:
            raise I2IError(f"truncation is {truncation:g}.", "Give a number such as 0.5 or 1; 0 is no limit.")
        if truncation and not any(kind == "normal" for kind, _ in self.latent.parts):
            raise I2IError(f"The noise of {self.name} is not normal, so it cannot be truncated.", "Leave it out.")
        if size is not None and size not in self.sizes:
            raise I2IError(
                f"{self.name} makes no images of {size} pixels.", f"It makes {', '.join(map(str, self.sizes))}."
            )

    @property
    def rows(self) -> int:
        """Images in a pass of the network; always so many, that the bits of none depend on how many are asked for."""
        return 16 if max(self.sizes) <= 128 else 4

    def pictures(
        self,
        seeds: Sequence[int],
        label: int | None = None,
        truncation: float = 0.0,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Tensor]:
        """The image of each seed, float32 [C, H, W] in [-1, 1] on the CPU, one after the other.

        label: its number; None: classes go round with the seed, codes are drawn. truncation: noise given that |z| is
        at most this; 0 none. size: of an earlier stage of a growing model."""
        self.check(truncation, size)
        self._stand(truncation)
        ids = torch.tensor(list(seeds), dtype=torch.int64)
        code = None if label is None or self.conditional else torch.full_like(ids, label)
        z = self.latent.draw(ids, truncation=truncation, code=code)
        yield from self.run(z, self.classes(ids, label), [s % self.rows for s in seeds], size, progress)

    def classes(self, ids: Tensor, label: int | None) -> Tensor | None:
        """The class of each seed int64 [B], where the network takes one."""
        if not self.conditional:
            return None
        return ids % len(self.labels) if label is None else torch.full_like(ids, label)

    @torch.inference_mode()
    def run(
        self,
        z: Tensor,
        c: Tensor | None,
        places: Sequence[int],
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Tensor]:
        """The images of z [B, width] and c [B]; each is computed in the row `places` of a pass of `rows` rows."""
        start = 0
        while start < len(z):
            end = start + 1  # a pass takes what follows in rising places
            while end < len(z) and places[end] > places[end - 1]:
                end += 1
            rows = torch.tensor(places[start:end])
            full = z.new_zeros(self.rows, z.shape[1]).index_copy(0, rows, z[start:end]).to(self.device)
            inputs = [full]
            if c is not None:
                inputs.append(c.new_zeros(self.rows).index_copy(0, rows, c[start:end]).to(self.device))
            made = self.network(*inputs, **({} if size in (None, self.sizes[-1]) else {"size": size}))
            yield from made.float().cpu()[rows]
            if progress:
                progress(end, len(z))
            start = end

    def walk(
        self,
        seeds: Sequence[int],
        frames: int,
        label: int | None = None,
        truncation: float = 0.0,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Tensor]:
        """`frames` images of a round trip through the noise of `seeds`, on great circles in its normal parts.

        With classes and no label, the class is that of the first seed."""
        self.check(truncation, size)
        self._stand(truncation)
        ids = torch.tensor(list(seeds), dtype=torch.int64)
        code = None if self.conditional or not self.latent.codes else torch.full_like(ids, label or 0)
        ends = self.latent.draw(ids, truncation=truncation, code=code)
        made = []
        for frame in range(frames):
            at = frame * len(seeds) / frames
            k = int(at)
            a, b = ends[k : k + 1], ends[(k + 1) % len(seeds)][None]
            made.append(self.latent.between(a, b, at - k))
        z = torch.cat(made)
        first = ids[:1] if label is not None else ids[:1] % max(1, len(self.labels))
        c = self.classes(first, label)
        c = None if c is None else c.expand(frames).clone()
        yield from self.run(z, c, [i % self.rows for i in range(frames)], size, progress)

    @torch.no_grad()
    def _stand(self, truncation: float) -> None:
        """Standing statistics (Brock et al. 2018, section 4): batch norm's means and variances anew for this
        truncation, as the average over passes of fresh noise, where the model's header asks for them."""
        passes = int(self.header.get("standing") or 0)
        if not passes or truncation == self.standing:
            return
        self.standing = truncation
        if not truncation:
            self.network.load_state_dict(self.stored)
            return
        norms = [m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        kept = [m.momentum for m in norms]
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # the plain average
            m.train()
        for k in range(passes):
            ids = torch.arange(64 * k, 64 * (k + 1))
            c = self.classes(ids, None)
            z = self.latent.draw(ids, salt="standing", truncation=truncation).to(self.device)
            self.network(z, *(() if c is None else (c.to(self.device),)))
        for m, momentum in zip(norms, kept, strict=True):
            m.momentum = momentum
            m.eval()
