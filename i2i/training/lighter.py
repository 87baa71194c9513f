"""A lighter form of a run that would take too long: a command that works, with the time that it takes."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import Any

from i2i.core.errors import I2IError
from i2i.training import recipes
from i2i.training.estimate import Estimate, estimate
from i2i.training.resolve import resolve_run
from i2i.training.run import Run

DAY = 86_400.0
EASY = 3 * 3600.0  # seconds: a form that takes less is light enough
SMALLEST, NARROWEST = 64, 16  # side in pixels and channels, under which results are poor


@dataclass(frozen=True)
class Lighter:
    """A lighter form of a run."""

    command: str
    seconds: float  # of the whole run
    measured: bool


def lighter(run: Run, estimated: Estimate, budget: float, easy: float | None = None) -> Lighter | None:
    """The first lighter form of `run` that takes less than `easy` seconds (default EASY), or else the lightest; None if
    there is none.

    estimated: of the run. budget: seconds for measuring the lighter form. The method's recipe for a laptop comes first,
    if there is one; then images of half the size, and networks of half the width."""
    if estimated.seconds is None or estimated.cost is None or run.training.init_from:  # whose networks fix the width
        return None
    best: tuple[float, Run] | None = None
    for recipe, settings in _candidates(run):
        form = _form(run, recipe, settings)
        if form is None:
            continue
        rough = estimate(form, 0)
        if rough.cost is None:
            continue
        work, whole = rough.cost.step * rough.cost.mean * rough.steps, estimated.cost.step * estimated.cost.mean
        seconds = estimated.seconds * work / max(1.0, whole * estimated.steps)
        if best is None or seconds < best[0]:
            best = (seconds, form)
        if seconds < (easy or EASY) or (recipe != run.recipe and seconds < DAY):  # a recipe for a laptop was tried
            break
    if best is None or best[0] > estimated.seconds / 2:
        return None
    seconds, form = best
    timed = estimate(form, budget)
    measured = timed.seconds is not None and timed.source == "measured"
    return Lighter(command_of(form), timed.seconds if timed.seconds is not None else seconds, measured)


def _candidates(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """(recipe, settings) of lighter forms, the one nearest to the run first."""
    forms: list[tuple[str, dict[str, Any]]] = []
    light = f"{run.settings['method']}_light"
    if light in recipes.recipes() and run.recipe != light:
        forms.append((light, {}))
    changed = changed_settings(run)
    size, width = run.shape.size, getattr(run.config, "width", 0)
    half = {"size": size // 2} if size // 2 >= SMALLEST else {}
    quarter = {"size": size // 4} if size // 4 >= SMALLEST else {}
    narrow = {"width": width // 2} if isinstance(width, int) and width // 2 >= NARROWEST else {}
    for settings in (half, half | narrow, quarter | narrow):
        if settings and (run.recipe, changed | settings) not in forms:
            forms.append((run.recipe, changed | settings))
    return forms


def _form(run: Run, recipe: str, settings: dict[str, Any]) -> Run | None:
    """The run of a recipe with other settings, on the same data and device; None if it cannot be."""
    if "load" in settings and "size" in settings:
        settings = {k: v for k, v in settings.items() if k != "load"}
    same = {"device": run.training.device, "workers": run.data_settings.workers}
    try:
        return resolve_run(recipe, run.sources, None, {**same, **settings})
    except I2IError:
        return None


def changed_settings(run: Run) -> dict[str, Any]:
    """The settings in which a run differs from its recipe."""
    try:
        recipe = recipes.recipe(run.recipe)
    except I2IError:
        return {}
    values: dict[str, Any] = {}
    for part in (run.config, run.data_settings, run.training, run.tricks):
        for f in dataclasses.fields(part):
            value = getattr(part, f.name)
            default = recipe.get(f.name, f.default)
            if value != default and str(value) != str(default) and f.name != "layout":
                values[f.name] = value
    return values


def command_of(run: Run) -> str:
    """The command that starts a run: `i2i train RECIPE --data ... --size ... --set ...`."""
    words = ["i2i", "train", run.recipe, "--data", *run.named]
    options = ("size", "epochs", "images", "batch", "direction", "precision", "device", "seed", "workers")
    for name, value in changed_settings(run).items():
        text = _text(value)
        words += [f"--{name}", text] if name in options else ["--set", f"{name}={text}"]
    return shlex.join(words)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ",".join(map(_text, value))
    return "none" if value is None else str(value).removesuffix(".0")
