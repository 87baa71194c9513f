"""Files on this machine and at addresses such as s3://bucket/in, which fsspec reaches.

Both are paths with the methods of pathlib: a `Path`, or for an address a `UPath` of universal_pathlib, which the extra
`remote` installs; nothing of it is imported as long as only local paths are used. Object stores show an object only
when it is complete; in other file systems an output is written under a temporary name and renamed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from i2i.core import files
from i2i.core.errors import I2IError
from i2i.core.optional import install_hint

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+://")
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory", "oss", "r2"}
VERSION_KEYS = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created")  # facts that change with an object


# ---- paths and addresses ---------------------------------------------------------------------------------------


def is_address(path: object) -> bool:
    """True for an address such as s3://bucket/in, False for a path of this machine."""
    return not isinstance(path, Path) and bool(_SCHEME.match(str(path)))


def locate(name: str | Path) -> Path:
    """The path, or UPath, of a name that a user gave; file:// becomes a local path.

    Raises I2IError if the package for that kind of address is not installed, or the address cannot be used."""
    text = str(name)
    if "\0" in text:
        raise I2IError(f"{text!r} holds a NUL character, which no name of a file can hold.")
    if isinstance(name, Path) or not is_address(name):
        return Path(name)
    if text.startswith("file://"):
        return Path(re.sub("^file://(localhost(?=/))?", "", text))
    if not isinstance(name, str):
        return name
    try:
        path = importlib.import_module("upath").UPath(text.rstrip("/") or text)
        path.fs  # noqa: B018  (creates the connection's object, which may need another package)
        str(path), path.name, path.parents  # some addresses fail only here
    except ImportError as error:
        hint = f"{install_hint('remote')}. Addresses other than s3:// also need fsspec's package for them."
        raise I2IError(f"{text} is an address, and addresses need an extra: {error}.", hint) from error
    except Exception as error:
        raise I2IError(f"The address {text} cannot be used: {_first_line(error)}.") from error
    return cast(Path, path)


def as_upath(path: Path) -> Any:
    """An address as the UPath that it is, for the type checker."""
    return cast(Any, path)


