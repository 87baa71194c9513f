"""Files and folders that appear whole or not at all, and their digests."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from i2i.core.errors import I2IError

STALE = 24 * 3600  # seconds after which a temporary file of another machine counts as abandoned


# ---- names -----------------------------------------------------------------------------------------------------


def kind_of(path: str | Path) -> str:
    """What is at a path that a user has typed: "file", "folder", "other" (a pipe, a device), or "" for nothing.

    A name that no file can have (too long, with a NUL byte) is nothing; Path.exists raises errors for some."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


# ---- writing ---------------------------------------------------------------------------------------------------


@functools.cache
def host() -> str:
    """Where numbers of processes mean the same, in eight hexadecimal digits. Temporary names hold it, so that nobody
    takes a living process for one that has ended.

    It is the machine, since it was started, and on Linux the namespace of processes: containers have their own."""
    facts = [socket.gethostname()]
    with contextlib.suppress(OSError, ValueError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.blake2b("|".join(facts).encode("utf-8", "replace"), digest_size=4).hexdigest()


def temporary_name() -> str:
    """A new name `.i2i-HOST-PID-RANDOM.tmp` for a file or folder being written; `sweep` removes what a crash left."""
    return f".i2i-{host()}-{os.getpid()}-{os.urandom(4).hex()}.tmp"


def fsync_path(path: Path) -> None:
    """Flushes a file or a folder to the disk. Folders that cannot be opened (Windows) are left alone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def umask() -> int:
    """The bits that this process takes from the modes of new files."""
    with contextlib.suppress(OSError, ValueError, IndexError):  # Linux; the other way is seen by all threads
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("\nUmask:")[1].split()[0], 8)
    value = os.umask(0o077)
    os.umask(value)
    return value


def use_umask(path: Path) -> None:
    """Gives a file that a library created with mode 0600 the mode that the umask gives new files.

    Folders: all files in them. safetensors and tempfile make such files; another user's service could not read them."""
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names] if path.is_dir() else [path]
    mode = 0o666 & ~umask()
    for file in files:
        with contextlib.suppress(OSError):
            if not file.is_symlink() and file.stat().st_mode & 0o777 == 0o600 != mode:
                file.chmod(mode)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path of the same name to create a file at; at the end it is synced and renamed to `path`.

    For writers that open files by name. It lies in a folder of its own beside `path`, because some writers make files
    beside theirs. On any exception the folder is removed and `path` stays as it was. What earlier processes left there
    is swept. Raises OSError as the system does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep([path.parent])
    folder = path.with_name(temporary_name())
    folder.mkdir()
    try:
        yield folder / path.name
        use_umask(folder / path.name)
        fsync_path(folder / path.name)
        os.replace(folder / path.name, path)
        fsync_path(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write; at the end it is synced and renamed to `path`, on any exception it is removed.

    Raises I2IError naming `path` if the disk refuses (full, read-only, ...)."""
    # A text, no Path: pathlib puts each name into Python's table of texts, which grows by those that never come again.
    temporary = os.path.join(os.path.dirname(path), temporary_name())
    try:
        try:
            with _new_file(temporary, path.parent) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError, ValueError):
                os.unlink(temporary)
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise I2IError(f"{path} cannot be written: {reason}.") from error


def _new_file(name: str, folder: Path) -> BinaryIO:
    """A file to write in a folder, which is made if it is missing. Raises OSError and ValueError as the system does."""
    try:
        return open(name, "wb")
    except (FileNotFoundError, NotADirectoryError):
        folder.mkdir(parents=True, exist_ok=True)
        return open(name, "wb")


@contextlib.contextmanager
def atomic_folder(path: Path, sync: bool = True, replace: bool = False) -> Iterator[Path]:
    """A new, empty folder beside `path` to fill; at the end it is renamed to `path`.

    On any exception it is removed with its content. What earlier processes left there is swept. sync: flush all files
    to the disk before the rename, so that a power cut loses none of them.
    replace: remove a folder that is at `path`, at the last moment. Raises OSError as the system does, also if `path` is
    a folder with content and replace is False."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep([path.parent])
    temporary = path.with_name(temporary_name())
    temporary.mkdir()
    try:
        yield temporary
        use_umask(temporary)
        if sync:
            for folder, _, names in os.walk(temporary):
                for name in names:
                    fsync_path(Path(folder) / name)
                fsync_path(Path(folder))
        if replace and os.path.lexists(path):
            # rmtree would wait for ever on a pipe that has the folder's name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        os.replace(temporary, path)
        fsync_path(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder for this user alone, where the system keeps temporary files; at the end it is removed.

    What earlier processes left there is swept."""
    parent = Path(tempfile.gettempdir())
    sweep([parent])
    folder = parent / temporary_name()
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folders: Iterable[Path]) -> int:
    """Removes temporary files and folders of i2i in `folders`: those whose process has ended, and those of unknown
    processes (another machine, another container) that are a day old. Returns their number."""
    removed = 0
    for folder in folders:
        try:
            names = [n for n in os.listdir(folder) if n.startswith(".i2i-") and n.endswith(".tmp")]
        except OSError:
            continue
        for name in names:
            with contextlib.suppress(OSError):  # another process may sweep at the same time
                removed += _sweep_one(folder / name)
    return removed


def _sweep_one(path: Path) -> bool:
    """Removes a temporary file or folder if it is abandoned, and returns whether it did. Raises OSError."""
    status = path.lstat()
    if not _is_abandoned(path.name) and time.time() - _last_change(path) <= STALE:
        return False
    if path.parent.stat().st_mode & stat.S_ISVTX and status.st_uid != os.geteuid():  # such as /tmp
        return False
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()
    return True


def _last_change(path: Path) -> float:
    """When a file, or the newest file of a folder, was written to last, in seconds since 1970."""
    inside = []
    if not path.is_symlink():
        inside = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    return max(one.lstat().st_mtime for one in (path, *inside))


def _is_abandoned(name: str) -> bool:
    """True if a `temporary_name` belongs to a process of this machine that has ended."""
    parts = name.split("-")
    if len(parts) != 4 or parts[1] != host() or not parts[2].isdecimal():
        return False
    try:
        os.kill(int(parts[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


# ---- reading ---------------------------------------------------------------------------------------------------


def open_regular(path: Path | str) -> io.BufferedReader:
    """A regular file, opened to read its bytes. A pipe, a socket or a device would keep the reader waiting for ever.

    Raises I2IError for anything that is no regular file, and OSError as `open` does."""
    # Non-blocking: else the opening of a pipe itself would wait for somebody who writes into it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _not_regular(path, mode)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_regular(path: Path | str) -> None:
    """Raises I2IError if `path` is no regular file. For libraries that open files by name; else see `open_regular`.

    Raises OSError as the system does."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise _not_regular(path, mode)


def _not_regular(path: Path | str, mode: int) -> I2IError:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((name for is_kind, name in kinds if is_kind(mode)), "a device")
    return I2IError(f"{path} is {kind}, not a file.")


# ---- digests ---------------------------------------------------------------------------------------------------


def sha256_of(source: Path | bytes) -> str:
    """SHA-256 of bytes, or of a file's content read in parts, in 64 hexadecimal digits."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with open_regular(source) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blake2b_of(source: Path | bytes | memoryview) -> str:
    """BLAKE2b of 128 bits of bytes, or of a file's content read in parts, in 32 hexadecimal digits.

    Faster than SHA-256; for records of our own, where nobody else has to compute it."""
    if not isinstance(source, Path):
        return hashlib.blake2b(source, digest_size=16).hexdigest()
    with open_regular(source) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
