"""Settings: flat names and values (a recipe, `--set key=value`) become typed, frozen dataclasses.

The dataclasses are the only list of settings there is: their fields are the keys, their comments the help, and their
types say which numbers are allowed (`critic_steps: Count = 5`), by the names below or by a `Range` of their own.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import math
import tokenize
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from i2i.core.errors import I2IError, nearest


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high` that a setting may have, or each of a list: `Annotated[float, Range(0, 1)]`."""

    low: float
    high: float = math.inf
    above: bool = False  # low itself is not allowed
    under: bool = False  # high itself is not allowed

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high and not (
            (self.above and number == self.low) or (self.under and number == self.high)
        )

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"more than {self.low}" if self.above else f"{self.low} or more"
        least, most = "more than" if self.above else "at least", "under" if self.under else "at most"
        return f"{least} {self.low} and {most} {self.high}"


Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
NonNegative = Annotated[float, Range(0)]  # weights of losses, learning rates, standard deviations
Share = Annotated[float, Range(0, 1)]
UnderOne = Annotated[float, Range(0, 1, under=True)]  # momenta, dropout


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key: its name, type in words, default and the comment beside it."""

    name: str
    type: str
    default: Any
    comment: str


def settings(part: type) -> list[Setting]:
    """The settings of a dataclass, in its order, with the comments of its source."""
    comments = _comments(part)
    return [
        Setting(f.name, _words(hint), f.default, comments.get(f.name, ""))
        for f, hint in zip(dataclasses.fields(part), _hints(part).values(), strict=True)
    ]


def resolve(values: Mapping[str, Any], parts: Mapping[str, type]) -> dict[str, Any]:
    """Shares out flat `values` over the dataclasses `parts` {name: class} and returns {name: instance}.

    Values may be text, as typed on a command line. Raises I2IError for a key that no part has, naming the nearest, and
    for a value of the wrong type or outside of its range."""
    owners: dict[str, str] = {}
    hints: dict[str, Any] = {}
    for part, kind in parts.items():
        for key, hint in _hints(kind).items():
            if key in owners:
                raise I2IError(
                    f"{kind.__name__} has a setting {key!r}, which exists already: it is a setting of {owners[key]}.",
                    f"Rename the setting in {kind.__name__}.",
                )
            owners[key], hints[key] = part, hint
    shared: dict[str, dict[str, Any]] = {part: {} for part in parts}
    for key, value in values.items():
        if key not in owners:
            raise I2IError(f"There is no setting {key!r}.", nearest(key, owners))
        shared[owners[key]][key] = convert(key, value, hints[key])
    return {part: kind(**shared[part]) for part, kind in parts.items()}


def convert(key: str, value: Any, hint: Any) -> Any:
    """`value`, which may be text, as the type `hint`. Raises I2IError naming `key` if it is none, or out of range."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for option in options:
        found, made = _as(value, option)
        if found:
            _within(key, made, option)
            return made
    raise I2IError(f"{key} is {value!r}.", f"It must be {_words(hint)}.")


def _within(key: str, made: Any, hint: Any) -> None:
    """Raises I2IError if `made`, or one of a list, is outside of the range that its type gives, if it gives any."""
    if isinstance(made, tuple):
        for one in made:
            _within(key, one, typing.get_args(hint)[0])
    elif typing.get_origin(hint) is Annotated:
        for allowed in hint.__metadata__:
            if isinstance(allowed, Range) and made not in allowed:
                shown = f"{made:g}" if isinstance(made, float) else made
                raise I2IError(f"{key} is {shown}.", f"Allowed: {allowed}.")


_NOTHING = ("none", "null", "~", "")
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _as(value: Any, kind: Any) -> tuple[bool, Any]:
    """(whether `value` is or reads as a `kind`, what it is then). Nothing (`key=`) is an empty text or list."""
    if typing.get_origin(kind) is Annotated:
        return _as(value, typing.get_args(kind)[0])
    text = value.strip() if isinstance(value, str) else None
    if kind is type(None):
        return (value is None or (text is not None and text.lower() in _NOTHING)), None
    if kind is bool:
        if text is not None:
            return text.lower() in _TRUTH, _TRUTH.get(text.lower())
        return (isinstance(value, bool) or value in (0, 1)), bool(value)
    if kind in (int, float):
        if isinstance(value, bool) or value is None or isinstance(value, list | tuple | dict):
            return False, None
        try:
            number = float(value)
        except ValueError:
            return False, None
        if not math.isfinite(number):
            return False, None
        if kind is float:
            return True, number
        return number.is_integer(), int(number) if number.is_integer() else None
    if kind is str:
        return value is None or isinstance(value, str | int | float), "" if value is None else str(value)
    if typing.get_origin(kind) is tuple:
        given = () if value is None else value
        if text is not None:
            given = [v for v in text.replace("[", "").replace("]", "").split(",") if v.strip()]
        if not isinstance(given, list | tuple):
            return False, None
        inner = typing.get_args(kind)[0]
        made = [_as(v, inner) for v in given]
        return all(ok for ok, _ in made), tuple(v for _, v in made)
    return False, None


def _hints(part: type) -> dict[str, Any]:
    found = typing.get_type_hints(part, include_extras=True)
    return {f.name: found[f.name] for f in dataclasses.fields(part)}


def _words(hint: Any) -> str:
    """A type in a user's words."""
    if typing.get_origin(hint) is Annotated:
        inner, *more = typing.get_args(hint)
        return ", ".join([_words(inner), *(str(m) for m in more if isinstance(m, Range))])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_words(h) for h in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"a list, each {_words(typing.get_args(hint)[0])}"
    plain = {int: "a whole number", float: "a number", bool: "yes or no", str: "a text", type(None): "none"}
    return plain.get(hint, str(hint))


def _comments(part: type) -> dict[str, str]:
    """The comment at the end of each field's line."""
    found: dict[str, str] = {}
    for kind in reversed(part.__mro__):
        if not dataclasses.is_dataclass(kind):
            continue
        try:
            source = inspect.cleandoc("\n" + inspect.getsource(kind))
        except (OSError, TypeError):
            continue
        lines = {
            token.start[0]: token.string.lstrip("# ").strip()
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
        body = ast.parse(source).body[0]
        for node in getattr(body, "body", []):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = lines.get(node.end_lineno or node.lineno, "")
    return found
