"""Training beside programs that keep the processors busy: what idle threads that sleep are worth, in the same run.

    python benchmarks/busy.py [--rounds 5] [--seconds 8] [--loops 2] [--size 128] [--width 32] [--check]

Two processes train pix2pix, each with all threads that torch takes: `asleep` as i2i sets it up (idle threads of OpenMP
sleep), and `spinning` as torch is by itself (they spin for a while). They take turns, round by round: alone, and beside
--loops programs that only count. One JSON line: images a second of each (medians over the rounds), and medians of the
ratios within a round:

- `kept`: speed beside the loops, relative to that alone. Of `asleep` it must be at least a third.
- `alone`: the speed of `asleep` relative to that of `spinning`, both alone. It must be at least 0.97.

With --check, the exit code is 1 if one of them is not reached. `load` is the number of programs that wanted a processor
in the minute before: with others on the machine, nothing is alone, and only the ratios say something.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

KEPT, ALONE = 1 / 3, 0.97
POLICIES = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")


def main(words: list[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a turn (default 8)")
    parser.add_argument("--loops", type=int, default=2, help="programs that only count (default 2)")
    parser.add_argument("--size", type=int, default=128, help="side of the images in pixels (default 128)")
    parser.add_argument("--width", type=int, default=32, help="of the U-Net (default 32)")
    parser.add_argument("--check", action="store_true", help="end with 1 if a limit is not reached")
    parser.add_argument("--train", choices=["asleep", "spinning"], help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.train:
        train(args.train, args.size, args.width)
        return 0
    load = os.getloadavg()[0]
    trainers = {name: Trainer(name, args.size, args.width) for name in ("asleep", "spinning")}
    speeds: dict[str, list[float]] = {f"{name}_{where}": [] for where in ("alone", "busy") for name in trainers}
    for number in range(args.rounds):
        order = list(trainers) if number % 2 else list(reversed(trainers))
        for where in ("alone", "busy"):
            count = args.loops if where == "busy" else 0
            loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
            for name in order:
                speeds[f"{name}_{where}"].append(trainers[name].turn(args.seconds))
            for loop in loops:
                loop.kill()
                loop.wait()
    for trainer in trainers.values():
        trainer.end()
    line = summary(speeds)
    print(json.dumps({**line, "loops": args.loops, "load": round(load, 1), "cores": len(os.sched_getaffinity(0))}))
    return int(args.check and (line["asleep_kept"] < KEPT or line["alone"] < ALONE))


def summary(speeds: dict[str, list[float]]) -> dict[str, float]:
    """Medians of the speeds, and of the ratios within a round."""
    line = {name: round(statistics.median(values), 2) for name, values in speeds.items()}
    for name in ("asleep", "spinning"):
        pairs = zip(speeds[f"{name}_busy"], speeds[f"{name}_alone"])
        line[f"{name}_kept"] = round(statistics.median(busy / alone for busy, alone in pairs), 3)
    pairs = zip(speeds["asleep_alone"], speeds["spinning_alone"])
    line["alone"] = round(statistics.median(asleep / spinning for asleep, spinning in pairs), 3)
    return line


class Trainer:
    """A process that trains when it is told to, and otherwise waits without work for the processors."""

    def __init__(self, name: str, size: int, width: int) -> None:
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        env = {**{k: v for k, v in os.environ.items() if k not in POLICIES}, "PYTHONPATH": path}
        words = [sys.executable, __file__, "--train", name, "--size", str(size), "--width", str(width)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self._answer()

    def _answer(self) -> float:
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())

    def turn(self, seconds: float) -> float:
        """Images a second over a turn."""
        assert self.process.stdin is not None
        print(seconds, file=self.process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def train(name: str, size: int, width: int) -> None:
    """Trains for as many seconds as each line of stdin says, and prints images a second."""
    if name == "spinning":
        importlib.import_module("torch")  # before i2i, which then leaves everything as it is
    importlib.import_module("i2i")
    import torch

    from i2i.data.batch import Batch, Shape
    from i2i.methods import load_method
    from i2i.methods._method import Now
    from i2i.training.settings import TrainSettings, accelerator_for
    from i2i.training.step import TrainStep

    kind = load_method("pix2pix")
    torch.manual_seed(0)
    settings = TrainSettings(batch=1, device="cpu", precision="fp32")
    method = kind(kind.Config(width=width, d_width=width), Shape(size=size))
    step = TrainStep(method, settings, accelerator_for(settings))
    x, y = torch.rand(2, 1, 3, size, size) * 2 - 1
    seen = 0

    def advance() -> None:
        nonlocal seen
        step(Batch(x, y, ids=torch.tensor([seen])), Now(images=seen, total=10**9))
        seen += 1

    for _ in range(3):
        advance()
    print(0, flush=True)
    for line in sys.stdin:
        began, before = time.monotonic(), seen
        while time.monotonic() - began < float(line):
            advance()
        print((seen - before) / (time.monotonic() - began), flush=True)


if __name__ == "__main__":
    sys.exit(main())
