"""Downloads that resume after a cut connection, with a largest size, verified by size and SHA-256.

The one downloader of data sets and models. Files whose hash nobody has published are trusted at their first use: their
hash is recorded then (`remember`), and every later download of them must have it.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import re
import socket
import time
import urllib.error
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from i2i.core.errors import I2IError, I2IWarning
from i2i.core.files import atomic_write, fsync_path, sha256_of
from i2i.core.format import format_bytes
from i2i.core.progress import Progress
from i2i.core.reading import read_json
from i2i.data import connection
from i2i.data.connection import RefusedError

TRIES = 5  # for each address, without progress
WAIT = 1.0  # seconds before the second try; doubled each time
REAL_PROGRESS = 4096  # bytes, or a part of the file in 4096, that a try must bring to count as progress
MAX_BYTES = 1_000_000_000  # of a file of which nothing is known


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is downloaded. most: bytes that it may have at most."""

    sha256: str | None
    size: int | None
    most: int


def fetch(
    urls: str | Sequence[str],
    dest: str | Path,
    sha256: str | None = None,
    bytes: int | None = None,
    progress: Progress | None = None,
    max_bytes: int | None = None,
    record: Path | None = None,
) -> Path:
    """Downloads to the file `dest`, which then holds all of it or does not exist.

    urls: one address or mirrors, tried in their order; http addresses after one with https are left out. sha256, bytes:
    what the file must be, if known; a download that is something else is removed. max_bytes: the most that it may have,
    default that of `bytes`, else 1 GB. record: the file in which `remember` keeps the hash of its first download, which
    counts if there is no `sha256`. After a cut connection the received part stays beside `dest` as NAME.part; this call
    or a later one continues it if the server can. A file already at `dest` is accepted if it has that hash (or, without
    one, that size or any). If two processes call this at once, one waits for the other.
    Raises I2IError saying for each address what went wrong.
    """
    dest = Path(dest)
    mirrors = [urls] if isinstance(urls, str) else list(urls)
    if not mirrors:
        raise I2IError(f"There is no address to download {dest.name} from.")
    if any(url.lower().startswith("https:") for url in mirrors):
        mirrors = [url for url in mirrors if not url.lower().startswith("http:")]
    first = remembered(record) if record and not sha256 else None
    expected = Expected(sha256 or first, bytes, max_bytes or bytes or MAX_BYTES)
    with locked(dest):
        if dest.is_file() and not _fault_of(dest, expected):
            return dest
        faults = []
        for url in mirrors:
            fault = _fetch_from(url, dest, expected, progress)
            if fault is None:
                return dest
            faults.append(f"{url}: {fault}")
    hint = "Try again: the download continues where it stopped."
    if first and any("SHA-256" in fault for fault in faults):
        hint = f"The file is another one than at its first download. If you trust it, remove {record} and try again."
    raise I2IError(f"{dest.name} could not be downloaded. " + " ".join(faults), hint)


def remembered(record: Path) -> str | None:
    """The SHA-256 that a file had at its first download; None if none is recorded."""
    try:
        match = re.match(r"[0-9a-f]{64}\b", record.read_text(encoding="ascii")[:200])
    except (OSError, ValueError):
        return None
    return match[0] if match else None


def remember(record: Path, file: Path, name: str) -> None:
    """Records the SHA-256 of a file whose hash nobody has published, once it has proved usable, and says so."""
    if remembered(record) is not None:
        return
    digest = sha256_of(file)
    with atomic_write(record) as output:
        output.write(f"{digest}  {file.name}\n".encode())
    warnings.warn(
        f"Nobody has published a hash of {name}. Its SHA-256 {digest} is recorded, and later downloads must have it.",
        I2IWarning,
        stacklevel=2,
    )


