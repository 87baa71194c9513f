"""log.jsonl: one JSON object a line, each with `kind`, `images`, `time` (UTC) and `seconds` (training time so far).

The file only grows, with one exception. A run that crashed and goes on from a checkpoint makes again what came after
it: `rewind` drops those lines, so that every line of the file belongs to the run that is there. A line that a crash or
a full disk left half written is cut off.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from i2i.core.files import atomic_write

KEPT = ("note", "environment")  # kinds that say nothing about a moment of training: no rewind drops them


class Log:
    """The lines of `path`; those that were there at the start belong to earlier sessions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._repair()
        self.before = path.stat().st_size if path.exists() else 0  # bytes of earlier sessions

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (record for record, _, _ in self._lines())

    def _lines(self) -> Iterator[tuple[dict[str, Any], bytes, int]]:
        """(record, line, its first byte's place) of all lines that are whole."""
        if not self.path.exists():
            return
        place = 0
        with open(self.path, "rb") as file:
            for line in file:
                record = _parsed(line)
                if record is not None:
                    yield record, line, place
                place += len(line)

    def _repair(self) -> None:
        whole = sum(len(line) for _, line, _ in self._lines())
        if self.path.exists() and whole != self.path.stat().st_size:
            self._rewrite([line for _, line, _ in self._lines()])

    def _rewrite(self, lines: list[bytes]) -> None:
        with atomic_write(self.path) as file:
            file.writelines(lines)

    def write(self, record: dict[str, Any]) -> None:
        """Adds a line, all of it or (OSError: disk full, ...) none of it."""
        line = (json.dumps(plain(record), allow_nan=False) + "\n").encode()
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
        """Drops the earlier sessions' lines later than `images` (KEPT kinds stay) and returns them."""
        kept, dropped, before = [], [], 0
        for record, line, place in self._lines():
            earlier = place < self.before
            if earlier and record["images"] > images and record["kind"] not in KEPT:
                dropped.append(record)
                continue
            kept.append(line)
            before += len(line) if earlier else 0
        if dropped:
            self._rewrite(kept)
            self.before = before
        return dropped


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The record of a whole line, or None."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:  # also of bytes that are no text
        return None
    good = isinstance(record, dict) and isinstance(record.get("images"), int) and isinstance(record.get("kind"), str)
    return record if good else None


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numbers that are not finite become None, what it does not know becomes text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # tensors, and NumPy's arrays and numbers
        return plain(value.tolist())
    return str(value)
