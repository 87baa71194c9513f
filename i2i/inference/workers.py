"""Several processes of one machine at one archive: the same pipeline in each, fed from one queue."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing

from i2i.core.errors import I2IError
from i2i.inference.manifest import Manifest
from i2i.inference.pipeline import Job, Pipeline, reason
from i2i.media.codec import WriteSettings
from i2i.models.load import ModelFile, digest, load
from i2i.models.tiling import TileSettings
from i2i.models.translator import Translator

CHUNK = 4  # jobs that a process takes at a time
Tell = Callable[[int, str | None], None]


@dataclass(frozen=True)
class Work:
    """What a process needs to translate: the model and how to use it."""

    model: str | Path | ModelFile | Translator
    options: WriteSettings
    tiling: TileSettings
    batch: int = 0
    compile: bool = False
    device: str = "auto"
    precision: str = "fp32"
    direction: str = "AtoB"
    statistics: str = "auto"

    def translator(self) -> Translator:
        """The model, loaded once."""
        if isinstance(self.model, Translator):
            model = self.model
            if self.tiling != TileSettings():
                model = model.with_tiling(self.tiling)
        else:
            model = load(self.model, self.device, self.precision, self.direction, self.statistics, self.tiling)
        return model

    def digest(self) -> str:
        """Digest of the model's weights; a model that is not loaded yet is read, but not built."""
        if isinstance(self.model, Translator):
            return self.model.digest
        return digest(self.model, self.device, self.precision, self.direction, self.statistics)

    def pipeline(self, record: Manifest | None) -> Pipeline:
        """A pipeline of its own."""
        model = self.translator()
        return Pipeline(model.compile() if self.compile else model, self.options, self.batch, record)


def run(work: Work, jobs: list[Job], processes: int, record: Manifest | None, tell: Tell) -> None:
    """Runs `jobs` in that many processes; `tell(number, error or None)` once for each job, in this one.

    With several GPUs each process takes the next one. Raises I2IError if the model was given as an object."""
    if isinstance(work.model, Translator):
        raise I2IError("A model in memory cannot be shared between processes.", "Give its file or name.")
    context = multiprocessing.get_context("spawn")
    tasks, results = context.Queue(), context.Queue()
    for i in range(0, len(jobs), CHUNK):
        tasks.put(jobs[i : i + CHUNK])
    for _ in range(processes):
        tasks.put(None)
    gpus = torch.cuda.device_count() if work.device in ("auto", "cuda") else 0
    threads = max(1, (os.cpu_count() or 1) // processes)
    children = []
    for k in range(processes):
        own = replace(work, device=f"cuda:{k % gpus}") if gpus else work
        child = context.Process(target=_child, args=(own, threads, record, tasks, results), daemon=True)
        child.start()
        children.append(child)
    open_jobs = {job.number for job in jobs}
    try:
        while open_jobs:
            try:
                number, error = results.get(timeout=0.5)
            except queue.Empty:
                if any(c.is_alive() for c in children):
                    continue
                try:
                    number, error = results.get(timeout=0.5)  # said at the very end
                except queue.Empty:
                    break
            open_jobs.discard(number)
            tell(number, error)
        codes = sorted({c.exitcode for c in children if c.exitcode})
        for number in sorted(open_jobs):
            tell(number, f"The process that had it ended with code {codes[0] if codes else 'unknown'}.")
    finally:
        tasks.cancel_join_thread()
        for child in children:
            child.join(timeout=5)
            if child.is_alive():
                child.terminate()


def _end_with(parent: Any) -> None:
    """Ends this process when `parent` has ended, however it did: nobody is left to feed it or to hear of it."""
    connection.wait([parent.sentinel])
    os._exit(1)


def _child(work: Work, threads: int, record: Manifest | None, tasks: Any, results: Any) -> None:
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    torch.set_num_threads(threads)

    def jobs() -> Iterator[Job]:
        while (some := tasks.get()) is not None:
            yield from some

    try:
        pipeline = work.pipeline(record)
        pipeline.run(jobs(), lambda job, error: results.put((job.number, reason(error) if error else None)))
    finally:
        if record is not None:
            record.close()
        results.close()
        results.join_thread()
