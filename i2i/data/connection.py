"""One answer of a server, received with limits: which addresses are asked, how long, and how much may come.

Every download of i2i goes through `receive`. Servers may lie and connections may be cut or redirected by others, so:
only https addresses are asked (http of this machine, or where a hash is known); a redirect may not lead from https to
http, nor to any other scheme; headers and bytes must arrive at some speed; and no more bytes than agreed are written.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any
from urllib.parse import urlsplit

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds of silence after which a connection counts as cut
HEADERS_TIME = 60.0  # seconds within which all headers of an answer must be here
WINDOW = 60.0  # seconds over which the speed is measured
SLOWEST = 500  # bytes a second; slower connections count as cut
REDIRECTS = 5


class RefusedError(Exception):
    """The server offers something else than is asked for, or by another way; another try would not help."""


def check_address(url: str, has_hash: bool) -> None:
    """Raises RefusedError unless `url` is https, or http of this machine, or http of a file whose hash is known."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), parts.hostname or ""
    except ValueError:
        raise RefusedError("it is no address") from None
    if scheme not in ("http", "https") or not host:
        raise RefusedError("only https addresses are fetched")
    if scheme == "http" and not has_hash and not _is_this_machine(host):
        raise RefusedError("an http address is fetched only if the hash of the file is known; give one with https")


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def opened(url: str, headers: dict[str, str], has_hash: bool) -> Iterator[http.client.HTTPResponse]:
    """The answer to a GET request, after redirects. Raises RefusedError, OSError or HTTPException."""
    check_address(url, has_hash)
    opener = urllib.request.OpenerDirector()  # without the handlers of file:, ftp: and data:
    for handler in (
        urllib.request.ProxyHandler(), _Http(), _Https(), _Redirects(has_hash),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    answer = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    if answer is None:
        raise RefusedError("only https addresses are fetched")
    with answer:
        yield answer


def whole_size(answer: http.client.HTTPResponse, begun: int) -> int | None:
    """Bytes of the whole file as the server states them; None if it states none, or nothing that can be.

    Raises ValueError if it sends another part than the one from byte `begun` on."""
    if answer.status == 206:
        span = answer.headers.get("Content-Range", "")
        first, _, rest = span.removeprefix("bytes ").partition("-")
        if first.strip() != str(begun):
            raise ValueError(f"the server sent another range ({span[:60]}) than was asked for ({begun}-)")
        return _number(rest.partition("/")[2])
    return _number(answer.headers.get("Content-Length", ""))


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def copy(answer: http.client.HTTPResponse, file: IO[bytes], done: int, most: int, tell: Callable[[int], None]) -> int:
    """Writes what the server sends; returns the bytes of the whole file so far. done: those that it had before.

    Raises RefusedError above `most` bytes, and ConnectionError if the server sends too slowly."""
    start, before = time.monotonic(), done
    while chunk := answer.read1(CHUNK):
        if done + len(chunk) > most:
            raise RefusedError(f"the server sends more than the {most:,} bytes that the file may have")
        file.write(chunk)
        done += len(chunk)
        tell(done)
        if (passed := time.monotonic() - start) > WINDOW:
            if done - before < SLOWEST * passed:
                raise ConnectionError(f"the server sent only {done - before:,} bytes in {passed:.0f} seconds")
            start, before = time.monotonic(), done
    return done


# ---- handlers ------------------------------------------------------------------------------------------------------


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to an address that would be fetched itself, and never from https to http."""

    max_redirections = REDIRECTS

    def __init__(self, has_hash: bool) -> None:
        self.has_hash = has_hash

    def redirect_request(
        self, request: urllib.request.Request, file: IO[bytes], code: int, message: str, headers: Any, url: str
    ) -> urllib.request.Request | None:
        try:
            check_address(url, self.has_hash)
        except RefusedError as error:
            raise RefusedError(f"the server redirects to {url[:200]}: {error}") from error
        if request.type == "https" and not url.lower().startswith("https:"):
            raise RefusedError(f"the server redirects from https to {url[:200]}")
        return super().redirect_request(request, file, code, message, headers, url)

    def http_error_302(
        self, request: urllib.request.Request, file: IO[bytes], code: int, message: str, headers: Any
    ) -> Any:
        # The class above turns other schemes into an error of its own, which would be tried again.
        location = headers.get("location") or headers.get("uri") or ""
        scheme = location.partition(":")[0].lower() if ":" in location.partition("/")[0] else "https"
        if scheme not in ("http", "https"):
            raise RefusedError(f"the server redirects to {location[:200]}: only https addresses are fetched")
        return super().http_error_302(request, file, code, message, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]


class _Timed:
    """A connection whose answer must have all its headers in time, even if they come byte by byte."""

    sock: socket.socket | None

    def getresponse(self) -> http.client.HTTPResponse:
        timer = threading.Timer(HEADERS_TIME, self._cut)
        timer.daemon = True
        timer.start()
        try:
            response: http.client.HTTPResponse = super().getresponse()  # type: ignore[misc]
        finally:
            timer.cancel()
        return response

    def _cut(self) -> None:
        with suppress(OSError, AttributeError):
            assert self.sock is not None
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class _HttpConnection(_Timed, http.client.HTTPConnection):
    pass


class _HttpsConnection(_Timed, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, request)
