"""The record of an archive's translation: one JSON line an output, in the output folder, only ever added to.

A line that says "done" is written just before its output lands by rename, and holds that output's size and digest: an
output is done when the file agrees with its line. So a crash at any moment leaves nothing that is taken for done and is
not. Lines are added by one write each, so that several processes and machines share one record; a line that a crash
tore is left out when reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from i2i.core import files, storage
from i2i.core.errors import I2IError

NAME = ".i2i-manifest.jsonl"
OLD = 24 * 3600  # seconds after which a temporary file of another machine counts as left behind


def digest(data: bytes | memoryview) -> str:
    """Of an output's bytes: BLAKE2b of 128 bits, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_of(path: Path) -> str:
    """Of a file's bytes, read in parts."""
    made = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            made.update(part)
    return made.hexdigest()


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
            **{"from": storage.stamp(source)},
            size=data.stat().st_size if isinstance(data, Path) else len(data),
            digest=digest_of(data) if isinstance(data, Path) else digest(data),
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
                and entry.get("from") == storage.stamp(source)
                and entry.get("size") == size
                and entry.get("digest") == digest_of(target)
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


def sweep(folders: Iterable[Path]) -> int:
    """Removes temporary files of i2i whose process has ended, or that are a day old; gives their number."""
    removed = 0
    for folder in folders:
        try:
            names = [n for n in os.listdir(folder) if n.startswith(".i2i-") and n.endswith(".tmp")]
        except OSError:
            continue
        for name in names:
            path = folder / name
            with contextlib.suppress(OSError):
                if _left_behind(name) or time.time() - path.stat().st_mtime > OLD:
                    path.unlink()
                    removed += 1
    return removed


def _left_behind(name: str) -> bool:
    parts = name.split("-")
    if len(parts) != 4 or parts[1] != files.host() or not parts[2].isdecimal():
        return False
    try:
        os.kill(int(parts[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
