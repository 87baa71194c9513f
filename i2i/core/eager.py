"""torch's optimizers without torch's compiler.

torch wraps the methods of its optimizers so that its compiler leaves them alone, and loads the compiler at the first
call for that, which takes more than a second of every program. i2i compiles networks, never optimizers, so that the
optimizers here call the wrapped methods themselves. States, hooks and results are those of torch's classes.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
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
    """torch.optim.Adam."""


class AdamW(Eager, torch.optim.AdamW):
    """torch.optim.AdamW."""


class RMSprop(Eager, torch.optim.RMSprop):
    """torch.optim.RMSprop."""


class SGD(Eager, torch.optim.SGD):
    """torch.optim.SGD."""
