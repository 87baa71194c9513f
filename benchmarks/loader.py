"""Speed of the data loader alone, beside a plain Pillow + torchvision data set, on one core in the same run.

    python benchmarks/loader.py [--pairs 64] [--rounds 5] [--batch 1]

Pairs are JPEG files of 512x256 pixels, joined from the shipped images. Every case does the same: decode, resize both
halves to 286x286 (bicubic), cut the same random 256x256 window, flip by chance, normalise to tensors in [-1, 1], and
stack batches. The cases take turns, round by round; each counts by its fastest round. The caches are filled in a round
of their own. One JSON line a case: pairs a second, and the ratio to the plain form.

    python benchmarks/loader.py --real [--data photos/] [--size 128] [--batch 16]

Measures instead whether making pairs by make=real keeps up with training on them: processor time of making a pair
(decoding and augmentation included), and of a training step for each image, on one core. They take turns, and each
counts by its fastest round. One JSON line a network; the ratio is the second by the first.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from PIL import Image
from torchvision.transforms import functional as tv

from i2i import data

SIZE, LOAD = 256, 286


def make_pairs(folder: Path, count: int) -> None:
    """`count` pairs of 512x256 pixels: each half is four neighbouring tiles of the shipped set."""
    tiles = sorted((data.get("earth") / "train").glob("*.jpg"))
    folder.mkdir()
    for n in range(count):
        pair = Image.new("RGB", (512, 256))
        for k in range(4):
            with Image.open(tiles[(4 * n + k) % len(tiles)]) as tile:
                left, top = 128 * (k % 2), 128 * (k // 2)
                pair.paste(tile.crop((0, 0, 128, 128)), (left, top))
                pair.paste(tile.crop((128, 0, 256, 128)), (256 + left, top))
        pair.save(folder / f"{n:04d}.jpg", quality=90)


class Plain(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What a textbook writes."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        pair = Image.open(self.paths[index]).convert("RGB")
        w, h = pair.size
        top, left = random.randint(0, LOAD - SIZE), random.randint(0, LOAD - SIZE)
        flip = random.random() < 0.5
        sides = []
        for half in (pair.crop((0, 0, w // 2, h)), pair.crop((w // 2, 0, w, h))):
            image = tv.resize(half, [LOAD, LOAD], tv.InterpolationMode.BICUBIC)
            image = tv.crop(image, top, left, SIZE, SIZE)
            if flip:
                image = tv.hflip(image)
            sides.append(tv.normalize(tv.to_tensor(image), [0.5] * 3, [0.5] * 3))
        return sides[0], sides[1]


def plain(folder: Path, batch: int) -> Iterator[Any]:
    """Endless batches of the plain form."""
    loader = torch.utils.data.DataLoader(Plain(folder), batch_size=batch, shuffle=True, num_workers=0, drop_last=True)
    while True:
        yield from loader


NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {  # title -> recipe, settings
    "srresnet": ("srresnet", {}),
    "esrgan, width 32, 4 blocks": (
        "esrgan",
        {"width": 32, "blocks": 4, "growth": 16, "d_width": 16, "warmup": 0.0},
    ),
    "sr_x4_small": ("sr_x4_small", {}),
}


def real(source: str, size: int, batch: int, rounds: int) -> None:
    """Prints the processor time of made pairs beside that of training on them, on one core."""
    from i2i.methods._method import Now
    from i2i.training.resolve import resolve_run
    from i2i.training.settings import accelerator_for
    from i2i.training.step import TrainStep

    for title, (recipe, settings) in NETWORKS.items():
        fixed = {"degrade": "real", "size": size, "batch": batch, "workers": 0, "device": "cpu"}
        run = resolve_run(recipe, [source], None, {**settings, **fixed})
        batches = run.data.batches(0, batch, seed=0)
        ready = next(batches)
        step = TrainStep(run.build().train(), run.training, accelerator_for(run.training))
        now = Now(total=run.total, batch=batch)
        step(step.move(ready), now)
        pair = image = float("inf")
        for _ in range(rounds):
            begun = time.process_time()
            ready = next(batches)
            made = time.process_time()
            step(step.move(ready), now)
            pair = min(pair, (made - begun) / batch)
            image = min(image, (time.process_time() - made) / batch)
        facts = {
            "case": f"degrade=real for {title}",
            "pair_ms": round(1000 * pair, 2),
            "step_ms": round(1000 * image, 2),
        }
        facts |= {"ratio": round(image / pair, 2), "size": size, "batch": batch, "precision": run.training.precision}
        print(json.dumps({**facts, "cores": 1, "torch": torch.__version__}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--data", default="earth")
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.real:
        real(args.data, args.size, max(args.batch, 4), args.rounds)
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as moved:
        folder = Path(temporary) / "pairs"
        make_pairs(folder, args.pairs)
        old = os.environ.get("I2I_CACHE")
        os.environ["I2I_CACHE"] = temporary
        moved.callback(os.environ.update if old else os.environ.pop, {"I2I_CACHE": old} if old else "I2I_CACHE")

        def ours(**settings: Any) -> Callable[[], Iterator[Any]]:
            spec = data.DataSettings(layout="paired", size=SIZE, load=LOAD, workers=0, **settings)
            opened = data.open([folder], spec)
            return lambda: opened.batches(0, args.batch, seed=0)

        cases: dict[str, Callable[[], Iterator[Any]]] = {
            "plain Pillow + torchvision": lambda: plain(folder, args.batch),
            "i2i": ours(),
            "i2i, cache=memory": ours(cache="memory"),
            "i2i, cache=disk": ours(cache="disk"),
        }
        steps = args.pairs // args.batch
        best = dict.fromkeys(cases, float("inf"))
        for turn in range(args.rounds + 1):  # the first round warms up and fills the caches
            for name, start in cases.items():
                batches = start()
                begun = time.perf_counter()
                for _ in itertools.islice(batches, steps):
                    pass
                if turn:
                    best[name] = min(best[name], time.perf_counter() - begun)
        base = best["plain Pillow + torchvision"]
        for name, seconds in best.items():
            facts = {
                "case": name,
                "pairs_per_second": round(steps * args.batch / seconds, 1),
                "ratio": round(base / seconds, 2),
                "batch": args.batch,
                "cores": 1,
                "torch": torch.__version__,
            }
            print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
