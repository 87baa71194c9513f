"""A Ray cluster that works on an archive: the same pipeline in one actor for each GPU, or each processor, of all nodes.

Ray Data hands a few images at a time to each actor. If a node or an actor is lost, another one gets its images, and
writes the same outputs again. Inputs, outputs, record and model have to lie where every node reaches them: on a shared
file system, or at addresses. Needs the extra `ray`. Ray's usage reports are switched off.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.core.optional import require
from i2i.inference.jobs import Job, TellNumber, reason
from i2i.inference.record import Record, record_in
from i2i.inference.workers import Work
from i2i.models.load import ModelFile
from i2i.models.translator import Translator

CHUNK = 8  # images that an actor takes at a time


class Actor:
    """A process on a node that holds the model and translates chunks of jobs."""

    def __init__(self, work: Work, record: Record | None) -> None:
        import torch

        torch.set_num_threads(1)
        self.pipeline = work.pipeline(record)
        self.record = record

    def __call__(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """Columns {number, source, target, name, answer} of some jobs -> {number, error ("": none), note, node}."""
        ray = importlib.import_module("ray")
        answers: dict[int, tuple[str, str]] = {}
        columns = (chunk[k].tolist() for k in ("number", "source", "target", "name", "answer"))
        jobs = [Job(n, storage.locate(s), storage.locate(t), name, answer) for n, s, t, name, answer in zip(*columns)]
        self.pipeline.run(
            jobs, lambda job, error: answers.update({job.number: (reason(error) if error else "", job.note)})
        )
        if self.record is not None:
            self.record.close()  # so that nothing is lost with the actor
        node = ray.get_runtime_context().get_node_id()
        errors, notes = [error for error, _ in answers.values()], [note for _, note in answers.values()]
        return {"number": list(answers), "error": errors, "note": notes, "node": [node] * len(answers)}


def run(
    work: Work,
    jobs: Sequence[Job],
    address: str,
    record: Record | None,
    tell: TellNumber,
    tell_node: Callable[[int, str], None] | None = None,
) -> None:
    """Runs `jobs` on the cluster at `address`. Calls `tell(number, error or None)` once for each job, in this process.

    address: auto (the cluster that this host belongs to), local (a new one for this run), HOST:PORT or
    ray://HOST:PORT. tell_node(number, id of the node) is called too. Raises I2IError if Ray is not installed, there is
    no such cluster, or the model is an object in memory."""
    if isinstance(work.model, Translator):
        raise I2IError("A model in memory cannot be sent to a cluster.", "Give its file or its name.")
    model = work.model.path if isinstance(work.model, ModelFile) else work.model
    work = replace(work, model=_for_all_nodes(model))
    own_record = record
    if record is not None:
        record = record_in(storage.locate(_for_all_nodes(record.folder)), record.settings)
    unanswered = {j.number for j in jobs}
    why = "The cluster ended without an answer for this image."
    with _connected(address) as (ray, data):
        if own_record is not None:
            own_record.open()  # only now: an error above leaves no folder behind
        answers = _answers(ray, data, work, jobs, record)
        while True:
            try:
                row = next(answers)
            except StopIteration:
                break
            except (ray.exceptions.RayError, RuntimeError, OSError, ValueError) as error:
                why = f"The cluster failed: {_first_line(error)}"
                break
            if row["number"] in unanswered:  # after a node was lost, an image may be answered for twice
                unanswered.discard(row["number"])
                if tell_node:
                    tell_node(row["number"], row["node"])
                tell(row["number"], row["error"] or None, **({"note": row["note"]} if row["note"] else {}))
        for number in sorted(unanswered):
            tell(number, why)


def _answers(ray: Any, data: Any, work: Work, jobs: Sequence[Job], record: Record | None) -> Iterator[dict[str, Any]]:
    """Starts the work. Gives rows {number, error, note, node}, in the order in which the actors make them."""
    total = ray.cluster_resources()
    gpus = int(total.get("GPU", 0)) if work.network.device in ("auto", "cuda") else 0
    chunks = -(-len(jobs) // CHUNK)
    actors = min(gpus or max(1, int(total.get("CPU", 1))), chunks)
    rows = [
        {
            "number": j.number,
            "source": _for_all_nodes(j.source),
            "target": _for_all_nodes(j.target),
            "name": j.name,
            "answer": j.answer,
        }
        for j in jobs
    ]
    computed = data.from_items(rows, override_num_blocks=chunks).map_batches(
        Actor,
        fn_constructor_args=(work, record),
        batch_size=CHUNK,
        compute=data.ActorPoolStrategy(size=actors),
        **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
    )
    return iter(computed.iter_rows())


def _for_all_nodes(source: str | Path) -> str:
    """The same name on every node: an address, a model's name, or an absolute path."""
    is_path = isinstance(source, Path) or Path(source).exists()
    return os.path.abspath(source) if is_path and not storage.is_address(source) else str(source)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[tuple[Any, Any]]:
    """The modules ray and ray.data, connected and without their messages; an older connection stays open."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray, data = require("ray", "ray", "--ray"), require("ray.data", "ray", "--ray")
    new = not ray.is_initialized()
    if new:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
        if address == "local":
            quiet["include_dashboard"] = False
        try:
            ray.init(address=address, **quiet)
        except Exception as error:  # each way of connecting has errors of its own
            raise I2IError(
                f"There is no Ray cluster at {address}: {_first_line(error).rstrip('.')}.",
                "Give auto, local, HOST:PORT or ray://HOST:PORT.",
            ) from error
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray, data
    finally:
        if new:
            ray.shutdown()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
