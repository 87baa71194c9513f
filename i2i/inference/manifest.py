"""The record of a translation in an output folder of this machine: one file of JSON lines that is only ever added to.

A line that says "done" is written just before its output lands by rename, and holds that output's size and digest: an
output is done if the file agrees with its line. So after a crash an unfinished output never counts as a finished one.
Lines are added by one write each, so that several processes and machines share one record.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from i2i.core.errors import I2IError
from i2i.core.files import blake2b_of, open_regular
from i2i.inference.manifest_lines import Entry, agrees, done_entry, failed_entry, last_entries, to_line

NAME = ".i2i-manifest.jsonl"


class Manifest:
    """See record.Record. `settings` is the digest of the model and of everything else that changes outputs."""

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder, self.settings = folder, settings
        self.path = folder / NAME
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}  # each process opens the file itself

    def entries(self) -> dict[str, Entry]:
        """The last line of each output, by its path below the folder."""
        try:
            with open_regular(self.path) as file:
                return last_entries(file.read().split(b"\n"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise I2IError(f"{self.path} cannot be read: {error.strerror}.") from error

    def open(self) -> None:
        """Opens the file, or makes it. Raises I2IError if that is not allowed."""
        self._descriptor()

    def done(self, input_name: str, source: Path, target: Path, data: bytes | Path) -> None:
        """Notes that `data`, or the content of that file, is about to land as `target`."""
        self._add(done_entry(input_name, self.name(target), source, data))

    def failed(self, input_name: str, target: Path, error: str) -> None:
        """Notes that there is no output, and why."""
        self._add(failed_entry(input_name, self.name(target), error))

    def name(self, target: Path) -> str:
        """An output's path below the folder, as lines hold it."""
        return target.relative_to(self.folder).as_posix()

    def intact(self, entry: Entry, source: Path, target: Path, size: int) -> bool:
        """Whether the output, of `size` bytes, is the one that `entry` describes, made from this input as it is now."""
        try:
            return agrees(entry, self.settings, source, size) and entry.get("digest") == blake2b_of(target)
        except (OSError, I2IError):
            return False

    def close(self) -> None:
        """Syncs the lines to the disk. Raises I2IError if they did not get there."""
        if self._file is not None:
            file, self._file = self._file, None
            with self._writing():
                try:
                    os.fsync(file)
                finally:
                    os.close(file)

    def _add(self, entry: Entry) -> None:
        with self._writing():
            os.write(self._descriptor(), to_line(entry, self.settings))

    def _descriptor(self) -> int:
        if self._file is None:
            with self._writing():
                self.folder.mkdir(parents=True, exist_ok=True)
                # What somebody put in its place is not followed or waited for: a link, a pipe, a device.
                flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
                self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | flags, 0o666)
                if not stat.S_ISREG(os.fstat(self._file).st_mode):
                    os.close(self._file)
                    self._file = None
                    raise I2IError(f"{self.path} is not a file.", "Remove it; i2i keeps its record there.")
                length = os.fstat(self._file).st_size
                if length and os.pread(self._file, 1, length - 1) != b"\n":
                    os.write(self._file, b"\n")  # a crash tore the last line
        return self._file

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.ELOOP:
                hint = "Remove the link; i2i keeps its record there, and writes into no other folder."
                raise I2IError(f"{self.path} is a link.", hint) from error
            raise I2IError(f"{self.path} cannot be written: {error.strerror}.") from error
