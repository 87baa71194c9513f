"""From a recipe, data and settings, or the folder of an earlier run, to a `Run`."""

from __future__ import annotations

import dataclasses
import math
import shlex
import time
from pathlib import Path
from typing import Any

from i2i import data
from i2i.core import config, files
from i2i.core.distributed import processes
from i2i.core.errors import I2IError
from i2i.core.machine import total_memory
from i2i.core.progress import Progress
from i2i.core.reading import has_form, read_yaml
from i2i.data.batch import Shape
from i2i.methods import builtin_methods, load_method, method_name
from i2i.methods._check_config import check_names
from i2i.methods._method import Method
from i2i.training import checkpoint as checkpoints
from i2i.training import recipes
from i2i.training.length import check_length, planned_images
from i2i.training.precision import settle
from i2i.training.run import Run
from i2i.training.scorer import check_scored
from i2i.training.settings import TrainSettings
from i2i.training.start import read_start
from i2i.training.tricks import TrickSettings

# What may be given as data, by the layout that a method needs.
EXAMPLES = {
    "paired": "pairs/",
    "unpaired": "photos/ paintings/",
    "labelled": "classes/",
    "attributes": "faces/ --labels attributes.csv",
}
METHOD_COPY = "method.py"  # in a run's folder: the file of a method of the user's own, as the run began
# The form of a run's config.yaml (core.reading.has_form); config.resolve checks the settings.
CONFIG: dict[Any, Any] = {str: object, "recipe": str, "method": str, "data": [str], "data_named?": [str]}
FACTS = ("data_named", "versions", "method_sha256", "init_sha256")  # of config.yaml that are no settings


