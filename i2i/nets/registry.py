"""Networks by name: what a saved model needs to build its networks again.

A saved model holds, for each network, a name and the arguments of its constructor. `register` gives a class its name;
`Network` (a base class) and `record` (for any other class) keep the arguments of each instance in `.arguments`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from torch import nn

from i2i.core import user_code
from i2i.core.config import require
from i2i.core.errors import I2IError, nearest

Kind = TypeVar("Kind", bound=type[nn.Module])

NETWORKS: dict[str, type[nn.Module]] = {}
_FORMER: dict[str, dict[str, Any]] = {}  # of each name: arguments of earlier versions, and the value that still works


@dataclass(frozen=True)
class NotJSON:
    """Stands in `.arguments` for a value that JSON cannot hold; such a network runs, but cannot be saved."""

    kind: str  # the value's type


class Network(nn.Module):
    """Base class of networks that can be saved: each instance has its constructor's arguments in `.arguments`.

    Defaults are included. The arguments are those of the instance's own class, not of the base classes it calls."""

    arguments: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        record(cls)


def record(kind: Kind) -> Kind:
    """Class decorator for any nn.Module: its constructor keeps its arguments, with the defaults, in `.arguments`.

    Positional and keyword arguments are both kept by name; tuples become lists, as in JSON. Where constructors call
    each other, those of the outermost recorded class are kept. A class is wrapped only once."""
    construct = kind.__init__
    if hasattr(construct, "records_arguments"):
        return kind
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def recording(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        if "arguments" not in self.__dict__:  # else a subclass has recorded its own already
            with contextlib.suppress(TypeError):  # the call below raises it again, with the constructor's name
                self.__dict__["arguments"] = _by_name(signature.bind(self, *args, **kwargs))
        construct(self, *args, **kwargs)

    recording.records_arguments = True  # type: ignore[attr-defined]
    kind.__init__ = recording  # type: ignore[method-assign]
    return kind


def _by_name(bound: inspect.BoundArguments) -> dict[str, Any]:
    """All arguments of a call but `self`, by name, as JSON holds them."""
    bound.apply_defaults()
    named: dict[str, Any] = {}
    for position, (name, value) in enumerate(bound.arguments.items()):
        parameter = bound.signature.parameters[name]
        if position == 0:  # self
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= {key: _as_json(part) for key, part in value.items()}
        elif parameter.kind is parameter.VAR_POSITIONAL:  # has no name to be passed by
            named |= {f"*{name}": NotJSON("positional arguments without names")} if value else {}
        else:
            named[name] = _as_json(value)
    return named


def _as_json(value: Any) -> Any:
    """A copy of `value` in JSON's types, with NotJSON for what has none."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _as_json(part) for key, part in value.items()}
    return NotJSON(type(value).__name__)


def network_arguments(net: nn.Module) -> dict[str, Any]:
    """The arguments that build `net` again, in JSON's types; empty for a class without `.arguments`.

    Raises I2IError naming the first argument that JSON cannot hold."""
    arguments: dict[str, Any] = dict(getattr(net, "arguments", {}))
    for name, value in arguments.items():
        wrong = _not_json(value)
        if wrong is not None:
            raise I2IError(
                f"{type(net).__name__} cannot be saved: its argument {name} holds a value that JSON cannot "
                f"({wrong.kind}).",
                "Use numbers, texts, booleans, None, and lists or dicts of them.",
            )
    return arguments


def _not_json(value: Any) -> NotJSON | None:
    """The first part of `value` that JSON cannot hold."""
    if isinstance(value, NotJSON):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((wrong for wrong in map(_not_json, parts) if wrong is not None), None)


def register(name: str, former: Mapping[str, Any] | None = None) -> Callable[[Kind], Kind]:
    """Class decorator: saved models store `name` for this class of networks and build it again by that name.

    The constructor's arguments are recorded (see `record`). former: arguments that the constructor had in earlier
    versions, each with its default of then, the only value that `build` still accepts. Raises I2IError if another class
    has the name."""

    def keep(kind: Kind) -> Kind:
        known = NETWORKS.setdefault(name, kind)
        if known.__qualname__ != kind.__qualname__ or not _same_home(known.__module__, kind.__module__):
            raise I2IError(
                f"Two network classes are registered as {name!r}: {known.__qualname__} and {kind.__qualname__}.",
                "Give one of them another name.",
            )
        NETWORKS[name] = kind
        _FORMER[name] = dict(former or {})
        kind.registered_as = name  # type: ignore[attr-defined]
        return record(kind)

    return keep


def _same_home(known: str, new: str) -> bool:
    """True if two modules are one, or two contents of files that users may edit and import again."""
    return known == new or (known.startswith(user_code.PREFIX) and new.startswith(user_code.PREFIX))


def has_argument(name: str, argument: str) -> bool:
    """Whether the networks of that name are made with an `argument`; True for a name that is not one of i2i's own."""
    kind = NETWORKS.get(name)
    if kind is None or not kind.__module__.startswith("i2i."):
        return True
    return argument in inspect.signature(kind).parameters


def build(name: str, **arguments: Any) -> nn.Module:
    """A new network of the class registered as `name`, made with `arguments` (what its `.arguments` holds).

    The types of a constructor of i2i say which values fit (i2i.core.config). Raises I2IError if the name is unknown or
    an argument does not fit."""
    if name not in NETWORKS:
        raise I2IError(f"There is no network named {name!r}.", nearest(name, NETWORKS))
    for key, value in _FORMER.get(name, {}).items():
        if key in arguments and (argument := arguments.pop(key)) != value:
            raise I2IError(
                f"The network {name} was made with {key}={argument!r}; this version builds it with {value!r} only.",
                "Use the version of i2i that saved the model.",
            )
    hints = _hints(name)
    for key, value in arguments.items():
        require(key, value, hints.get(key))
    try:
        return NETWORKS[name](**arguments)
    except TypeError as error:
        raise I2IError(f"The network {name} cannot be built: {error}.") from None


@functools.cache
def _hints(name: str) -> dict[str, Any]:
    """The types of the constructor's arguments of a network of i2i; those of a user's network may be anything."""
    kind = NETWORKS[name]
    if not kind.__module__.startswith("i2i."):
        return {}
    return get_type_hints(inspect.unwrap(kind.__init__), include_extras=True)


def network_name(net: nn.Module) -> str:
    """The name under which a network's class is registered. Raises I2IError if it is not registered."""
    name: str = vars(type(net)).get("registered_as", "")
    if name:
        return name
    raise I2IError(
        f"{type(net).__name__} cannot be saved, because its class is not registered.",
        "Write `@nets.register('a_name')` above the class (from i2i import nets).",
    )
