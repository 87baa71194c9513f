"""Tensors that have shapes but no values: networks of any size are made and run at once, in no memory."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

aten = torch.ops.aten
COPIES = (aten.alias, aten.clone, aten.detach, aten._to_copy)


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """While active, all tensors that are made have shapes but no values, and nothing is computed."""
    with _without_compiler(), _OnCpu(), Valueless(), warnings.catch_warnings():
        # weights that are loaded into a network without values are not lost: nobody will use this network
        warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter", UserWarning)
        yield


@contextlib.contextmanager
def with_values() -> Iterator[None]:
    """Inside `without_values`, a place where tensors have values again: to read weights from a file."""
    before, Valueless.with_values = Valueless.with_values, True
    try:
        yield
    finally:
        Valueless.with_values = before


class Valueless(TorchDispatchMode):
    """While active, operations give tensors of torch's meta device, which have shapes but no values.

    torch's own FakeTensorMode does so too, but loads torch's compiler first, which takes more than a second. A single
    number given as a value, such as a counter in a buffer, is remembered as the attribute `number` of its tensor."""

    with_values = False  # True inside `with_values`

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch would load its compiler to keep it away from these methods."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs `function` on the meta device. Asked for the value of a tensor, gives its number, or 0."""
        if Valueless.with_values:
            return function(*args, **(kwargs or {}))
        if function is aten._local_scalar_dense.default:
            dtype = args[0].dtype
            return getattr(args[0], "number", 0.0 if dtype.is_floating_point else False if dtype == torch.bool else 0)
        number = _number(function, args)
        if _only_writes(function) and args[0].is_meta:
            vars(args[0]).pop("number", None)
            if number is not None:
                args[0].number = number
            return args[0]
        args, kwargs = tree_map(_emptied, (args, kwargs or {}))
        names = {argument.name for argument in function._schema.arguments}
        if "device" in names and (kwargs.get("device") is not None or not any(isinstance(a, Tensor) for a in args)):
            kwargs["device"] = torch.device("meta")
        if "generator" in kwargs:
            kwargs["generator"] = None
        with torch._C.DisableTorchFunction():
            output = function(*args, **kwargs)
        if number is not None:
            output.number = number
        return output


def _only_writes(function: Any) -> bool:
    """True if `function` changes the values of its first argument, and nothing else: `normal_`, not `resize_`."""
    name = function.overloadpacket.__name__
    return name.endswith("_") and function._schema.is_mutable and torch.Tag.inplace_view not in function.tags


def _number(function: Any, args: Any) -> float | None:
    """The number in the output of `function`, if it is a tensor of one number that is known."""
    if function is aten.fill_.Scalar:
        return args[1] if args[0].numel() == 1 else None
    if function is aten.lift_fresh.default:
        return args[0].item() if args[0].numel() == 1 and not args[0].is_meta else None
    source = args[1] if function is aten.copy_.default else args[0] if function.overloadpacket in COPIES else None
    return getattr(source, "number", None)


def _emptied(value: Any) -> Any:
    """`value`; a tensor with values as one of the same shape and strides on the meta device."""
    if not isinstance(value, Tensor) or value.is_meta:
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


class _OnCpu(TorchFunctionMode):
    """While active, a tensor without values says that it is on the CPU, where programs may go another way."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs `function`, unless it asks for the device."""
        output = function(*args, **(kwargs or {}))
        return torch.device("cpu") if function == Tensor.device.__get__ and output.type == "meta" else output


# ---- torch's compiler -----------------------------------------------------------------------------------------------

COMPILER = "torch._dynamo"
SYMBOLS = "torch.fx.experimental.symbolic_shapes"


def _itself(value: Any, *_: Any) -> Any:
    return value


OF_NUMBERS = {  # what the functions of SYMBOLS give for plain numbers
    **dict.fromkeys(("expect_true", "guard_int", "guard_or_false", "guard_or_true", "guard_size_oblivious"), _itself),
    **dict.fromkeys(("guarding_hint_or_throw", "statically_known_true"), _itself),
    "has_guarding_hint": lambda value: True,
    "is_nested_int": lambda value: False,
    "sym_and": lambda *values: all(values),
    "sym_eq": lambda a, b: tuple(a) == tuple(b) if isinstance(a, list | tuple) else a == b,
    "sym_or": lambda *values: any(values),
    "free_unbacked_symbols": lambda value: set(),
}


class _StandIn(ModuleType):
    """Stands for a module that takes long to load, while nobody needs more of it than the functions given here.

    Asked for anything else, it loads the module and gives way."""

    def __init__(self, name: str, functions: dict[str, Any]) -> None:
        super().__init__(name)
        vars(self).update(functions)
        self.given = functions

    def leave(self) -> None:
        """Gives way. Whoever still holds this has all attributes of the module from then on."""
        for name in self.given:
            vars(self).pop(name, None)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, name: str) -> Any:
        """An attribute of the module itself."""
        if name == "__path__" and self.__name__ == SYMBOLS:  # which an import asks for first; it is no package
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    """While active, torch's functions for tensors without values do not load torch's compiler, 1.3 seconds.

    Each of them asks the compiler to be left alone, and compares numbers by functions that know symbols, too. Nothing
    changes if the compiler is loaded already."""
    asked: list[Any] = []

    def disable(function: Any, *_: Any, **__: Any) -> Any:
        asked.append(function)
        return function

    stand_ins = (
        _StandIn(COMPILER, {"disable": disable}),
        _StandIn(SYMBOLS, OF_NUMBERS),
        _StandIn("sympy", {"Basic": type("Basic", (), {})}),  # the class of symbols
    )
    for module in stand_ins:
        sys.modules.setdefault(module.__name__, module)
    try:
        yield
    finally:
        for module in stand_ins:
            module.leave()
        for function in asked:  # where torch keeps the answer of `disable`
            vars(function).pop("__dynamo_disable", None)
