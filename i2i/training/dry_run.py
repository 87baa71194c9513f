"""The plan of a run, as `i2i train --dry-run` prints it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from i2i.core.device import device_of
from i2i.methods import is_builtin, method_name
from i2i.methods._method import Method
from i2i.nets.macs import no_computing
from i2i.training.check import check_on_data
from i2i.training.cost import Cost
from i2i.training.estimate import estimate
from i2i.training.head import suggestion, warnings
from i2i.training.resolved import meanings, resolved
from i2i.training.run import Run

BUDGET = 4.0  # seconds for measuring steps


def describe(run: Run) -> dict[str, Any]:
    """What the run would do: data, networks, time, memory, disk, notes, and all settings; JSON values.

    Raises I2IError if the networks cannot be built, if a method of the user's own breaks its contract, or if the device
    cannot be used."""
    method = None if is_builtin(run.method) else _checked(run)
    estimated = estimate(run, BUDGET)
    if method is None:
        method = _checked(run) if estimated.cost is None else _without_weights(run)
    lighter = suggestion(run, estimated)
    networks = _networks(method, estimated.cost)
    parameters = sum(facts["parameters"] for facts in networks.values())
    memory = 16 * parameters if estimated.memory is None else estimated.memory
    return {
        "recipe": run.recipe,
        "method": method_name(run.method),
        "data": run.sources,
        "layout": run.data.layout,
        "pictures": run.data.count,
        "held out": run.held_out.count if run.held_out else 0,
        "channels": [run.shape.channels_in, run.shape.channels_out],
        "size": run.shape.size,
        "images": run.total,
        "epochs": round(run.total / max(1, run.data.count), 2),
        "steps": run.total // run.training.batch,
        "batch": run.training.batch,
        "device": estimated.device,
        "precision": estimated.precision,
        "networks": networks,
        "parameters": parameters,
        "memory_mib": math.ceil(memory / 2**20),
        "seconds": estimated.seconds,
        "seconds_source": estimated.source,
        "step_seconds": estimated.step_seconds,
        "disk_bytes": estimated.disk,
        "disk_free_bytes": estimated.disk_free,
        "lighter": None if lighter is None else dataclasses.asdict(lighter),
        "warnings": warnings(estimated, lighter),
        "notes": run.notes(method),
        "out": str(run.folder),
        "settings": run.settings,
        "changed": run.changed(),
        "resolved": resolved(run, device_of(run.training.device)),
        "meanings": meanings(run),
    }


def _checked(run: Run) -> Method:
    """The method of a run with its weights. A method of the user's own is checked on images of the run."""
    with torch.device("cpu"):
        method = run.build()
        check_on_data(method, run)
    return method


def _without_weights(run: Run) -> Method:
    """The method of a run for its notes; it takes no memory."""
    with no_computing():
        return run.build()


def _networks(method: Method, cost: Cost | None) -> dict[str, dict[str, Any]]:
    """{network: its type, parameters, and MACs of one image; null where they are unknown} of those with parameters."""
    facts = {}
    for name, net in method.networks().items():
        size = sum(p.numel() for p in net.parameters())
        macs = cost.networks.get(name) if cost else None
        if size:
            facts[name] = {"type": type(net).__name__, "parameters": size, "macs": macs.published if macs else None}
    return facts
