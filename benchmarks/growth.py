"""What grows with the work, and what must not: time and memory from few images to many, and from small to large.

    python benchmarks/growth.py [--cases images windows files sides processes] [--counts 10 100 1000 10000 100000]
                                [--side 32] [--window 10000] [--files 10 1000 200000] [--sides 256 1024 4096 16384]
                                [--processes 1 2 4] [--json]

- images: as many images through `i2i.translate`, by a tiny network: milliseconds for each beyond the first ones, by the
  clock and of processor time, which other programs disturb less, and the largest memory.
- windows: the largest of these numbers in one call: the same for each `--window` images of it, and the memory then.
- files: a data set of so many files opened for training: seconds until it is open and to the first batch; memory.
- sides: one image of so many pixels a side, in tiles where it is large: microseconds a pixel, and memory.
- processes: 2,000 images by 1 to N processes, starting them included.

Each measurement has a process of its own, whose largest memory is read when it ends. Inputs are links to a few files.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # of scenes.py, from wherever this is run or imported

DIFFERENT = 50  # different images; the others are links to them

TRANSLATE = """
import sys, time, i2i
started = time.perf_counter()
options = {"processes": int(sys.argv[4]), "device": "cpu", "max_pixels": 10**9}
result = i2i.translate(*sys.argv[1:4], **options)
assert not result.failed, result.failed
print(time.perf_counter() - started, time.process_time())
"""
WINDOWS = """
import sys, time, i2i
window, folder, out, model = int(sys.argv[1]), *sys.argv[2:]
marks = []
def progress(done, total, source):
    if done == 10 or done % window == 0:  # the start is before the tenth
        memory = next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]
        marks.append((done, time.perf_counter(), time.process_time(), int(memory)))
result = i2i.translate(folder, out, model, device="cpu", progress=progress)
assert not result.failed, result.failed
for (before, clock, busy, _), (done, clock2, busy2, memory) in zip(marks, marks[1:]):
    print(done, 1000 * (clock2 - clock) / (done - before), 1000 * (busy2 - busy) / (done - before), memory)
"""
OPEN = """
import sys, time
from i2i.data import source
from i2i.data.spec import DataSettings
started = time.perf_counter()
data = source.open([sys.argv[1]], DataSettings(size=32, load=0, layout="images"))
opened = time.perf_counter() - started
next(iter(data.batches(0, 4, 0, 1, 0)))
print(opened, time.perf_counter() - started)
"""

# Not ru_maxrss, which counts the memory of the program that started this one.
PEAK = """
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def main(words: Sequence[str] | None = None) -> int:
    """Runs the cases; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 100, 1000, 10_000, 100_000])
    parser.add_argument("--side", type=int, default=32, help="pixels a side of images, but in `files` and `sides`")
    parser.add_argument("--window", type=int, default=10_000, help="images of one line of `windows`")
    parser.add_argument("--files", nargs="+", type=int, default=[10, 1000, 200_000])
    parser.add_argument("--sides", nargs="+", type=int, default=[256, 1024, 4096, 16_384])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--json", action="store_true", help="print a JSON line for each measurement")
    args = parser.parse_args(words)
    for case in args.cases:
        with tempfile.TemporaryDirectory() as work:
            CASES[case](args, Path(work))
    return 0


def images(args: argparse.Namespace, work: Path) -> None:
    """Time and memory against the number of images. The start is left out by what the smallest number takes."""
    path = _model(work)
    first: tuple[float, ...] = ()
    for count in args.counts:
        folder = _linked(work / f"in{count}", count, args.side)
        times, memory = _measured(TRANSLATE, folder, work / "out", path, 1)
        first = first or times
        beyond = [1000 * (t - f) / max(1, count - args.counts[0]) or None for t, f in zip(times, first, strict=True)]
        each = dict(zip(("ms_each", "cpu_ms_each"), beyond, strict=True))
        _show(args, "images", count=count, seconds=times[0], **each, memory_mib=memory)
        shutil.rmtree(work / "out")
        shutil.rmtree(folder)


def windows(args: argparse.Namespace, work: Path) -> None:
    """Time and memory in the course of one call."""
    folder = _linked(work / "in", max(args.counts), args.side)
    numbers, _ = _measured(WINDOWS, args.window, folder, work / "out", _model(work))
    for i in range(0, len(numbers), 4):
        done, clock, busy, kib = numbers[i : i + 4]
        _show(args, "windows", images=int(done), ms_each=clock, cpu_ms_each=busy, memory_mib=kib / 1024)


def files(args: argparse.Namespace, work: Path) -> None:
    """Time to the first batch and memory against the number of files."""
    for count in args.files:
        folder = _linked(work / f"in{count}", count, 32)
        (opened, first), memory = _measured(OPEN, folder)
        _show(args, "files", count=count, open_seconds=opened, first_batch_seconds=first, memory_mib=memory)
        shutil.rmtree(folder)


def sides(args: argparse.Namespace, work: Path) -> None:
    """Time a pixel and memory against the size of one image."""
    from scenes import scene

    path = _model(work)
    for side in args.sides:
        folder = work / f"in{side}"
        folder.mkdir()
        scene(0, min(side, 1024)).resize((side, side)).save(folder / "image.png", compress_level=1)
        (seconds, _), memory = _measured(TRANSLATE, folder, work / "out", path, 1)
        each = 1e6 * seconds / side**2
        _show(args, "sides", side=side, seconds=seconds, us_a_pixel=each, memory_mib=memory)
        shutil.rmtree(work / "out")
        shutil.rmtree(folder)


def processes(args: argparse.Namespace, work: Path) -> None:
    """Time against the number of processes, starting them included."""
    path = _model(work)
    folder = _linked(work / "in", 2000, args.side)
    for number in args.processes:
        (seconds, _), memory = _measured(TRANSLATE, folder, work / "out", path, number)
        _show(args, "processes", processes=number, images=2000, seconds=seconds, memory_mib=memory)
        shutil.rmtree(work / "out")


CASES = {"images": images, "windows": windows, "files": files, "sides": sides, "processes": processes}


def _model(work: Path) -> Path:
    """A saved generator of one block and width 4."""
    from scenes import model

    return model(work, 4, blocks=1)


def _linked(folder: Path, count: int, side: int) -> Path:
    """A folder of `count` PNG files of `side` pixels, of which all but a few are hard links."""
    from scenes import scene

    folder.mkdir()
    for i in range(min(count, DIFFERENT)):
        scene(i, side).save(folder / f"{i:06}.png")
    for i in range(DIFFERENT, count):
        os.link(folder / f"{i % DIFFERENT:06}.png", folder / f"{i:06}.png")
    return folder


def _measured(code: str, *words: object) -> tuple[tuple[float, ...], float]:
    """(the numbers that a Python program prints, the largest memory of its process in MiB)."""
    words = (sys.executable, "-c", code + PEAK, *words)
    done = subprocess.run([*map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
    *numbers, kib = map(float, done.stdout.split())
    return tuple(numbers), kib / 1024


def _show(args: argparse.Namespace, case: str, **facts: Any) -> None:
    """Prints one measurement."""
    rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in facts.items() if v is not None}
    if args.json:
        print(json.dumps({"case": case, **rounded}), flush=True)
    else:
        print(f"{case:10} " + "   ".join(f"{k} {v:,}" for k, v in rounded.items()), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
