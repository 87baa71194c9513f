"""Speed beside the reference implementation of pix2pix and CycleGAN, by its own classes, in turns, in one run.

    python benchmarks/peer.py CHECKOUT [--cases pix2pix cyclegan translate] [--batches 1 4] [--size 256] [--rounds 5]
                                       [--steps 0] [--threads 0] [--forms fp32 bf16] [--profile] [--json]

CHECKOUT is a folder of github.com/junyanz/pytorch-CycleGAN-and-pix2pix (its `models`, `util` and `data` are imported
from there; nothing of it is part of this project). Both sides have the settings of the papers: U-Net of depth 8 with
dropout and batch norm, or ResNet of 9 blocks with instance norm, width 64, Adam, the reference's defaults.

- pix2pix, cyclegan: a step is `set_input` and `optimize_parameters` there, and a step of the training loop here, with
  losses read. Forms of ours: fp32 and bf16, in the layout that `channels_last=auto` takes;
  with -last or -first in the layout of that name.
- translate: one pass of the ResNet generator without gradients there, and of the translator here.

Contenders take turns, round by round, and each counts by its fastest turn. `ratio` is images a second of ours divided
by those of the reference's default (fp32), `ratio_median` the median over rounds, and `ratio_cpu_time` compares
processor time, which other programs on the machine disturb less. A turn has `--steps` steps, or as many as take about
two seconds. `--profile` prints a table of the operators of one step of each instead of racing them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import statistics
import sys
import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))  # of contenders.py, from wherever this is run or imported
from contenders import Ours, processor, settle

from i2i.data.batch import Shape
from i2i.methods import load_method
from i2i.models.translator import Translator
from i2i.nets import build

Step = Callable[[], object]
MODULES = {"pix2pix": ("pix2pix_model", "Pix2PixModel"), "cyclegan": ("cycle_gan_model", "CycleGANModel")}
FORMS = ("fp32", "bf16", "fp32-last", "bf16-last", "fp32-first", "bf16-first")
LAYOUTS = {"last": "yes", "first": "no"}  # what channels_last is; else auto
OPTIONS: dict[str, Any] = {  # the defaults of the reference's train.py
    "isTrain": True, "checkpoints_dir": tempfile.gettempdir(), "name": "peer", "preprocess": "none", "input_nc": 3,
    "output_nc": 3, "ngf": 64, "ndf": 64, "netD": "basic", "n_layers_D": 3, "init_type": "normal", "init_gain": 0.02,
    "lr": 0.0002, "beta1": 0.5, "direction": "AtoB", "device": torch.device("cpu"), "gpu_ids": [],
}  # fmt: skip
OPTIONS_OF: dict[str, dict[str, Any]] = {
    "pix2pix": {"netG": "unet_256", "norm": "batch", "no_dropout": False, "gan_mode": "vanilla", "lambda_L1": 100.0},
    "cyclegan": {
        "netG": "resnet_9blocks", "norm": "instance", "no_dropout": True, "gan_mode": "lsgan", "pool_size": 50,
        "lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5,
    },
}  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Runs the cases; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--cases", nargs="+", choices=(*MODULES, "translate"), default=[*MODULES, "translate"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=0, help="steps in a turn; 0: about two seconds' worth")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as cores")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["fp32", "bf16"])
    parser.add_argument("--profile", action="store_true", help="print the operators that take most of a step")
    parser.add_argument("--json", action="store_true", help="print a JSON line for each form")
    args = parser.parse_args(words)
    if not (args.checkout / "models" / "base_model.py").is_file():
        parser.error(f"{args.checkout} has no models/base_model.py. Give a checkout of the reference implementation.")
    sys.path.insert(0, str(args.checkout.resolve()))
    warnings.filterwarnings("ignore", "Converting a tensor with requires_grad")  # by the reference's reading of losses
    if args.threads:
        torch.set_num_threads(args.threads)
    facts = {"device": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    if not args.json:
        print(f"{facts['device']}, {facts['threads']} threads, torch {facts['torch']}, {args.size} pixels")
    for case in args.cases:
        for batch in args.batches:
            contenders = translators(batch, args) if case == "translate" else trainers(case, batch, args)
            if args.profile:
                profile(case, batch, contenders)
                continue
            times = race(contenders, args.rounds, args.steps)
            for form in list(contenders)[1:]:
                show(
                    {"case": case, "batch": batch, "form": form, **ratios(times["reference"], times[form])}, facts, args
                )
    return 0


def trainers(case: str, batch: int, args: Namespace) -> dict[str, Step]:
    """A training step of the reference and of each form of ours, for one case and batch."""
    x, y = images(batch, args.size)
    module, name = MODULES[case]
    options = Namespace(**OPTIONS, **OPTIONS_OF[case])
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = getattr(importlib.import_module(f"models.{module}"), name)(options)
        for part in reference.model_names:  # the newest form of the reference sets the first weights in `setup`
            importlib.import_module("models.networks").init_weights(getattr(reference, f"net{part}"), "normal", 0.02)
            getattr(reference, f"net{part}").train()

    def their_step() -> dict[str, float]:
        settle("fp32", False)
        reference.set_input({"A": x, "B": y, "A_paths": [], "B_paths": []})
        reference.optimize_parameters()
        return reference.get_current_losses()

    steps: dict[str, Step] = {"reference": their_step}
    for form in args.forms:
        kind = load_method(case)
        method = kind(kind.Config(), Shape(size=args.size))
        precision, _, layout = form.partition("-")
        ours = Ours(method, batch, precision, "cpu", False, channels_last=LAYOUTS.get(layout, "auto"))

        def our_step(ours: Ours = ours) -> None:
            settle("fp32", True)
            ours.step(x, y, torch.zeros(batch, dtype=torch.int64))

        steps[form] = our_step
    return steps


def translators(batch: int, args: Namespace) -> dict[str, Step]:
    """A pass of the reference's generator and of each form of our translator, on one batch."""
    x, _ = images(batch, args.size)
    networks = importlib.import_module("models.networks")
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = networks.define_G(3, 3, 64, "resnet_9blocks", "instance", False, "normal", 0.02).eval()

    @torch.no_grad()
    def their_pass() -> Tensor:
        settle("fp32", False)
        return theirs(x)

    passes: dict[str, Step] = {"reference": their_pass}
    for form in args.forms:
        network = build("resnet", blocks=9, width=64)
        if form.endswith("last"):
            network = network.to(memory_format=torch.channels_last)
        translator = Translator(network, {}, dtype=None if form.startswith("fp32") else torch.bfloat16)

        def our_pass(translator: Translator = translator) -> list[Tensor]:
            settle("fp32", True)
            return translator.run(list(x), (args.size, args.size))

        passes[form] = our_pass
    return passes


