"""The use case "train": a recipe, data and overrides become a run folder with a model in it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate.utils import broadcast_object_list

from i2i import __version__, data
from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder
from i2i.data.batch import Batch
from i2i.inference.evaluate import conclude
from i2i.methods import method_name
from i2i.methods._bases import Generate
from i2i.methods._method import Method
from i2i.metrics.pixel import l1
from i2i.models import format as model_file
from i2i.training.collapse import CollapseMonitor
from i2i.training.loop import Interrupted, Loop
from i2i.training.report import Observer, Report, SilentObserver, TrackerObserver
from i2i.training.run import Run, free, resolve_resume, resolve_run
from i2i.training.settings import TrainSettings, accelerator_for

__all__ = ["Interrupted", "Run", "execute", "resolve_resume", "resolve_run", "resume", "train"]

JUDGED = 64  # validation images behind the choice of the best checkpoint


def _begin(run: Run, main: bool) -> None:
    """The main process makes the run's folder; every process raises I2IError if that failed."""
    failed: list[Any] = [None]
    if main:
        try:
            _make(run)
        except I2IError as error:
            failed = [(error.what, error.hint)]
    told = broadcast_object_list(failed)[0]
    if told is not None:
        raise I2IError(*told)


def _make(run: Run) -> None:
    """Makes the run's folder with its config.yaml in one rename, so that any folder there is can be resumed."""
    free(run.folder)
    lines = {**run.settings, "data_named": run.named, "versions": versions()}
    try:
        with atomic_folder(run.folder) as folder:
            text = yaml.safe_dump(lines, sort_keys=False, allow_unicode=True)
            (folder / "config.yaml").write_text(text, encoding="utf-8")
    except OSError as error:
        raise I2IError(f"The folder {run.folder} cannot be made: {error.strerror}.", "Give another --out.") from error


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    names = ("torch", "torchvision", "accelerate", "albumentations", "kornia", "pillow", "numpy")
    return {"i2i": __version__, "python": platform.python_version(), **{n: version(n) for n in names}}


def _license(run: Run) -> str:
    return run.data.licence


def train(
    recipe: str,
    data: str | Path | Sequence[str | Path] | None = None,
    out: str | Path | None = None,
    *,
    quiet: bool = True,
    **settings: Any,
) -> Path:
    """Trains a recipe or method and returns the run's folder, which holds model.safetensors and report.html.

    data: a folder, two folders, or the name of a data card. settings: any value of the recipe by name (epochs=10,
    size=128, lr=1e-4, ...). Raises I2IError on bad input and Interrupted after SIGINT or SIGTERM."""
    sources = None if data is None else [str(data)] if isinstance(data, str | Path) else [str(d) for d in data]
    return execute(resolve_run(recipe, sources, Path(out) if out else None, settings), quiet=quiet)


