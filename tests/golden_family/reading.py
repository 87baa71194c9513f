"""Finds the golden cases of the newer parts by their names, in the form of `tests.golden_gans`.

The folder is named by the variable I2I_GOLDEN_FAMILY (default: cases/ beside this file); any set of the same form can
be run. A set without a case skips its tests.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from i2i.metrics import weights
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


def real_weights(found: Case) -> dict[str, Tensor]:
    """The published weights that a case names, as 32-bit numbers; skips the test if they are not here.

    The folder is named by the variable I2I_WEIGHTS; without it, what the package ships is used."""
    folder = Path(os.environ.get("I2I_WEIGHTS") or weights.FOLDER)
    path = folder / found.manifest["weights_file"]
    if not path.is_file():
        pytest.skip(f"{found.name}: {path.name} is not in {folder} (I2I_WEIGHTS)")
    return {name: value.float() for name, value in load_file(path).items()}


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)
