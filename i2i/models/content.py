"""Finds out what a model file holds from its first bytes and its numbers; names and suffixes may be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from i2i.core import pretenders
from i2i.core.errors import I2IError
from i2i.core.files import open_regular

SAFETENSORS, PTH, ONNX = "safetensors", "pth", "onnx"
PTH_SUFFIXES = (".pth.tar", ".pth", ".pt", ".ckpt", ".bin")  # names of PyTorch's files
SUFFIXES = (".safetensors", ".onnx", *PTH_SUFFIXES)
BY_TORCH = (b"PK", b"\x80\x02")  # beginnings of the files of torch.save, new and old
HEAD = pretenders.HEAD
MAX_HEADER = 10_000_000  # bytes of the list of tensors and of the metadata in a safetensors file
KEY = "i2i"  # of a model's header, in the metadata of its file


def kind_of(path: Path) -> str:
    """SAFETENSORS (a model of i2i), PTH (by torch.save, or a .safetensors file of another program) or ONNX.

    A file that looks like none of them is judged by its suffix.

    Raises I2IError if the file is a Git LFS pointer, a web page, or empty."""
    head = refuse_pretenders(path)
    if head[:2] not in BY_TORCH and (path.suffix.lower() == ".onnx" or _is_onnx(head)):
        return ONNX
    if head[8:9] == b"{":
        return PTH if _is_of_others(path) else SAFETENSORS
    if head[:2] in BY_TORCH or path.name.lower().endswith(PTH_SUFFIXES):
        return PTH
    return SAFETENSORS


def _is_onnx(head: bytes) -> bool:
    """Whether a file begins as ONNX files do: the version of the format, then the name of the program or the graph."""
    return len(head) > 2 and head[0] == 8 and 0 < head[1] < 32 and head[2] in (0x12, 0x1A, 0x3A, 0x42)


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
    if pretender := pretenders.unmask(head, "model", is_markup=True):
        what, hint = pretender
        raise I2IError(f"{path} {what}", hint)
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
