"""A limit on the parameters of networks that are being built, so that a slip of the finger cannot fill the memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from i2i.core.errors import I2IError


class TooLarge(I2IError):
    """Networks with more parameters than allowed."""


@contextlib.contextmanager
def at_most(values: float, tensors: float, why: str, hint: str = "") -> Iterator[None]:
    """Raises TooLarge as soon as this thread builds networks with more than `values` numbers in parameters, or more
    than `tensors` parameters.

    A layer registers a parameter before its memory is written to, so that what is too large never takes memory. why: an
    end of the sentence "The networks have more than N parameters"."""
    thread = threading.get_ident()
    sizes: dict[int, int] = {}  # of each parameter, by its address: a normalized weight is registered twice
    total = count = 0

    def add(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal total, count
        if parameter is None or threading.get_ident() != thread:
            return
        has_memory = not (parameter.is_meta or isinstance(parameter, FakeTensor))
        address = parameter.data_ptr() if has_memory else 0
        size = parameter.numel()
        total += size - (sizes.get(address, 0) if address else 0)
        sizes[address] = size
        count += 1
        if total > values or count > tensors:
            limit = f"{values:,.0f} numbers" if total > values else f"{tensors:,.0f} tensors"
            raise TooLarge(f"The networks have more than {limit} in their parameters{why}.", hint)

    handle = register_module_parameter_registration_hook(add)
    try:
        yield
    finally:
        handle.remove()
