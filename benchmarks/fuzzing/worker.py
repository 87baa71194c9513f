"""One process that runs the inputs of one target, until the time is up or an input ends it.

Before each input its number, its content and the counts so far are written down, so that the process that started this
one knows what ended it: a crash of a library, an endless loop, or too much memory.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.target import Case, Target
from i2i.core.errors import I2IError

LIMIT = 10.0  # seconds of the processors that one input may take
WAITING = 60.0  # seconds that it may take by the clock: on a busy machine, or waiting for what never comes
LONGEST = 5000  # characters of a message
STORED = 3  # inputs that are stored of findings at one place
HEADROOM = 2 << 30  # bytes of address space above the limit of memory, for threads and what libraries reserve


@dataclass
class Counts:
    """What became of the inputs of a target."""

    inputs: int = 0
    refused: int = 0
    passed: int = 0
    findings: int = 0
    slowest: float = 0.0  # seconds of the processors
    peak: float = 0.0  # MiB that one input took at most
    seconds: float = 0.0
    places: dict[str, int] = field(default_factory=dict)  # findings by their kind and place


@dataclass(frozen=True)
class Files:
    """The files of a worker: what it is doing, its traces, and the folder of its findings."""

    state: Path
    current: Path
    trace: Path
    findings: Path

    @classmethod
    def of(cls, scratch: Path, findings: Path) -> Files:
        return cls(scratch / "state.json", scratch / "current.bin", scratch / "trace.txt", findings)


def store(files: Files, counts: Counts, target: str, kind: str, data: bytes, place: str, trace: str) -> None:
    """Counts a finding, and stores its input and its traceback if it is one of the first at its place."""
    counts.findings += 1
    counts.places[place] = counts.places.get(place, 0) + 1
    if counts.places[place] > STORED:
        return
    files.findings.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(kind.encode() + data).hexdigest()[:10]
    path = files.findings / f"{target}.{kind}.{digest}.input"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(f"{place}\n\n{trace}", encoding="utf-8", errors="backslashreplace")


def work(target_name: str, target: Target, seed: int, start: int, until: float, files: Files, counts: Counts) -> None:
    """Runs inputs from the number `start` on, until time.monotonic() is `until`; `counts` go on from what they are."""
    _forbid_network()
    trace = files.trace.open("w")
    faulthandler.enable(trace)
    faulthandler.register(signal.SIGPROF, trace, chain=True)  # by default, the signal ends the process
    limit = target.memory << 20
    size, _ = _memory()
    resource.setrlimit(resource.RLIMIT_AS, (size + limit + HEADROOM, resource.RLIM_INFINITY))
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libraries in C warn of damaged files there
    begun = time.monotonic() - counts.seconds
    for number, case in target.cases(seed, start):
        counts.seconds = time.monotonic() - begun
        if time.monotonic() >= until:
            break
        files.current.write_bytes(case.data)
        files.state.write_text(json.dumps({"number": number, "kind": case.kind, "counts": asdict(counts)}))
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        faulthandler.dump_traceback_later(WAITING, exit=True, file=trace)
        _one(target_name, target, case, files, counts, limit)
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
    files.state.write_text(json.dumps({"number": -1, "counts": asdict(counts)}))


def _one(target_name: str, target: Target, case: Case, files: Files, counts: Counts, limit: int) -> None:
    """Runs one input and counts what becomes of it."""
    place = trace = ""
    _reset_peak()
    _, before = _memory()
    started = time.process_time()
    try:
        target.run(case)
        counts.passed += 1
    except I2IError as error:
        counts.refused += 1
        if len(str(error)) > LONGEST or not error.what.strip():
            place, trace = f"a message of over {LONGEST} characters or of none", traceback.format_exc()
    except Exception as error:  # noqa: BLE001 (that is what is looked for)
        place, trace = place_of(error), traceback.format_exc()[-20000:]
    counts.inputs += 1
    counts.slowest = max(counts.slowest, time.process_time() - started)
    grown = max(0, _peak() - before)
    counts.peak = max(counts.peak, grown / 2**20)
    if not place and grown > limit:
        place = f"{grown >> 20} MiB of memory"
    if place:
        store(files, counts, target_name, case.kind, case.data, place, trace)


def place_of(error: BaseException) -> str:
    """An exception's type, and the lines that it comes from: the last one of i2i, and the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/i2i/" in f.filename]
    lines = [f"{'/'.join(Path(f.filename).parts[-2:])}:{f.lineno}" for f in (*ours[-1:], *frames[-1:])]
    return f"{type(error).__name__} at {' from '.join(dict.fromkeys(lines))}"


def _forbid_network() -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise OSError(101, "Network is unreachable")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse


def _memory() -> tuple[int, int]:
    """(address space, resident memory) in bytes."""
    pages = Path("/proc/self/statm").read_text().split()
    return int(pages[0]) * resource.getpagesize(), int(pages[1]) * resource.getpagesize()


def _peak() -> int:
    """The most resident memory since `_reset_peak`, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return 0


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")
