"""The guard in front of the demo page: who may ask, what may be asked, and how much may be sent.

A browser sends requests of any web page to any address, also to a server that listens on this machine only. So the
guard refuses requests that name another host (the owner of a name can point it at this machine: "DNS rebinding"), and
requests of other web pages that change something. It is plain ASGI: it needs neither gradio nor starlette.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from i2i.core.errors import I2IError
from i2i.inference.demo_storage import Storage

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
UPLOAD = "/upload"
POSTS = (UPLOAD, "/queue/join", "/reset", "/cancel")  # ends of the addresses that the page posts to
MAX_BODY = 1_000_000  # bytes of a request that is no upload
FORM = 100_000  # bytes of an upload beside the file: names and separators of the form
UNUSED = ("/deep_link", "/proxy=", "/vibe", "/custom_component/", "/monitoring")  # of gradio's addresses
DRAINED = 64_000_000  # bytes of a refused body that are read and dropped, so that the client reads the answer
SILENCE = 30.0  # seconds without a byte of the body after which a request is given up
HEADERS = ((b"content-security-policy", b"frame-ancestors 'none'"), (b"x-content-type-options", b"nosniff"))
log = logging.getLogger("i2i.demo")


def allowed_hosts(listen: str, more: Iterable[str] = ()) -> frozenset[str]:
    """The names under which browsers may ask for the page, in lower case.

    listen: the address that the server listens on. For one of this machine only, these are its loopback names; for any
    other, also the names of the machine; the address that a connection arrived at is added by the guard. more: names
    that the user allows. Raises I2IError if one of them is no name of a host."""
    hosts = {*LOOPBACK}
    if listen not in LOOPBACK:
        name = socket.gethostname().lower()
        hosts |= {name, name.partition(".")[0], f"{name.partition('.')[0]}.local", listen.lower()}
    for given in more:
        host = host_name(given)
        if not host or "/" in given or "*" in given:
            raise I2IError(f"{given!r} is not the name of a host.", "Give a name or an address: --allow-host my.server")
        hosts.add(host)
    return frozenset(hosts - {"0.0.0.0", "::"})


def host_name(header: str) -> str:
    """The name or address in a Host header, in lower case, without port and brackets; empty if there is none."""
    try:
        return (urlsplit(f"//{header.strip()}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class Guard:
    """Passes to `app` what the page's own browser windows ask, and answers everything else with a short refusal.

    hosts: see `allowed_hosts`. storage: where uploads lie, with the limit of all together. max_upload: bytes of one
    file. What `app` raises on a malformed request becomes an answer with status 400 or 500; nothing is printed."""

    def __init__(self, app: App, hosts: frozenset[str], storage: Storage, max_upload: int) -> None:
        self.app, self.hosts, self.storage, self.max_upload = app, hosts, storage, max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close", "code": 1008, "reason": "This page has no websocket."})
            return
        body = _Body(receive, *self._limit_and_length(scope, headers))
        refusal = self._refusal(scope, headers)
        if refusal is None and body.too_large:
            refusal = 413, f"A request may have at most {body.limit:,} bytes."
        if refusal is not None:
            await body.drain()
            await _answer(scope, send, *refusal)
            return
        expected = body.length if body.length is not None else body.limit
        is_upload = scope["method"] not in SAFE_METHODS and scope["path"].endswith(UPLOAD)
        with self.storage.reserve(expected if is_upload else 0) as has_room:
            if not has_room:
                await body.drain()
                await _answer(scope, send, 503, "The page holds as many uploads as it may. Try again in a few minutes.")
                return
            await self._pass_on(scope, body, send)

    async def _pass_on(self, scope: Scope, body: _Body, send: Send) -> None:
        """Lets the app answer. Whatever it raises becomes an answer, unless one has begun."""
        begun = False

        async def send_checked(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        try:
            await self.app(scope, body.receive, send_checked)
        except Exception as error:  # noqa: BLE001 (a request may make gradio raise anything)
            log.debug("%s %r: %s", scope["method"], scope["path"], type(error).__name__)
            if begun:
                return
        if not begun:
            if body.too_large:
                await _answer(scope, send, 413, f"A request may have at most {body.limit:,} bytes.")
            elif body.silent:
                await _answer(scope, send, 408, f"Nothing was received for {SILENCE:g} seconds.")
            else:
                status = 500 if scope["method"] in SAFE_METHODS else 400
                await _answer(scope, send, status, "The page cannot answer this request.")

    # ---- who and what ----------------------------------------------------------------------------------------------

    def _refusal(self, scope: Scope, headers: dict[str, list[str]]) -> tuple[int, str] | None:
        """(status, sentence) if a request is refused for where it comes from or what it asks; None if it is not."""
        # The host: exactly one, and a name of this server.
        hosts = headers.get("host", [])
        host = host_name(hosts[0]) if len(hosts) == 1 else ""
        if host not in self.hosts and not _is_own_address(host, scope):
            return 400, f"{host or 'No host'} is not a name of this page. Start it with --allow-host NAME to allow one."

        # The page it comes from.
        site, mode = headers.get("sec-fetch-site", ["none"]), headers.get("sec-fetch-mode", [""])
        is_foreign = any(value not in ("same-origin", "none") for value in site)
        origins = headers.get("origin", [])
        foreign_origin = any(not _same_origin(origin, hosts[0]) for origin in origins)
        if scope["method"] in SAFE_METHODS:
            if is_foreign and mode != ["navigate"]:  # a link to the page is allowed, embedding parts of it is not
                return 403, "Another web page may not use this page."
            return (404, "This page has no such address.") if any(part in scope["path"] for part in UNUSED) else None
        if is_foreign or foreign_origin or len(origins) > 1:
            return 403, "Another web page may not use this page."
        if not scope["path"].endswith(POSTS):
            return 404, "This page has no such address."
        return None

    def _limit_and_length(self, scope: Scope, headers: dict[str, list[str]]) -> tuple[int, int | None]:
        """The most bytes that the body may have, and how many it says to have (None: it does not say)."""
        limit = self.max_upload + FORM if scope["path"].endswith(UPLOAD) else MAX_BODY
        lengths = headers.get("content-length", [])
        if not lengths:
            return limit, None
        is_number = len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdigit()
        return limit, int(lengths[0][:20]) if is_number else limit + 1


class _Body:
    """The body of a request, received with a limit. After too many bytes or too long a silence it is cut."""

    def __init__(self, receive: Receive, limit: int, length: int | None) -> None:
        self._receive, self.limit, self.length = receive, limit, length
        self.received, self.complete, self.silent = 0, False, False
        self.too_large = length is not None and length > limit

    async def receive(self) -> Message:
        if self.too_large or self.silent:
            return {"type": "http.disconnect"}
        if self.complete:  # now the app waits for the end of the connection, as long as it likes
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), SILENCE)
        except TimeoutError:
            self.silent = True
            return {"type": "http.disconnect"}
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
            if self.received > self.limit:
                self.too_large = True
                return {"type": "http.disconnect"}
        return message

    async def drain(self) -> None:
        """Reads and drops the body of a refused request: a few seconds and DRAINED bytes at most."""
        if self.length == 0 or self.complete:
            return
        dropped = 0
        try:
            async with asyncio.timeout(SILENCE / 3):
                while dropped < DRAINED:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
        except TimeoutError:
            return


def _headers(scope: Scope) -> dict[str, list[str]]:
    """All values of each header, by its name in lower case."""
    headers: dict[str, list[str]] = {}
    for name, value in scope.get("headers") or ():
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return headers


def _is_own_address(host: str, scope: Scope) -> bool:
    """True if `host` is the address of this machine that the connection arrived at."""
    try:
        address = ipaddress.ip_address((scope.get("server") or ("",))[0])
        own = getattr(address, "ipv4_mapped", None) or address  # ::ffff:192.168.1.5 of a server for both kinds
        return ipaddress.ip_address(host) == own
    except ValueError:
        return False


def _same_origin(origin: str, host: str) -> bool:
    """True if an Origin header names the host and port of the Host header. The scheme may be that of a proxy."""
    scheme, separator, rest = origin.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return False
    default = {"http": ":80", "https": ":443"}[scheme.lower()]
    return rest.lower().removesuffix(default) == host.lower().removesuffix(default)


async def _answer(scope: Scope, send: Send, status: int, sentence: str) -> None:
    """Sends a short text, and closes the connection: the rest of the body is not read."""
    body = b"" if scope["method"] == "HEAD" else f"{sentence}\n".encode("utf-8", "replace")
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close"), *HEADERS]}
    )
    await send({"type": "http.response.body", "body": body})
