"""Protocol cards, protocols/NAME.yaml: how published numbers were measured, and the numbers with their sources."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import yaml

from i2i.core.errors import I2IError, nearest
from i2i.core.resources import shipped
from i2i.core.suggest import same_name

KINDS = ("images", "noise", "segmentation")
TEXTS = ("method", "note", "source", "spread")  # keys of a published row that are no numbers


@dataclass(frozen=True)
class Protocol:
    """One published protocol.

    kind: images (translations beside real images), noise (generated images beside real ones) or segmentation (FCN
    score). data: the card of its images; "" if there is none. count: images that are scored, 0 if all of the split.
    metrics: by our names. features: the network of the published numbers. published: rows {"method", metric: value,
    "source", and perhaps "note" and "spread"}; KID is multiplied by 1000, as everywhere in i2i. palette: of the label
    maps of a segmentation."""

    name: str
    summary: str
    paper: str
    kind: str
    data: str
    split: str
    size: int
    preprocess: str
    compared: str
    metrics: tuple[str, ...]
    features: str
    published: tuple[dict[str, Any], ...]
    direction: str = "AtoB"
    count: int = 0
    palette: str = ""
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """The card as JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "published"}


def names() -> list[str]:
    """Names of all protocol cards, sorted."""
    return sorted(p.stem for p in shipped("protocols").glob("*.yaml"))


def protocol(name: str) -> Protocol:
    """The card of that name, in any case, with - or _. Raises I2IError with the nearest names if there is none."""
    known = names()
    name = same_name(name, known) or name
    if name not in known:
        raise I2IError(f"No protocol is called {name!r}.", f"{nearest(name, known)} `i2i bench` lists all.")
    values = yaml.safe_load((shipped("protocols") / f"{name}.yaml").read_text(encoding="utf-8"))
    for key in ("metrics", "published", "notes"):
        values[key] = tuple(values.get(key) or ())
    return Protocol(name=name, **values)
