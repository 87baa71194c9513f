"""The server of the demo: a port, the page, and an end that leaves nothing behind.

What browsers upload lies in a private folder that is emptied every hour and removed with the server.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from i2i.core.errors import I2IError
from i2i.inference.demo import Studio
from i2i.inference.demo_page import CSS, gradio, page

HOST = "127.0.0.1"  # this machine only
PORT, PORTS = 7860, 100  # the first port that is tried, and how many
LOOPBACK = ("127.0.0.1", "localhost")
MAX_UPLOAD = 20.0  # MB


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
) -> None:
    """Serves the page until Ctrl-C (KeyboardInterrupt), which ends it without an error.

    host: 127.0.0.1 serves this machine only. port: None takes 7860 or the next free one. max_upload: of a file, in MB
    (10^6 bytes). show: opens the browser. ready(address): called when the page answers. Raises I2IError if gradio is
    not installed, or the port is in use."""
    with _private_folder() as folder:
        _stay_offline(folder)
        gr = gradio()
        port = free_port(host, port)
        app = page(studio, folder)
        theme = gr.themes.Soft(
            primary_hue="blue", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["monospace"]
        )
        try:
            app.launch(
                server_name=host, server_port=port, inbrowser=show, share=False, quiet=True, prevent_thread_lock=True,
                max_file_size=int(max_upload * 1e6), allowed_paths=[], show_error=False, ssr_mode=False, pwa=False,
                mcp_server=False, enable_monitoring=False, footer_links=[], app_kwargs=_host_check(host), css=CSS,
                theme=theme,
            )  # fmt: skip
            name = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
            ready(f"http://{name}:{port}")
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
        finally:
            app.close(verbose=False)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for this user only, removed at the end, also at an end by SIGTERM."""
    in_main_thread, handler = threading.current_thread() is threading.main_thread(), signal.getsignal(signal.SIGTERM)
    if in_main_thread:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="i2i-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)


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


def _host_check(host: str) -> dict[str, Any]:
    """For a server of this machine only: requests that name another host are refused (DNS rebinding)."""
    if host not in LOOPBACK:
        return {}
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return {"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))]}
