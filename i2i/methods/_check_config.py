"""The settings of a method: `Config` must be a frozen dataclass of values that a command line can give."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from i2i.core import config
from i2i.core.errors import I2IError
from i2i.core.user_code import place_of, shown

if TYPE_CHECKING:
    from i2i.methods._method import Method

RESERVED = ("recipe", "method", "data", "data_named", "versions", "out", "resume")  # words of a run beside its settings
PLAIN = (int, float, bool, str, type(None))
ALLOWED = "Allowed: int, float, bool, str, a tuple of one of them such as tuple[int, ...], and `| None` beside them."


def check_config(kind: type[Method]) -> None:
    """Raises I2IError for the first fault of `kind.Config`."""
    Config = kind.Config

    def where() -> str:
        return f"Config of {kind.__name__} ({place_of(Config)})"

    if not isinstance(Config, type) or "__dataclass_fields__" not in vars(Config):
        raise I2IError(f"The {where()} is not a dataclass.", "Put `@dataclass(frozen=True)` above it.")
    if not Config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise I2IError(f"The {where()} is not frozen.", "Write `@dataclass(frozen=True)` above it.")
    fields = {f.name: f for f in dataclasses.fields(Config)}
    for name, value in vars(Config).items():
        if not name.startswith("_") and name not in fields and isinstance(value, (*PLAIN, tuple, list, dict)):
            raise I2IError(
                f"{name} in the Config of {kind.__name__} ({_line(Config, name)}) has no type, so it is not a setting.",
                f"Write `{name}: {type(value).__name__} = {value!r}`.",
            )
    try:
        hints = typing.get_type_hints(Config, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise I2IError(f"A type in the {where()} is unknown: {error}.", ALLOWED) from error
    for name, field in fields.items():
        fault, hint = _field_fault(field, hints[name])
        if fault:
            raise I2IError(f"{name} in the Config of {kind.__name__} ({_line(Config, name)}) {fault}.", hint)


def _field_fault(field: dataclasses.Field[Any], hint: Any) -> tuple[str, str]:
    """What is wrong with a field, and what helps; two empty texts if nothing is."""
    if not _settable(hint):
        return f"has the type {getattr(hint, '__name__', hint)}, which no setting can have", ALLOWED
    if field.default is dataclasses.MISSING:
        return "has no default value", f"Write one after the type: `{field.name}: {field.type} = ...`."
    try:
        config.convert(field.name, field.default, hint)
    except I2IError as error:
        return f"has the default {field.default!r}", error.hint
    return "", ""


def check_names(kind: type[Method], taken: Iterable[str]) -> None:
    """Raises I2IError if a setting of the method has a name that i2i uses for a setting of its own."""
    for field in dataclasses.fields(kind.Config):
        if field.name in taken or field.name in RESERVED:
            raise I2IError(
                f"Your method's Config has a setting {field.name!r} ({_line(kind.Config, field.name)}), which i2i "
                "itself uses for training.",
                "Rename yours.",
            )


def _settable(hint: Any) -> bool:
    """True for the types that `i2i.core.config` can read from text."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _settable(inside[0])
    if origin is tuple:
        return len(inside) == 2 and inside[1] is Ellipsis and _settable(inside[0])
    if inside and origin is not None:
        return origin in (typing.Union, types.UnionType) and all(map(_settable, inside))
    return hint in PLAIN


def _line(part: type, name: str) -> str:
    """File and line of a class's attribute."""
    try:
        lines, first = inspect.getsourcelines(part)
        body = ast.parse(inspect.cleandoc("\n" + "".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError):
        return place_of(part)
    for node in getattr(body, "body", []):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return f"{shown(inspect.getsourcefile(part) or '')}, line {first + node.lineno - 1}"
    return place_of(part)
