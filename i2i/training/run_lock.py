"""One process at a time trains a run: two would remove each other's files and write every line of the log twice."""

from __future__ import annotations

import contextlib
import shlex
from inspect import signature
from typing import Any

from filelock import FileLock, Timeout

from i2i.core.errors import I2IError
from i2i.training.run import Run

NAME = ".lock"  # in a run's folder; the file stays, and whether it is locked only the system knows


class RunLock:
    """The lock on a run's folder. The system releases it when its owner ends, however that happens."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lock: FileLock | None = None

    def take(self) -> None:
        """Takes the lock. Raises I2IError at once if another process has it.

        Folders that cannot be locked (read-only, some network file systems) are trained without."""
        # No marker file in place of a lock of the system: that one would outlive its owner.
        has_option = "fallback_to_soft" in signature(FileLock.__init__).parameters
        options: dict[str, Any] = {"fallback_to_soft": False} if has_option else {}
        lock = FileLock(self.run.folder / NAME, **options)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            folder = shlex.quote(str(self.run.folder))
            raise I2IError(
                f"Another process is training {self.run.folder}.",
                f"Wait for its end, or stop it; then run: i2i train --resume {folder}",
            ) from error
        except (OSError, NotImplementedError):
            return
        self._lock = lock

    def release(self) -> None:
        """Releases the lock, if this process holds it."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.release()
            self._lock = None
