"""The plan of a run, as `i2i train --dry-run` prints it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from i2i.core.distributed import processes
from i2i.data.batch import Shape
from i2i.methods import method_name
from i2i.methods._method import Method
from i2i.training.check import check_on_data
from i2i.training.report.log import records
from i2i.training.run import Run


def describe(run: Run) -> dict[str, Any]:
    """What the run would do: data, networks, memory, time, notes, and all settings; JSON values."""
    with torch.device("cpu"):
        method = run.build()
        check_on_data(method, run)
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in method.networks().items()}
    types = {name: type(net).__name__ for name, net in method.networks().items()}
    parameters = sum(sizes.values())
    micro_batch = max(1, run.training.batch // max(1, processes()) // run.training.accumulate)
    activations = _activation_bytes(method, run.shape, micro_batch)
    return {
        "recipe": run.recipe,
        "method": method_name(run.method),
        "data": run.sources,
        "layout": run.data.layout,
        "pictures": run.data.count,
        "held out": run.held_out.count if run.held_out else 0,
        "channels": [run.shape.channels_in, run.shape.channels_out],
        "images": run.total,
        "epochs": round(run.total / max(1, run.data.count), 2),
        "steps": run.total // run.training.batch,
        "networks": {name: {"type": types[name], "parameters": size} for name, size in sizes.items() if size},
        "parameters": parameters,
        # weights, gradients and two moments of Adam, 4 bytes each, and the activations of the forward passes
        "memory_mib": math.ceil((16 * parameters + activations) / 2**20),
        "seconds": remaining_seconds(run),
        "notes": run.notes(method),
        "out": str(run.folder),
        "settings": run.settings,
        "changed": run.changed(),
    }


def remaining_seconds(run: Run) -> float | None:
    """Seconds that the rest of the run takes at the last speed in its log; None for a run that has not begun."""
    images = speed = 0.0
    try:
        for line in records(run.folder / "log.jsonl"):
            if line["kind"] == "losses" and line.get("speed"):
                images, speed = line["images"], line["speed"]
    except OSError:
        return None
    return max(0.0, run.total - images) / speed if speed else None


def _activation_bytes(method: Method, shape: Shape, batch: int) -> int:
    """Bytes that the forward passes of one step keep for the backward pass, estimated from one forward pass of each
    generator; 0 if a generator cannot run on `Method.example`."""
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        total += 0 if isinstance(tensor, nn.Parameter) else tensor.numel() * tensor.element_size()
        return tensor

    for name in method.averaged:
        network = getattr(method, name)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t), torch.random.fork_rng():
            try:
                network.eval()(*method.example(shape))
            except (RuntimeError, ValueError, TypeError):
                return 0
    return 3 * total * batch  # a step keeps about three forward passes of each generator, discriminators included
