"""Several processes of one machine that share an archive: each runs the same pipeline, fed from one queue."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import connection, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TypeAlias

import torch
from torch import multiprocessing

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.core.files import sweep
from i2i.core.machine import cpu_count
from i2i.inference.jobs import Job, TellNumber, reason
from i2i.inference.pipeline import Pipeline
from i2i.inference.record import Record
from i2i.inference.settings import NetworkSettings
from i2i.media.codec import WriteSettings
from i2i.models.load import ModelFile, digest, load
from i2i.models.tiling import TileSettings
from i2i.models.translator import Translator
from i2i.nets.choice import Choice

CHUNK = 4  # jobs that a process takes from the queue at a time
Tasks: TypeAlias = "Queue[list[Job] | None]"  # None: no more jobs
Answer: TypeAlias = tuple[int, str | None, str]  # number of a job, error or None, note
Results: TypeAlias = "Queue[Answer]"

# Queues that were not read to their end. They are kept until the interpreter ends: otherwise the thread that feeds such
# a queue may be stopped while it releases the queue's last lock, and Python warns of a leaked semaphore.
_unread: list[Tasks] = []


@dataclass(frozen=True)
class Work:
    """What a process needs to translate: the model, and how to use it."""

    model: str | Path | ModelFile | Translator
    write: WriteSettings = field(default_factory=WriteSettings)
    tiling: TileSettings = field(default_factory=TileSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    choices: tuple[Choice, ...] = ()  # the answers that are wanted of a model with several; none: the default one

    def translator(self) -> Translator:
        """The model, loaded unless it is in memory already."""
        if isinstance(self.model, Translator):
            translator = self.model if self.tiling == TileSettings() else self.model.with_tiling(self.tiling)
            return translator.with_render_factor(self.network.render_factor)
        net = self.network
        return load(
            self.model, net.device, net.precision, net.direction, net.statistics, self.tiling, method=net.method
        ).with_render_factor(net.render_factor)

    def digest(self) -> str:
        """Digest of the model's weights; a model that is not loaded yet is read, but not built."""
        if isinstance(self.model, Translator):
            return self.model.digest
        net = self.network
        return digest(self.model, net.device, net.precision, net.direction, net.statistics, net.method)

    def pipeline(self, record: Record | None) -> Pipeline:
        """A pipeline of its own."""
        translator = self.translator()
        translators = [translator.with_choice(choice) for choice in self.choices] or [translator]
        if self.network.compile:
            translators = [one.compile() for one in translators]
        first, *others = translators
        return Pipeline(first, self.write, self.network.batch, record, others)


def run(work: Work, jobs: Sequence[Job], processes: int, record: Record | None, tell: TellNumber) -> None:
    """Runs `jobs` in that many processes. Calls `tell(number, error or None)` once for each job, in this process.

    With several GPUs, each process takes the next one. Raises I2IError if the model is an object in memory."""
    if isinstance(work.model, Translator):
        raise I2IError("A model in memory cannot be shared between processes.", "Give its file or its name.")
    context = multiprocessing.get_context("spawn")
    tasks: Tasks = context.Queue()
    results: Results = context.Queue()
    for i in range(0, len(jobs), CHUNK):
        tasks.put(list(jobs[i : i + CHUNK]))
    for _ in range(processes):
        tasks.put(None)

    # one process after the other: each on its GPU, or with its share of the processors
    gpus = torch.cuda.device_count() if work.network.device in ("auto", "cuda") else 0
    threads = max(1, cpu_count() // processes)
    children: list[BaseProcess] = []
    for k in range(processes):
        network = replace(work.network, device=f"cuda:{k % gpus}") if gpus else work.network
        own = replace(work, network=network)
        child: BaseProcess = context.Process(target=_child, args=(own, threads, record, tasks, results), daemon=True)
        with _interrupts_blocked():
            child.start()
        children.append(child)

    unanswered = {job.number for job in jobs}
    try:
        for number, error, note in _answers(results, children, len(jobs)):
            unanswered.discard(number)
            tell(number, error, note)
        codes = sorted({c.exitcode for c in children if c.exitcode})
        for number in sorted(unanswered):
            tell(number, f"The process that worked on it ended with code {codes[0] if codes else 'unknown'}.")
    except BaseException:  # Ctrl-C, or an error of the caller: what is half done appears nowhere
        for child in children:
            child.terminate()
        raise
    finally:
        tasks.cancel_join_thread()
        if unanswered:
            _unread.append(tasks)
        for child in children:
            child.join(timeout=5)
            if child.is_alive():
                child.kill()
                child.join()
        sweep({job.target.parent for job in jobs if not storage.is_address(job.target)})


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process that is started inside never gets SIGINT: Ctrl-C reaches all processes of a terminal, and it is for the
    parent to end its children. One that arrives here meanwhile comes after the block."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answers(results: Results, children: list[BaseProcess], count: int) -> Iterator[Answer]:
    """`count` answers of the processes; fewer if all processes end before."""
    answers = 0
    while answers < count:
        alive = any(c.is_alive() for c in children)  # asked first: a last answer may come just before the end
        try:
            answer = results.get(timeout=0.5)
        except queue.Empty:
            if not alive:
                return
            continue
        answers += 1
        yield answer


def _child(work: Work, threads: int, record: Record | None, tasks: Tasks, results: Results) -> None:
    """What each process does: translate jobs until there are no more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)

    def jobs() -> Iterator[Job]:
        while (chunk := tasks.get()) is not None:
            yield from chunk

    try:
        pipeline = work.pipeline(record)
        pipeline.run(jobs(), lambda job, error: results.put((job.number, reason(error) if error else None, job.note)))
    finally:
        if record is not None:
            record.close()
        results.close()
        results.join_thread()


def _end_with_parent() -> None:
    """Ends this process when its parent has ended, however it did: nobody feeds it any more, or reads its answers."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
