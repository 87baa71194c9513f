"""A short probe on the real device: steps at growing batch sizes give memory = a + b * batch, and seconds a step.

The steps run in a process of their own, so that its peak memory is that of the training alone, and an end for want
of memory ends nothing else. The process prints a line of JSON for each batch size.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from i2i.core import user_code
from i2i.core.errors import I2IError
from i2i.core.machine import free_memory
from i2i.core.reading import parse_json
from i2i.training.resolve import resolve_run
from i2i.training.run import Run
from i2i.training.timing import StepMaker

MARK = '{"probe":'  # how a line of the process begins; a method of the user's own may print other lines
QUICK = 2.0  # seconds: a shorter step is measured a few times
TIMES = 4
CUDA_CONTEXT = 600 << 20  # bytes of a GPU's memory that the driver takes for a process, about
TIMEOUT = 1800.0  # seconds after which a probe is given up
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")  # in messages of torch


@dataclass(frozen=True)
class Point:
    """What was measured at one batch size."""

    batch: int
    seconds: float  # of a step
    bytes: int  # peak memory of the process (of the GPU, if it trains on one)


@dataclass(frozen=True)
class Probe:
    """The points of a probe, from small batches to large ones."""

    points: tuple[Point, ...]
    base: int  # bytes without images: the process, weights, gradients and optimizers, about
    full_at: int | None  # batch size at which the memory was full; None if it never was

    @property
    def memory(self) -> tuple[float, float]:
        """(a, b): a step of `batch` images takes a + b * batch bytes. Raises I2IError if not one step was possible."""
        if not self.points:
            raise I2IError(
                f"The memory is too small for a step of {self.full_at} image{'' if self.full_at == 1 else 's'}.",
                "A smaller --size or --set width=N needs less.",
            )
        return _line([(p.batch, float(p.bytes)) for p in self.points], float(self.base))

    @property
    def seconds(self) -> tuple[float, float]:
        """(c, d): a step of `batch` images takes c + d * batch seconds. Raises I2IError as `memory` does."""
        self.memory  # noqa: B018 (raises)
        return _line([(p.batch, p.seconds) for p in self.points], 0.0)


def _line(points: list[tuple[int, float]], at_zero: float) -> tuple[float, float]:
    """(value at 0, slope) of the line through the last two points, or through (0, at_zero) and the only one.

    Neither is negative: noise must not promise that more images take less."""
    last_batch, last = points[-1]
    if len(points) == 1:
        return min(at_zero, last), max(0.0, last - at_zero) / last_batch
    first_batch, first = points[-2]
    slope = (last - first) / (last_batch - first_batch)
    if slope <= 0:
        return 0.0, last / last_batch
    start = last - slope * last_batch
    return (start, slope) if start >= 0 else (0.0, last / last_batch)


def device_memory(device: torch.device) -> float:
    """Bytes that training may take on a device: what is free there now."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory())
    return free_memory()