def execute(run: Run, *, quiet: bool = False, resumed: bool = False) -> Path:
    """Trains `run` and returns its folder.

    Raises Interrupted after SIGINT or SIGTERM (state saved), I2IError when the loss is not finite or the checkpoint
    does not fit."""
    _one_device_each(run.plan)
    accelerator = accelerator_for(run.plan, run.folder)
    main = accelerator.is_main_process
    if accelerator.num_processes > 1:  # a name made of the time may differ between processes
        run.folder = Path(broadcast_object_list([str(run.folder)])[0])
    method = run.build()
    if run.data.class_names:
        method.class_titles = run.data.class_names
    notes = run.notes(method)
    loop = Loop(
        method,
        run.data,
        run.plan,
        run.folder,
        SilentObserver(),
        total=run.total,
        facts=run.facts(),
        accelerator=accelerator,
        preview=run.held_out,
    )
    if not resumed:  # only now, so that settings that do not go together leave nothing behind
        _begin(run, main)
    report: Observer = SilentObserver()
    if main:
        report = Report(run.folder, run.recipe, run.settings, run.total, live=not quiet)
    if run.plan.tracked:
        plain = {k: v if isinstance(v, int | float | str | bool) else str(v) for k, v in run.settings.items()}
        accelerator.init_trackers(f"i2i-{run.recipe}".replace("/", "-"), config=plain)
        report = TrackerObserver(report, accelerator)
    if isinstance(method, Generate) and main:
        report = CollapseMonitor(report, run.data, run.held_out, early=run.total // 20)
    scores: dict[str, float] = {}

    def finish(trained: Method, images: int) -> None:
        networks = {name: getattr(trained, name) for name in trained.averaged}
        model_file.save(run.folder / "model.safetensors", networks, _header(run, images, scores))

    def judge(trained: Method) -> float | None:
        if run.held_out is None or run.method.needs != "paired":
            return None
        judged = run.held_out.fixed(min(JUDGED, run.held_out.count))
        assert judged.y is not None
        total = n = 0.0
        first = next(trained.parameters())
        for i in range(0, len(judged), 8):
            x, y = judged.x[i : i + 8].to(first.device, first.dtype), judged.y[i : i + 8]
            made = trained.infer(Batch(x)).cpu().float()
            total, n = total + float(l1(made, y)) * len(y), n + len(y)
        scores["val_l1"] = total / n
        return total / n

    report.event(0, "environment", **_environment(run, accelerator))
    for note in notes:
        report.event(0, "note", text=note)
    loop.watch, loop.finish, loop.judge = report, finish, judge
    reason = ""
    try:
        seen = loop.run()
        if main:
            _conclude(run, report, seen)
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        report.close(reason)
        if run.plan.tracked:
            accelerator.end_training()
    return run.folder


def _one_device_each(plan: TrainSettings) -> None:
    """Raises I2IError if more processes than GPUs work on this host."""
    here, found = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if plan.device in ("auto", "cuda") and 0 < found < here:
        raise I2IError(
            f"{here} processes were asked for, but there {'is' if found == 1 else 'are'} {found} CUDA "
            f"device{'s' * (found > 1)} here.",
            f"Give --processes {found}, or --device cpu.",
        )


def _environment(run: Run, accelerator: Any) -> dict[str, Any]:
    """What the report says of the machine and of how the run differs from the defaults."""
    device = accelerator.device
    name = f"{device}, threads: {torch.get_num_threads()}"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    text = getattr(sys.modules.get(run.method.__module__), "__doc__", "") or run.method.__doc__ or ""
    return {
        "about": text.strip().split("\n")[0],
        "device": name,
        "processes": accelerator.num_processes,
        "training images": run.data.count,
        "system": platform.platform(),
        "versions": versions(),
        "changed": run.changed(),
    }


def _header(run: Run, images: int, scores: dict[str, float]) -> dict[str, Any]:
    """The facts that travel with a saved model."""
    return {
        "method": method_name(run.method),
        "recipe": run.recipe,
        "data": run.named,
        "channels_in": run.shape.channels_in,
        "channels_out": run.shape.channels_out,
        "size": run.shape.size,
        **({"class_names": run.data.class_names} if run.data.class_names else {}),
        "range": [-1, 1],
        "preprocess": run.spec.preprocess,
        "direction": run.spec.direction,
        "images": images,
        "metrics": dict(scores),
        "version": __version__,
        "licence": _license(run),
        **run.method.facts(run.config),
    }


def _conclude(run: Run, report: Observer, images: int) -> None:
    """Judges the finished model of a paired run on its test split, else on val."""
    split = next((s for s in ("test", "val") if s in run.data.splits), None)
    if run.method.needs == run.data.layout == "paired" and split is not None:
        held_out = data.open(run.sources, run.spec, split)
        device = "cpu" if run.plan.device == "cpu" else "auto"
        found = conclude(run.folder / "model.safetensors", held_out, split, run.folder, device)
        report.event(images, "evaluation", **found)


def resume(folder: str | Path, *, overrides: dict[str, Any] | None = None, quiet: bool = False) -> Path:
    """Goes on with the run in `folder` from its newest intact checkpoint; bit-exactly on the same device."""
    return execute(resolve_resume(folder, overrides), quiet=quiet, resumed=True)
