"""Small images side by side on a CPU, one thread each, where the threads of a single image would gain less."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from i2i.inference.batches import BatchRunner, Output
from i2i.inference.jobs import Job, Part

SMALL = 1 << 19  # pixels up to which an image shares the CPU with others


def lane_count(runner: BatchRunner, jobs: Iterable[Job]) -> int:
    """How many images run at the same time: torch's threads on a CPU, if there are enough images; else 1."""
    on_cpu = runner.translator.device.type == "cpu" and runner.most == 1
    lanes = torch.get_num_threads() if on_cpu else 1
    return lanes if isinstance(jobs, Sequence) and len(jobs) > 2 * lanes else 1


def side_by_side(runner: BatchRunner, groups: Iterable[list[Part]], lanes: int) -> Iterator[Iterable[Output]]:
    """The outputs of each group, in order: small images run in `lanes` threads, large ones alone with all threads."""
    translator = runner.translator
    threads_before = torch.get_num_threads()
    pool = ThreadPoolExecutor(lanes, "network", torch.set_num_threads, (1,))
    running: deque[Future[list[Output]]] = deque()
    try:
        for group in groups:
            height, width = translator.padded_size(group[0].prepared)
            small = height * width <= SMALL and translator.tiling.fits((height, width * lanes))
            # a large image waits until all others are done; a small one only until a lane is free
            while running and (not small or len(running) > lanes or running[0].done()):
                yield running.popleft().result()
            if small:
                running.append(pool.submit(_all_outputs, runner, group))
            else:
                yield runner.outputs(group)
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads_before)  # some of torch's libraries have one number for all threads


def _all_outputs(runner: BatchRunner, group: list[Part]) -> list[Output]:
    return list(runner.outputs(group))
