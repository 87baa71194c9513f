"""Speed of training steps beside the same maths written plainly (plain.py), in the same run on the same device.

    python benchmarks/train_step.py [--cases pix2pix cyclegan ...] [--rounds 5] [--size 256] [--device auto|cpu|cuda]
                                    [--precisions fp32 tf32 bf16] [--batches 1 4] [--compile] [--steps 0] [--check 2]

Ours is the real path: `Method.step` driven by `Loop.step`, with backward passes, optimizers and the reading of losses.
Plain is eager, with default layouts: written out in plain.py, or (`plain` is "loop") the method's own `step` in the few
lines that train by it, with torch's convolutions. Both start from the same weights, and the losses of the first
`--check` steps must agree, or the script says so and ends with 1. Then they take turns, round by round; each counts by
its fastest round. Dropout is left off, as its draws would differ. A turn is `--steps` steps, or so many as take about
a second.

One JSON line for each precision of each case. `ratio` is to the plain form in fp32 (TF32 on a GPU is a setting of its
own: fp32 there has it off), `ratio_same_precision` to the plain form under the same autocast; `ratio_median` is the
median over rounds of the first.
`ratio_cpu_time` compares processor time instead of the clock's, which other programs on the machine disturb less (with
OMP_NUM_THREADS=1, so that no thread waits for another). bf16 is timed where the hardware computes in it, and elsewhere
only if asked for. On a GPU, each precision is also timed compiled.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))  # of plain.py, from wherever this is run or imported
import plain
import plain_gans
from contenders import Eager, Ours, Plain, computes_bf16, copy_weights, processor, seconds, settle

from i2i.data.batch import Batch, Shape
from i2i.methods import load_method
from i2i.methods._method import Method
from i2i.training import recipes

# Largest relative difference of an optimizer's summed losses (of sums below 0.1: relative to 0.1). Adam makes much of
# rounding: its first steps are signs. That the maths is the same is tested in float64.
TOLERANCE = {"fp64": 1e-6, "fp32": 5e-3, "tf32": 2e-2, "bf16": 1e-1}


@dataclass(frozen=True)
class Case:
    """One method beside its plain form. `cycle` steps make a whole turn of its optimizers."""

    method: str
    plain: Callable[[int, int, int], Any] | None  # of size, width, d_width; has `networks` and `step(x, y, autocast)`
    settings: dict[str, Any] = field(default_factory=dict)
    size: int = 0  # side in pixels; 0: as asked for on the command line
    widths: tuple[int, int] = (64, 64)  # channels of generator and discriminator
    batches: tuple[int, ...] = (1,)
    gpu_batches: tuple[int, ...] = (1, 16)
    cycle: int = 1
    classes: int = 0
    recipe: str = ""  # that the settings come from; else `settings` and `widths` are all
    start: int = 0  # images seen before, for what grows
    tiny: bool = False

    def shrunk(self) -> Case:
        """The same maths in milliseconds, for tests."""
        return replace(self, size=min(self.size, 16), widths=(4, 4), tiny=True)

    def method_of(self, size: int) -> Method:
        """The method with this case's settings."""
        kind = load_method(self.method)
        known = {f.name for f in dataclasses.fields(kind.Config)}
        if self.plain is not None:
            values = self.settings | {"width": self.widths[0], "d_width": self.widths[1]}
        elif self.tiny:
            values = {**kind.tiny, **self.settings}
        else:
            values = {**recipes.recipe(self.recipe), **self.settings}
        config = kind.Config(**{k: v for k, v in values.items() if k in known})
        return kind(config, Shape(size=size, classes=self.classes))


CASES = {
    "pix2pix": Case("pix2pix", plain.Pix2Pix, {"dropout": False}, batches=(1, 4)),
    "cyclegan": Case("cyclegan", plain.CycleGAN, {"blocks": 9}),
    "dcgan": Case("dcgan", plain_gans.DCGAN, size=64, batches=(16,), gpu_batches=(128,)),
    "sngan": Case("sngan", plain_gans.SNGAN, size=32, widths=(256, 128), batches=(16,), gpu_batches=(64,), cycle=5),
}


