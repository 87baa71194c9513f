"""Cache of decoded and resized images: later epochs only crop and flip them.

One slot an image, all of one shape, in memory or in one memory-mapped file that all processes share. A slot carries a
checksum: it counts as filled only if that agrees, so a file that a crash left half written is not mistaken for an
image. The file's name is a hash of the images' paths, sizes and times and of what was done to them: a changed
image or setting means another file. Images beyond the limit are decoded every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i.core.errors import I2IError
from i2i.data.layouts import Source


class Cache:
    """Slots for `count` images uint8 of `shape` [H, W, C], the first ones only if `limit` bytes hold no more."""

    def __init__(self, count: int, shape: tuple[int, int, int], limit: float, path: Path | None = None) -> None:
        size = int(np.prod(shape))
        self.count = int(min(count, limit // size))
        self.path = path
        self.trusted = np.zeros(self.count, bool)  # slots whose checksum this process has compared
        self.images: np.ndarray
        self.sums: np.ndarray
        if path is None or self.count == 0:
            self.images = np.empty((self.count, *shape), np.uint8)
            self.sums = np.zeros(self.count, np.uint32)
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_room(path, self.count * (size + 4), limit)
            # Sums first, images after them; the file is sparse until filled. Both openings create it if needed.
            total = self.count * 4 + self.count * size
            with open(path, "ab") as file:
                if file.tell() < total:
                    file.truncate(total)
            self.sums = np.memmap(path, np.uint32, "r+", 0, (self.count,))
            self.images = np.memmap(path, np.uint8, "r+", self.count * 4, (self.count, *shape))
            os.utime(path)
        except OSError as error:
            raise I2IError(
                f"The cache {path} cannot be created: {error.strerror}.", "Use cache memory or none."
            ) from error

    def get(self, index: int) -> np.ndarray | None:
        """The image of a slot (a view: do not write to it), or None."""
        if index >= self.count or not self.sums[index]:
            return None
        image: np.ndarray = self.images[index]
        if not self.trusted[index]:
            if _sum(image) != int(self.sums[index]):
                return None
            self.trusted[index] = True
        return image

    def put(self, index: int, image: np.ndarray) -> None:
        """Fills a slot; nothing happens beyond the limit."""
        if index >= self.count:
            return
        self.images[index] = image
        self.sums[index] = _sum(image)
        self.trusted[index] = True


def _sum(image: np.ndarray) -> int:
    """A checksum that is never 0, which stands for an empty slot."""
    return zlib.crc32(np.ascontiguousarray(image).data) or 1


def key(sources: Sequence[Source], *settings: Any) -> str:
    """Hash of files (path, size, time of change) and settings."""
    digest = hashlib.sha256(repr(settings).encode())
    for source in sources:
        status = os.stat(source.path)
        place = f"{source.path.resolve()}|{source.part}|{source.center or ''}"
        digest.update(f"{place}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _make_room(path: Path, needed: int, limit: float) -> None:
    """Removes the caches longest unused until `needed` more bytes stay under `limit` (files in use stay readable)."""
    others = [p for p in path.parent.glob("*.pictures") if p != path]
    used = {p: p.stat() for p in others}
    total = sum(s.st_blocks * 512 if hasattr(s, "st_blocks") else s.st_size for s in used.values())
    for other in sorted(others, key=lambda p: used[p].st_mtime):
        if total + needed <= limit:
            break
        with contextlib.suppress(OSError):
            other.unlink()
        total -= used[other].st_blocks * 512 if hasattr(used[other], "st_blocks") else used[other].st_size
