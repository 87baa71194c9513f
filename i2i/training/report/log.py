"""log.jsonl: one JSON object a line, each with `kind`, `images`, `time` (UTC) and `seconds` (training time so far).

Lines are only ever added, with one exception: a run that continues from a checkpoint repeats what came after it, so
`rewind` drops those lines. Every line of the file then belongs to the run as it is. A line that a crash or a full disk
left incomplete is cut off.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from i2i.core.files import atomic_write, open_regular
from i2i.core.reading import has_form, parse_json

_NUMBERS = {str: float | None}
# What the lines hold (core.reading.has_form). A line of another form is left out, as a torn one is.
FORM: dict[str, Any] = {
    "kind": str,
    "images": int,
    "time?": str,
    "seconds?": float,
    "score?": float | None,
    "metric?": str,
    "speed?": float | None,
    "terms?": _NUMBERS,
    "rates?": _NUMBERS,
    "versions?": dict,
    "changed?": list,
}
# The environment's terms are the method's explanations of its losses.
ENVIRONMENT_FORM = FORM | {"terms?": {str: str}}
TIMELESS = ("note", "environment")  # kinds that belong to no moment of training: no rewind drops them


class Log:
    """The file log.jsonl at `path`. Lines that it already holds belong to earlier sessions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0  # lines that are complete, but not as i2i writes them; they are removed
        if path.exists() and not path.is_file():
            raise OSError(f"{path} is not a file")
        self._repair()
        self.earlier_bytes = path.stat().st_size if path.exists() else 0  # length of the earlier sessions' lines

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (record for record, _, _ in self._complete_lines())

    def _complete_lines(self) -> Iterator[tuple[dict[str, Any], bytes, int]]:
        """Yields (record, line, offset of its first byte) of every complete line."""
        offset = 0
        for line in _lines(self.path):
            record = _parse(line)
            if record is not None:
                yield record, line, offset
            offset += len(line)

    def _repair(self) -> None:
        """Removes incomplete lines."""
        complete_bytes = sum(len(line) for _, line, _ in self._complete_lines())
        if self.path.is_file() and complete_bytes != self.path.stat().st_size:
            self.damaged = sum(line.endswith(b"\n") and _parse(line) is None for line in _lines(self.path))
            self._rewrite([line for _, line, _ in self._complete_lines()])

    def _rewrite(self, lines: list[bytes]) -> None:
        with atomic_write(self.path) as file:
            file.writelines(lines)

    def write(self, record: dict[str, Any]) -> None:
        """Adds a line completely, or raises OSError (disk full, ...) and adds nothing."""
        line = (json.dumps(json_safe(record), allow_nan=False) + "\n").encode()
        with open(self.path, "ab", buffering=0) as file:
            start = file.tell()
            try:
                written = file.write(line)
                if written != len(line):
                    raise OSError(28, f"Only {written} of {len(line)} bytes could be written")
            except OSError:
                os.truncate(self.path, start)
                raise

    def rewind(self, images: int) -> list[dict[str, Any]]:
        """Drops the earlier sessions' lines after `images`, except TIMELESS ones, and returns their records."""
        lines, dropped, earlier_bytes = [], [], 0
        for record, line, offset in self._complete_lines():
            earlier = offset < self.earlier_bytes
            if earlier and record["images"] > images and record["kind"] not in TIMELESS:
                dropped.append(record)
                continue
            lines.append(line)
            earlier_bytes += len(line) if earlier else 0
        if dropped:
            self._rewrite(lines)
            self.earlier_bytes = earlier_bytes
        return dropped


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of the complete lines of the log at `path`, which is left as it is; none if there is no log."""
    return (record for record in map(_parse, _lines(path)) if record is not None)


def _lines(path: Path) -> Iterator[bytes]:
    if path.is_file():
        with open_regular(path) as file:
            yield from file


def _parse(line: bytes) -> dict[str, Any] | None:
    """Returns the record of a complete line, else None."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = parse_json(line)
    except ValueError:  # also raised for bytes that are no text
        return None
    explains = isinstance(record, dict) and record.get("kind") == "environment"
    return record if has_form(record, ENVIRONMENT_FORM if explains else FORM) else None


def json_safe(value: Any) -> Any:
    """Returns `value` in JSON's types: numbers that are not finite become None, unknown objects become text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): json_safe(v) for key, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(v) for v in value]
    if hasattr(value, "tolist"):  # tensors, and NumPy's arrays and numbers
        return json_safe(value.tolist())
    return str(value)
