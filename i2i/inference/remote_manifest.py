"""The record of a translation into remote storage, where nothing can be appended to a file.

It is a folder of small objects, `.i2i-manifest/`, each with up to a thousand lines. Each process writes objects of its
own, and writes its newest one again every few seconds and at the end. A process that is killed loses the lines of these
seconds, but not the outputs: each of those is whole, and `--resume` leaves them as they are.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from i2i.core import files, storage
from i2i.core.errors import I2IError
from i2i.inference.manifest_lines import Entry, agrees, done_entry, failed_entry, last_entries, to_line

FOLDER = ".i2i-manifest"
LINES = 1000  # in one object
WAIT, MANY = 5.0, 50  # the newest object is written again after so many seconds, or so many lines


class RemoteManifest:
    """See record.Record; `folder` is an address."""

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder, self.settings = folder, settings
        self.path = folder / FOLDER
        self._lock = threading.Lock()
        self._name, self._number = "", 0  # of this process's objects, and of the newest among them
        self._lines: list[bytes] = []  # of the newest object
        self._stored, self._stored_at = 0, time.monotonic()  # how many of them are stored, and since when

    def __reduce__(self) -> tuple[type[RemoteManifest], tuple[Path, str]]:
        return RemoteManifest, (self.folder, self.settings)  # each process writes objects of its own

    def entries(self) -> dict[str, Entry]:
        """The last line of each output, by its path below the folder."""
        address = storage.as_upath(self.path)
        with storage.storage_errors(self.path):
            try:
                names = sorted(n for n in address.fs.find(address.path) if n.endswith(".jsonl"))
            except FileNotFoundError:
                return {}
            objects: dict[str, bytes] = address.fs.cat(names) if names else {}
        # names begin with the time at which their process began, so that later lines come later
        return last_entries(line for name in names for line in objects[name].split(b"\n"))

    def open(self) -> None:
        """Writes the first object, still empty. Raises I2IError if that is not allowed."""
        with self._lock:
            self._begin()

    def done(self, input_name: str, source: Path, target: Path, data: bytes | Path) -> None:
        """Notes that `data`, or the content of that file, is about to land as `target`."""
        self._add(done_entry(input_name, self.name(target), source, data))

    def failed(self, input_name: str, target: Path, error: str) -> None:
        """Notes that there is no output, and why."""
        self._add(failed_entry(input_name, self.name(target), error))

    def name(self, target: Path) -> str:
        """An output's path below the folder, as lines hold it."""
        return str(target)[len(str(self.folder)) :].lstrip("/")

    def intact(self, entry: Entry, source: Path, target: Path, size: int) -> bool:
        """Whether the output, of `size` bytes, is the one that `entry` describes, made from this input as it is now.

        Its bytes are not read for that: objects of a store appear whole."""
        try:
            return agrees(entry, self.settings, source, size)
        except (OSError, I2IError):
            return False

    def close(self) -> None:
        """Stores the lines that are not stored yet."""
        with self._lock:
            if self._name and len(self._lines) > self._stored:
                self._store()

    def _add(self, entry: Entry) -> None:
        with self._lock:
            self._begin()
            self._lines.append(to_line(entry, self.settings))
            if len(self._lines) - self._stored >= MANY or time.monotonic() - self._stored_at > WAIT:
                self._store()

    def _begin(self) -> None:
        if not self._name:
            self._name = f"{time.time_ns():020d}-{files.host()}-{os.getpid()}-{os.urandom(3).hex()}"
            self._store()

    def _store(self) -> None:
        try:
            storage.write_bytes(self.path / f"{self._name}-{self._number:05d}.jsonl", b"".join(self._lines))
        except I2IError as error:
            raise I2IError(f"The record {error.what}", error.hint) from error
        self._stored, self._stored_at = len(self._lines), time.monotonic()
        if len(self._lines) >= LINES:
            self._number, self._lines, self._stored = self._number + 1, [], 0