def _looped(method: str, recipe: str, **more: Any) -> Case:
    """A small GAN of a recipe, beside the plain loop."""
    values = recipes.recipe(recipe)
    size, batch = int(values["size"]), int(values["batch"])
    return Case(method, None, recipe=recipe, size=size, batches=(batch,), gpu_batches=(batch, 256), **more)


CASES |= {
    "gan": _looped("gan", "gan_small", settings={"dropout": 0.0, "input_dropout": 0.0}),
    "cgan": _looped("cgan", "cgan_digits", classes=10, settings={"network": "dcgan"}),
    "acgan": _looped("acgan", "acgan_digits", classes=10, settings={"dropout": 0.0}),
    "infogan": _looped("infogan", "infogan_small"),
    "lsgan": _looped("lsgan", "lsgan_digits"),
    "wgan": _looped("wgan", "wgan_digits", cycle=5, settings={"burst": 0}),
    "wgan_gp": _looped("wgan_gp", "wgan_gp_digits", cycle=5),
    "sngan_plain": _looped("sngan", "sngan_digits"),
    "sagan": _looped("sagan", "sagan_small", classes=10),
    "biggan": _looped("biggan", "biggan_small", classes=10),
    "gngan": _looped("gngan", "gngan_digits"),
    "progressive": _looped("progressive", "progressive_small", start=6400, settings={"train": 16, "fade": 16}),
    "transgan": _looped("transgan", "transgan_small", cycle=2),
}


def pair(case: Case, size: int, batch: int, precision: str, device: str) -> tuple[Method, Any]:
    """(method, plain form) with the same weights, still on the CPU but for the plain form."""
    torch.manual_seed(0)
    if case.plain is None:
        method = case.method_of(size)
        form = Eager(copy.deepcopy(method), batch, case.start)
        form.method.to(device, torch.float64 if precision == "fp64" else torch.float32)
        return method, form
    form = case.plain(size, *case.widths)
    for network in form.networks.values():  # the first weights of the papers: N(0, 0.02)
        for p in network.parameters():
            if p.ndim > 1:
                torch.nn.init.normal_(p, 0.0, 0.02)
    method = case.method_of(size)
    copy_weights(form, method)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    for network in form.networks.values():
        network.to(device=device, dtype=dtype).train()
    return method, form


