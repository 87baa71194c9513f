"""torch's optimizers without torch's compiler.

torch wraps the methods of its optimizers so that its compiler leaves them alone, and loads the compiler at the first
call for that, which takes more than a second of every program. i2i compiles networks, never optimizers, so that the
optimizers here call the wrapped methods themselves. States, hooks and results are those of torch's classes.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Eager(Optimizer):
    """What the optimizers below have in common. In the order of bases it stands before torch's class."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)

    def step(self, closure: Any = None) -> Any:
        """Changes the parameters by their gradients, as torch's class does."""
        wrapped: Any = super().step
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return inspect.unwrap(wrapped.__func__)(self, closure)


class Adam(Eager, torch.optim.Adam):
    """torch.optim.Adam. Weights that lie channels last are handed over as contiguous views of the same memory.

    torch's fused step copies the gradients of others first, which took half of its time."""

    def _init_group(self, group: dict[str, Any], parameters: list[Tensor], *others: list[Tensor]) -> bool:
        has_complex = super()._init_group(group, parameters, *others)  # type: ignore[no-untyped-call]
        last = [p.dim() == 4 and not p.is_contiguous() for p in parameters]
        for tensors in (parameters, *others[:-1]):  # the last ones are the numbers of steps
            tensors[:] = [t.permute(0, 2, 3, 1) if is_last else t for t, is_last in zip(tensors, last, strict=False)]
        return has_complex


class AdamW(Adam, torch.optim.AdamW):
    """torch.optim.AdamW."""


class RMSprop(Eager, torch.optim.RMSprop):
    """torch.optim.RMSprop."""


class SGD(Eager, torch.optim.SGD):
    """torch.optim.SGD."""
