"""Data: pictures in folders, or data sets by name, as batches.

    data.open(["photos/", "paintings/"], data.Spec(layout="unpaired")).batches(start=0, batch=4, seed=0)

`layouts` finds the samples, `sampler` orders them, `decode` and `cache` read them, `augment` varies them, `cards` and
`download` get named sets, `check` looks for faults.
"""

from __future__ import annotations

from i2i.data.check import Finding, check
from i2i.data.dataset import Data
from i2i.data.source import cache_folder, get, open
from i2i.data.spec import Spec

__all__ = ["Data", "Finding", "Spec", "cache_folder", "check", "get", "open"]
