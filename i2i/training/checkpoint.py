"""Checkpoints that survive a crash at any moment.

Everything is written into a temporary folder, synced, listed with SHA-256 in a manifest, and the folder is renamed;
a reader takes the newest folder whose manifest holds, so a half-written or damaged one is never used.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder, atomic_path, sha256_of

FORMAT = 1
_TEMPORARY = ".writing-"


def save(folder: Path, images: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Writes one checkpoint `folder/<images>` atomically and returns its path.

    Raises OSError when it cannot be written, to a full disk for example; nothing is left of it then."""
    folder.mkdir(parents=True, exist_ok=True)
    clean(folder)
    checkpoint = folder / f"{images:012d}"
    temporary = folder / f"{_TEMPORARY}{os.getpid()}-{checkpoint.name}"
    try:
        # replace: a damaged checkpoint of the same moment, or the same moment saved twice
        with atomic_folder(checkpoint, temporary, replace=True):
            save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary / "state.safetensors")
            (temporary / "state.json").write_text(json.dumps(facts), encoding="utf-8")
            digests = {name: sha256_of(temporary / name) for name in ("state.safetensors", "state.json")}
            manifest = {"format": FORMAT, "images": images, "sha256": digests}
            (temporary / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    except SafetensorError as error:
        raise OSError(str(error)) from error
    return checkpoint


def clean(folder: Path) -> None:
    """Removes what earlier, interrupted saves left behind."""
    for left in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def listed(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def rotate(folder: Path, keep: int) -> None:
    """Removes all checkpoints but the newest `keep` and the best (the one that `mark_best` named)."""
    best = best_of(folder)
    for old in listed(folder)[: -keep or None]:
        if old.name != best.get("checkpoint"):
            shutil.rmtree(old)


def mark_best(folder: Path, checkpoint: Path, **facts: Any) -> None:
    """Names `checkpoint` as the best one so far."""
    path = folder / "best.json"
    with atomic_path(path, folder / f"{_TEMPORARY}{os.getpid()}-{path.name}") as temporary:
        temporary.write_text(json.dumps({"checkpoint": checkpoint.name, **facts}), encoding="utf-8")


def best_of(folder: Path) -> dict[str, Any]:
    """What `mark_best` wrote last; empty if there is none."""
    try:
        return dict(json.loads((folder / "best.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def intact(checkpoint: Path) -> bool:
    """True if every file of `checkpoint` is there and has the digest its manifest gives."""
    try:
        manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
        return all(sha256_of(checkpoint / name) == digest for name, digest in manifest["sha256"].items())
    except (OSError, ValueError, KeyError):
        return False


def newest(folder: Path, say: Callable[[str], None]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of the newest intact checkpoint, or None if there is no checkpoint at all.

    Damaged ones are passed over and named through `say`. Raises I2IError if there are only damaged ones."""
    found = listed(folder)
    for checkpoint in reversed(found):
        if not intact(checkpoint):
            say(f"Checkpoint {checkpoint.name} is damaged and is passed over.")
            continue
        with safe_open(checkpoint / "state.safetensors", framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return tensors, json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    if found:
        raise I2IError(f"All {len(found)} checkpoints in {folder} are damaged.", "Start the run anew with --out.")
    return None


def pack_optimizer(name: str, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State of `optimizer` as flat tensors `optim/<name>/<parameter>/<key>` and a JSON part."""
    state = optimizer.state_dict()
    tensors, scalars = {}, {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optim/{name}/{index}/{key}"] = value
            else:
                scalars[f"{index}/{key}"] = value
    return tensors, scalars


def unpack_optimizer(name: str, optimizer: Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
    """Puts back what `pack_optimizer` made; each tensor gets the memory layout of its parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    prefix = f"optim/{name}/"
    for key, value in tensors.items():
        if not key.startswith(prefix):
            continue
        index, entry = key[len(prefix) :].split("/")
        p = parameters[int(index)]
        if value.shape == p.shape and value.dim() > 0:
            # A fused optimizer walks parameter and state in storage order, so both need the same strides.
            restored = torch.empty_like(p, dtype=value.dtype, requires_grad=False).copy_(value)
        else:
            restored = value.to(p.device) if optimizer.defaults.get("fused") else value
        optimizer.state[p][entry] = restored
    for key, number in scalars.items():
        index, entry = key.split("/")
        optimizer.state[parameters[int(index)]][entry] = number


# Settings that change how a run is watched, where it is computed or its images lie, but not what it computes.
FREE = frozenset(
    {"data", "workers", "cache", "cache_gb", "save_every", "sample_every", "log_every", "keep", "device", "trackers"}
)


def differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises I2IError naming the first difference between the facts of a checkpoint and those of this run."""
    for part in old:
        was, is_ = old[part], new.get(part)
        if isinstance(was, dict) and isinstance(is_, dict):
            for key in sorted(was.keys() | is_.keys()):
                if key not in FREE and was.get(key) != is_.get(key):
                    raise I2IError(
                        f"The {part} changed since the checkpoint: {key} was {was.get(key)!r} and is {is_.get(key)!r}.",
                        "Put it back to resume, or start a new run with --out.",
                    )
        elif was != is_:
            raise I2IError(
                f"The {part} changed since the checkpoint: it was {was!r} and is {is_!r}.",
                "Put it back to resume, or start a new run with --out.",
            )
