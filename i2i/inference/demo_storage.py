"""The private folder of the demo page: what it may hold, and how it is emptied.

Uploads and results lie in one folder for this user only. Files are removed after half an hour at most, with the server
when it ends, and after a crash at the next start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "i2i-demo-"
KEEP = 1800.0  # seconds that a file stays
KEEP_IF_FULL = 300.0  # seconds that a file stays if the room is needed
EVERY = 60.0  # seconds between two looks for old files
LOCK = ".lock"
MAX_FILES = 10_000
BLOCK = 4096  # bytes that the smallest file or folder takes


class Storage:
    """A folder and how much all files in it may have together, in bytes. Safe to use from several threads."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._reserved = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def reserve(self, size: int) -> Iterator[bool]:
        """Keeps room for `size` bytes while they arrive. False if there is none, even after the older files went."""
        if not size:
            yield True
            return
        with self._lock:
            has_room = self._has_room(size) or (self.sweep(KEEP_IF_FULL) > 0 and self._has_room(size))
            self._reserved += size if has_room else 0
        try:
            yield has_room
        finally:
            with self._lock:
                self._reserved -= size if has_room else 0

    def _has_room(self, size: int) -> bool:
        files, used = self.used()
        return files < MAX_FILES and used + self._reserved + size <= self.limit

    def used(self) -> tuple[int, int]:
        """The number of files and folders, and the bytes that they take."""
        count = size = 0
        for entry in _entries(self.folder):
            count += 1
            with contextlib.suppress(OSError):
                size += max(BLOCK, entry.stat(follow_symlinks=False).st_size)
        return count, size

    def sweep(self, age: float = KEEP) -> int:
        """Removes files that are older than `age` seconds, and folders that are empty then; returns their number."""
        removed, oldest = 0, time.time() - age
        entries = [entry for entry in _entries(self.folder) if entry.name != LOCK]
        for entry in sorted(entries, key=lambda e: -e.path.count(os.sep)):
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if max(status.st_mtime, status.st_ctime) < oldest:
                    os.rmdir(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
                    removed += 1
        return removed


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """All files and folders below a folder. Those that vanish meanwhile are passed over."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)


@contextlib.contextmanager
def private_storage(limit: int) -> Iterator[Storage]:
    """A new folder for this user only, in which old files are removed every minute; it goes with the context.

    Folders that earlier servers left because they crashed are removed first."""
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = FileLock(folder / LOCK)
    lock.acquire()
    storage, ended = Storage(folder, limit), threading.Event()

    def clean() -> None:
        while not ended.wait(EVERY):
            storage.sweep()

    threading.Thread(target=clean, name="i2i-demo-clean", daemon=True).start()
    try:
        yield storage
    finally:
        ended.set()
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> int:
    """Removes the folders of servers that did not end by themselves; returns their number.

    A server that lives holds the lock in its folder; the system releases it if the server dies."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):
            status = folder.lstat()
            is_own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
            is_new = time.time() - status.st_mtime < EVERY and not (folder / LOCK).exists()  # its server just begins
            if folder.is_symlink() or not folder.is_dir() or not is_own or is_new:
                continue
            with FileLock(folder / LOCK, timeout=0):
                pass
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed
