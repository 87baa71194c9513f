"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from i2i.core.errors import I2IError


@functools.cache
def host() -> str:
    """This machine in eight hexadecimal digits: who left a temporary file behind."""
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when all is written and synced, and vanishes on any failure.

    Raises I2IError naming `path` when the disk refuses (full, read-only, ...)."""
    temporary = path.with_name(f".i2i-{host()}-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise I2IError(f"{path} cannot be written: {reason}.") from error
