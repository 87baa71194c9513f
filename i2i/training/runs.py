"""The runs in a folder: what each is, how far it came, and how good it is, read from the files that it left."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from i2i.core.errors import I2IError
from i2i.core.reading import has_form, read_json, read_yaml
from i2i.core.suggest import did_you_mean, neighbors
from i2i.training.report.log import records

# The form of a config.yaml, as far as it is read here (core.reading.has_form)
CONFIG: dict[str | type, Any] = {str: object, "recipe": str, "method": str, "data": [str], "data_named?": [str]}
NOT_SETTINGS = (
    "recipe",
    "method",
    "data",
    "data_named",
    "versions",
    "method_sha256",
    "init_sha256",
)  # keys of config.yaml


@dataclass
class RunFacts:
    """What is known of a run's folder."""

    folder: Path
    recipe: str
    method: str
    data: list[str]
    state: str  # finished, stopped (it can be resumed), or empty (no training image was seen yet)
    images: int  # training images seen
    started: str  # time of the log's first line, ISO 8601; "" if there is no log
    seconds: float  # of training, all sessions together
    losses: dict[str, float]  # the last, by "optimizer/term"; without those that were not finite
    best: dict[str, Any]  # of the best checkpoint: score (lower is better), metric and images; {} if there is none
    metrics: dict[str, Any]  # metrics.json; {} if there is none
    size: int  # bytes of the folder
    reason: str = ""  # why it stopped
    settings: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """All facts as JSON values."""
        return {**vars(self), "folder": str(self.folder)}


def list_runs(folder: str | Path = "runs", skipped: Callable[[str], None] | None = None) -> list[RunFacts]:
    """The runs in `folder` and in the folders below it, the newest first.

    skipped: called with a sentence for each folder that is left out because its config.yaml cannot be read or is not
    that of a run. Raises I2IError if there is no such folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise I2IError(
            f"There is no folder {folder}.",
            did_you_mean(neighbors(folder, folders_only=True)) or "Train a model first.",
        )
    if (folder / "config.yaml").is_file():
        return [read_run(folder)]
    runs = []
    for file in sorted(folder.glob("**/config.yaml")):
        try:
            runs.append(read_run(file.parent))
        except I2IError as error:
            if skipped is not None:
                skipped(error.what)
    return sorted(runs, key=lambda run: run.started, reverse=True)


def read_run(folder: str | Path) -> RunFacts:
    """The facts about one run. Raises I2IError if the folder holds no run."""
    folder = Path(folder)
    path = folder / "config.yaml"
    if not path.is_file():
        near = did_you_mean(neighbors(folder, folders_only=True)) if not folder.exists() else ""
        raise I2IError(f"{folder} holds no run: it has no config.yaml.", near or "`i2i runs` lists the runs here.")
    config = read_yaml(path)
    if not has_form(config, CONFIG):
        raise I2IError(f"{path} is not the config.yaml of a run.", "It needs `recipe`, `method` and a list `data`.")

    # The log says how far the run came; a line that a crash tore is left out.
    lines = _log_lines(folder / "log.jsonl")
    images = max((int(line.get("images") or 0) for line in lines), default=0)
    losses: dict[str, float] = next(
        (line["terms"] for line in reversed(lines) if line["kind"] != "environment" and "terms" in line), {}
    )
    last = lines[-1] if lines else {}
    reason = str(last.get("reason") or "") if last.get("kind") == "ended" else ""
    is_finished = last.get("kind") == "ended" and not reason
    return RunFacts(
        folder=folder,
        recipe=config["recipe"],
        method=config["method"],
        data=config.get("data_named") or config["data"],
        state="finished" if is_finished else "stopped" if images else "empty",
        images=images,
        started=str(lines[0].get("time", "")) if lines else "",
        seconds=float(last.get("seconds") or 0.0),
        losses={name: value for name, value in losses.items() if value is not None},
        best=_json(folder / "checkpoints" / "best.json"),
        metrics=_json(folder / "metrics.json"),
        size=_size(folder),
        reason=reason,
        settings={k: v for k, v in config.items() if k not in NOT_SETTINGS},
    )


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; a running training may remove some meanwhile."""
    size = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size


def compare_runs(runs: Sequence[RunFacts]) -> dict[str, list[Any]]:
    """{name: its value in each run} of the settings that differ, and of all scores; None where a run has none."""
    rows: dict[str, list[Any]] = {"recipe": [run.recipe for run in runs], "data": [" ".join(run.data) for run in runs]}
    for name in dict.fromkeys(key for run in runs for key in run.settings):
        rows[name] = [run.settings.get(name) for run in runs]
    rows = {name: values for name, values in rows.items() if any(value != values[0] for value in values)}
    rows |= {"state": [run.state for run in runs], "images": [run.images for run in runs]}
    rows["seconds"] = [round(run.seconds, 1) for run in runs]
    if any(run.best for run in runs):
        rows["best score"] = [run.best.get("score") for run in runs]
    scores = [run.metrics.get("model") or {} for run in runs]
    for name in dict.fromkeys(key for values in scores for key in values):
        rows[name] = [values.get(name) for values in scores]
    for name in dict.fromkeys(key for run in runs for key in run.losses):
        rows[f"loss {name}"] = [run.losses.get(name) for run in runs]
    return rows


def remove_runs(folders: Sequence[str | Path]) -> int:
    """Deletes the folders of runs and returns the bytes they took. Raises I2IError, before anything is deleted, if one
    of them holds no run, or is the current folder or above it."""
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if Path.cwd().resolve().is_relative_to(run.folder.resolve()):
            raise I2IError(f"{run.folder} is the current folder or holds it.", "Change into another folder first.")
        if run.folder.is_symlink():
            raise I2IError(f"{run.folder} is a link.", f"Remove it with: rm {shlex.quote(str(run.folder))}")
    for run in runs:
        shutil.rmtree(run.folder)
    return sum(run.size for run in runs)


def _log_lines(path: Path) -> list[dict[str, Any]]:
    try:
        return list(records(path))
    except (OSError, I2IError):
        return []


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path, {str: object, "score?": float, "model?": {str: float | None}}))
    except I2IError:
        return {}
