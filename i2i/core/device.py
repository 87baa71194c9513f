"""Devices by name, and the memory of the process."""

from __future__ import annotations

import ctypes
import platform

import torch

from i2i.core.errors import I2IError

DEVICES = "Allowed: auto, cpu, cuda, cuda:1, mps."


def keep_memory(most: int = 2**31 - 1) -> None:
    """Tells glibc's allocator to keep blocks of up to `most` bytes when they are freed, instead of returning them.

    Every step asks for the same large blocks again; from the system they come as fresh pages, which are cleared at the
    first touch: a fifth of a step of pix2pix on a CPU. Elsewhere than with glibc nothing happens. Not for windows of
    large images, whose blocks of many sizes then pile up: 7 GiB instead of 1.6 for one of 8192 x 8192 pixels."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
            if not libc.mallopt(parameter, most):
                libc.mallopt(parameter, 2**25)  # as much as older ones allow


def device_of(name: str | torch.device) -> torch.device:
    """The device of that name; auto: the GPU if there is one. Raises I2IError if it cannot be used."""
    if isinstance(name, str) and name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        made = torch.device(name)
    except (RuntimeError, TypeError) as error:  # its text lists three dozen kinds of devices
        raise I2IError(f"There is no device {name!r}.", DEVICES) from error
    try:
        if made.type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(0, device=made)
        return made
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0].split(". ")[0].rstrip(".")  # pages of advice follow
        raise I2IError(f"The device {str(name)!r} cannot be used: {why}.", DEVICES) from error
