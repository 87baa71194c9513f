"""Devices by name, and the memory of the process."""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from i2i.core.errors import I2IError

if TYPE_CHECKING:  # the command line lists devices before it can wait for torch
    import torch

DEVICE_NAMES = "auto, cpu, cuda, cuda:1, mps"  # what --device and the setting `device` take, for help texts
ALLOWED_DEVICES = f"Allowed: {DEVICE_NAMES}."


Clock = Callable[[], float]  # seconds since any moment


def keep_memory(most: int = 2**31 - 1, block: int | None = None) -> None:
    """Tells glibc's allocator to keep up to `most` bytes of freed memory instead of returning it to the system.

    block: bytes from which a block is returned at once; None: as `most`.

    Every training step asks for the same large blocks again. Fresh pages from the system are cleared at their first
    use, which costs a fifth of a step of pix2pix on a CPU. Without glibc nothing happens. Tiles of large images need a
    limit, as their blocks of many sizes pile up: 7 GiB instead of 1.6 for one image of 8192 x 8192 pixels."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter, limit in ((-1, most), (-3, block or most)):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
            if not libc.mallopt(parameter, limit):
                libc.mallopt(parameter, 2**25)  # the most that older versions allow


def device_of(name: str | torch.device) -> torch.device:
    """The torch device of that name. auto: CUDA if there is one, else MPS (a Mac's GPU), else the CPU.

    Training, translating, generating, evaluating and the web page all ask here. Nothing is put onto a GPU. Raises
    I2IError if the device is unknown, or if it cannot be used on this machine."""
    import torch

    if isinstance(name, str) and name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:  # its text lists three dozen kinds of devices
        raise I2IError(f"There is no device {name!r}.", ALLOWED_DEVICES) from error
    why = _why_not(device)
    if why:
        raise I2IError(f"The device {str(name)!r} cannot be used: {why}.", ALLOWED_DEVICES)
    return device


def clock_of(device: str) -> Clock:
    """The clock by which side work gets its part of a run's time: the processor's on a CPU, where other programs may
    slow the run and the side work by any factor; the wall's on other devices, where the processor waits for them."""
    return time.process_time if device_of(device).type == "cpu" else time.monotonic


def cpu_has_bf16() -> bool:
    """True if this CPU multiplies in bfloat16 by hardware (AMX or AVX512_BF16), and torch uses it."""
    import torch

    def supported(name: str) -> bool:
        probe = getattr(torch.cpu, name, None)  # torch has no public function for it
        return bool(probe and probe())

    has_hardware = supported("_is_amx_tile_supported") or supported("_is_avx512_bf16_supported")
    return has_hardware and torch.backends.mkldnn.is_available()


def _why_not(device: torch.device) -> str:
    """Why a device cannot be used on this machine; empty if it can."""
    import torch

    if device.type == "cuda":
        if not torch.cuda.is_available():
            return "no CUDA device is available here"
        count = torch.cuda.device_count()
        if device.index is not None and device.index >= count:
            return f"there {'is' if count == 1 else 'are'} {count} here, cuda:0" + (
                f" to cuda:{count - 1}" * (count > 1)
            )
        return ""
    if device.type == "mps":
        return "" if torch.backends.mps.is_available() else "no MPS device (the GPU of a Mac) is available here"
    if device.type == "meta":
        return "it holds no values"
    try:
        torch.empty(0, device=device)
        return ""
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0].split(". ")[0].rstrip(".")  # pages of advice follow
