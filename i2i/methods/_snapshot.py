"""Trying a method without leaving a trace: its tensors, attributes and every random state are put back."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Puts back, at the end: parameters, gradients, buffers, attributes, training mode, and the random states of torch
    (all devices), NumPy and Python."""
    undo = [*_tensors(module), *(step for part in module.modules() for step in _attributes(part))]
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            with torch.no_grad():
                for step in reversed(undo):  # attributes first: a tensor may hang on another name meanwhile
                    step()


def _tensors(module: nn.Module) -> Iterator[Callable[[], object]]:
    for parameter in module.parameters():
        gradient = parameter.grad
        held = None if gradient is None else gradient.detach().clone()
        yield _restore_parameter(parameter, parameter.detach().clone(), parameter.requires_grad, gradient, held)
    for buffer in module.buffers():
        yield _restore_tensor(buffer, buffer.detach().clone())


def _restore_parameter(
    parameter: nn.Parameter, value: Tensor, learns: bool, gradient: Tensor | None, held: Tensor | None
) -> Callable[[], object]:
    def restore() -> None:
        parameter.copy_(value)
        parameter.requires_grad_(learns)
        parameter.grad = gradient
        if gradient is not None and held is not None:
            gradient.copy_(held)

    return restore


def _restore_tensor(tensor: Tensor, value: Tensor) -> Callable[[], object]:
    return lambda: tensor.copy_(value)


def _attributes(module: nn.Module) -> Iterator[Callable[[], object]]:
    """Undoes assignments to attributes, and changes inside of lists, dicts, tensors and random generators."""
    before = dict(vars(module))

    def assign() -> None:
        vars(module).clear()
        vars(module).update(before)

    for value in before.values():
        yield from _contents(value)
    yield assign


def _contents(value: Any) -> Iterator[Callable[[], object]]:
    if isinstance(value, list | deque):
        held: Any = list(value)
        yield lambda: (value.clear(), value.extend(held))
    elif isinstance(value, dict | set):
        copied: Any = value.copy()
        yield lambda: (value.clear(), value.update(copied))
    elif isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        yield _restore_tensor(value, value.detach().clone())
    elif isinstance(value, random.Random):
        state = value.getstate()
        yield lambda: value.setstate(state)
    elif isinstance(value, torch.Generator):
        drawn = value.get_state()
        yield lambda: value.set_state(drawn)
