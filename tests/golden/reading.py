"""Finds the golden cases by their manifests, and reads networks and settings off them.

The folder is named by the variable I2I_GOLDEN (default: cases/ beside this file); any set of the same form can be run.
"""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from i2i.nets import build

ROOT = Path(os.environ.get("I2I_GOLDEN") or Path(__file__).parent / "cases")
LOSS_OF = {
    "vanilla": "vanilla",
    "nonsaturating": "vanilla",
    "lsgan": "lsgan",
    "wgangp": "wasserstein",
    "wgan": "wasserstein",
    "hinge": "hinge",
}

if not any(ROOT.glob("*/manifest.json")):
    raise RuntimeError(f"No golden cases in {ROOT} (I2I_GOLDEN).")


class Case:
    """One folder of golden data."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        self.kind: str = self.manifest["kind"]
        self.entry: str = self.manifest["source"].get("entry", "")
        self.cut = "contrastive" in self.manifest["source"]["repo"]

    @functools.cached_property
    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.folder / "tensors.safetensors")

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix`/, without it, half precision widened."""
        found = {k[len(prefix) + 1 :]: v for k, v in self.tensors.items() if k.startswith(prefix + "/")}
        return {k: wide(v) for k, v in found.items()}

    def __getitem__(self, key: str) -> Tensor:
        return wide(self.tensors[key])

    def close(self, ours: Tensor, theirs: Tensor, tolerance: str, **kwargs: Any) -> None:
        """Fails if the two differ by more than the manifest's `tolerance` says."""
        limits = self.manifest["tolerance"][tolerance]
        torch.testing.assert_close(
            ours.detach(), theirs.to(ours.dtype), rtol=limits["rtol"], atol=limits["atol"], **kwargs
        )


def wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.float16 else x


def cases(*kinds: str) -> list[Any]:
    """The cases of these kinds, as parameters of a test named after them."""
    found = [Case(p.parent) for p in sorted(ROOT.glob("*/manifest.json"))]
    return [pytest.param(c, id=c.name) for c in found if c.kind in kinds]


def network(options: dict[str, Any], cut: bool = False) -> nn.Module:
    """The network that a manifest's arguments describe, in the reference's vocabulary."""
    antialias = cut and not options.get("no_antialias", False)
    if "netG" in options:
        return generator(options, antialias, cut and not options.get("no_antialias_up", False))
    name, norm, width = options["netD"], options.get("norm", "instance"), options.get("ndf", 64)
    if name == "pixel":
        return build("pixel", channels=options["input_nc"], width=width, norm=norm)
    layers = options.get("n_layers_D", 3) if name == "n_layers" else 3
    assert name in ("basic", "n_layers"), f"unknown discriminator {name}"
    return build("patchgan", channels=options["input_nc"], layers=layers, width=width, norm=norm, antialias=antialias)


def generator(options: dict[str, Any], antialias: bool, antialias_up: bool) -> nn.Module:
    common: dict[str, Any] = {
        "channels_in": options["input_nc"],
        "channels_out": options["output_nc"],
        "width": options.get("ngf", 64),
        "norm": options.get("norm", "instance"),
        "dropout": options.get("use_dropout", False),
    }
    if options["netG"].startswith("unet_"):
        return build("unet", depth=unet_depth(options["netG"]), **common)
    upsample = "blur" if antialias_up else "transposed"
    return build("resnet", blocks=resnet_blocks(options["netG"]), antialias=antialias, upsample=upsample, **common)


def unet_depth(name: str) -> int:
    """7 of unet_128, 8 of unet_256."""
    return int(name.split("_")[1]).bit_length() - 1


def resnet_blocks(name: str) -> int:
    """9 of resnet_9blocks."""
    found = re.fullmatch(r"resnet_(\d+)blocks", name)
    assert found, f"unknown generator {name}"
    return int(found[1])


def to_tensor(array: np.ndarray) -> Tensor:
    """uint8 [H, W, C] -> float32 [C, H, W] in [-1, 1], as (u / 255 - 0.5) / 0.5, as the papers' code does it."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).float().div_(255).sub_(0.5).div_(0.5)


def cut_uint8(image: Tensor) -> np.ndarray:
    """[C, H, W] or the first of [B, C, H, W] in [-1, 1] -> uint8 [H, W, 3] as the papers' code saved it: cut towards
    zero, not rounded, and gray repeated. About a quarter of the levels come out one lower than they went in."""
    array = (image[0] if image.ndim == 4 else image).detach().to("cpu", torch.float32).numpy()
    if array.shape[0] == 1:
        array = np.repeat(array, 3, axis=0)
    return ((array.transpose(1, 2, 0) + 1) / 2.0 * 255.0).clip(0, 255).astype(np.uint8)