@contextlib.contextmanager
def locked(dest: Path) -> Iterator[None]:
    """A lock on `dest` that one process holds at a time: a file beside it, released by the system if its owner dies."""
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(dest.with_name(f".{dest.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise I2IError(
            f"{dest.parent} cannot be written: {error.strerror}.",
            "Set the environment variable I2I_CACHE to another folder.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _fetch_from(url: str, dest: Path, expected: Expected, progress: Progress | None) -> str | None:
    """Tries one mirror several times. Returns None on success, else the reason as a sentence."""
    part = dest.with_name(f"{dest.name}.part")
    if part.is_symlink():  # it would be written through
        part.unlink()
    continued = part.exists()
    reason = ""
    failures = 0
    while failures < TRIES:
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(url, part, expected, progress)
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}."
            if error.code == 416:  # the part is complete (verified below) or belongs to another file (then start again)
                if _fault_of(part, expected) is None and (expected.sha256 or expected.size):
                    break
                _remove_part(part)
            elif error.code < 500 and error.code not in (408, 425, 429):
                return reason
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise I2IError(
                    f"The disk is full: {dest.name} cannot be downloaded to {dest.parent}.",
                    "Make room, or set the environment variable I2I_CACHE to another folder.",
                ) from error
            if isinstance(error, PermissionError | IsADirectoryError):
                raise I2IError(f"{part} cannot be written: {error.strerror}.") from error
            cause = getattr(error, "reason", None) or error
            reason = f"{cause or type(error).__name__}."
            if isinstance(cause, socket.gaierror):
                reason = "the name of the server is not found. Is this machine connected to the internet?"
        except RefusedError as error:
            _remove_part(part)
            return f"{error}."
        except (http.client.HTTPException, ValueError) as error:
            reason = f"{error or type(error).__name__}."
        else:
            break
        after = part.stat().st_size if part.exists() else 0
        is_progress = after - before >= max(REAL_PROGRESS, after // REAL_PROGRESS)
        failures = 1 if is_progress else failures + 1
        if failures < TRIES:
            time.sleep(WAIT * 2 ** (failures - 1))
    else:
        return reason
    fault = _fault_of(part, expected)
    if fault:
        _remove_part(part)
        # The part may belong to an older version of the file: download all of it once more.
        return _fetch_from(url, dest, expected, progress) if continued else fault
    fsync_path(part)
    os.replace(part, dest)
    _remove_part(part)
    return None


def _receive(url: str, part: Path, expected: Expected, progress: Progress | None) -> None:
    """Receives what is missing from `part`.

    Raises OSError or HTTPException when the connection is cut, and RefusedError for another file than expected."""
    # The request: the rest of what is here already, if it is of this file.
    note = part.with_name(f"{part.name}.json")  # which address and version the part belongs to
    known = _read_note(note)
    begun = part.stat().st_size if part.exists() else 0
    validator = str(known.get("etag") or known.get("modified") or "")
    if known.get("url") != url and not (expected.size and known.get("total") == expected.size):
        begun = 0  # of another mirror, whose file may differ
    headers = {"User-Agent": "i2i", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
        if validator and known.get("url") == url:
            headers["If-Range"] = validator

    with connection.opened(url, headers, has_hash=bool(expected.sha256)) as answer:
        # What the server says about the file.
        total = connection.whole_size(answer, begun)
        if answer.status != 206:
            begun = 0  # the server sends all of it again
        if total and expected.size and total != expected.size:
            raise RefusedError(f"the server offers {total} bytes, expected were {expected.size}")
        if total and total > expected.most:
            raise RefusedError(f"the server offers {format_bytes(total)}, allowed are {format_bytes(expected.most)}")
        is_framed = total is not None or answer.chunked
        if not is_framed and not expected.sha256 and not expected.size:
            raise RefusedError("the server does not say how long the file is, and no hash of it is known")
        etag = answer.headers.get("ETag") or ""
        facts: dict[str, object] = {"url": url, "total": total, "modified": answer.headers.get("Last-Modified")}
        facts["etag"] = etag if not etag.startswith("W/") else None  # a weak one does not promise equal bytes
        note.write_text(json.dumps(facts), encoding="utf-8")

        # The file.
        with open(part, "r+b" if begun else "wb") as file:
            file.truncate(begun)
            file.seek(begun)
            most = total or expected.size or expected.most
            tell = (lambda done: progress(done, total or 0)) if progress else (lambda done: None)
            done = connection.copy(answer, file, begun, most, tell)
        if total is not None and done < total:
            raise ConnectionError(f"the connection was cut after {done} of {total} bytes")


def _read_note(path: Path) -> dict[str, object]:
    try:
        return dict(read_json(path, {str: object}))
    except I2IError:
        return {}


def _remove_part(part: Path) -> None:
    for path in (part, part.with_name(f"{part.name}.json")):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _fault_of(path: Path, expected: Expected) -> str | None:
    """The fault of a file as a sentence; None if it has the expected size and hash."""
    if not path.is_file():
        return "nothing was received."
    found = path.stat().st_size
    if expected.size and found != expected.size:
        return f"it has {found} bytes, expected were {expected.size}."
    if found > expected.most:
        return f"it has {format_bytes(found)}, allowed are {format_bytes(expected.most)}."
    if expected.sha256:
        digest = sha256_of(path)
        if digest != expected.sha256.lower():
            return f"its SHA-256 is {digest}, expected was {expected.sha256.lower()}; the file was not kept."
    return None
