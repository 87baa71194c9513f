"""JSON and YAML files as a disk may hold them: damaged, edited by hand, or made by somebody else to do harm.

Whatever such a file holds, only `I2IError` comes out of here, and what is returned has the form that was asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import yaml

from i2i.core.errors import I2IError
from i2i.core.files import open_regular

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where it was built
MAX_BYTES = 10_000_000  # of a file that a program of ours wrote, or a person
MAX_YAML = 200_000  # bytes of a recipe or a config.yaml, which take seconds to read
MAX_REFERENCES = 16  # of YAML, which repeat what stands elsewhere: few cannot multiply to much
MAX_DIGITS = 300  # of a whole number; longer ones have no place in a floating-point number
MAX_DEPTH = 50  # of lists and mappings within each other
LARGEST = 2**63  # of a whole number

Form = type | UnionType | dict[Any, Any] | list[Any] | None


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for anything else, for NaN and infinity, and for deep nesting."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_integer)
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def read_json(path: Path, form: Form) -> Any:
    """The value of a JSON file, which has the `form` (see `has_form`).

    Raises I2IError naming the file if it is missing, no regular file, too large, no JSON, or of another form."""
    try:
        value = parse_json(read_bytes(path))
    except ValueError as error:
        raise I2IError(f"{path} is damaged: it is not readable as JSON ({error}).") from error
    if not has_form(value, form):
        raise I2IError(f"{path} is damaged: its values are not those that i2i writes.")
    return value


def read_yaml(path: Path, hint: str = "") -> Any:
    """The value of a YAML file. Raises I2IError naming the file, with `hint`, if it cannot be read or is a bomb."""
    try:
        text = read_bytes(path, MAX_YAML).decode("utf-8")
        _check_bounds(yaml.parse(text, LOADER))
        value = yaml.load(text, LOADER)
        json.dumps(value, default=str)  # raises ValueError for a value that holds itself
    except I2IError:
        raise
    except RecursionError as error:
        raise I2IError(f"{path} is not readable as YAML: it nests too deeply.", hint) from error
    except UnicodeDecodeError as error:
        raise I2IError(f"{path} is not readable as YAML: it is not in UTF-8 ({error.reason}).", hint) from error
    except Exception as error:  # its constructors of numbers and dates raise errors of many kinds
        raise I2IError(f"{path} is not readable as YAML: {' '.join(str(error).split())[:300]}.", hint) from error
    return value


def read_text(path: Path) -> str:
    """The text of a file in UTF-8. Raises I2IError naming the file if it cannot be read."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise I2IError(f"{path} is not in UTF-8 ({error.reason}).", "Save it in UTF-8.") from error


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most `most`; a pipe or a device would keep the reader waiting for ever.

    Raises I2IError naming the file."""
    try:
        with open_regular(path) as file:
            content = file.read(most + 1)
    except FileNotFoundError as error:
        raise I2IError(f"There is no file {path}.") from error
    except OSError as error:
        raise I2IError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > most:
        raise I2IError(f"{path} has more than {most:,} bytes.", "It is damaged, or the file of another program.")
    return content


def has_form(value: Any, form: Form) -> bool:
    """Whether a JSON value has a form: a type or a union of types; [form] for a list of such values; {type: form} for a
    mapping of any names; {"name": form} for a mapping with at least these names, {"name?": form} if it may lack one.

    int: no bool, at most 63 bits. float: any finite number."""
    if form is None or form is NoneType:
        return value is None
    if isinstance(form, UnionType):
        return any(has_form(value, part) for part in form.__args__)
    if isinstance(form, list):
        return isinstance(value, list) and all(has_form(v, form[0]) for v in value)
    if isinstance(form, dict):
        return isinstance(value, dict) and all(_has_key(value, key, part) for key, part in form.items())
    if form is int:
        return type(value) is int and abs(value) < LARGEST
    if form is float:
        return has_form(value, int) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, form)


def _has_key(value: dict[Any, Any], key: Any, form: Form) -> bool:
    if isinstance(key, type):
        return all(isinstance(k, key) and has_form(v, form) for k, v in value.items())
    name = key.removesuffix("?")
    return has_form(value[name], form) if name in value else name != key


def _check_bounds(events: Iterable[yaml.Event]) -> None:
    """Raises ValueError if a YAML document is too deep, or refers too often to other parts of itself."""
    depth = references = 0
    for event in events:
        references += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError("it nests too deeply")
        if references > MAX_REFERENCES:
            raise ValueError(f"it has more than {MAX_REFERENCES} references (*name)")
