"""Checkpoints that survive a crash at any moment.

A checkpoint is written into a temporary folder, with a manifest of the files' SHA-256, synced to the disk, and renamed.
A reader takes the newest folder whose files match its manifest, so it never uses an unfinished or damaged one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder, atomic_path, sha256_of
from i2i.core.reading import read_json

FORMAT = 1
FILES = ("state.safetensors", "state.json")  # whose digests a manifest holds
FACTS: dict[str, Any] = {"images": int}  # the form of state.json, at least
MANIFEST = {"format": int, "images": int, "sha256": dict.fromkeys(FILES, str)}
_TEMPORARY = ".writing-"  # the beginning of temporary names until version 0.1


def save(folder: Path, images: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Writes the checkpoint `folder/<images>` atomically and returns its path.

    tensors: the state; facts: JSON values that are kept with it. Raises OSError if the checkpoint cannot be written,
    for example to a full disk, and leaves nothing of it."""
    folder.mkdir(parents=True, exist_ok=True)
    clean(folder)
    checkpoint = path_of(folder, images)
    try:
        # replace: a damaged checkpoint of the same moment, or the same moment saved twice
        with atomic_folder(checkpoint, replace=True) as temporary:
            save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary / "state.safetensors")
            (temporary / "state.json").write_text(json.dumps(facts), encoding="utf-8")
            digests = {name: sha256_of(temporary / name) for name in FILES}
            manifest = {"format": FORMAT, "images": images, "sha256": digests}
            (temporary / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    except SafetensorError as error:
        raise OSError(str(error)) from error
    return checkpoint


def path_of(folder: Path, images: int) -> Path:
    """The path of the checkpoint of `images` images."""
    return folder / f"{images:012d}"


def clean(folder: Path) -> None:
    """Removes what interrupted saves of earlier versions left; of others, `atomic_folder` does."""
    for leftover in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def listed(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def rotate(folder: Path, keep: int) -> None:
    """Removes all checkpoints but the newest `keep` and the one that `mark_best` named."""
    best = best_of(folder)
    for old in listed(folder)[: -keep or None]:
        if old.name != best.get("checkpoint"):
            shutil.rmtree(old)


def mark_best(folder: Path, checkpoint: Path, **facts: Any) -> None:
    """Records `checkpoint`, with some JSON values about it, as the best one so far."""
    path = folder / "best.json"
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"checkpoint": checkpoint.name, **facts}), encoding="utf-8")


def best_of(folder: Path) -> dict[str, Any]:
    """{"checkpoint": name, ...} as `mark_best` wrote it last; empty if there is none, or if it is damaged."""
    try:
        return dict(
            read_json(folder / "best.json", {"checkpoint": str, "score?": float, "images?": int, "metric?": str})
        )
    except I2IError:
        return {}


def intact(checkpoint: Path) -> bool:
    """True if every file of `checkpoint` exists and has the digest that its manifest gives."""
    try:
        digests = read_json(checkpoint / "manifest.json", MANIFEST)["sha256"]
        return all((checkpoint / name).is_file() and sha256_of(checkpoint / name) == digests[name] for name in FILES)
    except (OSError, I2IError):
        return False


def newest(
    folder: Path, warn: Callable[[str], None], form: dict[str, Any] = FACTS, parts: tuple[str, ...] = ("",)
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of the newest intact checkpoint; None if `folder` has no checkpoint.

    Calls `warn` with a sentence for each damaged checkpoint that it skips; one whose facts have not the `form`
    (core.reading.has_form) is damaged, too. parts: beginnings of the names of the tensors that are read. Raises
    I2IError if all are damaged."""
    checkpoints = listed(folder)
    for checkpoint in reversed(checkpoints):
        if intact(checkpoint):
            with contextlib.suppress(SafetensorError, OSError, I2IError):
                facts = read_json(checkpoint / "state.json", form)
                with safe_open(checkpoint / "state.safetensors", framework="pt") as file:
                    names = [name for name in list(file.keys()) if name.startswith(parts)]
                    return {name: file.get_tensor(name) for name in names}, facts
        warn(f"Checkpoint {checkpoint.name} is damaged and is skipped.")
    if checkpoints:
        raise I2IError(f"All {len(checkpoints)} checkpoints in {folder} are damaged.", "Start a new run with --out.")
    return None
