"""How long a step of a run takes on this device, from a few measured steps.

The steps use networks of their own, which are thrown away, so that measuring does not change the run.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from i2i.core.distributed import processes
from i2i.core.machine import processor_times
from i2i.data.batch import Batch, Shape
from i2i.training.cost import Cost, moment
from i2i.training.run import Run
from i2i.training.settings import accelerator_for
from i2i.training.step import TrainStep

SLOW_MACS = 1.2e10  # MACs per second of a slow processor core
BACKWARD = 3  # a step takes about three times the MACs of its forward passes
ENOUGH = 0.5  # seconds of measured steps after which the measurement ends
TWO_STEPS = 2.2  # times the time of a step: what two steps take, and a bit
MOST_STEPS = 10
SMALLEST = 32  # side of the images of a smaller form, in pixels
FEW_IMAGES = (4, 8)  # in a batch of a smaller form


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step on the average of the run.

    measured: False if a smaller form was measured and scaled up. share: the part of the time in which threads of this
    process that could run did run; the rest went to other programs. 1 where the system does not report it."""

    seconds: float
    measured: bool
    share: float = field(default=1.0, compare=False)


def time_step(run: Run, cost: Cost | None, budget: float) -> StepTime | None:
    """Measures steps of a run on its device, for about `budget` seconds at most; None if a step fails.

    Where two whole steps would take longer, fewer or smaller images are measured, and the time is scaled up by the
    MACs. Several processes measure nothing, for one that fails would leave the others waiting. The run's data is read;
    random states, and all that belongs to the run, stay as they are."""
    if processes() > 1:
        return None
    end, times = time.monotonic() + budget, processor_times()
    number, share = (cost.at, cost.mean) if cost else (0, 1.0)
    try:
        device = accelerator_for(run.training).device
        with kept_random_states(device):
            if cost is None or device.type != "cpu":
                return StepTime(_seconds(run, number, budget) * share, True, _share_since(times))
            # smaller forms, until the next one, or the run itself, is known to fit or not to fit
            points: list[tuple[float, float]] = []  # (MACs, seconds) of the forms that were measured
            whole = _macs_of(run, cost)
            for form, macs in _smaller_forms(run, cost, budget):
                left = end - time.monotonic()
                if points and TWO_STEPS * _predicted(points, macs) > left:
                    break
                points.append((macs, _seconds(form, number * run.training.batch // form.training.batch, left)))
                if TWO_STEPS * _predicted(points, whole) < end - time.monotonic():
                    break
            # the run itself
            left = end - time.monotonic()
            if points and TWO_STEPS * _predicted(points, whole) > left:
                return StepTime(_predicted(points, whole) * share, False, _share_since(times))
            return StepTime(_seconds(run, number, left) * share, True, _share_since(times))
    except Exception:  # noqa: BLE001 (what is wrong, the run itself says; here only its time is unknown)
        return None
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # the run needs the memory


def _share_since(times: tuple[float, float]) -> float:
    """The share of StepTime since the `processor_times` were `times`."""
    ran, waited = (max(0.0, now - before) for now, before in zip(processor_times(), times))
    return ran / (ran + waited) if ran else 1.0


def _macs_of(run: Run, cost: Cost) -> float:
    """The MACs of a whole step, whose `cost` is that of one micro-batch."""
    return float(cost.step * run.training.accumulate)


def _smaller_forms(run: Run, cost: Cost, budget: float) -> Iterator[tuple[Run, float]]:
    """(run, MACs of its step) of forms of a run with cheaper steps, the cheapest first.

    None if two steps of the run itself fit into `budget` seconds even on a slow processor."""
    training, shape = run.training, run.shape
    macs = _macs_of(run, cost)
    if 2 * BACKWARD * macs <= budget * SLOW_MACS * torch.get_num_threads():
        return
    if training.batch > 2 * max(FEW_IMAGES):
        for images in FEW_IMAGES:
            few = dataclasses.replace(training, batch=images, accumulate=1)
            yield dataclasses.replace(run, training=few), macs * images / training.batch
    else:
        for size in [shape.size // part for part in (4, 2) if shape.size % part == 0]:
            small = dataclasses.replace(run, shape=dataclasses.replace(shape, size=size))
            if size >= SMALLEST and small.cost is not None:
                yield small, _macs_of(small, small.cost)


def _predicted(points: list[tuple[float, float]], macs: float) -> float:
    """Seconds of a step of so many MACs, on the line through the last two (MACs, seconds), or through 0 and one."""
    (last_macs, last), (first_macs, first) = points[-1], points[-2] if len(points) > 1 else (0.0, 0.0)
    proportional = last * macs / max(1.0, last_macs)
    if last_macs <= first_macs:
        return proportional
    on_line = last + (macs - last_macs) * (last - first) / (last_macs - first_macs)
    return min(proportional, max(proportional / 4, on_line))  # a disturbed measurement bends the line


def _seconds(run: Run, number: int, budget: float) -> float:
    """Seconds of the step `number`: the median of a few, without the first; of the first alone if it was too slow."""
    times: list[float] = []
    for step_seconds in StepMaker(run, number).steps(run.training.batch):
        times.append(step_seconds)
        if sum(times) + times[-1] > budget:
            break
        if len(times) >= 2 and (sum(times[1:]) > ENOUGH or len(times) >= MOST_STEPS):
            break
    return statistics.median(times[1:] or times)


class StepMaker:
    """Networks and optimizers of a run that make its step `number` again and again, with images of the run.

    The images are cut to the size of the run's shape. Nothing of the run is touched."""

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.number = run, number
        self.method = run.build().train()
        self.step = TrainStep(self.method, run.training, accelerator_for(run.training))
        self.device = self.step.device

    def steps(self, batch: int) -> Generator[float, None, None]:
        """Makes a step of `batch` images each time, and yields its seconds. Fetching the images counts."""
        run = self.run
        training = dataclasses.replace(run.training, batch=batch)
        now = moment(dataclasses.replace(run, training=training), self.number)
        start = time.perf_counter()
        for images in run.data.batches(now.images, batch, 0, 1, training.seed):
            part = run.data.augment_on_device(self.step.move(_cut(images, run.shape)), training.seed)
            self.step(part.to(self.device, memory_format=self.step.layout), now)
            _wait(self.device)
            end = time.perf_counter()
            yield end - start
            start = time.perf_counter()


def _cut(batch: Batch, shape: Shape) -> Batch:
    """The upper left corner of all images, as large as `shape` says."""
    y = None if batch.y is None else batch.y[..., : shape.size, : shape.size]
    return dataclasses.replace(batch, x=batch.x[..., : shape.size_in, : shape.size_in], y=y)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def kept_random_states(device: torch.device) -> Iterator[None]:
    """Puts the random states of torch (on the CPU and on `device`), NumPy and Python back at its end."""
    numbers, arrays = random.getstate(), np.random.get_state()
    kind = device.type if device.type != "cpu" else "cuda"
    devices = [] if device.type == "cpu" else [device.index or 0]
    try:
        with torch.random.fork_rng(devices, device_type=kind):
            yield
    finally:
        random.setstate(numbers)
        np.random.set_state(arrays)
