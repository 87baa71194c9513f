"""Runs a network: on its device, in its precision, compiled or not, with repeatable noise."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from i2i.core import fast_conv
from i2i.core.device import device_of
from i2i.core.errors import I2IError
from i2i.models import bf16, flat
from i2i.models.exact_edges import keep_edges_exact

NARROW = 32  # channels; a CPU computes networks that are nowhere wider faster with channels last,
LARGE = 1 << 16  # but where a norm reads each map, only from so many pixels on


class Runner:
    """Calls a network on batches [B, C, H, W] in [-1, 1] and returns float32 on the CPU. Safe to call from threads.

    dtype: torch.bfloat16 or torch.float16 for autocast; None: float32. noisy: dropout is on, as the network's source of
    noise; each image then gets the same noise, so that results repeat."""

    def __init__(self, network: nn.Module, dtype: torch.dtype | None = None, noisy: bool = False) -> None:
        self.network, self.dtype, self.noisy = network, dtype, noisy
        self._compiled: nn.Module | None = None
        self._last_from = (LARGE if flat.per_image_norms(network) else 0) if is_narrow(network) else None
        self._speed_up()
        if dtype is not None:
            self._lower()
            # On a CPU layers hold rounded copies of their weights; the weights themselves compute in float32.
            if self.device.type != "cpu":
                network.to(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def to(self, device: str | torch.device) -> None:
        """Moves the network to a device. Raises I2IError if the device cannot be used."""
        self.network.to(device_of(device))
        self._compiled = None
        self._speed_up()
        if self.dtype is not None:
            self._lower()

    def _speed_up(self) -> None:
        if self.device.type == "cpu":
            fast_conv.speed_up(self.network)

    def _lower(self) -> None:
        if self.device.type == "cpu" and self.dtype == torch.bfloat16:
            bf16.lower(self.network)
        else:
            keep_edges_exact(self.network)

    def with_dtype(self, dtype: torch.dtype | None) -> Runner:
        """The same network in another precision; None: float32. Its weights are shared."""
        other = copy.copy(self)
        other.dtype, other._compiled = dtype, None
        if dtype is not None:
            other._lower()
        return other

    def compile(self) -> None:
        """Compiles the network at its next call (seconds to minutes for each new size); an ONNX file runs as it is."""
        if getattr(self.network, "compiles", True):
            self._compiled = torch.compile(self.network)  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}  # compiled code cannot be pickled

    def batch(self, x: Tensor) -> Tensor:
        """The network's output for [B, C, H, W]; images that are one color everywhere are computed exactly."""
        network = self._compiled or self.network
        if self.device.type == "cpu" and self.dtype != torch.float16:  # no slower, and a batch changes the last bits
            y = torch.cat([self(network, image[None]) for image in x])
        else:
            y = self(network, x)
        for i, image in enumerate(x):
            if flat.is_flat(image):
                y[i] = self(flat.exact_on_flat(self.network), image[None], exact=True)[0]
        return y

    def __call__(self, network: nn.Module, x: Tensor, exact: bool = False) -> Tensor:
        """The output of `network`, this one or a changed copy, for [B, C, H, W]. exact: in float32 always."""
        device = self.device
        x = x.to(device)
        lower = self.dtype is not None and not exact
        is_last = self._last_from is not None and x.shape[-1] * x.shape[-2] >= self._last_from
        if device.type == "cuda" or (device.type == "cpu" and (is_last or lower)):
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, self.dtype or torch.bfloat16, enabled=lower):
            y = torch.cat([_seeded(network, image[None]) for image in x]) if self.noisy else network(x)
        return require_numbers(y.float().cpu(), lower)


def require_numbers(y: Tensor, lower: bool = False) -> Tensor:
    """The output of a network, unchanged. Raises I2IError if a value is NaN or infinite: no file may hold that.

    lower: the network computed in a lower precision than float32."""
    if y.numel() and not all(map(math.isfinite, torch.stack(torch.aminmax(y)).tolist())):  # NaN is in both
        hint = "Give --precision fp32." if lower else "The model is damaged, or its training failed: use another one."
        raise I2IError("The network's output holds NaN or infinite values, which are no image.", hint)
    return y


def is_narrow(network: nn.Module) -> bool:
    """True if no layer of a network has more than NARROW channels."""
    widths = [max(m.weight.shape[:2]) for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    return 0 < max(widths, default=0) <= NARROW


def _seeded(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The network's output with the random numbers of seed 0."""
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(0)
        return network(x)
