"""Damaged and hostile inputs through the functions that read them, in this process, as fast as they go.

    python benchmarks/fuzz.py TARGET --seconds 60 [--seed 0] [--findings DIR] [--jobs 2] [--json]
    python benchmarks/fuzz.py --replay DIR/TARGET.KIND.DIGEST.input

TARGET: images, headers, pth, onnx, archives, records, settings, names, or all (which share the seconds). Each target
makes its own seeds, and changes them: bits, numbers and ranges of bytes; values, keys and depths of JSON; lines of
YAML; values by hypothesis. The n-th input depends on the seed and n alone.

Expected of each input: it passes, or it is refused by I2IError with a message of at most 5,000 characters; within 10 s
of processor time and 60 s by the clock; with no more memory than the target's limit. Anything else is a finding: its
input is stored with its traceback in --findings, and the run goes on. Exit code 1 if there were any. Linux only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # each reserves 64 MiB of the address space, which is limited here
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

TARGETS = {  # module of benchmarks/fuzzing, class, share of the time of `all`
    "images": ("images", "Images", 20),
    "headers": ("headers", "Headers", 20),
    "pth": ("weights", "Pth", 12),
    "onnx": ("weights", "Onnx", 8),
    "archives": ("archives", "Archives", 12),
    "records": ("records", "Records", 12),
    "settings": ("settings", "Settings", 12),
    "names": ("names", "Names", 4),
}


def main(words: list[str] | None = None) -> int:
    """Runs a target, or all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default 0)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder of inputs and tracebacks")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (default 1)")
    parser.add_argument("--json", action="store_true", help="print a JSON line for each target")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one stored input")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.replay:
        return replay(args.replay)
    if not args.target:
        parser.error("name a target, or give --replay")
    if args.worker:
        return worker(args)
    names = list(TARGETS) if args.target == "all" else [args.target]
    whole = sum(TARGETS[name][2] for name in names)
    with ThreadPoolExecutor(args.jobs) as pool:
        shares = [args.seconds * TARGETS[name][2] / whole for name in names]
        running = {n: pool.submit(supervise, n, s, args.seed, args.findings) for n, s in zip(names, shares)}
        results = {}
        for name, result in running.items():
            results[name] = result.result()
            print(table({name: results[name]}).splitlines()[2], file=sys.stderr)
    lines = (json.dumps({"target": name, **counts}) for name, counts in results.items())
    print("\n".join(lines) if args.json else table(results))
    return int(any(counts["findings"] for counts in results.values()))


def target_of(name: str) -> Any:
    """A target, with its seeds in the current folder."""
    module, kind, _ = TARGETS[name]
    return getattr(importlib.import_module(f"fuzzing.{module}"), kind)()


def supervise(name: str, seconds: float, seed: int, findings: Path) -> dict[str, Any]:
    """Runs a target in processes of its own, one after the other: a new one after an input that ended the last."""
    from fuzzing.worker import Counts, Files, store

    home = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    scratch = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-", dir=home))
    files = Files.of(scratch, findings.resolve())
    counts, number = Counts(), 0
    try:
        while number >= 0 and counts.seconds < seconds:  # without the time that making the seeds takes
            files.state.write_text(json.dumps({"number": number, "kind": "start", "counts": vars(counts)}))
            words = [name, "--worker", str(scratch), "--seed", str(seed), "--findings", str(files.findings)]
            words += ["--seconds", str(seconds - counts.seconds)]
            ended = subprocess.run([sys.executable, str(Path(__file__).resolve()), *words], capture_output=True)
            state = json.loads(files.state.read_text())
            counts, number = Counts(**state["counts"]), state["number"]
            if number < 0:
                break
            if state["kind"] == "start":
                raise RuntimeError(f"{name} did not start: {ended.stderr.decode()[-3000:]}")
            trace = files.trace.read_text() + ended.stderr.decode(errors="replace")[-3000:]
            late = ended.returncode == -signal.SIGPROF or (ended.returncode == 1 and "Timeout" in trace)
            place = "more than the time allowed" if late else _death(ended.returncode)
            counts.inputs += 1
            store(files, counts, name, state["kind"], files.current.read_bytes(), place, trace)
            number += 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {**vars(counts), "slowest": round(counts.slowest, 2), "peak": round(counts.peak, 1)}


def _death(code: int) -> str:
    return f"the process died ({signal.Signals(-code).name})" if code < 0 else f"the process ended with {code}"


def worker(args: argparse.Namespace) -> int:
    """The process that runs the inputs; what it does stands in its files."""
    from fuzzing.worker import Counts, Files, work

    files = Files.of(args.worker, args.findings)
    state = json.loads(files.state.read_text())
    folder = args.worker / f"from {state['number']}"
    folder.mkdir()
    os.chdir(folder)
    os.environ["I2I_CACHE"] = str(folder / "cache")
    target = target_of(args.target)
    until = time.monotonic() + args.seconds
    work(args.target, target, args.seed, state["number"], until, files, Counts(**state["counts"]))
    os._exit(0)


def replay(file: Path) -> int:
    """Runs one stored input, without limits; an exception that is a finding is shown with its traceback."""
    from fuzzing.target import Case

    from i2i.core.errors import I2IError

    name, kind = file.name.split(".")[:2]
    data = file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["I2I_CACHE"] = str(Path(folder) / "cache")
        target = target_of(name)
        started = time.monotonic()
        try:
            target.run(Case(kind, data))
            print("passed", end="")
        except I2IError as error:
            print(f"refused: {str(error)[:2000]}", end="")
        finally:
            print(f" ({time.monotonic() - started:.2f} s)")
            os.chdir("/")
    return 0


def table(results: dict[str, dict[str, Any]]) -> str:
    """The counts as a table in Markdown, and the places of the findings."""
    titles = ["target", "seconds", "inputs", "refused", "passed", "findings", "slowest, s", "memory, MiB"]
    keys = ["seconds", "inputs", "refused", "passed", "findings", "slowest", "peak"]
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for name, counts in results.items():
        shown = [f"{counts[k]:,.0f}" if k != "slowest" else f"{counts[k]:.2f}" for k in keys]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    for name, counts in results.items():
        lines += [f"{name}: {number} x {place}" for place, number in counts["places"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
