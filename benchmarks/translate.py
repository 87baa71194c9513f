"""Speed and memory of translating files, beside what a script of a few lines would do, in the same run.

    python benchmarks/translate.py [--cases network tiny cold] [--images 12] [--rounds 3] [--size 256] [--device auto]
                                   [--precision fp32] [--bare fp32] [--batch 0]
    python benchmarks/translate.py --cases large --side 8192 [--model cyclegan_daynight | --width 8] [--tile 512]
    python benchmarks/translate.py --cases archive --images 10000 [--side 32] [--kill 1]

network: JPEGs through the ResNet-9 generator, end to end, against the bare network on the same batches in memory
(`ratio` of images/s), in fp32 with --bare fp32. tiny: the same with a generator of width 8, against a plain loop of
open, forward by torch's own layers, save. cold: one `i2i translate photo.jpg` as typed, against `python -c "import
torch, torchvision"` plus one forward (`ratio` of seconds). large: peak memory of one image of --side pixels a side,
through --model or random weights. archive: small images, 1 % of them bad in ten ways: memory after a tenth of them
and at the end. With --kill N the same archive goes through `i2i translate` as typed, which is ended N times by
SIGKILL at random moments and then goes on with --resume; every file is compared with those of the run that nobody
ended.

The two sides of a case take turns, round by round, and each counts by its fastest. One JSON line a case.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))  # of scenes.py, from wherever this is run or imported
from archive_case import archive
from scenes import model, photos, said, scene

from i2i.core import fast_conv
from i2i.inference.translate import translate
from i2i.media import adapt, images
from i2i.models import format as model_file
from i2i.models.load import load
from i2i.models.translator import Translator


def as_torch(net: torch.nn.Module) -> torch.nn.Module:
    """The network with torch's own layers."""
    for module in fast_conv.slow_down(net).modules():
        if isinstance(module, torch.nn.InstanceNorm2d):
            module.__class__ = torch.nn.InstanceNorm2d
    return net


def turns(rounds: int, *sides: Callable[[], Any]) -> list[float]:
    """Seconds of each side's fastest round; they take turns, and one before the first is not counted."""
    best = [float("inf")] * len(sides)
    for number in range(rounds + 1):
        for i, side in enumerate(sides):
            started = time.perf_counter()
            side()
            if number:
                best[i] = min(best[i], time.perf_counter() - started)
    return best


