"""`--processes N`: N processes of this machine that train together, as one command.

Each is this program again with the variables that torch.distributed reads. They run in sessions of their own, so that
a signal reaches them once, through here. Whichever fails first is heard, once; the others are ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from i2i.cli.output import print_error
from i2i.core.errors import I2IError

GRACE = 20.0  # seconds that the others have to end by themselves after one has ended


def bound() -> None:
    """In a process that `launch` started: SIGTERM ends it when its starter is gone (on Linux)."""
    if "I2I_TOGETHER" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG of prctl.h


def alone() -> bool:
    """Whether this process is the only one, or the first of several that train together: the one that prints."""
    return os.environ.get("RANK", "0") == "0"


def without_processes(words: list[str]) -> list[str]:
    """The words of the command for one process."""
    made: list[str] = []
    for word in words:
        if made and made[-1] == "--processes":
            made.pop()
        elif not word.startswith("--processes="):
            made.append(word)
    return made


def launch(words: list[str], count: int) -> int:
    """Runs `i2i WORDS` in `count` processes and returns the exit code: that of the first to fail, 0 if none did."""
    with tempfile.TemporaryDirectory(prefix="i2i-") as together, socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
        chosen.close()
        base = {
            **os.environ,
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "I2I_TOGETHER": together,
        }
        base.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
        running: list[subprocess.Popen[bytes]] = []
        asked = 0  # the signal that came, if one did

        def forward(number: int, _: Any) -> None:
            nonlocal asked
            asked = number
            for process in running:
                if process.poll() is None:
                    process.send_signal(number)

        old = {s: signal.signal(s, forward) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            for rank in range(count):
                env = {**base, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                command = [sys.executable, "-m", "i2i", *words]
                quiet = {} if rank == 0 else {"stdout": subprocess.DEVNULL}
                running.append(subprocess.Popen(command, env=env, start_new_session=True, **quiet))  # type: ignore[call-overload]
            code = _wait(running)
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            for number, handler in old.items():
                signal.signal(number, handler)
        return _conclude(Path(together), code, asked, "--json" in words)


def _wait(running: list[subprocess.Popen[bytes]]) -> int:
    """Waits for all; ends those that go on for GRACE seconds after one has ended. The first code that is not 0."""
    first, ended_at = 0, None
    while any(p.poll() is None for p in running):
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


def _conclude(together: Path, code: int, asked: int, machine: bool) -> int:
    """Says what went wrong first, and turns a death by signal into the conventional code."""
    said = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(together.glob("error-*.json"))]
    if said:
        first = min(said, key=lambda s: s["time"])
        print_error(first["what"], first["hint"], machine, plain=first["plain"])
    elif code and asked:  # before the training had begun, which saves and says so
        print_error("Interrupted.", "", machine, plain=True)
        return 128 + asked
    elif code:
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        raise I2IError(f"A process of the training ended {how}.", "Resume the run; if memory was short, with fewer.")
    return code if code >= 0 else 128 - code
