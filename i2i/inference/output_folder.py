"""The output folder of a translation, watched: outputs in a folder that is removed meanwhile are lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from i2i.core import storage
from i2i.core.errors import I2IError


class OutputFolder:
    """A folder of this machine that must stay where it is; for an address, or None, `check` does nothing.

    record: the file of the folder's record, which has to stay as well: what empties a folder that is being written
    cannot remove the folder itself. Both are held open, so that new ones of their names are not mistaken for them."""

    def __init__(self, folder: Path | None, record: Path | None = None) -> None:
        is_here = folder is not None and not storage.is_address(folder)
        self.paths = [path for path in (folder, record) if path is not None] if is_here else []
        self._open: dict[Path, int] = {}  # descriptors

    @contextlib.contextmanager
    def held(self) -> Iterator[OutputFolder]:
        """Lets go of the files at the end."""
        try:
            yield self
        finally:
            while self._open:
                os.close(self._open.popitem()[1])

    def check(self, done: int, total: int) -> None:
        """Raises I2IError if the folder or its record was removed since the first call at which it existed.

        done, total: images that have come to an end, and all."""
        for path in self.paths:
            try:
                now = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                now = None
            except OSError:  # a network drive may be gone for a moment
                continue
            if path in self._open:
                if now is None or not os.path.samestat(now, os.fstat(self._open[path])):
                    what = "was" if path == self.paths[0] else "has lost its record: files in it were"
                    raise I2IError(
                        f"The output folder {self.paths[0]} {what} removed or moved during the work, after {done:,} of "
                        f"{total:,} images.",
                        "Type the command again; if files were moved, move them back and add --resume.",
                    )
            elif now is not None:
                with contextlib.suppress(OSError):  # Windows does not open folders, but does not remove those in use
                    self._open[path] = os.open(path, os.O_RDONLY)
