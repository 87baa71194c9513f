"""The check of a method's contract before a run, on images of the run."""

from __future__ import annotations

from collections.abc import Callable

from i2i.core.distributed import processes
from i2i.core.errors import I2IError
from i2i.data.batch import Batch
from i2i.methods import is_builtin
from i2i.methods._method import Method, Now
from i2i.training.run import Run

FEW_IMAGES = 2  # in the first try: a step of so few is cheap, and batch norm can work


def check_on_data(method: Method, run: Run, move: Callable[[Batch], Batch] = lambda batch: batch) -> None:
    """Checks a method on the first images of a run, which `move` brings to its device; see `Method.check`.

    The methods of i2i itself are left out; its tests check them. What fails on a few images is tried again on as many
    as a micro-batch of the run has, for a method may need them all. Raises I2IError for a fault that shows then."""
    if is_builtin(run.method):
        return
    settings = run.training
    micro_batch = max(1, settings.batch // max(1, processes()) // settings.accumulate)
    few = min(micro_batch, FEW_IMAGES)
    try:
        _check(method, run, few, move)
    except I2IError:
        if few == min(micro_batch, run.data.count):
            raise
        _check(method, run, micro_batch, move)


def _check(method: Method, run: Run, images: int, move: Callable[[Batch], Batch]) -> None:
    batch = move(run.data.fixed(images))
    now = Now(images=0, total=run.total, batch=run.training.batch, seed=run.training.seed)
    method.check(batch, now)
