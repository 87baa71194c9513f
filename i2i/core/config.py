"""Settings: flat names and values (from a recipe or `--set key=value`) become typed, frozen dataclasses.

The dataclasses are the only list of settings: a field is a key, the comment behind it its help text, and its type says
which numbers are allowed: `critic_steps: Count = 5`. The types below cover most; a `Range` covers the others.
"""

from __future__ import annotations

import ast
import collections.abc
import dataclasses
import inspect
import io
import math
import reprlib
import tokenize
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from i2i.core.errors import I2IError
from i2i.core.other_names import nearest_setting


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high` that a setting, or each of a list, may have: `Annotated[float, Range(0, 1)]`."""

    low: float
    high: float = math.inf
    above: bool = False  # True: low itself is not allowed
    under: bool = False  # True: high itself is not allowed

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high and not (
            (self.above and number == self.low) or (self.under and number == self.high)
        )

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"more than {self.low}" if self.above else f"{self.low} or more"
        if not (self.above or self.under):
            return f"{self.low} to {self.high}"
        lower, upper = "more than" if self.above else "at least", "under" if self.under else "at most"
        return f"{lower} {self.low} and {upper} {self.high}"


Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
NonNegative = Annotated[float, Range(0)]  # weights of losses, learning rates, standard deviations
Share = Annotated[float, Range(0, 1)]
UnderOne = Annotated[float, Range(0, 1, under=True)]  # momenta, dropout

MAX_SIDE = 16_384  # pixels
MAX_TEXT, MAX_VALUES = 4096, 1000  # length of a text, and of a list

# Sizes of networks, in settings and in the headers of saved models: `nets.build` checks the types of constructors. They
# are far above what anybody trains, and keep a slip of the finger from asking for years of work.
Width = Annotated[int, Range(1, 16_384)]  # channels, units, numbers in the noise
Layers = Annotated[int, Range(1, 64)]
Blocks = Annotated[int, Range(0, 256)]  # blocks in a row, or none
Side = Annotated[int, Range(1, MAX_SIDE)]  # of square images and maps, in pixels
OptionalWidth = Annotated[int, Range(0, 16_384)]  # 0: as the network has it
OptionalSide = Annotated[int, Range(0, MAX_SIDE)]  # 0: none
Classes = Annotated[int, Range(0, 100_000)]
Channels = Annotated[int, Range(1, 1024)]  # of images
Repeats = Annotated[int, Range(1, 10_000)]  # steps or batches in one step


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key: its name, its type in words, its default and its help text."""

    name: str
    type: str
    default: Any
    comment: str


def settings(part: type) -> list[Setting]:
    """The settings of a dataclass in their order; the help texts are the comments of its source."""
    comments = _comments(part)
    return [
        Setting(f.name, _describe(hint), f.default, comments.get(f.name, ""))
        for f, hint in zip(dataclasses.fields(part), _hints(part).values(), strict=True)
    ]


def resolve(values: Mapping[str, Any], parts: Mapping[str, type]) -> dict[str, Any]:
    """Distributes flat `values` over the dataclasses `parts` {name: class} and returns {name: instance}.

    parts: those of i2i first, the method's Config last. Values may be text, as typed on a command line. Raises I2IError
    for a key that no part has, naming the setting that may be meant, for a value of the wrong type or outside its
    range, and for a Config with a setting that i2i has already."""
    owners: dict[str, str] = {}
    hints: dict[str, Any] = {}
    for part, cls in parts.items():
        for key, hint in _hints(cls).items():
            if key in owners:
                raise I2IError(
                    f"{cls.__qualname__} has a setting {key!r}, which i2i itself uses for {owners[key]}.",
                    f"Rename the setting in {cls.__qualname__}.",
                )
            owners[key], hints[key] = part, hint
    arguments: dict[str, dict[str, Any]] = {part: {} for part in parts}
    for key, value in values.items():
        if key not in owners:
            raise I2IError(f"There is no setting {key!r}.", nearest_setting(key, owners))
        arguments[owners[key]][key] = convert(key, value, hints[key])
    return {part: cls(**arguments[part]) for part, cls in parts.items()}


def convert(key: str, value: Any, hint: Any) -> Any:
    """`value`, which may be text, as the type `hint`. Raises I2IError naming `key` if it does not fit the type."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for option in options:
        fits, converted = _parse(value, option)
        if fits:
            for kind, most, words in ((str, MAX_TEXT, "characters"), (tuple, MAX_VALUES, "values")):
                if isinstance(converted, kind) and len(converted) > most:
                    raise I2IError(f"{key} is {shorten(value)}.", f"Allowed: up to {most} {words}.")
            _check_range(key, converted, option)
            return converted
    raise I2IError(f"{key} is {shorten(value)}.", f"It must be {_describe(hint)}.")


def require(key: str, value: Any, hint: Any) -> None:
    """Raises I2IError if a value of JSON has not the type `hint`, or is outside its range. Nothing is converted.

    Types that no setting can have are not checked."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if not any(_has_type(value, kind) for kind in kinds):
        raise I2IError(f"{key} is {shorten(value)}.", f"It must be {_describe(hint)}.")
    for kind in kinds:
        if _has_type(value, kind):
            _check_range(key, tuple(value) if isinstance(value, list) else value, kind)


def _has_type(value: Any, kind: Any) -> bool:
    """Whether a value of JSON has a type; True for types that are not known here."""
    if typing.get_origin(kind) is Annotated:
        return _has_type(value, typing.get_args(kind)[0])
    if kind is list or typing.get_origin(kind) in (tuple, list, collections.abc.Sequence):
        return isinstance(value, list | tuple) and all(_has_type(v, (*typing.get_args(kind), None)[0]) for v in value)
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind if kind in (int, bool, str, type(None)) else True


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 2, 80, 80, 50


def shorten(value: Any) -> str:
    """A value for a message, as Python writes it; of a long or deep one only a part."""
    return _SHORT.repr(value)


def _check_range(key: str, value: Any, hint: Any) -> None:
    """Raises I2IError if `value`, or one of a list, is outside the range of its type."""
    if isinstance(value, tuple):
        for one in value:
            _check_range(key, one, (*typing.get_args(hint), None)[0])
    elif typing.get_origin(hint) is Annotated:
        for allowed in hint.__metadata__:
            if isinstance(allowed, Range) and value not in allowed:
                shown = f"{value:g}" if isinstance(value, float) else shorten(value)
                raise I2IError(f"{key} is {shown}.", f"Allowed: {allowed}.")


_NONE = ("none", "null", "~", "")
_BOOL = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _parse(value: Any, kind: Any) -> tuple[bool, Any]:
    """(True if `value` is or reads as a `kind`, the converted value). Nothing (`key=`) is an empty text or list."""
    if typing.get_origin(kind) is Annotated:
        return _parse(value, typing.get_args(kind)[0])
    text = value.strip() if isinstance(value, str) else None
    if kind is type(None):
        return (value is None or (text is not None and text.lower() in _NONE)), None
    if kind is bool:
        if text is not None:
            return text.lower() in _BOOL, _BOOL.get(text.lower())
        return (isinstance(value, bool) or value in (0, 1)), bool(value)
    if kind in (int, float):
        return _parse_number(value, kind)
    if kind is str:
        return value is None or isinstance(value, str | int | float), "" if value is None else str(value)
    if typing.get_origin(kind) is tuple:
        items = () if value is None else value
        if text is not None:
            items = [v for v in text.replace("[", "").replace("]", "").split(",") if v.strip()]
        if not isinstance(items, list | tuple):
            return False, None
        parsed = [_parse(item, typing.get_args(kind)[0]) for item in items]
        return all(fits for fits, _ in parsed), tuple(converted for _, converted in parsed)
    return False, None


def _parse_number(value: Any, kind: type) -> tuple[bool, int | float | None]:
    """`_parse` for int and float; numbers are finite, and 3e2 is a whole number."""
    if isinstance(value, bool) or value is None or isinstance(value, list | tuple | dict):
        return False, None
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):  # YAML has dates and numbers of any length
        return False, None
    if not math.isfinite(number):
        return False, None
    if kind is float:
        return True, number
    if isinstance(value, int):  # exactly, beyond 2**53
        return True, value
    return number.is_integer(), int(number) if number.is_integer() else None


def _hints(part: type) -> dict[str, Any]:
    hints = typing.get_type_hints(part, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(part)}


def _describe(hint: Any) -> str:
    """A type in a user's words."""
    if typing.get_origin(hint) is Annotated:
        inner, *more = typing.get_args(hint)
        return ", ".join([_describe(inner), *(str(m) for m in more if isinstance(m, Range))])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_describe(h) for h in typing.get_args(hint))
    if typing.get_origin(hint) in (tuple, list, collections.abc.Sequence):
        return f"a list, each {_describe(typing.get_args(hint)[0])}"
    plain = {int: "a whole number", float: "a number", bool: "yes or no", str: "a text", type(None): "none"}
    return plain.get(hint, str(hint))


def _comments(part: type) -> dict[str, str]:
    """The comment behind each field, by the field's name; a subclass overrides those of its bases."""
    comments: dict[str, str] = {}
    for cls in reversed(part.__mro__):
        if not dataclasses.is_dataclass(cls):
            continue
        try:
            source = inspect.cleandoc("\n" + inspect.getsource(cls))
        except (OSError, TypeError):  # a class without a source file has no help texts
            continue
        by_line = {
            token.start[0]: token.string.lstrip("# ").strip()
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
        body = ast.parse(source).body[0]
        for node in getattr(body, "body", []):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)  # a long default has several
                comments[node.target.id] = next((by_line[n] for n in lines if n in by_line), "")
    return comments
