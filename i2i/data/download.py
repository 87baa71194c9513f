"""Downloads that resume after a cut connection and are verified by size and SHA-256."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock

from i2i.core.errors import I2IError
from i2i.core.files import fsync_path, sha256_of
from i2i.core.progress import Progress
from i2i.core.reading import read_json

CHUNK = 1 << 18
TRIES = 5  # for each address
WAIT = 1.0  # seconds before the second try; doubled each time
TIMEOUT = 30.0  # seconds of silence after which a connection counts as cut


def fetch(
    urls: str | Sequence[str],
    dest: str | Path,
    sha256: str | None = None,
    bytes: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Downloads to the file `dest`, which then holds all of it or does not exist.

    urls: one address or mirrors, tried in their order. sha256, bytes: what the file must be, if known; a download that
    is something else is removed. After a cut connection the received part stays beside `dest` as NAME.part; this call
    or a later one continues it if the server can. A file already at `dest` is accepted if it has that hash (or, without
    one, that size or any). If two processes call this at once, one waits for the other.
    Raises I2IError saying for each address what went wrong.
    """
    dest = Path(dest)
    mirrors = [urls] if isinstance(urls, str) else list(urls)
    if not mirrors:
        raise I2IError(f"There is no address to download {dest.name} from.")
    with locked(dest):
        if dest.is_file() and not _fault_of(dest, sha256, bytes):
            return dest
        faults = []
        for url in mirrors:
            fault = _fetch_from(url, dest, sha256, bytes, progress)
            if fault is None:
                return dest
            faults.append(f"{url}: {fault}")
    raise I2IError(
        f"{dest.name} could not be downloaded. " + " ".join(faults), "Try again: it goes on where it stopped."
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
            f"{dest.parent} cannot be written: {error.strerror}.", "The variable I2I_CACHE moves it."
        ) from error
    try:
        yield
    finally:
        lock.release()


class _Refused(Exception):
    """The server offers another file than expected; another try would not help."""


def _fetch_from(url: str, dest: Path, sha256: str | None, size: int | None, progress: Progress | None) -> str | None:
    """Tries one mirror several times. Returns None on success, else the reason as a sentence."""
    part = dest.with_name(f"{dest.name}.part")
    continued = part.exists()
    reason = ""
    failures = 0
    while failures < TRIES:
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(url, part, size, progress)
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}."
            if error.code == 416:  # the part is complete (verified below) or belongs to another file (then start again)
                if _fault_of(part, sha256, size) is None and (sha256 or size):
                    break
                _remove_part(part)
            elif error.code < 500 and error.code not in (408, 425, 429):
                return reason
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise I2IError(
                    f"The disk is full: {dest.name} cannot be downloaded to {dest.parent}.",
                    "Make room, or move the cache with the variable I2I_CACHE; the download goes on where it stopped.",
                ) from error
            if isinstance(error, PermissionError | IsADirectoryError):
                raise I2IError(f"{part} cannot be written: {error.strerror}.") from error
            reason = f"{getattr(error, 'reason', None) or error or type(error).__name__}."
        except _Refused as error:
            _remove_part(part)
            return f"{error}."
        except (http.client.HTTPException, ValueError) as error:
            reason = f"{error or type(error).__name__}."
        else:
            break
        after = part.stat().st_size if part.exists() else 0
        failures = 1 if after > before else failures + 1  # progress resets the count of failures
        if failures < TRIES:
            time.sleep(WAIT * 2 ** (failures - 1))
    else:
        return reason
    fault = _fault_of(part, sha256, size)
    if fault:
        _remove_part(part)
        # The part may belong to an older version of the file: download all of it once more.
        return _fetch_from(url, dest, sha256, size, progress) if continued else fault
    fsync_path(part)
    os.replace(part, dest)
    _remove_part(part)
    return None


def _receive(url: str, part: Path, size: int | None, progress: Progress | None) -> None:
    """Receives what is missing from `part`. Raises OSError or HTTPException when the connection is cut."""
    if not url.startswith(("http://", "https://")):
        raise _Refused("only http and https addresses are fetched")
    note = part.with_name(f"{part.name}.json")  # which address and version the part belongs to
    known = _read_note(note)
    begun = part.stat().st_size if part.exists() else 0
    validator = str(known.get("etag") or known.get("modified") or "")
    if known.get("url") != url and not (size and known.get("total") == size):
        begun = 0  # of another mirror, whose file may differ
    headers = {"User-Agent": "i2i", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
        if validator and known.get("url") == url:
            headers["If-Range"] = validator
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        total = _total(answer, begun)
        if answer.status != 206:
            begun = 0  # the server sends all of it again
        if size and total and total != size:
            raise _Refused(f"the server offers {total} bytes, expected were {size}")
        etag = answer.headers.get("ETag") or ""
        facts: dict[str, object] = {"url": url, "total": total, "modified": answer.headers.get("Last-Modified")}
        facts["etag"] = etag if not etag.startswith("W/") else None  # a weak one does not promise equal bytes
        note.write_text(json.dumps(facts), encoding="utf-8")
        done = begun
        with open(part, "r+b" if begun else "wb") as file:
            file.truncate(begun)
            file.seek(begun)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if size and done > size:
                    raise _Refused(f"the server sends more than the {size} bytes expected")
                if progress:
                    progress(done, total)
        if total and done < total:
            raise ConnectionError(f"the connection was cut after {done} of {total} bytes")


def _total(answer: http.client.HTTPResponse, begun: int) -> int:
    """Size of the whole file in bytes as the server states it; 0 if it does not."""
    if answer.status == 206:
        span = answer.headers.get("Content-Range", "")
        first, _, rest = span.removeprefix("bytes ").partition("-")
        if first.strip() != str(begun):
            raise ValueError(f"the server sent another range ({span}) than was asked for ({begun}-)")
        total = rest.partition("/")[2]
        return int(total) if total.isdigit() else 0
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else 0


def _read_note(path: Path) -> dict[str, object]:
    try:
        return dict(read_json(path, {str: object}))
    except I2IError:
        return {}


def _remove_part(part: Path) -> None:
    for path in (part, part.with_name(f"{part.name}.json")):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _fault_of(path: Path, sha256: str | None, size: int | None) -> str | None:
    """The fault of a file as a sentence; None if it has the expected size and hash."""
    if not path.is_file():
        return "nothing was received."
    found = path.stat().st_size
    if size and found != size:
        return f"it has {found} bytes, expected were {size}."
    if sha256:
        digest = sha256_of(path)
        if digest != sha256.lower():
            return f"its SHA-256 is {digest}, expected was {sha256.lower()}; the file was not kept."
    return None
