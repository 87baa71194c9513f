"""`i2i train --processes N`: N processes on this machine that train together, as one command.

Each process is this program again, with the environment variables that torch.distributed reads. They run in sessions of
their own, so that a signal reaches each of them once, through this process. The first one that fails prints its error;
the others are ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from i2i.cli.output import ERROR_FILE, error_was_printed, print_error
from i2i.core.errors import I2IError
from i2i.core.files import temporary_folder
from i2i.core.machine import cpu_count

GRACE = 20.0  # seconds that the other processes have to end by themselves after one has failed
LAUNCHED = "I2I_LAUNCHED"  # environment variable of the processes that `launch` starts


def end_with_parent() -> None:
    """Makes the system send SIGTERM to this process when its parent is gone, if `launch` started it (Linux only)."""
    if LAUNCHED in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG of prctl.h


def is_first() -> bool:
    """True if this process is alone, or the first of those that train together: the one that prints results."""
    return os.environ.get("RANK", "0") == "0"


def without_processes(words: list[str]) -> list[str]:
    """The words of a command without `--processes N`."""
    rest: list[str] = []
    for word in words:
        if rest and rest[-1] == "--processes":
            rest.pop()
        elif not word.startswith("--processes="):
            rest.append(word)
    return rest


def launch(words: list[str], count: int) -> int:
    """Runs `i2i WORDS` in `count` processes and returns the exit code of the first that failed; 0 if none did.

    Raises I2IError if a process ended without printing an error, for example because the system killed it."""
    received: list[int] = []  # signals to this process
    running: list[subprocess.Popen[bytes]] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)  # `_wait` passes it on, when all processes have been started

    previous = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    with temporary_folder() as folder:
        try:
            common = _environment(count)
            for rank in range(count):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank), ERROR_FILE: str(Path(folder, str(rank), "error"))}
                command = [sys.executable, "-m", "i2i", *words]
                running.append(subprocess.Popen(command, env={**common, **own}, start_new_session=True))
            code = _wait(running, received)
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            for number, handler in previous.items():
                signal.signal(number, handler)
        return _conclude(code, error_was_printed(folder), received[-1] if received else 0, "--json" in words)


def _environment(count: int) -> dict[str, str]:
    """The environment that all processes share: where they meet, and their share of the cores."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "OMP_NUM_THREADS": str(max(1, cpu_count() // count)),
        **os.environ,
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        LAUNCHED: "1",
    }


def _wait(running: list[subprocess.Popen[bytes]], received: list[int]) -> int:
    """Waits for all processes, and returns the first exit code that is not 0.

    Passes each signal in `received` on to those that run. Kills those that go on for GRACE seconds after one has
    failed."""
    first, ended_at, passed = 0, None, 0
    while any(process.poll() is None for process in running):
        for number in received[passed:]:
            passed += 1
            for process in running:
                if process.poll() is None:
                    process.send_signal(number)
        for process in running:
            code = process.poll()
            if code is not None and ended_at is None:
                ended_at = time.monotonic()
            if code and not first:
                first = code
        if first and ended_at is not None and time.monotonic() - ended_at > GRACE:
            for process in running:
                if process.poll() is None:
                    process.kill()
        time.sleep(0.05)
    for process in running:
        first = first or process.returncode
    return first


def _conclude(code: int, printed: bool, received: int, as_json: bool) -> int:
    """The exit code of the command. Says what happened if no process has said it."""
    if code and not printed:
        if not received:
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            raise I2IError(
                f"A process of the training ended {how}.",
                "Resume the run with `i2i train --resume FOLDER`; with fewer processes if the memory was full.",
            )
        # The signal came before the training had begun, which would have saved its state and said so.
        print_error("Stopped before the training had begun.", "", as_json, plain=True)
        return 128 + received
    return code if code >= 0 else 128 - code
