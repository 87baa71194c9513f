"""Counts multiply-accumulates (MACs) of networks, without computing anything."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from i2i.nets.valueless import without_values

aten = torch.ops.aten
NORMS = {  # norms, and the position of their weight among the arguments
    "native_batch_norm": 1,
    "_native_batch_norm_legit": 1,
    "_native_batch_norm_legit_no_training": 1,
    "_batch_norm_with_update": 1,
    "_batch_norm_no_update": 1,
    "cudnn_batch_norm": 1,
    "native_group_norm": 1,
    "native_layer_norm": 2,
}
PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}  # matrix products, and the position of their left factor


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one forward pass. Biases, activations, padding and additions count nothing.

    conv: of convolutions, as papers count them: values of the output x input channels / groups x kernel area. So a
    transposed convolution of stride 2 counts four times what it needs (the published 56.8 G of CycleGAN's generator).
    needed: the same, but transposed convolutions by their input positions. dense: of matrix products, attention
    included. norm: one for each output value of a norm with weights."""

    conv: int = 0
    needed: int = 0
    dense: int = 0
    norm: int = 0

    @property
    def published(self) -> int:
        """As papers count: convolutions and matrix products."""
        return self.conv + self.dense

    @property
    def work(self) -> int:
        """What a device has to compute; the time of a step grows with it."""
        return self.needed + self.dense

    @classmethod
    def of(cls, counts: Counter[str]) -> Macs:
        """The counts by name as Macs."""
        return cls(counts["conv"], counts["needed"], counts["dense"], counts["norm"])


class MacCounter(TorchDispatchMode):
    """While active, adds up the MACs of all operations, on any device.

    Convolutions that `i2i.core.fast_conv` has changed are other operations: count before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch would load its compiler to keep it away from this class."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs `function`, and counts."""
        output = function(*args, **(kwargs or {}))
        self.total.update(_macs(function.overloadpacket, args, output))
        return output


def _macs(operation: Any, args: Any, output: Any) -> dict[str, int]:
    """The MACs of one operation by their kind."""
    name = operation.__name__
    if operation is aten.convolution:
        x, weight, transposed = args[0], args[1], args[6]
        if not transposed:  # weight [out, in / groups, r, r]
            count = output.numel() * weight[0].numel()
            return {"conv": count, "needed": count}
        area, groups = math.prod(weight.shape[2:]), args[8]  # weight [in, out / groups, r, r]
        count = output.numel() * (x.shape[1] // groups) * area
        return {"conv": count, "needed": x.numel() * weight.shape[1] * area}
    if name in PRODUCTS:
        return {"dense": output.numel() * args[PRODUCTS[name]].shape[-1]}
    if name.startswith("_scaled_dot_product") and "backward" not in name:
        query, key = args[0], args[1]
        return {"dense": 2 * query.numel() * key.shape[-2]}
    if name in NORMS and args[NORMS[name]] is not None:
        return {"norm": output[0].numel()}
    return {}


def count_macs(network: nn.Module, *inputs: Tensor) -> Macs:
    """The MACs of `network(*inputs)`, whose mode (train, eval) and values stay as they are. Nothing is computed."""
    with no_computing() as counter, torch.no_grad():
        network(*inputs)
    return Macs.of(counter.total)


@contextlib.contextmanager
def no_computing() -> Iterator[MacCounter]:
    """While active, tensors have shapes but no values: networks of any size are made and run at once, in no memory.

    Yields the counter of the MACs that would be computed. Where a program asks for a value, it gets 0."""
    with without_values(), MacCounter() as counter:
        yield counter


@contextlib.contextmanager
def by_network(networks: dict[str, nn.Module], counter: MacCounter) -> Iterator[dict[str, Macs]]:
    """While active, fills the dict that it yields: {network: MACs of its first call, for one image}.

    A network that is only called part by part, such as a chain of answers, gets the MACs of its most costly part."""
    firsts: dict[str, Macs] = {}
    handles = []
    parts = {f"{name}.{k}": child for name, net in networks.items() for k, child in net.named_children()}
    for name, network in {**networks, **parts}.items():
        before: list[Counter[str]] = []

        def enter(module: nn.Module, args: Any, before: list[Counter[str]] = before) -> None:
            before.append(counter.total.copy())

        def leave(
            module: nn.Module, args: Any, output: Any, name: str = name, before: list[Counter[str]] = before
        ) -> None:
            counts = counter.total - before.pop()
            images = len(args[0]) if args and isinstance(args[0], Tensor) and args[0].dim() else 1
            if name not in firsts and counts:
                firsts[name] = Macs.of(Counter({k: n // max(1, images) for k, n in counts.items()}))

        register: Callable[..., Any] = network.register_forward_hook
        handles += [network.register_forward_pre_hook(enter), register(leave)]
    try:
        yield firsts
    finally:
        for handle in handles:
            handle.remove()
        of_parts = {name: firsts.pop(name) for name in parts if name in firsts}
        for name in networks.keys() - firsts.keys():
            calls = [macs for part, macs in of_parts.items() if part.startswith(f"{name}.")]
            firsts |= {name: max(calls, key=lambda macs: macs.work)} if calls else {}
