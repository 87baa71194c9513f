"""The record of an archive's translation: one JSON line an output, in the output folder, only ever added to.

A line that says "done" is written just before its output lands by rename, and holds that output's size and digest: an
output is done when the file agrees with its line. So a crash at any moment leaves nothing that is taken for done and is
not. Lines are added by one write each, so that several processes and machines share one record; a line that a crash
tore is left out when reading.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.core.files import blake2b_of

NAME = ".i2i-manifest.jsonl"


class Manifest:
    """The record in one output folder. `settings` is the digest of the model and of everything that changes pixels."""

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder, self.settings = folder, settings
        self.path = folder / NAME
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}  # each process opens the record itself

    def entries(self) -> dict[str, dict[str, Any]]:
        """The last line of each output, by its path below the folder."""
        found: dict[str, dict[str, Any]] = {}
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return found
        except OSError as error:
            raise I2IError(f"{self.path} cannot be read: {error.strerror}.") from error
        for line in lines:
            with contextlib.suppress(ValueError):  # torn by a crash
                entry = json.loads(line)
                if isinstance(entry, dict) and isinstance(entry.get("output"), str):
                    found[entry["output"]] = entry
        return found

    def open(self) -> int:
        """Opens the record for adding and gives its descriptor. Raises I2IError if that is not allowed."""
        if self._file is None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
                length = os.fstat(self._file).st_size
                if length and os.pread(self._file, 1, length - 1) != b"\n":
                    os.write(self._file, b"\n")  # after a torn line
            except OSError as error:
                raise I2IError(f"{self.path} cannot be written: {error.strerror}.") from error
        return self._file

    def add(self, **entry: Any) -> None:
        """Adds one line; safe from threads and from several processes. Raises I2IError if the disk refuses."""
        line = json.dumps({**entry, "settings": self.settings}).encode() + b"\n"
        try:
            os.write(self.open(), line)
        except OSError as error:
            raise I2IError(f"{self.path} cannot be written: {error.strerror}.") from error

    def done(self, name: str, source: Path, target: Path, data: bytes | Path) -> None:
        """Says that `data`, or the file of that name, is about to land as `target`."""
        self.add(
            input=name,
            output=self.name(target),
            state="done",
            **{"from": storage.version_stamp(source)},
            size=data.stat().st_size if isinstance(data, Path) else len(data),
            digest=blake2b_of(data),
        )

    def failed(self, name: str, target: Path, error: str) -> None:
        """Says that there is no output, and why."""
        self.add(input=name, output=self.name(target), state="failed", error=error)

    def name(self, target: Path) -> str:
        """An output's path below the folder, as lines hold it."""
        return target.relative_to(self.folder).as_posix()

    def intact(self, entry: dict[str, Any], source: Path, target: Path, size: int) -> bool:
        """Whether `entry` says that this output, of `size` bytes, was made from this input as it is now."""
        try:
            return (
                entry.get("state") == "done"
                and entry.get("settings") == self.settings
                and entry.get("from") == storage.version_stamp(source)
                and entry.get("size") == size
                and entry.get("digest") == blake2b_of(target)
            )
        except OSError:
            return False

    def close(self) -> None:
        """Sees the lines onto the disk. Raises I2IError if they did not get there."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                try:
                    os.fsync(file)
                finally:
                    os.close(file)
            except OSError as error:
                raise I2IError(f"{self.path} cannot be written: {error.strerror}.") from error
