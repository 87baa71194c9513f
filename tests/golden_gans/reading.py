"""Finds the golden cases of the GAN parts by their manifests, and compares with what is stored.

The folder is named by the variable I2I_GOLDEN_GANS (default: cases/ beside this file); any set of the same form can be
run. A case is asked for by its name, or by what its manifest says; a set without it skips its tests.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

ROOT = Path(os.environ.get("I2I_GOLDEN_GANS") or Path(__file__).parent / "cases")

if not any(ROOT.glob("*/manifest.json")):
    raise RuntimeError(f"No golden cases in {ROOT} (I2I_GOLDEN_GANS).")


class Case:
    """One folder of golden data: `weights`, `inputs`, `outputs` by name, and the manifest's `options`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        self.options: dict[str, Any] = self.manifest.get("options") or {}

    def _file(self, name: str) -> dict[str, Tensor]:
        path = self.folder / f"{name}.safetensors"
        return load_file(path) if path.is_file() else {}

    @functools.cached_property
    def weights(self) -> dict[str, Tensor]:
        return self._file("weights")

    @functools.cached_property
    def inputs(self) -> dict[str, Tensor]:
        return self._file("inputs")

    @functools.cached_property
    def outputs(self) -> dict[str, Tensor]:
        return self._file("outputs")

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The weights whose names start with `prefix`, without it."""
        return {k.removeprefix(prefix): v for k, v in self.weights.items() if k.startswith(prefix)}

    def check(self, found: Mapping[str, Tensor], but: tuple[str, ...] = ()) -> None:
        """Fails unless every stored output, but those matching the patterns `but`, is in `found` within tolerance."""
        wanted = {k for k in self.outputs if not any(fnmatch.fnmatch(k, p) for p in but)}
        assert wanted, f"{self.name} stores nothing to compare with"
        missing = sorted(wanted - found.keys())
        assert not missing, f"{self.name}: not computed: {', '.join(missing)}"
        for name in sorted(wanted):
            self.close(name, found[name])

    def close(self, name: str, ours: Tensor) -> None:
        """Fails if `ours` differs from the stored output `name` by more than the manifest's tolerance for it."""
        theirs = self.outputs[name].double()
        ours = ours.detach().double()
        assert ours.numel() == theirs.numel(), f"{name}: {tuple(ours.shape)} here, {tuple(theirs.shape)} stored"
        ours = ours.reshape(theirs.shape)
        limits = self.tolerance(name)
        off = (ours - theirs).abs()
        bad = ~(off <= limits["atol"] + limits["rtol"] * theirs.abs())
        share = bad.double().mean().item()
        outliers = limits.get("outliers", {"fraction": 0.0, "atol": 0.0})
        worst = off[bad].max().item() if bad.any() else 0.0
        text = f"{self.name}: {name} is off by up to {worst:.3g} in {share:.2%} of its elements"
        assert share <= outliers["fraction"], text
        assert not worst > outliers["atol"], text

    def tolerance(self, name: str) -> dict[str, Any]:
        """The limits that hold for `name`: its own entry, that of a pattern, or the general one."""
        given = self.manifest["tolerance"]
        for key, value in given.items():
            if isinstance(value, dict) and key != "outliers" and fnmatch.fnmatch(name, key):
                return {**{k: v for k, v in given.items() if k in ("rtol", "atol")}, **value}
        return {k: v for k, v in given.items() if k in ("rtol", "atol", "outliers")}


def case(name: str) -> Case:
    """The case of that name; skips the test if the set has none."""
    folder = ROOT / name
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"the set {ROOT} has no case {name}")
    return Case(folder)


def cases() -> list[Case]:
    """All cases of the set."""
    return [Case(p.parent) for p in sorted(ROOT.glob("*/manifest.json"))]


def fill(net: nn.Module, weights: Mapping[str, Tensor], names: Mapping[str, str] | None = None) -> None:
    """Copies `weights` into `net`: `names` maps the beginnings of their names to ours (the longest that fits; left as
    they are without). Every parameter and buffer of ours, but counters of batches, must be met, and every weight used.
    """
    state = net.state_dict()
    met = set()
    for theirs, value in weights.items():
        if theirs.endswith(("num_batches_tracked", "relative_position_index")):
            continue
        ours = theirs
        for start in sorted(names or {}, key=len, reverse=True):
            if theirs.startswith(start):
                ours = (names or {})[start] + theirs.removeprefix(start)
                break
        assert ours in state, f"{theirs} has no place ({ours})"
        state[ours].copy_(value.reshape(state[ours].shape))
        met.add(ours)
    left = {k for k in state if not k.endswith("num_batches_tracked")} - met
    assert not left, f"not filled: {sorted(left)}"


def gradients(net: nn.Module) -> dict[str, Tensor]:
    """{name: gradient} of the parameters that have one."""
    return {k: p.grad for k, p in net.named_parameters() if p.grad is not None}


def norm(tensors: Mapping[str, Tensor]) -> Tensor:
    """The Euclidean norm of all tensors together."""
    return torch.stack([t.double().square().sum() for t in tensors.values()]).sum().sqrt()


def small_discriminator(act: str, channels: int, size: int, width: int) -> nn.Sequential:
    """The network of the cases about gradients: two convolutions with `act` (lrelu, tanh) after each, a dense layer."""
    between: dict[str, Callable[[], nn.Module]] = {"lrelu": lambda: nn.LeakyReLU(0.2), "tanh": nn.Tanh}
    first = [nn.Conv2d(channels, width, 3, 1, 1), between[act]()]
    second = [nn.Conv2d(width, 2 * width, 4, 2, 1), between[act]()]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(2 * width * (size // 2) ** 2, 1))
