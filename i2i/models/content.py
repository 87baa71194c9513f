"""Finds out what a model file holds from its first bytes and its numbers; names and suffixes may be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.files import open_regular

SAFETENSORS, PTH, ONNX = "safetensors", "pth", "onnx"
PTH_SUFFIXES = (".pth.tar", ".pth", ".pt", ".ckpt", ".bin")  # names of PyTorch's files
SUFFIXES = (".safetensors", ".onnx", *PTH_SUFFIXES)
HEAD = 512  # bytes that are read
MAX_HEADER = 10_000_000  # bytes of the list of tensors and of the metadata in a safetensors file
KEY = "i2i"  # of a model's header, in the metadata of its file


def kind_of(path: Path) -> str:
    """SAFETENSORS (a model of i2i), PTH (by torch.save, or a .safetensors file of another program) or ONNX.

    A file that looks like none of them is judged by its suffix.

    Raises I2IError if the file is a Git LFS pointer, a web page, or empty."""
    head = refuse_pretenders(path)
    if path.suffix.lower() == ".onnx":
        return ONNX
    if head[8:9] == b"{":
        return PTH if _is_of_others(path) else SAFETENSORS
    if head[:2] in (b"PK", b"\x80\x02") or path.name.lower().endswith(PTH_SUFFIXES):
        return PTH
    return SAFETENSORS


def _is_of_others(path: Path) -> bool:
    """Whether a safetensors file names tensors, and has no header of i2i."""
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= MAX_HEADER else b""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(entries, dict) or not all(isinstance(value, dict) for value in entries.values()):
        return False
    return KEY not in entries.pop("__metadata__", {}) and bool(entries)


def refuse_pretenders(path: Path) -> bytes:
    """The first bytes of a model file. Raises I2IError if they show that the file is something else.

    Git leaves a small text file instead of a large one without Git LFS; servers send a page instead of a file."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD)
    except OSError as error:
        raise I2IError(f"{path} cannot be read: {error.strerror}.") from error
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"version https://git-lfs", b"version https://hawser", b"version http://git-media")):
        raise I2IError(
            f"{path} is a Git LFS pointer, a small text file that stands for the model.",
            "Fetch the model itself with `git lfs pull` in its repository, or download it from the repository's page.",
        )
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")) or (
        text[:1] == b"<" and b"<html" in text
    ):
        raise I2IError(
            f"{path} is a web page (HTML), not a model; a server sent it instead of the file.",
            "Download the file again, and use the link to the file itself.",
        )
    if not head:
        raise I2IError(f"{path} is empty: it was cut short.", "Copy or download the file again.")
    return head


def require_saved_model(path: Path) -> None:
    """Raises I2IError if the file is one of PyTorch or ONNX, whose networks have no header of i2i."""
    kind = kind_of(path)
    if kind != SAFETENSORS:
        what = "is an ONNX file" if kind == ONNX else "is a weights file of PyTorch"
        raise I2IError(
            f"{path} {what}, not a model that i2i saved.",
            "It can translate, but here a model.safetensors is needed, as `i2i train` writes it.",
        )


def stem(name: str) -> str:
    """The name of a model file without its suffix: mine.pth.tar -> mine."""
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)] or name


def has_suffix(name: str) -> bool:
    """Whether a name ends like that of a model file."""
    return name.lower().endswith(SUFFIXES)


def require_numbers(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises I2IError if a weight is NaN or infinite: the model makes no images."""
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise I2IError(
                f"{path} has weights that are NaN or infinite (the first is in {key}): its training has failed.",
                "Use a checkpoint or a model that was saved before.",
            )