def named(device: torch.device) -> str:
    """The device in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {platform.machine()}"


def pipeline(translator: Translator, folder: Path, out: Path, batch: int) -> None:
    """End to end, into an empty folder."""
    shutil.rmtree(out, ignore_errors=True)
    result = translate(folder, out, translator, batch=batch)
    assert not result.failed, result.failed


def network(args: argparse.Namespace, work: Path) -> None:
    """End to end against the bare network."""
    path = model(work, args.width or 64)
    translator, plain = (load(path, args.device, name) for name in (args.precision, args.bare or args.precision))
    folder = photos(work / "in", args.images, args.size)
    batch = args.batch or (1 if translator.device.type == "cpu" else 32)
    ready = [adapt.prepare(p, 3).pixels for p in images.find_images(folder)]
    groups = [torch.stack(ready[i : i + batch]).to(translator.device) for i in range(0, len(ready), batch)]
    if translator.device.type == "cuda":
        groups = [g.contiguous(memory_format=torch.channels_last) for g in groups]

    def bare() -> None:
        with (
            torch.inference_mode(),
            torch.autocast(plain.device.type, plain.dtype or torch.bfloat16, plain.dtype is not None),
        ):
            for group in groups:
                plain.network(group)
        if translator.device.type == "cuda":
            torch.cuda.synchronize()

    ours, theirs = turns(args.rounds, lambda: pipeline(translator, folder, work / "out", batch), bare)
    said(
        "network",
        device=named(translator.device),
        precision=args.precision,
        size=args.size,
        images=args.images,
        batch=batch,
        end_to_end_per_s=round(args.images / ours, 3),
        bare_precision=args.bare or args.precision,
        bare_network_per_s=round(args.images / theirs, 3),
        ratio=round(theirs / ours, 3),
        target=0.9,
    )


def tiny(args: argparse.Namespace, work: Path) -> None:
    """A narrow generator, end to end, against open, forward, save."""
    path = model(work, args.width or 8)
    folder = photos(work / "in", args.images, args.size)
    translator = load(path, args.device, args.precision)
    net = as_torch(model_file.load(path).networks["G"]).to(translator.device)
    plain_out = work / "plain"
    plain_out.mkdir()

    def plain() -> None:
        with torch.no_grad():
            for file in sorted(folder.iterdir()):
                array = np.asarray(Image.open(file).convert("RGB"))
                x = torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
                y = net(x.to(translator.device))[0]
                made = ((y + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
                Image.fromarray(made).save(plain_out / file.name, quality=95, subsampling=0)

    ours, theirs = turns(args.rounds, lambda: pipeline(translator, folder, work / "out", args.batch), plain)
    difference = 0
    for file in sorted(folder.iterdir()):
        a, b = (np.asarray(Image.open(d / file.name)).astype(int) for d in (work / "out", plain_out))
        difference = max(difference, int(np.abs(a - b).max()))
    said(
        "tiny",
        device=named(translator.device),
        precision=args.precision,
        size=args.size,
        images=args.images,
        end_to_end_per_s=round(args.images / ours, 3),
        plain_loop_per_s=round(args.images / theirs, 3),
        ratio=round(theirs / ours, 3),
        most_levels_apart=difference,
        target=3.0,
    )


def cold(args: argparse.Namespace, work: Path) -> None:
    """One image as typed, from a cold start."""
    path = model(work, args.width or 64)
    scene(0, args.size).save(work / "photo.jpg", quality=90)
    words = [sys.executable, "-m", "i2i", "translate", str(work / "photo.jpg"), "--model", str(path), "-q"]
    words += ["--overwrite", "--device", args.device, "-o", str(work / "out.jpg")]
    imports = [sys.executable, "-c", "import torch, torchvision"]
    ours, theirs = turns(args.rounds, *(lambda w=w: subprocess.run(w, check=True) for w in (words, imports)))
    net = model_file.load(path).networks["G"]
    x = torch.zeros(1, 3, args.size, args.size)
    with torch.inference_mode():
        (forward,) = turns(args.rounds, lambda: net(x))
    said(
        "cold",
        seconds=round(ours, 3),
        imports_and_forward_s=round(theirs + forward, 3),
        ratio=round(ours / (theirs + forward), 3),
        target=1.5,
    )


LARGE = """
import json, resource, sys, time, torch
from i2i.inference.translate import translate
started = time.monotonic()
result = translate(sys.argv[1], sys.argv[2], sys.argv[3], device="cpu", tile=int(sys.argv[4]) or None)
assert not result.failed, result.failed
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, time.monotonic() - started]))
"""


def large(args: argparse.Namespace, work: Path) -> None:
    """Peak memory of one large image, in a process of its own."""
    named = args.model or str(model(work, args.width or 8))
    scene(0, args.side or 8192).save(work / "large.tif")
    words = [sys.executable, "-c", LARGE, str(work / "large.tif"), str(work / "out.tif"), named, str(args.tile)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    peak, seconds = json.loads(done.stdout)
    with Image.open(work / "out.tif") as made:
        assert made.size == (args.side or 8192,) * 2
    said(
        "large",
        side=args.side or 8192,
        model=args.model or f"random, width {args.width or 8}",
        tile=args.tile,
        peak_GiB=round(peak, 2),
        seconds=round(seconds, 1),
        target_GiB=4,
    )


CASES = {"network": network, "tiny": tiny, "cold": cold, "large": large, "archive": archive}


def main() -> None:
    """Reads the command line and runs the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["network", "tiny", "cold"])
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--side", type=int, default=0)
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--tile", type=int, default=0)
    parser.add_argument("--model", default="", help="for large; else random weights of --width")
    parser.add_argument("--kill", type=int, default=0, help="for archive: how often the run is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which it is killed")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--bare", default="", help="precision of the bare network; default: that of --precision")
    args = parser.parse_args()
    for case in args.cases:
        with tempfile.TemporaryDirectory() as folder:
            CASES[case](args, Path(folder))


if __name__ == "__main__":
    main()
