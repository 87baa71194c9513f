"""The record that an output folder keeps of a translation, so that `--resume` can skip what is done and intact."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from i2i.core import storage
from i2i.inference.manifest import Manifest
from i2i.inference.manifest_lines import Entry
from i2i.inference.remote_manifest import RemoteManifest


class Record(Protocol):
    """What Manifest (a folder of this machine) and RemoteManifest (an address) can do.

    Both can be sent to other processes, and are safe to use from threads and from several processes. All methods but
    `intact` raise I2IError if the record cannot be read or written."""

    folder: Path  # the output folder
    path: Path  # the record's file, or its folder at an address
    settings: str  # digest of the model and of everything else that changes outputs

    def entries(self) -> dict[str, Entry]:
        """The last line of each output, by its path below the folder."""
        ...

    def open(self) -> None:
        """Makes sure, before any work, that lines can be added."""
        ...

    def done(self, input_name: str, source: Path, target: Path, data: bytes | Path) -> None:
        """Notes that `data`, or the content of that file, is about to land as `target`."""
        ...

    def failed(self, input_name: str, target: Path, error: str) -> None:
        """Notes that there is no output, and why."""
        ...

    def name(self, target: Path) -> str:
        """An output's path below the folder, as lines hold it."""
        ...

    def intact(self, entry: Entry, source: Path, target: Path, size: int) -> bool:
        """Whether the output, of `size` bytes, is the one that `entry` describes, made from this input as it is now."""
        ...

    def close(self) -> None:
        """Makes sure that all lines are stored."""
        ...


def record_in(folder: Path, settings: str) -> Record:
    """The record of an output folder on this machine, or at an address."""
    return RemoteManifest(folder, settings) if storage.is_address(folder) else Manifest(folder, settings)
