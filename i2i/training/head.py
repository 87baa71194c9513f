"""What is said of a run before it starts: what it trains on, where, and what it will take."""

from __future__ import annotations

import sys

from i2i.core.distributed import is_first, processes
from i2i.core.escape import printable
from i2i.core.format import format_about, format_bytes
from i2i.core.machine import process_age
from i2i.training.estimate import Estimate, estimate
from i2i.training.lighter import DAY, Lighter, lighter
from i2i.training.precision import sentence
from i2i.training.run import Run

FEW_STEPS = 20  # a run of fewer steps starts at once, without measuring
BUDGET, LIGHTER_BUDGET = 5.0, 2.5  # seconds for measuring steps of a run, and of a lighter form of it
PROMISE = 20.0  # seconds from the command to the head; on a busy machine less is measured
OLD = 120.0  # seconds after which a process is no command that was just typed
IMAGES = {"paired": "pairs", "unpaired": "unpaired images", "labelled": "labelled images"}  # others: images


def announce(run: Run) -> None:
    """Prints the head of a run on stderr, within 20 seconds; of several processes one does, without a time."""
    if not is_first():
        return
    steps = run.total // run.training.batch
    left = max(1.0, min(BUDGET, PROMISE - 6 - _waited()))
    estimated = estimate(run, left if steps >= FEW_STEPS else 0)
    lighter_form = suggestion(run, estimated)
    for line in head(run, estimated, lighter_form):
        print(printable(line), file=sys.stderr, flush=True)


def suggestion(run: Run, estimated: Estimate) -> Lighter | None:
    """A lighter form of a run of one process that would take more than a day; None if it takes less."""
    if processes() > 1 or estimated.source == "log" or (estimated.usual_seconds or 0.0) < DAY:
        return None
    return lighter(run, estimated, LIGHTER_BUDGET if _waited() < PROMISE - 5 else 0)


def head(run: Run, estimated: Estimate, lighter_form: Lighter | None) -> list[str]:
    """The sentences about a run."""
    size, batch = run.shape.size, run.training.batch
    images = f"{batch} image{'' if batch == 1 else 's'}"
    lines = [
        f"{run.recipe}: {run.data.count:,} {IMAGES.get(run.data.layout, 'images')} of {size} x {size} pixels, "
        f"{estimated.steps:,} step{'' if estimated.steps == 1 else 's'} of {images}, into {run.folder}."
    ]
    where = f"On {estimated.device}, {estimated.precision}"
    if estimated.seconds is not None and estimated.step_seconds is not None:
        where += f": {format_about(estimated.seconds)} ({step_words(estimated)})"
    if estimated.disk is not None and estimated.memory is not None:
        where += f"; {format_bytes(estimated.memory)} of memory and {format_bytes(estimated.disk)} of disk"
    lines.append(f"{where}.")
    if run.training.precision == "bf16" and run.precision_why:
        lines.append(sentence(run))
    lines += warnings(estimated, lighter_form)
    return lines


def step_words(estimated: Estimate) -> str:
    """How long a step takes, and how that is known."""
    seconds = estimated.step_seconds or 0.0
    text = f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
    how = {"log": ", as its log says", "scaled": ", estimated from smaller steps"}.get(estimated.source, "")
    return f"{text} a step{how}"


def warnings(estimated: Estimate, lighter_form: Lighter | None) -> list[str]:
    """Sentences about a busy machine, and a run that takes more than a day, or more disk than is free."""
    lines = []
    if estimated.alone_seconds is not None:
        alone = format_about(estimated.alone_seconds)
        lines.append(f"This machine is busy with other programs. Without them the run takes {alone}.")
    if estimated.usual_seconds is not None and estimated.usual_seconds > DAY:
        line = "That is more than a day."
        if lighter_form is not None:
            line += f" Lighter, {format_about(lighter_form.seconds)}: {lighter_form.command}"
            line += "  (or use a GPU)" if estimated.is_cpu else ""
        elif estimated.is_cpu:
            line += " Use a GPU if you can."
        lines.append(line)
    if estimated.memory is not None and estimated.memory_free is not None:
        lines.append(
            f"The run takes about {format_bytes(estimated.memory)} of memory, and only "
            f"{format_bytes(estimated.memory_free)} are free: the run may become very slow, or be ended by the system. "
            "Its time was not measured. Close other programs, or give a smaller --size or --batch."
        )
    if estimated.disk is not None and estimated.disk_free is not None and estimated.disk > estimated.disk_free:
        lines.append(
            f"The disk has only {format_bytes(estimated.disk_free)} free: --set keep=1 keeps fewer checkpoints, and "
            "--set sample_every=N draws fewer sample grids."
        )
    return lines


def _waited() -> float:
    """Seconds that the user has waited since the command; 0 in a process that is no command, such as a notebook's."""
    age = process_age()
    return age if age < OLD else 0.0
