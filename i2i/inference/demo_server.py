"""The server of the demo: a port, the page, and an end that leaves nothing behind.

What browsers upload lies in a private folder (demo_storage); who may use the page is decided by demo_guard.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from i2i.core.errors import I2IError
from i2i.inference.demo import Studio
from i2i.inference.demo_guard import LOOPBACK, Guard, allowed_hosts
from i2i.inference.demo_page import CSS, gradio, page
from i2i.inference.demo_storage import Storage, private_storage

HOST = "127.0.0.1"  # this machine only
PORT, PORTS = 7860, 100  # the first port that is tried, and how many
MAX_UPLOAD = 20.0  # MB
MAX_STORED = 500.0  # MB


def free_port(host: str, port: int | None) -> int:
    """`port`, or the first free one from 7860 on if it is None.

    Raises I2IError if it is in use or not allowed, or if `host` is not an address of this machine."""
    for candidate in [port] if port is not None else range(PORT, PORT + PORTS):
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
                return int(trial.getsockname()[1])
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise I2IError(f"Only an administrator may use port {candidate}.", "Give 1024 to 65535.") from error
            if error.errno != errno.EADDRINUSE:
                raise I2IError(
                    f"{host} is not an address of this machine.",
                    "Give 127.0.0.1 (this machine only) or 0.0.0.0 (for other machines too).",
                ) from error
    if port is not None:
        raise I2IError(f"Port {port} is in use.", "Give another --port, or leave it out for the next free one.")
    raise I2IError(f"The ports {PORT} to {PORT + PORTS - 1} are all in use.", "Give a free one with --port.")


def serve(
    studio: Studio,
    host: str = HOST,
    port: int | None = None,
    max_upload: float = MAX_UPLOAD,
    show: bool = False,
    ready: Callable[[str], None] = lambda address: None,
    max_stored: float = MAX_STORED,
    allow_hosts: Iterable[str] = (),
) -> None:
    """Serves the page until Ctrl-C (KeyboardInterrupt), which ends it without an error.

    host: 127.0.0.1 serves this machine only. port: None takes 7860 or the next free one. max_upload: of a file, in MB
    (10^6 bytes). show: opens the browser. ready(address): called when the page answers. max_stored: MB that all uploads
    and results may take on the disk; each is removed after half an hour. allow_hosts: further names of this machine,
    under which browsers may ask for the page. Raises I2IError if gradio is not installed, the port is in use, or
    max_stored is less than five times max_upload."""
    hosts, largest = allowed_hosts(host, allow_hosts), int(max_upload * 1e6)
    if max_stored < 5 * max_upload:
        raise I2IError(
            f"{max_stored:g} MB for all files have no room for an upload of {max_upload:g} MB and what is made of it.",
            f"Give --max-stored {5 * max_upload:g} or more, or a smaller --max-upload.",
        )
    with _ended_by_signals(), private_storage(int(max_stored * 1e6)) as storage:
        _stay_offline(storage.folder)
        gr = gradio()
        port = free_port(host, port)
        app = page(studio, storage)
        theme = gr.themes.Soft(
            primary_hue="blue", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["monospace"]
        )
        try:
            app.launch(
                server_name=host, server_port=port, inbrowser=show, share=False, quiet=True, prevent_thread_lock=True,
                max_file_size=largest, allowed_paths=[], show_error=False, ssr_mode=False, pwa=False,
                mcp_server=False, enable_monitoring=False, footer_links=[], css=CSS, theme=theme,
                app_kwargs=_guarded(hosts, storage, largest),
            )  # fmt: skip
            _print_no_traces()
            name = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
            ready(f"http://{name}:{port}")
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
        finally:
            app.close(verbose=False)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP when a terminal is closed, end the context as an exception does, so its folder is removed."""
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    handlers = {number: signal.getsignal(number) for number in numbers}
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    for number, handler in handlers.items():
        if handler != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _stay_offline(folder: Path) -> None:
    """Tells gradio, before it is imported, to report and look up nothing outside, and to keep its files in `folder`."""
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        GRADIO_TEMP_DIR=str(folder),
    )
    for variable in ("no_proxy", "NO_PROXY"):  # gradio asks its own address whether it answers
        os.environ[variable] = ",".join(filter(None, [os.environ.get(variable, ""), *LOOPBACK]))


def _guarded(hosts: frozenset[str], storage: Storage, max_upload: int) -> dict[str, Any]:
    """The arguments of gradio's server that put the guard in front of the page."""
    from starlette.middleware import Middleware

    guard: Any = Guard  # starlette's type of a middleware names its own types of messages
    return {"middleware": [Middleware(guard, hosts=hosts, storage=storage, max_upload=max_upload)]}


def _print_no_traces() -> None:
    """Keeps gradio and its server from printing malformed requests and their traces: anybody could fill a log by them.

    The page's own failures are messages on the page."""
    import gradio.queueing
    import gradio.routes

    for module in (gradio.queueing, gradio.routes):
        vars(module)["traceback"] = _SilentTraces()
    for name in ("uvicorn.error", "python_multipart", "multipart"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(lambda record: record.exc_info is None)


class _SilentTraces:
    """Stands for the module `traceback` where gradio prints what requests have caused."""

    def print_exc(self, *words: Any, **options: Any) -> None:
        logging.getLogger("i2i.demo").debug("a request failed", exc_info=True)
