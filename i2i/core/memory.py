"""Telling that memory was short, whoever says so: Python, the loader of libraries, the system's threads, PyTorch."""

from __future__ import annotations

import errno
import math

from i2i.core.errors import I2IError
from i2i.core.machine import address_space

NEEDED = 5e9  # bytes of address space with which training and translating begin; measured with PyTorch 2.13 for Linux
LOADING = ("failed to map segment", "cannot allocate memory")  # what the system's loader says
ALLOCATING = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory", "std::bad_alloc")
THREADS = ("can't start new thread", "resource temporarily unavailable", "pthread_create")
HINT = "A smaller --batch or --size needs less memory; for training, a larger --set accumulate does, too."


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


def _too_little(what: str) -> I2IError:
    space = address_space()
    if space == math.inf:
        return I2IError(f"{what}: the memory is full.", "Stop other programs, or use a machine with more memory.")
    return I2IError(
        f"{what}: this program may use only {space / 1e9:.1f} GB of address space (ulimit -v).",
        f"PyTorch needs about {NEEDED / 1e9:.0f} GB of it, most of which takes no memory. Run: ulimit -v unlimited",
    )
