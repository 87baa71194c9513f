"""Telling that memory was short, whoever says so: Python, the loader of libraries, the system's threads, PyTorch."""

from __future__ import annotations

import errno
import importlib.util
import math
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from i2i.core.errors import I2IError
from i2i.core.machine import address_space

NEEDED = 5e9  # bytes of address space with which training and translating begin; measured with PyTorch 2.13 for Linux
# Measured: PyTorch for CUDA maps 0.75 of the bytes of its libraries, and with what comes beside it 4.06 GB in all.
MAPPED, BESIDE = 0.75, 0.8e9
LOADING = ("failed to map segment", "cannot allocate memory")  # what the system's loader says
ALLOCATING = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory", "std::bad_alloc")
THREADS = ("can't start new thread", "resource temporarily unavailable", "pthread_create")
HINT = "Give a smaller --batch or --size. Training: --set accumulate=N computes a batch in N parts; N must divide it."


def shortage(error: BaseException) -> I2IError | None:
    """The sentence for an error that came because memory was short; None for any other error."""
    text = str(error).lower()
    if isinstance(error, ImportError | OSError) and any(words in text for words in LOADING):
        return _too_little("A library cannot be loaded")
    if isinstance(error, RuntimeError | OSError) and any(words in text for words in THREADS):
        return _too_little("No more threads can be started")
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and any(words in text for words in ALLOCATING))
    ):
        space = address_space()
        limit = "" if space == math.inf else f" This program may use {space / 1e9:.1f} GB of address space (ulimit -v)."
        return I2IError("The memory is full.", f"{HINT}{limit}")
    return None


class _Guard:
    """Refuses to import PyTorch where it does not fit: halfway it would end the process without a word."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        try:
            if address_space() < MAPPED * sum(_library_bytes()) + BESIDE:
                raise _too_little("PyTorch cannot be loaded")
        except I2IError:
            sys.meta_path.insert(0, self)
            raise
        return importlib.util.find_spec(name)


def guard_torch() -> None:
    """If the address space is limited (ulimit -v): makes importing PyTorch raise I2IError where it does not fit."""
    if address_space() < math.inf and "torch" not in sys.modules:
        sys.meta_path.insert(0, _Guard())


def _library_bytes() -> Iterator[int]:
    """The sizes of PyTorch's libraries, and of NVIDIA's beside it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    package = Path(spec.origin).parent
    for folder, pattern in ((package / "lib", "*.so*"), (package.parent / "nvidia", "*/lib/*.so*")):
        for file in folder.glob(pattern):
            yield file.stat().st_size


def _too_little(what: str) -> I2IError:
    space = address_space()
    if space == math.inf:
        return I2IError(f"{what}: the memory is full.", "Stop other programs, or use a machine with more memory.")
    return I2IError(
        f"{what}: this program may use only {space / 1e9:.1f} GB of address space (ulimit -v).",
        f"PyTorch needs about {NEEDED / 1e9:.0f} GB of it, most of which takes no memory. Run: ulimit -v unlimited",
    )
