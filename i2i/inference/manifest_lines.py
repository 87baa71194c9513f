"""The lines of a translation's record: one JSON object for each output that was written or failed.

    {"input": "a/1.png", "output": "a/1.png", "state": "done", "from": [1234, 17000], "size": 900, "digest": "9f..",
     "settings": "5c.."}
    {"input": "a/2.png", "output": "a/2.png", "state": "failed", "error": "...", "settings": "5c.."}

input, output: paths below the folders of inputs and outputs. from: what tells this input from a later file of the same
name (storage.version_stamp). size, digest: of the output's bytes (BLAKE2b, 128 bits). settings: digest of the model's
weights and of everything else that changes outputs. The last line of an output counts.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from i2i.core import storage
from i2i.core.files import blake2b_of
from i2i.core.reading import has_form, parse_json

Entry = dict[str, Any]  # one line


def done_entry(input_name: str, output_name: str, source: Path, data: bytes | Path) -> Entry:
    """The line for an output that is about to land: `data` are its bytes, or a file that holds them."""
    return {
        "input": input_name,
        "output": output_name,
        "state": "done",
        "from": storage.version_stamp(source),
        "size": data.stat().st_size if isinstance(data, Path) else len(data),
        "digest": blake2b_of(data),
    }


def failed_entry(input_name: str, output_name: str, error: str) -> Entry:
    """The line for an output that failed."""
    return {"input": input_name, "output": output_name, "state": "failed", "error": error}


def to_line(entry: Entry, settings: str) -> bytes:
    """An entry as it is written."""
    return json.dumps({**entry, "settings": settings}).encode() + b"\n"


def last_entries(lines: Iterable[bytes]) -> dict[str, Entry]:
    """The last entry of each output, by the output's name. A line that is torn or damaged is left out."""
    entries: dict[str, Entry] = {}
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = parse_json(line)
            if has_form(entry, {"output": str}):
                entries[entry["output"]] = entry
    return entries


def agrees(entry: Entry, settings: str, source: Path, size: int) -> bool:
    """Whether an entry describes an output of `size` bytes, made from this input as it is now with these settings.

    Raises OSError or I2IError if the input cannot be reached."""
    return bool(
        entry.get("state") == "done"
        and entry.get("settings") == settings
        and entry.get("size") == size
        and entry.get("from") == storage.version_stamp(source)
    )
