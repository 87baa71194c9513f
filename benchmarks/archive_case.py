"""The case `archive` of translate.py: many small images, some of them bad, and runs that are killed and go on."""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

from PIL import Image
from scenes import model, photos, said, scene

from i2i.inference import manifest
from i2i.inference.translate import translate
from i2i.models.load import load


def bad_ones(folder: Path, numbers: range, side: int) -> set[str]:
    """Puts images that cannot be translated in the place of good ones, of ten kinds in turn; gives their names."""
    jpeg = (folder / f"{numbers[0]:05}.jpg").read_bytes()
    buffer = io.BytesIO()
    scene(0, side).save(buffer, "PNG")
    png = buffer.getvalue()
    bomb = png[:16] + struct.pack(">II", 65000, 65000) + png[24:29]
    bomb += struct.pack(">I", zlib.crc32(bomb[12:29])) + png[33:]
    buffer = io.BytesIO()
    Image.new("I", (side, side), -5).save(buffer, "TIFF")
    kinds: list[tuple[str, bytes | None]] = [
        ("jpg", b""),  # empty
        ("jpg", b"no image at all"),
        ("jpg", jpeg[: len(jpeg) // 2]),  # cut short
        ("jpg", jpeg[:30]),  # the head alone
        ("png", png[: len(png) // 2]),
        ("png", bomb),  # says that it has four thousand million pixels
        ("webp", b"<html><body>404</body></html>"),
        ("tif", bytes(500)),  # zeros, as a full disk leaves them
        ("tif", buffer.getvalue()),  # of a kind that is not supported: negative numbers of 32 bits
        ("jpg", None),  # a link to nowhere
    ]
    names = set()
    for i, number in enumerate(numbers):
        suffix, data = kinds[i % len(kinds)]
        (folder / f"{number:05}.jpg").unlink()
        path = folder / f"{number:05}.{suffix}"
        names.add(path.name)
        if data is None:
            path.symlink_to("nowhere.jpg")
        else:
            path.write_bytes(data)
    return names


def archive(args: argparse.Namespace, work: Path) -> None:
    """Many small images, one in a hundred bad: memory after a tenth of them and at the end, and what kills change."""
    folder, side = photos(work / "in", args.images, args.side or 32), args.side or 32
    bad = bad_ones(folder, range(0, args.images, 100), side)
    path = model(work, args.width or 4, blocks=1)
    seen: list[float] = []

    def tell(done: int, total: int, _: Path) -> None:
        if done in (total // 10, total):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append(pages * resource.getpagesize() / 2**20)

    started = time.monotonic()
    result = translate(folder, work / "out", load(path, args.device), progress=tell)
    seconds = time.monotonic() - started
    assert {p.name for p, _ in result.failed} == bad
    assert len(result.done) == args.images - len(bad)
    facts = killed(folder, work, path, bad, args) if args.kill else {}
    said(
        "archive",
        images=args.images,
        side=side,
        failed=len(result.failed),
        per_s=round(args.images / seconds, 1),
        after_a_tenth_MiB=round(seen[0], 1),
        at_the_end_MiB=round(seen[-1], 1),
        **facts,
    )


def killed(folder: Path, work: Path, path: Path, bad: set[str], args: argparse.Namespace) -> dict[str, Any]:
    """The archive by `i2i translate`, killed at random moments and resumed, compared with work/out."""
    out, chance, moments = work / "again", random.Random(args.seed), []
    words = [sys.executable, "-m", "i2i", "translate", str(folder), "-o", str(out), "--model", str(path)]
    words += ["--device", args.device, "--resume", "--json"]
    good = args.images - len(bad)
    for i in range(args.kill):
        until = chance.randrange(good * i // args.kill + 1, good * (i + 1) // args.kill)
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        while child.poll() is None and (not out.exists() or len(os.listdir(out)) < until):
            time.sleep(0.002)
        child.kill()
        assert child.wait() == -signal.SIGKILL
        moments.append(sum(not name.startswith(".") for name in os.listdir(out)))
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    *each, summary = map(json.loads, done.stdout.splitlines())
    failed = [Path(e["input"]).name for e in each if e["state"] == "failed"]
    assert sorted(failed) == sorted(bad)  # each listed, and once
    assert summary["done"] + summary["skipped"] == good
    names = sorted(p.name for p in (work / "out").iterdir() if not p.name.startswith("."))
    assert sorted(os.listdir(out)) == sorted([manifest.NAME, *names])
    different = [n for n in names if (out / n).read_bytes() != (work / "out" / n).read_bytes()]
    assert not different, different[:5]
    states = [e["state"] for e in manifest.Manifest(out, "").entries().values()]
    assert (states.count("done"), states.count("failed")) == (good, len(bad))
    return {"killed_after": moments, "resumed_skipped": summary["skipped"], "files_that_differ": 0}