def probe(
    recipe: str,
    sources: list[str],
    overrides: dict[str, Any],
    *,
    largest: int,
    limit: float,
    budget: float,
    exactly: tuple[int, int] | None = None,
) -> Probe:
    """Probes a run in a process of its own, at batch sizes 1, 2, 4, ... as long as they are under `largest`, fit into
    `limit` bytes, and `budget` seconds have not passed; at two sizes at least.

    recipe, sources, overrides: as for `resolve_run`. exactly: (batch, accumulate), to measure only these. Raises
    I2IError for what keeps the run from starting; a full memory is no error, but an answer."""
    request = {
        "recipe": recipe,
        "sources": sources,
        "overrides": {**overrides, "batch": 1, "accumulate": 1},
        "largest": largest,
        "limit": limit,
        "budget": budget,
        "exactly": exactly,
    }
    alone = {k: v for k, v in os.environ.items() if k not in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
    alone["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "i2i.training.probe"],
            input=json.dumps(request, default=str),
            capture_output=True,
            text=True,
            env=alone,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise I2IError(f"The measured steps did not end in {TIMEOUT:.0f} s.", "Try a smaller --size.") from error
    return _read(done)


def _read(done: subprocess.CompletedProcess[str]) -> Probe:
    """The probe that the process has printed."""
    points: list[Point] = []
    base, tried = 0, 1
    full_at = None
    for line in done.stdout.splitlines():
        if not line.startswith(MARK):
            continue
        facts = parse_json(line.encode())["probe"]
        if "error" in facts:
            raise I2IError(facts["error"], facts["hint"])
        base, tried = facts.get("base", base), facts.get("tried", tried)
        if "seconds" in facts:
            points.append(Point(facts["batch"], facts["seconds"], facts["bytes"]))
        if "full_at" in facts:
            full_at = facts["full_at"]
    if done.returncode and full_at is None:
        if done.returncode != -9:  # SIGKILL is how a system ends a process when memory is full
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise I2IError(f"The probe ended with exit code {done.returncode}: {last}")
        full_at = tried
    return Probe(tuple(points), base, full_at)


# ---- in the process ------------------------------------------------------------------------------------------------


def main() -> None:
    """Reads a request from stdin and prints what is measured."""
    request = json.load(sys.stdin)
    try:
        with user_code.told_with_line():
            run = resolve_run(request["recipe"], request["sources"], None, request["overrides"])
            if request["exactly"]:
                batch, accumulate = request["exactly"]
                training = dataclasses.replace(run.training, batch=batch, accumulate=accumulate)
                _measure(dataclasses.replace(run, training=training), [batch], request["limit"], request["budget"])
            else:
                sizes = itertools.takewhile(lambda b: b <= request["largest"], (2**k for k in range(30)))
                _measure(run, list(sizes), request["limit"], request["budget"])
    except I2IError as error:
        _tell(error=error.what, hint=error.hint)


def _measure(run: Run, sizes: list[int], limit: float, budget: float) -> None:
    """Makes steps of each size, until time or memory end."""
    maker = StepMaker(run, run.cost.at if run.cost else 0)
    parameters = sum(p.numel() for p in maker.method.parameters())
    base = _peak(maker.device) + 12 * parameters  # gradients and two moments of Adam
    _tell(base=base)
    begin = time.monotonic()
    points: list[tuple[int, float]] = []
    for size in sizes:
        if points:
            a, b = _line(points, float(base))
            if a + b * size > limit:
                break
        _tell(tried=size)
        try:
            seconds = _step_seconds(maker, size, first=not points)
        except Exception as error:
            if isinstance(error, MemoryError) or any(word in str(error).lower() for word in NO_MEMORY):
                _tell(full_at=size)
                return
            if size == 1 and len(sizes) > 1:
                continue  # UNSB, and batch norm of maps of one pixel, need two images
            raise
        bytes_used = _peak(maker.device)
        points.append((size, float(bytes_used)))
        _tell(batch=size, seconds=seconds, bytes=bytes_used)
        if len(points) >= 2 and time.monotonic() - begin + 2.5 * seconds > budget:
            break


def _step_seconds(maker: StepMaker, size: int, first: bool) -> float:
    """Seconds of a step; the very first one, which also makes the optimizers' states, does not count."""
    if maker.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(maker.device)
    steps = maker.steps(size)
    if first:
        next(steps)
    times = [next(steps)]
    while times[-1] < QUICK and len(times) < TIMES:
        times.append(next(steps))
    steps.close()
    return min(times)


def _peak(device: torch.device) -> int:
    """Peak memory of this process in bytes: on the GPU it trains on, or of main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) + CUDA_CONTEXT
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    try:
        words = Path("/proc/self/status").read_text(encoding="ascii").split()
        return 1024 * int(words[words.index("VmHWM:") + 1])
    except (OSError, ValueError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def _tell(**facts: Any) -> None:
    print(json.dumps({"probe": facts}), flush=True)


if __name__ == "__main__":
    main()