def images(batch: int, size: int) -> tuple[Tensor, Tensor]:
    """x and y [B, 3, size, size] in [-1, 1], always the same."""
    x, y = torch.rand(2, batch, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return x, y


def race(contenders: dict[str, Step], rounds: int, steps: int) -> dict[str, list[tuple[float, float]]]:
    """{contender: (seconds a step by the clock, seconds of processor time) in each round}, in turns."""
    first = min(_timed(step, 1)[0] for step in contenders.values())  # and a warm-up
    steps = steps or max(1, round(2.0 / first))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            times[name].append(_timed(step, steps))
    return times


def profile(case: str, batch: int, contenders: dict[str, Step]) -> None:
    """Prints the operators that take most of the time of one step, for each contender."""
    for name, step in contenders.items():
        step()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            step()
        print(f"{case}, batch {batch}, {name}")
        print(profiler.key_averages().table("self_cpu_time_total", row_limit=15, max_name_column_width=40))


def _timed(step: Step, steps: int) -> tuple[float, float]:
    begun, worked = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    return (time.perf_counter() - begun) / steps, (time.process_time() - worked) / steps


def ratios(reference: list[tuple[float, float]], ours: list[tuple[float, float]]) -> dict[str, float]:
    """The fastest turns in milliseconds a step, and how many times as fast ours is."""
    their_clock, their_work = zip(*reference, strict=True)
    our_clock, our_work = zip(*ours, strict=True)
    return {
        "reference_ms": round(1000 * min(their_clock), 1),
        "ms": round(1000 * min(our_clock), 1),
        "ratio": round(min(their_clock) / min(our_clock), 2),
        "ratio_median": round(statistics.median(a / b for a, b in zip(their_clock, our_clock, strict=True)), 2),
        "ratio_cpu_time": round(min(their_work) / min(our_work), 2),
    }


def show(line: dict[str, Any], facts: dict[str, Any], args: Namespace) -> None:
    """Prints one result."""
    if args.json:
        print(json.dumps(line | facts), flush=True)
        return
    print(
        f"{line['case']:10} batch {line['batch']:<3} {line['form']:10} reference {line['reference_ms']:9,.1f} ms   "
        f"i2i {line['ms']:9,.1f} ms   {line['ratio']:5.2f} times (median {line['ratio_median']:.2f}, "
        f"processor time {line['ratio_cpu_time']:.2f})",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