@contextlib.contextmanager
def storage_errors(path: object, verb: str = "read") -> Iterator[None]:
    """Turns whatever goes wrong with an address into an I2IError: "s3://b/x.png cannot be read: reason."."""
    try:
        yield
    except I2IError:
        raise
    except FileNotFoundError as error:
        raise I2IError(f"{path} does not exist.") from error
    except Exception as error:  # each store has its own classes
        raise I2IError(f"{path} cannot be {verb}: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


# ---- content ---------------------------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """The content of the object at an address. Raises I2IError naming it."""
    with storage_errors(path):
        return cast(bytes, as_upath(path).fs.cat_file(as_upath(path).path))


def decoder_input(path: Path) -> Path | BinaryIO:
    """What image decoders take: a local path itself, or the content of an address as an open file."""
    if not is_address(path):
        return path
    file = io.BytesIO(read_bytes(path))
    file.name = str(path)
    return file


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file or object that appears whole or not at all. Raises I2IError naming it."""
    if not is_address(path):
        with files.atomic_write(path) as file:
            file.write(data)
        return
    target = as_upath(path)
    with storage_errors(path, "written"):
        if target.protocol in OBJECT_STORES:  # they show an object when it is complete
            target.fs.pipe_file(target.path, data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(files.temporary_name())
        target.fs.pipe_file(temporary.path, data)
        target.fs.mv(temporary.path, target.path)


@contextlib.contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """A local path with that content, for libraries that open files by name: the path itself, or a temporary copy."""
    if not is_address(path):
        yield path
        return
    with _temporary_file(path) as copy:
        with storage_errors(path):
            as_upath(path).fs.get_file(as_upath(path).path, str(copy))
        yield copy


@contextlib.contextmanager
def local_output(path: Path) -> Iterator[Path]:
    """A local path to write: the path itself, or a temporary file that is sent to the address at the end."""
    if not is_address(path):
        yield path
        return
    with _temporary_file(path) as output:
        yield output
        with storage_errors(path, "written"):
            as_upath(path).fs.put_file(str(output), as_upath(path).path)


@contextlib.contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """A temporary path in place of an address; errors name the address."""
    with files.temporary_folder() as folder:
        temporary = folder / f"copy{path.suffix}"
        try:
            yield temporary
        except I2IError as error:
            raise I2IError(error.what.replace(str(temporary), str(path)), error.hint) from error


# ---- listings and facts ----------------------------------------------------------------------------------------


def list_files(folder: Path, suffixes: tuple[str, ...], others: list[Path] | None = None) -> list[Path]:
    """All files below an address that have one of the suffixes, sorted, without hidden ones; one request in all.

    others: gets the files with other suffixes."""
    top = as_upath(folder)
    with storage_errors(folder):
        names = top.fs.find(top.path)
    paths = []
    for name in sorted(names):
        below = name.strip("/").removeprefix(f"{top.path.strip('/')}/")
        hidden = any(part.startswith(".") and part != ".." for part in below.split("/"))
        if not hidden and below.lower().endswith(suffixes):
            paths.append(top / below)
        elif not hidden and others is not None:
            others.append(top / below)
    return paths


def glob(pattern: str, suffixes: tuple[str, ...], others: list[Path] | None = None) -> list[Path]:
    """The files that match an address with wildcards and have one of the suffixes, sorted.

    others: gets the files with other suffixes."""
    top = as_upath(locate(pattern))
    with storage_errors(pattern):
        found = top.fs.glob(top.path, detail=True)
    paths: list[Path] = []
    for name in sorted(found):
        path = cast(Path, top.with_segments(f"{top.protocol}://{name.lstrip('/')}"))
        if name.lower().endswith(suffixes):
            paths.append(path)
        elif others is not None and found[name].get("type") == "file" and "/." not in name:
            others.append(path)
    return paths


def file_sizes(paths: Iterable[Path]) -> dict[Path, int]:
    """The sizes in bytes of those files that exist; addresses cost one listing of their common folder in all."""
    sizes: dict[Path, int] = {}
    remote: list[Any] = []
    for path in paths:
        if is_address(path):
            remote.append(path)
        else:
            with contextlib.suppress(OSError, ValueError):  # ValueError: a name with a NUL byte
                sizes[path] = path.stat().st_size
    if remote:
        top = posixpath.commonpath([p.parent.path for p in remote])
        with storage_errors(remote[0].parent), contextlib.suppress(FileNotFoundError):
            listing = remote[0].fs.find(top, detail=True)
            known = {name.strip("/"): int(info.get("size") or 0) for name, info in listing.items()}
            sizes |= {p: known[p.path.strip("/")] for p in remote if p.path.strip("/") in known}
    return sizes


def version_stamp(path: Path) -> list[Any]:
    """Tells a file from a later one of the same name: [size in bytes, time of change in nanoseconds or a store's tag].

    Written into manifests as JSON. Raises OSError for a path and I2IError for an address that is not there."""
    if not is_address(path):
        status = path.stat()
        return [status.st_size, status.st_mtime_ns]
    with storage_errors(path):
        info = as_upath(path).fs.info(as_upath(path).path)
    tag = next((info[key] for key in VERSION_KEYS if info.get(key)), "")
    return [info.get("size"), str(tag)]


def identity(path: Path) -> str:
    """A string that two names of one file share."""
    return str(path) if is_address(path) else os.path.realpath(path)


def is_case_sensitive(folder: Path) -> bool:
    """True if the file system of `folder` is case-sensitive, judged from an existing entry; False if none tells.

    The entry may be in the folder, in the nearest parent that exists, or above that in the same file system."""
    while not folder.is_dir():
        folder = folder.parent
    folder = folder.resolve()
    device = folder.stat().st_dev
    while True:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                # An entry whose name in the other case is missing, or another file, proves it.
                swapped = os.path.join(folder, entry.name.swapcase())
                if entry.name.isascii() and entry.name.swapcase() != entry.name:
                    return not (os.path.lexists(swapped) and os.path.samestat(os.lstat(entry.path), os.lstat(swapped)))
        if folder == folder.parent or folder.parent.stat().st_dev != device:
            return False
        folder = folder.parent
