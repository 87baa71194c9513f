"""The length of a run: what in it depends on the length, and whether a run can become longer.

A run that is resumed must equal one that was planned longer, bit for bit. That holds where no step asks how long the
run is. Where a learning rate falls over the run, a longer run is another one from its first image on.
"""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from i2i.core import config
from i2i.core.errors import I2IError
from i2i.methods import is_builtin
from i2i.methods._method import Method
from i2i.training import checkpoint as checkpoints
from i2i.training.run import Run
from i2i.training.settings import TrainSettings
from i2i.training.tricks import TrickSettings

SAMPLES = 101  # moments of a run at which a schedule is looked at
USES_LENGTH = re.compile(r"\.(fraction|total)\b")  # in the source of a method of the user's own


def why_fixed(method: Method, tricks: TrickSettings) -> str:
    """What in a run depends on its length, as the subject of a sentence with "follows"; empty if nothing does."""
    moments = [i / (SAMPLES - 1) for i in range(SAMPLES)]
    if _changes([method.lr_factor(t) for t in moments]) or _changes([method.lr_factors(t) for t in moments]):
        return "the learning rate"
    if _changes([method.momentum_at(t) for t in moments]) or _changes([method.betas_at(t) for t in moments]):
        return "the momentum"
    if tricks.instance_noise and tricks.noise_until:
        return "the instance noise"
    if not is_builtin(type(method)) and USES_LENGTH.search(_source(type(method))):
        return f"the step of {type(method).__name__}"
    return ""


def _changes(values: list[Any]) -> bool:
    return any(value != values[0] for value in values)


def _source(kind: type[Method]) -> str:
    """The text of a method's module; of one that cannot be read, a text that uses the length, to be safe."""
    try:
        return inspect.getsource(sys.modules[kind.__module__])
    except (OSError, TypeError, KeyError):
        return ".total"


def planned_images(values: dict[str, Any], count: int) -> int:
    """The length in images that a config.yaml plans for `count` training images."""
    fields = ("epochs", "images", "batch")
    settings = config.resolve({k: v for k, v in values.items() if k in fields}, {"training": TrainSettings})
    training: TrainSettings = settings["training"]
    return training.length(count)


def check_length(run: Run, planned: int) -> None:
    """Raises I2IError if the run, which is resumed, cannot have another length than the `planned` one.

    The hint starts a new run from its weights, or names its model if no images are left to see."""
    if run.total == planned:
        return
    seen = max((int(c.name) for c in checkpoints.listed(run.folder / "checkpoints")), default=0)
    folder = str(run.folder)
    use = f"To end here, use its model as it is: --model {shlex.quote(folder)}."
    if run.total < seen:
        raise I2IError(f"The run has seen {seen:,} images already, and was asked to end at {run.total:,}.", use)
    try:
        with torch.device("meta"):
            method = run.method(run.config, run.shape)
    except (RuntimeError, TypeError):  # networks that read values while they are built, also as arrays of NumPy
        method = run.build()
    why = why_fixed(method, run.tricks)
    if not why:
        return
    other = "longer" if run.total > planned else "shorter"
    words = ["i2i", "train", str(Path(folder) / "config.yaml"), "--init-from", folder]
    words += ["--images", str(run.total - seen), "--out", f"{folder.rstrip('/')}-{other}"]
    go_on = f"Train on from its weights, as a new run with a schedule of its own: {shlex.join(words)}"
    raise I2IError(
        f"{folder} was planned for {planned:,} images and cannot end at {run.total:,}: {why} follows the length of the "
        f"run, so a {other} run differs from its first image on.",
        go_on if run.total > seen else use,
    )