def resolve_run(
    recipe: str,
    data_sources: list[str] | None = None,
    out: Path | None = None,
    overrides: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Resolves a run without starting it.

    recipe: the name of a recipe or method, or a path to a .yaml or .py file; the config.yaml of a run repeats it.
    data_sources: a folder, two folders, or the name of a data set; default: that of the recipe. out: default
    runs/RECIPE-DATA-TIME. overrides: settings by name, as values or text. progress: called while a data set or a model
    is downloaded. Raises I2IError on bad input."""
    values = dict(overrides or {})
    path = Path(recipe)
    if recipe.endswith((".yaml", ".yml")) and is_config(earlier := recipes.recipe(recipe)):
        run = _resolve_config(path.parent, earlier, data_sources, out, values, progress)
    elif any(key in values for key in FACTS):  # i2i.train(**the content of a config.yaml)
        earlier = {"recipe": recipe, "data": data_sources or [], **values}
        run = _resolve_config(None, earlier, data_sources, out, {}, progress)
    else:
        run = _resolve(recipe, data_sources, out, values, progress)
        _begin(run, progress)
        settle(run)
    check_new_folder(run.folder)
    return run


def is_config(values: dict[str, Any]) -> bool:
    """True for the content of a run's config.yaml, false for that of a recipe."""
    return any(key in values for key in FACTS) and has_form(values, CONFIG)


def resolve_resume(
    folder: str | Path,
    overrides: dict[str, Any] | None = None,
    sources: list[str] | None = None,
    moved: str = "i2i train --resume {run} --data {data}",
) -> Run:
    """Resolves the run in `folder` as its config.yaml says.

    overrides: settings to change; only those that do not change what is computed (workers, device, save_every, ...),
    and the length of a run whose steps do not depend on it. sources: where the images lie now, if they have moved.
    moved: the command that says so, for a hint. Raises I2IError if `folder` holds no run, or images are not there."""
    folder = Path(folder)
    path = folder / "config.yaml"
    if not path.is_file():
        raise I2IError(f"{folder} holds no run: it has no config.yaml.", "Give the folder that `i2i train` printed.")
    values = read_yaml(path, "Restore the original file.")
    if not has_form(values, CONFIG):
        raise I2IError(f"{path} is not the config.yaml of a run.", "Restore the original file.")
    missing = (
        [] if sources else [name for name in values["data"] if Path(name).is_absolute() and not Path(name).exists()]
    )
    if missing:
        places = " ".join(["DIR"] * len(values["data"]))
        raise I2IError(
            f"The images of this run lay in {missing[0]}, which does not exist.",
            "If they have moved, say where they are: " + moved.format(run=shlex.quote(str(folder)), data=places),
        )
    begun = bool(checkpoints.listed(folder / "checkpoints"))
    run = _resolve_config(folder, values, sources, folder, overrides or {}, begun=begun)
    if "epochs" in (overrides or {}) or "images" in (overrides or {}):
        check_length(run, planned_images(values, run.data.count))
    return run


def _resolve_config(
    folder: Path | None,
    config_values: dict[str, Any],
    sources: list[str] | None,
    out: Path | None,
    overrides: dict[str, Any],
    progress: Progress | None = None,
    begun: bool = False,
) -> Run:
    """Resolves the run of a config.yaml, which lies in `folder` if it is a file.

    begun: the run has checkpoints, so the weights that it began with do not matter any more."""
    values = dict(config_values)
    values.pop("versions", None)
    original = str(values["method"])
    is_file = original.endswith(".py")
    method = _method_file(folder, values, overrides) if is_file else original
    values.pop("method_sha256", None)
    recorded = str(values.pop("init_sha256", ""))
    recipe, absolute = values.pop("recipe"), values.pop("data")
    named = values.pop("data_named", absolute)
    if [Path(n).name for n in named] != [Path(a).name for a in absolute]:  # the caller has changed the data alone
        named = absolute
    if "epochs" in overrides and "images" not in overrides:
        values["images"] = 0
    run = _resolve(method, sources or absolute, out, {**values, **overrides, "method": method}, progress, recipe)
    run.recipe = run.settings["recipe"] = recipe
    run.settings["method"] = original if is_file else run.settings["method"]
    run.named = sources or named
    if not begun:
        _begin(run, progress, "" if "init_from" in overrides else recorded)
    run.start_digest = run.start_digest or recorded
    return run


def _begin(run: Run, progress: Progress | None, digest: str = "") -> None:
    """Reads the weights that a new run starts from. digest: what they must have; empty: any."""
    name = run.training.init_from
    if not name:
        return
    run.start = read_start(name, progress)
    run.start_digest = run.start.digest
    if digest and run.start_digest != digest:
        raise I2IError(
            f"The weights of {name} have changed since the run began with them.",
            "Give the old ones, or start from the new ones: --init-from " + shlex.quote(name),
        )


def _method_file(folder: Path | None, values: dict[str, Any], overrides: dict[str, Any]) -> str:
    """The method file that a run is resumed with: the run's own copy, if it has one.

    Raises I2IError if that copy, or the file that it was made of, has been edited since the run began."""
    original, digest = Path(values["method"]), values.pop("method_sha256", None)
    copy = original if folder is None else folder / METHOD_COPY
    chosen = overrides.get("method")
    if digest is None:  # a run of version 0.1, which has no copy
        return str(chosen or original)
    go_on = f"i2i train --resume {shlex.quote(str(folder or '.'))} --set method={shlex.quote(str(copy))}"
    for path in [Path(chosen)] if chosen else [copy, original]:
        if path.is_file() and files.sha256_of(path) != digest:
            other = f"{copy} is the file that it began with" if path != copy else f"it was copied from {original}"
            hint = f"To go on with that file: {go_on}" if path != copy else "Put its content back"
            raise I2IError(
                f"{path} has been edited since the run began; {other}.",
                f"{hint}. To train the edited file, start a new run with --out.",
            )
    return str(chosen or (copy if copy.is_file() else original))


def _resolve(
    recipe: str,
    data_sources: list[str] | None,
    out: Path | None,
    overrides: dict[str, Any] | None,
    progress: Progress | None = None,
    title: str = "",
) -> Run:
    """Resolves a run, but for the weights that it begins with. title: the recipe's name; default: `recipe`."""
    # The method and the data that the recipe and the caller name.
    recipe = recipes.canonical(recipe)
    values = dict(recipes.recipe(recipe))
    values.update(overrides or {})
    if "epochs" in (overrides or {}) and "images" not in (overrides or {}):
        values["images"] = 0  # a recipe may give its length in images, which comes before epochs
    method = load_method(str(values.pop("method")))
    recipe_data = values.pop("data", None)
    sources = list(data_sources or ([recipe_data] if isinstance(recipe_data, str) else recipe_data or []))
    if not sources:
        raise I2IError(
            "No data was given.",
            f"Give a folder, two folders, or a name of `i2i data`, such as: i2i train {shlex.quote(recipe)} "
            f"{EXAMPLES.get(method.needs, 'images/')}",
        )

    if str(values.get("batch", "")).strip().lower() == "auto":
        values["batch"] = _auto_batch(recipe, sources, overrides or {})

    parts = _parts(method, values)
    training: TrainSettings = parts["training"]
    absolute = [str(Path(s).resolve()) if files.kind_of(s) == "folder" else s for s in sources]  # found from any folder
    settings: dict[str, Any] = {"recipe": recipe, "method": str(method_name(method)), "data": absolute}
    for part in ("method", "data", "training", "tricks"):
        settings |= dataclasses.asdict(parts[part])

    # The images, and the length of the run.
    opened = data.open(sources, parts["data"], "train", progress, cropped=True)
    split = next((s for s in ("val", "test") if s in opened.splits), None)
    palette = opened.palette.text if opened.palette else ""
    own = dataclasses.replace(parts["data"], palette=palette)
    held_out = data.open(sources, own, split, cropped=True) if split else None
    _check_memory(training, opened)
    shape = Shape(
        opened.channels_in,
        opened.channels_out,
        opened.size,
        opened.classes,
        parts["data"].scale,
        palette=palette,
        domains=opened.domains,
        label_edges=bool(palette) and parts["data"].label_edges,
    )
    name = f"{Path(title or recipe).stem}-{Path(sources[0]).name}-{time.strftime('%Y%m%d-%H%M%S')}"
    run = Run(
        recipe=recipe,
        method=method,
        config=parts["method"],
        data_settings=parts["data"],
        training=training,
        tricks=parts["tricks"],
        sources=sources,
        named=sources,
        data=opened,
        held_out=held_out,
        folder=Path(out) if out else Path("runs") / name,
        shape=shape,
        total=training.length(opened.count),
        settings=settings,
    )
    check_scored(run)
    return run


def _parts(method: type[Method], values: dict[str, Any]) -> dict[str, Any]:
    """The values of a run as its four settings: training, tricks, data, and method, the Config of `method`.

    Paths in them become absolute, so that the run is found from any folder. Changes `values`."""
    if method.needs and values.get("layout", "auto") == "auto":
        values["layout"] = method.needs
    values.setdefault("scale", method.scales[0])
    if values.get("labels") and files.kind_of(str(values["labels"])) == "file":
        values["labels"] = str(Path(str(values["labels"])).resolve())
    own = [f.name for part in (TrainSettings, TrickSettings, data.DataSettings) for f in dataclasses.fields(part)]
    check_names(method, own)
    parts = config.resolve(
        values, {"training": TrainSettings, "tricks": TrickSettings, "data": data.DataSettings, "method": method.Config}
    )
    training: TrainSettings = parts["training"]
    training.check()
    check_scale(method, parts["data"].scale)
    if training.init_from and files.kind_of(training.init_from):
        parts["training"] = dataclasses.replace(training, init_from=str(Path(training.init_from).resolve()))
    if files.kind_of(parts["data"].palette) == "file":
        parts["data"] = dataclasses.replace(parts["data"], palette=str(Path(parts["data"].palette).resolve()))
    return parts


def check_scale(method: type[Method], scale: int) -> None:
    """Raises I2IError if the method cannot make images that many times as large."""
    if scale in method.scales:
        return
    name = method_name(method)
    if len(method.scales) > 1:
        raise I2IError(
            f"scale is {scale}, which {name} cannot make.", f"Allowed: {', '.join(map(str, sorted(method.scales)))}."
        )
    others = [other for other in builtin_methods() if scale in load_method(other).scales]
    hint = f"Methods that enlarge so: {', '.join(others)}." if others else "Leave scale out."
    raise I2IError(f"scale is {scale}, but {name} makes images as large as its inputs.", hint)


def _check_memory(training: TrainSettings, opened: data.Data) -> None:
    """Raises I2IError if the images of one micro-batch alone are larger than the memory of this machine."""
    count = math.ceil(training.batch / training.accumulate / max(1, processes()))
    needed = 4.0 * count * opened.size**2 * (opened.channels_in + opened.channels_out)  # float32
    if needed > (memory := total_memory()):
        raise I2IError(
            f"The images of one step (batch {training.batch}, {opened.size} x {opened.size} pixels) need "
            f"{needed / 1e9:,.1f} GB; the memory of this machine has {memory / 1e9:,.1f} GB.",
            "Choose a smaller batch or size, or a larger accumulate.",
        )


def _auto_batch(recipe: str, sources: list[str], overrides: dict[str, Any]) -> int:
    """The number that `batch=auto` stands for here. Raises I2IError in several processes, which share one memory."""
    from i2i.training.plan import auto_batch  # the planner resolves runs

    if processes() > 1:
        raise I2IError(
            f"batch is 'auto', and {processes()} processes train together.",
            "`i2i plan RECIPE --data ...` says what fits; give --batch N.",
        )
    return auto_batch(recipe, sources, overrides)


def check_new_folder(folder: Path) -> None:
    """Raises I2IError if a new run in `folder` would touch existing files."""
    if (folder / "config.yaml").exists():
        raise I2IError(
            f"{folder} already holds a run.",
            f"Resume it with `i2i train --resume {shlex.quote(str(folder))}`, or give another --out.",
        )
    if folder.is_file():
        raise I2IError(f"{folder} is a file.", "Give a folder for --out.")
    if folder.is_dir() and any(folder.iterdir()):
        raise I2IError(f"{folder} exists and is not empty.", "Give another --out.")
