"""A Ray cluster at one archive: the same pipeline in an actor for each GPU, or each processor, of every node.

Ray Data hands the actors a few images at a time and gives what a lost node or actor had to another one, which writes
the same outputs again. Inputs, outputs, record and model have to be where every node reaches them: on a shared file
system, or at addresses. This is the extra `ray`; nothing is reported to its makers.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.core.optional import require
from i2i.inference.manifest import Manifest
from i2i.inference.pipeline import Job, reason
from i2i.inference.workers import Tell, Work
from i2i.models.load import ModelFile
from i2i.models.translator import Translator

CHUNK = 8  # images that an actor takes at a time


class Actor:
    """A node's process that holds the model and translates batches of jobs."""

    def __init__(self, work: Work, record: Manifest | None) -> None:
        import torch

        torch.set_num_threads(1)
        self.pipeline = work.pipeline(record)
        self.record = record

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """{number, source, target, name} of some jobs -> {number, error ("" for none), node} of each."""
        ray = importlib.import_module("ray")
        said: dict[int, str] = {}
        columns = (batch[k].tolist() for k in ("number", "source", "target", "name"))
        jobs = [Job(n, storage.locate(s), storage.locate(t), name) for n, s, t, name in zip(*columns)]
        self.pipeline.run(jobs, lambda job, error: said.update({job.number: reason(error) if error else ""}))
        if self.record is not None:
            self.record.close()  # nothing is lost with the actor
        node = ray.get_runtime_context().get_node_id()
        return {"number": list(said), "error": list(said.values()), "node": [node] * len(said)}


def run(
    work: Work,
    jobs: list[Job],
    address: str,
    record: Manifest | None,
    tell: Tell,
    nodes: Callable[[int, str], None] | None = None,
) -> None:
    """Runs `jobs` on the cluster at `address`; `tell(number, error or None)` once for each, in this process.

    address: "auto" (the one that this host belongs to), "local" (one is started for this run), host:port, or
    ray://host:port. nodes(number, id of the node) is told too. Raises I2IError if Ray is not installed, there is no
    such cluster, or the model was given as an object."""
    if isinstance(work.model, Translator):
        raise I2IError("A model in memory cannot be sent to a cluster.", "Give its file or name.")
    model = work.model.path if isinstance(work.model, ModelFile) else work.model
    work = replace(work, model=_everywhere(model))
    if record is not None:
        record = type(record)(storage.locate(_everywhere(record.folder)), record.settings)
    with _connected(address) as (ray, data):
        total = ray.cluster_resources()
        gpus = int(total.get("GPU", 0)) if work.device in ("auto", "cuda") else 0
        count = min(gpus or max(1, int(total.get("CPU", 1))), -(-len(jobs) // CHUNK))
        rows = [
            {"number": j.number, "source": _everywhere(j.source), "target": _everywhere(j.target), "name": j.name}
            for j in jobs
        ]
        made = data.from_items(rows, override_num_blocks=-(-len(rows) // CHUNK)).map_batches(
            Actor,
            fn_constructor_args=(work, record),
            batch_size=CHUNK,
            compute=data.ActorPoolStrategy(size=count),
            **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
        )
        open_jobs = {j.number for j in jobs}
        why = "The cluster ended without an answer for it."
        answers = iter(made.iter_rows())
        while True:
            try:
                row = next(answers)
            except StopIteration:
                break
            except (ray.exceptions.RayError, RuntimeError, OSError, ValueError) as error:
                why = f"The cluster gave up: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
                break
            if row["number"] in open_jobs:
                open_jobs.discard(row["number"])
                if nodes:
                    nodes(row["number"], row["node"])
                tell(row["number"], row["error"] or None)
        for number in sorted(open_jobs):
            tell(number, why)


def _everywhere(place: str | Path) -> str:
    """The same name on every node: an address, a model's name, or a path from the root."""
    known = isinstance(place, Path) or Path(place).exists()
    return os.path.abspath(place) if known and not storage.is_address(place) else str(place)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[tuple[Any, Any]]:
    """Ray and ray.data, quiet and connected; a connection that was there before stays."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray, data = require("ray", "ray", "--ray"), require("ray.data", "ray", "--ray")
    ours = not ray.is_initialized()
    if ours:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
        if address == "local":
            quiet["include_dashboard"] = False
        try:
            ray.init(address=address, **quiet)
        except Exception as error:  # each way of connecting fails in its own
            text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise I2IError(f"There is no Ray cluster at {address}: {text}") from error
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray, data
    finally:
        if ours:
            ray.shutdown()
