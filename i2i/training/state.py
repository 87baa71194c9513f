"""The state of a run as flat tensors and JSON values: packed for a checkpoint, and restored from one.

It holds everything that is no pure function of the images seen: weights, buffers, averages, optimizers, loss scalers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from i2i.core.errors import I2IError
from i2i.methods._method import Method
from i2i.training.ema import EMA
from i2i.training.step import TrainStep


def pack_state(step: TrainStep, ema: EMA) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name ("method/...", "ema/...", "optim/...") and the JSON part {"optimizers", "scalers"}."""
    tensors: dict[str, Tensor] = {f"method/{key}": value for key, value in step.method.state_dict().items()}
    numbers = {}
    for name, optimizer in step.optimizers.items():
        moments, numbers[name] = pack_optimizer(name, optimizer)
        tensors |= moments
    for name, network in ema.networks.items():
        tensors |= {f"ema/{name}/{key}": value for key, value in network.state_dict().items()}
    scalers = {name: scaler.state_dict() for name, scaler in step.precision.scalers.items()}
    return tensors, {"optimizers": numbers, "scalers": scalers}


def restore_state(step: TrainStep, ema: EMA, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Restores what `pack_state` packed. Raises I2IError if the tensors do not fit the networks."""
    weights = _below("method/", tensors)
    _check_shapes(step.method, weights)
    step.method.load_state_dict(weights)
    for name, optimizer in step.optimizers.items():
        restore_optimizer(name, optimizer, tensors, facts["optimizers"][name])
    for name, network in ema.networks.items():
        network.load_state_dict(_below(f"ema/{name}/", tensors))
    for name, state in facts["scalers"].items():
        step.precision.scalers[name].load_state_dict(state)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def _check_shapes(method: Method, weights: dict[str, Tensor]) -> None:
    """Raises I2IError naming a tensor that is missing, unknown or of another shape."""
    expected = {key: tuple(value.shape) for key, value in method.state_dict().items()}
    actual = {key: tuple(value.shape) for key, value in weights.items()}
    if expected == actual:
        return
    key = sorted(k for k in expected.keys() | actual.keys() if expected.get(k) != actual.get(k))[0]
    raise I2IError(
        f"The checkpoint does not fit the networks: the shape of {key} is {actual.get(key, 'absent')} in the "
        f"checkpoint and {expected.get(key, 'absent')} in this run.",
        "Resume the run with the settings and the method that it was started with.",
    )


def pack_optimizer(name: str, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of `optimizer`: tensors by "optim/<name>/<parameter>/<key>", numbers by "<parameter>/<key>"."""
    tensors, numbers = {}, {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optim/{name}/{index}/{key}"] = value
            else:
                numbers[f"{index}/{key}"] = value
    return tensors, numbers


def restore_optimizer(name: str, optimizer: Optimizer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Restores what `pack_optimizer` packed; each tensor gets the memory layout of its parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in _below(f"optim/{name}/", tensors).items():
        index, entry = key.split("/")
        p = parameters[int(index)]
        if value.shape == p.shape and value.dim() > 0:
            # A fused optimizer walks parameter and state in storage order, so both need the same strides.
            restored = torch.empty_like(p, dtype=value.dtype, requires_grad=False).copy_(value)
        else:
            restored = value.to(p.device) if optimizer.defaults.get("fused") else value
        optimizer.state[p][entry] = restored
    for key, number in numbers.items():
        index, entry = key.split("/")
        optimizer.state[parameters[int(index)]][entry] = number
