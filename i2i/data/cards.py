"""Data cards: what a named data set is, where it comes from, and under which terms.

A card is datasets/NAME.yaml. A data set that is shipped lies beside its card in datasets/NAME/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from i2i.core.errors import I2IError, nearest
from i2i.core.resources import shipped
from i2i.core.suggest import did_you_mean, neighbors, same_name


@dataclass(frozen=True)
class DataCard:
    """One named data set."""

    name: str
    summary: str
    layout: str  # paired, unpaired or attributes
    licence: str
    direction: str = ""  # what AtoB means, in words
    urls: tuple[str, ...] = ()  # of the archive; mirrors in the order of trial; none for a shipped set
    bytes: int = 0  # of the archive, 0 if unknown
    sha256: str = ""  # of the archive, "" if unknown
    about: int = 0  # bytes of the archive, roughly, where the exact number is unknown
    largest: int = 0  # bytes that a download may have at most, where neither is known
    note: str = ""
    home: str = ""
    size: int = 0  # pixels, side of one image as it is in the set
    flip: bool = True  # False where mirrored images would be wrong
    exclusive: tuple[tuple[str, ...], ...] = ()  # groups of attributes of which an image has at most one
    twin: str = ""  # the card that has the same images in the other layout

    @property
    def max_bytes(self) -> int | None:
        """Bytes that the archive may have at most; None if nothing is known of it."""
        return self.bytes or self.largest or 2 * self.about or None


def names() -> list[str]:
    """Names of all data cards, sorted."""
    return sorted(p.stem for p in shipped("datasets").glob("*.yaml"))


def card(name: str) -> DataCard:
    """The card of that name, in any case, with - or _. Raises I2IError with the nearest names if there is none."""
    known = names()
    name = same_name(name, known) or name
    if name not in known:
        folders = did_you_mean(neighbors(name, folders_only=True))
        raise I2IError(f"There is no folder and no data set {name!r}.", folders or nearest(name, known))
    path = shipped("datasets") / f"{name}.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    allowed = DataCard.__dataclass_fields__.keys() - {"name"}
    for key in values:
        if key not in allowed:
            raise I2IError(f"{path} has the unknown field {key!r}.", nearest(key, allowed))
    values["urls"] = tuple(values.get("urls") or ())
    values["exclusive"] = tuple(map(tuple, values.get("exclusive") or ()))
    return DataCard(name=name, **values)
