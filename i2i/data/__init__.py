"""Data: images in folders, or data sets by name, as batches.

    data.open(["photos/", "paintings/"], data.DataSettings(layout="unpaired")).batches(start=0, batch=4, seed=0)

`layouts` finds the samples, `sampler` orders them, `decode` and `cache` read them, `augment` varies them, `cards` and
`download` get named sets, `checks` finds faults. Names are imported on first use, so
that listing cards needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.data.batch import Batch as Batch
    from i2i.data.batch import Shape as Shape
    from i2i.data.checks import Finding as Finding
    from i2i.data.checks import check as check
    from i2i.data.dataset import Data as Data
    from i2i.data.source import get as get
    from i2i.data.source import open as open
    from i2i.data.spec import DataSettings as DataSettings

_HOME = {
    "Batch": "batch",
    "Data": "dataset",
    "Finding": "checks",
    "Shape": "batch",
    "DataSettings": "spec",
    "check": "checks",
    "get": "source",
    "open": "source",
}
__all__ = ["Batch", "Data", "DataSettings", "Finding", "Shape", "check", "get", "open"]


def __getattr__(name: str) -> Any:
    name = {"Spec": "DataSettings"}.get(name, name)  # its name until 0.1
    if name not in _HOME:
        raise AttributeError(f"module 'i2i.data' has no attribute {name!r}")
    return getattr(import_module(f"i2i.data.{_HOME[name]}"), name)
