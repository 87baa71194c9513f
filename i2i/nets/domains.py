"""The domains that a network translates between, and the label vectors that name them.

A label holds the attributes (bits, several of which may be 1), then the classes (one-hot), and if there are both the
mask [1, 0] or [0, 1], which says which of the two parts is known; the other one is zero (Choi et al. 2017, section
3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as fn

from i2i.core.errors import I2IError, nearest
from i2i.core.suggest import same_name

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")  # attributes of CelebA that exclude each other


@dataclass(frozen=True)
class Domains:
    """Names of attributes and of classes. exclusive: groups of attributes of which at most one may be 1.

    Raises I2IError if two domains have one name."""

    bits: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name in self.names:
            if name in seen:
                raise I2IError(f"Two domains are called {name}.", "Rename one of them.")
            seen.add(name)

    @property
    def names(self) -> tuple[str, ...]:
        """All names: of attributes, then of classes."""
        return (*self.bits, *self.classes)

    @property
    def both(self) -> bool:
        """Whether there are attributes and classes, so that labels have a mask."""
        return bool(self.bits and self.classes)

    @property
    def width(self) -> int:
        """Numbers in a label."""
        return len(self.names) + (2 if self.both else 0)

    # ---- labels of images ------------------------------------------------------------------------------------------

    def of_bits(self, bits: Tensor) -> Tensor:
        """Attributes [B, k] as labels [B, width]."""
        return self._joined(bits, bits.new_zeros(len(bits), len(self.classes)), 0)

    def of_classes(self, classes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Classes int64 [B], or one-hot rows [B, k], as labels [B, width]."""
        rows = classes if classes.ndim == 2 else fn.one_hot(classes, len(self.classes))
        rows = rows.to(dtype)
        return self._joined(rows.new_zeros(len(rows), len(self.bits)), rows, 1)

    def _joined(self, bits: Tensor, classes: Tensor, known: int) -> Tensor:
        mask = bits.new_zeros(len(bits), 2 if self.both else 0)
        if self.both:
            mask[:, known] = 1
        return torch.cat([bits, classes, mask], 1)

    # ---- labels to translate into ----------------------------------------------------------------------------------

    def changed(self, bits: Tensor) -> Tensor:
        """For each attribute, the attributes [B, k] with that one changed: [k, B, k].

        One of an exclusive group is set, and the others of the group are cleared; any other is inverted."""
        targets = []
        for i, name in enumerate(self.bits):
            target = bits.clone()
            rivals = [j for group in self.exclusive if name in group for j, n in enumerate(self.bits) if n in group]
            target[:, i] = 1 if rivals else 1 - target[:, i]
            target[:, [j for j in rivals if j != i]] = 0
            targets.append(target)
        return torch.stack(targets)

    def targets(self, bits: Tensor) -> Tensor:
        """The label of each domain in turn, [domains, B, width], for images with attributes [B, k]."""
        rows = [self.of_bits(target) for target in self.changed(bits)] if self.bits else []
        for i in range(len(self.classes)):
            rows.append(self.of_classes(torch.full((len(bits),), i, device=bits.device), bits.dtype))
        return torch.stack(rows)

    def label(self, names: Sequence[str] = ()) -> Tensor:
        """The label [width] of an image with these attributes and no others, or of this class; without names: the first
        domain.

        Raises I2IError for an unknown name, for attributes that exclude each other, and for several classes."""
        chosen = [self._known(name) for name in names or self.names[:1]]
        for group in self.exclusive:
            rivals = [name for name in dict.fromkeys(chosen) if name in group]
            if len(rivals) > 1:
                raise I2IError(f"{' and '.join(rivals)} exclude each other.", "Give one of them.")
        classes = [name for name in dict.fromkeys(chosen) if name in self.classes]
        if len(classes) > 1:
            raise I2IError(f"An image cannot be {' and '.join(classes)} at once.", "Give one of them.")
        if classes and len(classes) < len(chosen):
            bit = next(name for name in chosen if name in self.bits)
            raise I2IError(
                f"{classes[0]} and {bit} belong to different data sets.",
                "Give one of them.",
            )
        if classes:
            return self.of_classes(torch.tensor([self.classes.index(classes[0])]))[0]
        return self.of_bits(torch.tensor([[float(name in chosen) for name in self.bits]]))[0]

    def _known(self, name: str) -> str:
        """The domain of that name, in any case, with - or _."""
        known = name if name in self.names else same_name(name, self.names)
        if known is None:
            raise I2IError(f"There is no domain {name!r}.", nearest(name, self.names))
        return known
