"""The use case "train": a recipe, data and settings become a run's folder with a model in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from i2i.core import user_code
from i2i.core.distributed import leave_at_exit
from i2i.training.head import announce
from i2i.training.report.observer import TrainProgress
from i2i.training.resolve import resolve_resume, resolve_run
from i2i.training.run import Run
from i2i.training.session import Session
from i2i.training.signals import Interrupted

__all__ = ["Interrupted", "Run", "execute", "resolve_resume", "resolve_run", "resume", "train"]


def train(
    recipe: str | Path,
    data: str | Path | Sequence[str | Path] | None = None,
    out: str | Path | None = None,
    *,
    init_from: str | Path | None = None,
    quiet: bool = True,
    progress: TrainProgress | None = None,
    **settings: Any,
) -> Path:
    """Trains a recipe or method, and returns the run's folder, which holds model.safetensors and report.html.

    data: a folder, two folders, or the name of a data set; default: that of the recipe. out: the run's folder; default:
    runs/RECIPE-DATA-TIME. init_from: whose weights the networks start with: a model, a run's folder, a name of
    `i2i models`, or a file or folder of the authors of pix2pix and CycleGAN. quiet: print nothing. settings: any
    setting of the recipe by name (epochs=10, size=128, lr=1e-4, ...). progress: called as progress(images seen, images
    in all, mean losses by "optimizer/term") whenever losses are logged; what it raises stops the run.

    The content of a run's config.yaml repeats that run: train(**yaml.safe_load(text)).

    Raises I2IError on bad input, and Interrupted after SIGINT or SIGTERM."""
    sources = None if data is None else [str(data)] if isinstance(data, str | Path) else [str(d) for d in data]
    if init_from is not None:
        settings["init_from"] = str(init_from)
    run = resolve_run(str(recipe), sources, Path(out) if out else None, settings)
    return execute(run, quiet=quiet, progress=progress)


def resume(
    folder: str | Path,
    *,
    overrides: dict[str, Any] | None = None,
    quiet: bool = True,
    progress: TrainProgress | None = None,
) -> Path:
    """Continues the run in `folder` from its newest intact checkpoint: on a CPU bit for bit as if it had never stopped.

    overrides: settings to change, as `resolve_resume` allows. quiet, progress: see `train`. Raises what `execute`
    raises."""
    return execute(resolve_resume(folder, overrides), quiet=quiet, resumed=True, progress=progress)


def execute(run: Run, *, quiet: bool = False, resumed: bool = False, progress: TrainProgress | None = None) -> Path:
    """Trains `run` and returns its folder.

    Raises Interrupted after SIGINT or SIGTERM, when the state is saved, and I2IError if a loss is not finite, the
    checkpoint does not fit, or the last state cannot be saved."""
    with user_code.told_with_line():
        session = Session(run, quiet=quiet, resumed=resumed, progress=progress)
        if not (quiet or resumed):
            announce(run)
        session.prepare()
        with session.reported():
            session.train()
            session.conclude()
    leave_at_exit(succeeded=True)
    return run.folder
