"""Where images lie: paths of this machine, and addresses such as s3://bucket/in of anything that fsspec reaches.

A place is a `Path`, or for an address a `UPath` of universal_pathlib, which has the same methods; the extra `remote`
brings it, and nothing of it is imported for paths. Objects of a store appear whole by themselves; in other file systems
an output gets its name when it is complete.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from i2i.core import files
from i2i.core.errors import I2IError
from i2i.core.optional import install_hint

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+://")
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory", "oss", "r2"}  # write objects whole


def is_address(place: Any) -> bool:
    """Whether it lies elsewhere than under a path of this machine."""
    return not isinstance(place, Path) and bool(_SCHEME.match(str(place)))


def locate(place: str | Path) -> Path:
    """The place of that name; file:// is a path. Raises I2IError if what its kind needs is not installed."""
    text = str(place)
    if isinstance(place, Path) or not is_address(place):
        return Path(place)
    if text.startswith("file://"):
        return Path(re.sub("^file://(localhost(?=/))?", "", text))
    if not isinstance(place, str):
        return place
    try:
        made = importlib.import_module("upath").UPath(text.rstrip("/") or text)
        made.fs  # noqa: B018  (makes the connection's object, which may need a package of its own)
    except ImportError as error:
        hint = f"{install_hint('remote')}; kinds other than s3 need fsspec's own package for them."
        raise I2IError(f"{text} needs what is not installed: {error}.", hint) from error
    except Exception as error:
        raise I2IError(f"The address {text} cannot be used: {_said(error)}.") from error
    return cast(Path, made)


def as_upath(place: Path) -> Any:
    """The place as a UPath."""
    return cast(Any, place)


@contextlib.contextmanager
def storage_errors(place: Any, verb: str = "read") -> Iterator[None]:
    """Words for what goes wrong on the way to an address."""
    try:
        yield
    except I2IError:
        raise
    except FileNotFoundError as error:
        raise I2IError(f"{place} does not exist.") from error
    except Exception as error:  # each store has its own
        raise I2IError(f"{place} cannot be {verb}: {_said(error)}.") from error


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def read_bytes(place: Path) -> bytes:
    """All bytes of what lies at an address. Raises I2IError naming it."""
    with storage_errors(place):
        found: bytes = as_upath(place).fs.cat_file(as_upath(place).path)
        return found


def decoder_input(place: Path) -> Path | BinaryIO:
    """What decoders take: the path itself, or what lies at the address, read."""
    if not is_address(place):
        return place
    data = io.BytesIO(read_bytes(place))
    data.name = str(place)
    return data


def write_bytes(place: Path, data: bytes) -> None:
    """Lands `data` there, whole or not at all. Raises I2IError naming the place."""
    if not is_address(place):
        with files.atomic_write(place) as file:
            file.write(data)
        return
    there = as_upath(place)
    with storage_errors(place, "written"):
        if _is_store(there):
            there.fs.pipe_file(there.path, data)
            return
        there.parent.mkdir(parents=True, exist_ok=True)
        temporary = there.with_name(files.temporary_name())
        there.fs.pipe_file(temporary.path, data)
        there.fs.mv(temporary.path, there.path)


def _is_store(there: Any) -> bool:
    return there.protocol in OBJECT_STORES


def list_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """All files below an address by suffix, sorted, without hidden ones. One listing, however many there are."""
    there = as_upath(folder)
    with storage_errors(folder):
        names = there.fs.find(there.path)
    found = []
    for name in sorted(names):
        below = name.strip("/").removeprefix(f"{there.path.strip('/')}/")
        hidden = any(part.startswith(".") and part != ".." for part in below.split("/"))
        if not hidden and below.lower().endswith(suffixes):
            found.append(there / below)
    return found


def glob(pattern: str, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of an address with wildcards, sorted."""
    there = as_upath(locate(pattern))
    with storage_errors(pattern):
        names = there.fs.glob(there.path)
    kept = sorted(n for n in names if n.lower().endswith(suffixes))
    return [cast(Path, there.with_segments(f"{there.protocol}://{n.lstrip('/')}")) for n in kept]


def file_sizes(places: Iterable[Path]) -> dict[Path, int]:
    """The sizes in bytes of those that exist; for addresses by one listing of the folder that holds them all."""
    found: dict[Path, int] = {}
    far: list[Any] = []
    for place in places:
        if is_address(place):
            far.append(place)
        else:
            with contextlib.suppress(OSError):
                found[place] = place.stat().st_size
    if far:
        top = posixpath.commonpath([p.parent.path for p in far])
        with storage_errors(far[0].parent), contextlib.suppress(FileNotFoundError):
            known = far[0].fs.find(top, detail=True)
            held = {name.strip("/"): int(facts.get("size") or 0) for name, facts in known.items()}
            found |= {p: held[p.path.strip("/")] for p in far if p.path.strip("/") in held}
    return found


def version_stamp(place: Path) -> list[Any]:
    """What tells a file from a later one of the same name: its size, and time of change in nanoseconds or tag."""
    if not is_address(place):
        status = place.stat()
        return [status.st_size, status.st_mtime_ns]
    there = as_upath(place)
    with storage_errors(place):
        facts = there.fs.info(there.path)
    mark = next((facts[k] for k in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if facts.get(k)), "")
    return [facts.get("size"), str(mark)]


def identity(place: Path) -> str:
    """The same for two names of one file."""
    return str(place) if is_address(place) else os.path.realpath(place)


def is_case_sensitive(folder: Path) -> bool:
    """Whether names that differ in case are two files there, as one that is there shows: in the folder, the nearest one
    that exists, or those above it in the same file system. False if none does."""
    while not folder.is_dir():
        folder = folder.parent
    folder = folder.resolve()
    device = folder.stat().st_dev
    while True:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                other = os.path.join(folder, entry.name.swapcase())
                if entry.name.isascii() and entry.name.swapcase() != entry.name:
                    return not (os.path.lexists(other) and os.path.samestat(os.lstat(entry.path), os.lstat(other)))
        if folder == folder.parent or folder.parent.stat().st_dev != device:
            return False
        folder = folder.parent


@contextlib.contextmanager
def _stand_in(place: Path) -> Iterator[Path]:
    """A path for what lies at an address, as long as it is needed; errors name the address, not the path."""
    with tempfile.TemporaryDirectory(prefix="i2i-") as folder:
        path = Path(folder) / f"copy{place.suffix}"
        try:
            yield path
        except I2IError as error:
            raise I2IError(error.what.replace(str(path), str(place)), error.hint) from error


@contextlib.contextmanager
def local_copy(place: Path) -> Iterator[Path]:
    """A path of this machine with what lies there: itself, or a copy for as long as it is needed."""
    if not is_address(place):
        yield place
        return
    with _stand_in(place) as copy:
        with storage_errors(place):
            as_upath(place).fs.get_file(as_upath(place).path, str(copy))
        yield copy


@contextlib.contextmanager
def local_output(place: Path) -> Iterator[Path]:
    """A path of this machine to write what shall lie there: itself, or one that is sent when it is complete."""
    if not is_address(place):
        yield place
        return
    with _stand_in(place) as made:
        yield made
        with storage_errors(place, "written"):
            as_upath(place).fs.put_file(str(made), as_upath(place).path)
