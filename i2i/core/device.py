"""Devices by name, and the memory of the process."""

from __future__ import annotations

import ctypes
import platform
from typing import TYPE_CHECKING

from i2i.core.errors import I2IError

if TYPE_CHECKING:  # the command line lists devices before it can wait for torch
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")  # kinds of devices; auto: the GPU if there is one
DEVICE_NAMES = "auto, cpu, cuda, cuda:1, mps"  # what --device takes, for help texts
ALLOWED_DEVICES = f"Allowed: {DEVICE_NAMES}."


def keep_memory(most: int = 2**31 - 1) -> None:
    """Tells glibc's allocator to keep freed blocks of up to `most` bytes instead of returning them to the system.

    Every training step asks for the same large blocks again. Fresh pages from the system are cleared at their first
    use, which costs a fifth of a step of pix2pix on a CPU. Without glibc nothing happens. Not for tiles of large
    images, whose blocks of many sizes then pile up: 7 GiB instead of 1.6 for one image of 8192 x 8192 pixels."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
            if not libc.mallopt(parameter, most):
                libc.mallopt(parameter, 2**25)  # the most that older versions allow


def device_of(name: str | torch.device) -> torch.device:
    """The torch device of that name; auto: the GPU if there is one. Raises I2IError if it cannot be used."""
    import torch

    if isinstance(name, str) and name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:  # its text lists three dozen kinds of devices
        raise I2IError(f"There is no device {name!r}.", ALLOWED_DEVICES) from error
    try:
        if device.type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(0, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0].split(". ")[0].rstrip(".")  # pages of advice follow
        raise I2IError(f"The device {str(name)!r} cannot be used: {why}.", ALLOWED_DEVICES) from error
