"""The record of a translation whose outputs lie at an address, where no file can be added to.

It is a folder of small objects, `.i2i-manifest/`, each with up to a thousand lines and written by one process alone,
which writes its newest one again every few seconds and at the end. A process that is killed loses the lines of these
seconds, but not the outputs: those are whole wherever they are, and `--resume` leaves them alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from i2i.core import files, storage
from i2i.core.errors import I2IError
from i2i.inference.manifest import Manifest

FOLDER = ".i2i-manifest"
LINES = 1000  # of one object
WAIT, MANY = 5.0, 50  # seconds, or lines, after which the newest object is written again


class RemoteManifest(Manifest):
    """See Manifest, whose methods it has; `folder` is an address."""

    def __init__(self, folder: Path, settings: str) -> None:
        super().__init__(folder, settings)
        self.path = folder / FOLDER
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._name, self._part = "", 0
        self._lines: list[bytes] = []
        self._kept, self._since = 0, time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "settings": self.settings, "path": self.path, "_file": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()  # each process writes objects of its own

    def entries(self) -> dict[str, dict[str, Any]]:
        """The last line of each output, by its path below the folder."""
        there = storage.as_upath(self.path)
        with storage.storage_errors(self.path):
            try:
                names = sorted(n for n in there.fs.find(there.path) if n.endswith(".jsonl"))
            except FileNotFoundError:
                return {}
            parts = there.fs.cat(names) if names else {}
        found: dict[str, dict[str, Any]] = {}
        for name in names:  # their names begin with the time
            for line in parts[name].split(b"\n"):
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    found[entry["output"]] = entry
        return found

    def open(self) -> int:
        """Sees that the record can be written. Raises I2IError if not."""
        if not self._name:
            self._name = f"{time.time_ns():020d}-{files.host()}-{os.getpid()}-{os.urandom(3).hex()}"
            self._flush()
        return 0

    def add(self, **entry: Any) -> None:
        """Adds one line; safe from threads."""
        self.open()
        line = json.dumps({**entry, "settings": self.settings}).encode() + b"\n"
        with self._lock:
            self._lines.append(line)
            if len(self._lines) - self._kept >= MANY or time.monotonic() - self._since > WAIT:
                self._flush()

    def _flush(self) -> None:
        try:
            storage.write_bytes(self.path / f"{self._name}-{self._part:05d}.jsonl", b"".join(self._lines))
        except I2IError as error:
            raise I2IError(f"The record {error.what}", error.hint) from error
        self._kept, self._since = len(self._lines), time.monotonic()
        if len(self._lines) >= LINES:
            self._part, self._lines, self._kept = self._part + 1, [], 0

    def name(self, target: Path) -> str:
        """An output's path below the folder, as lines hold it."""
        return str(target)[len(str(self.folder)) :].lstrip("/")

    def intact(self, entry: dict[str, Any], source: Path, target: Path, size: int) -> bool:
        """Whether `entry` says that this output, of `size` bytes, was made from this input as it is now."""
        try:
            return (
                entry.get("state") == "done"
                and entry.get("settings") == self.settings
                and entry.get("size") == size
                and entry.get("from") == storage.version_stamp(source)
            )
        except (OSError, I2IError):
            return False

    def close(self) -> None:
        """Writes what has not been written."""
        with self._lock:
            if self._name and len(self._lines) > self._kept:
                self._flush()
