"""Finds the golden cases of the newer parts by their names, in the form of `tests.golden_gans`.

The folder is named by the variable I2I_GOLDEN_FAMILY (default: cases/ beside this file); any set of the same form can
be run. A set without a case skips its tests.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.golden_gans.reading import Case

ROOT = Path(os.environ.get("I2I_GOLDEN_FAMILY") or Path(__file__).parent / "cases")

if not any(ROOT.glob("*/manifest.json")):
    raise RuntimeError(f"No golden cases in {ROOT} (I2I_GOLDEN_FAMILY).")


def case(name: str) -> Case:
    """The case of that name; skips the test if the set has none."""
    folder = ROOT / name
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"the set {ROOT} has no case {name}")
    return Case(folder)
