"""What a run will take on this device: time, memory and disk."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from i2i.core.device import device_of
from i2i.core.distributed import processes
from i2i.core.machine import free_memory
from i2i.training.cost import Cost
from i2i.training.loop import default_interval
from i2i.training.report.log import records
from i2i.training.run import Run
from i2i.training.score_record import SHARE
from i2i.training.scorer import metric_of, scored_images
from i2i.training.settings import precision_on
from i2i.training.timing import BACKWARD, time_step

PNG_SHARE = 0.7  # size of a sample grid on the disk, as a share of its pixels' bytes
BUSY = 0.5  # share of the processors that it asked for, below which other programs hold the process up
# Of a run on a CPU, measured with ten runs of seven methods: they held 0.85 to 1.4 times as much as these tell.
PROCESS = 550 << 20  # bytes of Python, its libraries, and what sample grids, signs and scores need
HELD = 2  # bytes that the process holds for one that a step keeps: gradients of maps, and blocks that are free again
REPORT_BYTES = 6_000_000  # of report.html and log.jsonl, at most, about


@dataclass(frozen=True)
class Estimate:
    """What a run will take. Numbers are None where they could not be found out."""

    device: str  # in words: "cpu (2 threads)", the name of a GPU
    precision: str
    steps: int  # left to make
    extra_steps: float  # the work of sample grids and scores, in steps
    cost: Cost | None
    step_seconds: float | None
    seconds: float | None  # of the run, or of the rest of a resumed one, samples and checkpoints included
    source: str  # of `seconds`: measured, scaled (a smaller form was measured), log (of a resumed run), or empty
    memory: int | None  # bytes: on a CPU of the whole process, else of weights, gradients, optimizers, activations
    disk: int | None  # bytes of the run's folder at its end
    disk_free: int | None
    memory_free: float | None = None  # bytes that are free, if a step does not fit: then nothing was measured
    alone_seconds: float | None = None  # of the run without other programs, about; None if they hardly matter

    @property
    def usual_seconds(self) -> float | None:
        """Seconds of the run when other programs do not hold it up."""
        return self.seconds if self.alone_seconds is None else self.alone_seconds

    @property
    def is_cpu(self) -> bool:
        """True if the run would be computed on processors."""
        return self.device.startswith("cpu")


def estimate(run: Run, budget: float) -> Estimate:
    """Finds out what a run will take; measures steps for about `budget` seconds, unless the run's log knows its speed,
    or a step needs more memory than is free.

    Nothing of the run is touched. Raises I2IError if its device cannot be used."""
    device = device_of(run.training.device)
    cost = run.cost
    step_memory = 16 * cost.parameter_count + cost.activations if cost else None
    extra = _extra_steps(run, cost) if cost else 0.0
    left, step_seconds, seconds, source = run.total, None, None, ""
    alone_seconds = None
    free = free_memory()
    memory_free = free if step_memory is not None and device.type == "cpu" and step_memory > free else None
    logged = logged_speed(run)
    if logged is not None:
        left, speed = max(0, run.total - logged[0]), logged[1]
        step_seconds, seconds, source = run.training.batch / speed, left / speed, "log"
    elif budget > 0 and memory_free is None:
        timed = time_step(run, cost, budget)
        if timed is not None:
            step_seconds, source = timed.seconds, "measured" if timed.measured else "scaled"
            seconds = step_seconds * (left / run.training.batch + extra)
            alone_seconds = seconds * timed.share if timed.share < BUSY else None
    return Estimate(
        device=device_words(device),
        precision=precision_on(device, run.training.precision),
        extra_steps=extra,
        steps=left // run.training.batch,
        cost=cost,
        step_seconds=step_seconds,
        seconds=seconds,
        source=source,
        memory=_memory(cost, device) if cost else None,
        disk=_disk(run, cost) if cost else None,
        disk_free=free_disk(run.folder),
        memory_free=memory_free,
        alone_seconds=alone_seconds,
    )


def device_words(device: torch.device) -> str:
    """A device as people call it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'' if threads == 1 else 's'})" if device.type == "cpu" else str(device)


def logged_speed(run: Run) -> tuple[int, float] | None:
    """(images seen, images per second) as the log of a run in its folder says at last; None if it says nothing."""
    images, speed = 0, 0.0
    try:
        for line in records(run.folder / "log.jsonl"):
            if line["kind"] == "losses" and line.get("speed"):
                images, speed = line["images"], line["speed"]
    except OSError:
        return None
    return (images, speed) if speed else None


def free_disk(folder: Path) -> int | None:
    """Bytes that are free where `folder` is, or will be."""
    for parent in (folder.absolute(), *folder.absolute().parents):
        if parent.is_dir():
            try:
                return shutil.disk_usage(parent).free
            except OSError:
                return None
    return None


def _memory(cost: Cost, device: torch.device) -> int:
    """Bytes that training holds, about."""
    weights = 16 * cost.parameter_count
    return PROCESS + weights + HELD * cost.activations if device.type == "cpu" else weights + cost.activations


def _saves(run: Run, every: int) -> int:
    """How often a run saves, or draws samples."""
    return math.ceil(run.total / (every or default_interval(run.training, run.total, run.data.count)))


def _extra_steps(run: Run, cost: Cost) -> float:
    """The MACs of sample grids and scores, in steps."""
    generator = cost.networks.get(run.method.averaged[0])
    judging = scored_images(run) * (generator.work if generator else 0)
    grids = (1 + _saves(run, run.training.sample_every)) * cost.preview
    step = BACKWARD * cost.step * cost.mean * run.training.accumulate * processes()
    steps = run.total / run.training.batch
    scores = _saves(run, run.training.score_every or run.training.save_every) * judging / max(1, step)
    return grids / max(1, step) + (scores if run.training.score_every else min(scores, SHARE * steps))


def _disk(run: Run, cost: Cost) -> int:
    """Bytes of the run's folder: checkpoints (one more while the last is written), model, sample grids, report."""
    saves = _saves(run, run.training.save_every)
    checkpoints = min(saves, run.training.keep + (1 if metric_of(run) else 0) + 1)
    grids, models = 1 + _saves(run, run.training.sample_every), 2 if metric_of(run) else 1
    return int(checkpoints * cost.state + models * cost.model + grids * PNG_SHARE * cost.samples + REPORT_BYTES)