def images(case: Case, size: int, batch: int, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """x, y [B, 3, size, size] in [-1, 1] and classes c [B]."""
    g = torch.Generator().manual_seed(1)
    x, y = (torch.rand(2, batch, 3, size, size, generator=g) * 2 - 1).to(device, dtype).unbind(0)
    return x, y, (torch.arange(batch) % max(1, case.classes)).to(device)


def compare(case: Case, size: int, batch: int, precision: str, device: str, steps: int) -> float:
    """The largest relative difference of an optimizer's summed losses over the first steps of both forms."""
    method, form = pair(case, size, batch, precision, device)
    mine, other = Ours(method, batch, precision, device, False, case.start), Plain(form, precision)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    x, y, c = images(case, size, batch, device, dtype)
    mine.reads, worst = False, 0.0
    if hasattr(form, "draw"):  # both from the same noise
        form.draw = lambda x, salt: mine.loop.method.draw(Batch(x, ids=mine.ids(-batch)), mine.now(-batch), salt).to(x)
    for _ in range(steps):
        settle(precision, True)
        mine.step(x, y, c)
        settle(precision, False)
        other.step(x, y, c)
        a, b = mine.losses(), other.losses()
        if a.keys() != b.keys():
            raise ValueError(f"optimizers differ: {sorted(a)} and {sorted(b)}")
        worst = max(worst, *(abs(a[k] - b[k]) / max(0.1, abs(b[k])) for k in a))
    return worst


def race(
    case: Case, size: int, batch: int, precisions: Sequence[str], device: str, compiled: Sequence[bool], rounds: int,
    steps: int,
) -> dict[tuple[str, str], list[tuple[float, float]]]:  # fmt: skip
    """{(contender, precision): `seconds` in each round}."""
    contenders: list[tuple[Ours | Plain, str]] = []
    for precision in dict.fromkeys(["fp32", *precisions]):
        method, form = pair(case, size, batch, precision, device)
        contenders.append((Plain(form, precision), precision))
        if precision in precisions:
            contenders += [
                (Ours(method if not k else pair(case, size, batch, precision, device)[0], batch, precision, device, k,
                      case.start), precision)
                for k in compiled
            ]  # fmt: skip
    data = images(case, size, batch, device, torch.float32)
    times: dict[tuple[str, str], list[tuple[float, float]]] = {(c.name, p): [] for c, p in contenders}
    for contender, precision in contenders:  # warm up: allocator, cuDNN, compilation
        seconds(contender, precision, case.cycle * (3 if device == "cuda" else 1), data)
    if not steps:
        once = min(seconds(c, p, case.cycle, data)[0] for c, p in contenders)
        steps = max(1, round(1.0 / once / case.cycle)) * case.cycle
    for _ in range(rounds):
        for contender, precision in contenders:
            times[contender.name, precision].append(seconds(contender, precision, steps, data))
    return times


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels (translation only)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "tf32", "bf16"))
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--compile", action="store_true", help="time ours compiled too (always on a GPU)")
    parser.add_argument("--steps", type=int, default=0, help="steps in a turn; 0: about a second's worth")
    parser.add_argument("--check", type=int, default=2, help="first steps whose losses must agree; 0: no check")
    args = parser.parse_args(arguments)
    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    cuda = device == "cuda"
    slow_bf16 = not cuda and not computes_bf16()
    precisions = args.precisions or (["fp32", "tf32", "bf16"] if cuda else ["fp32"] + ["bf16"] * (not slow_bf16))
    facts: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if cuda else processor(),
        "cores": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if slow_bf16:
        facts["bf16_in_hardware"] = False
    failed = False
    for name in args.cases:
        case = CASES[name]
        size = case.size or args.size
        for batch in args.batches or (case.gpu_batches if cuda else case.batches):
            head = {"case": name, "plain": "loop" if case.plain is None else "form", "size": size, "batch": batch}
            try:
                compiled = [False, True] if cuda or args.compile else [False]
                steps = max(args.check, case.cycle) if args.check else 0  # each optimizer has its turn
                apart = {p: compare(case, size, batch, p, device, steps) for p in precisions} if steps else {}
                times = race(case, size, batch, precisions, device, compiled, args.rounds, args.steps)
            except torch.OutOfMemoryError:
                print(json.dumps(head | {"error": "out of memory"} | facts), flush=True)
                gc.collect()
                torch.cuda.empty_cache()
                continue
            clock = {key: [wall for wall, _ in rounds] for key, rounds in times.items()}
            work = {key: min(cpu for _, cpu in rounds) for key, rounds in times.items()}
            base = clock["plain", "fp32"]
            for (contender, precision), mine in clock.items():
                if contender == "plain":
                    continue
                best, same = min(mine), min(clock["plain", precision])
                line = head | {
                    "precision": precision,
                    "compiled": contender != "ours",
                    "images_per_second": round(batch / best, 3),
                    "plain_images_per_second": round(batch / min(base), 3),
                    "ratio": round(min(base) / best, 2),
                    "ratio_median": round(statistics.median(b / m for b, m in zip(base, mine, strict=True)), 2),
                    "ratio_same_precision": round(same / best, 2),
                    "ms": round(1000 * best, 1),
                    "plain_ms": round(1000 * min(base), 1),
                }
                if not cuda:
                    line["ratio_cpu_time"] = round(work["plain", "fp32"] / work[contender, precision], 2)
                if apart:
                    good = apart[precision] < TOLERANCE[precision]
                    failed |= not good
                    line |= {"losses_agree": good, "losses_apart": float(f"{apart[precision]:.1e}")}
                print(json.dumps(line | facts), flush=True)
            gc.collect()
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
