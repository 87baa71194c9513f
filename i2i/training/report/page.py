"""report.html: fills the template with what the history of a run holds.

report.html.j2, report.css and report.js lie beside this file. The page is one file that is readable offline and
without JavaScript.
"""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from i2i.core.format import format_duration, format_number
from i2i.core.reading import has_form
from i2i.inference.metric_choice import has_best, higher_is_better, title
from i2i.methods._terms import note_of
from i2i.models.use import use_of_run
from i2i.training.report.chart import FRAME, Chart, chart
from i2i.training.report.history import RunHistory

SCORE_COLOR, RATE_COLOR, SPEED_COLOR = 3, 4, 5  # colors of report.css; losses have one per optimizer
NO_LOSSES = ("score", "images/s")  # curves that are neither losses nor learning rates
FOLDER = Path(__file__).parent


class Tile(NamedTuple):
    """A number at the head of the page."""

    title: str
    value: str
    note: str


class Cell(NamedTuple):
    """A value in the table of metrics."""

    text: str
    best: bool


class Setting(NamedTuple):
    """A line of a list of settings or facts."""

    name: str
    value: str
    marked: bool = False


def render(
    history: RunHistory,
    *,
    recipe: str,
    settings: dict[str, Any],
    folder: Path,
    total: int,
    running: bool,
    stills: list[tuple[int, str]],
    animation: str,
) -> str:
    """Returns the page as text.

    total: images of the whole run; running: the run is not over; stills: (images seen, data URI) of sample grids in
    order; animation: data URI of a GIF of them, or empty."""
    state = "running" if running else "finished" if history.images >= total else "stopped"
    changed = list(history.environment.get("changed") or [])
    charts = _charts(history)
    return _template().render(
        css=Markup((FOLDER / "report.css").read_text(encoding="utf-8")),
        js=Markup((FOLDER / "report.js").read_text(encoding="utf-8")),
        script_data={"frame": FRAME, "charts": {c.id: c.data for c in charts}},
        frame=FRAME,
        name=Path(recipe).stem,
        data=_data_names(settings),
        about=str(history.environment.get("about") or ""),
        images=f"{history.images:,}",
        state=state,
        progress=f"{100 * min(1.0, history.images / max(1, total)):.2f}",
        tiles=_tiles(history, total, state),
        reason="" if state == "running" else history.reason,
        warnings=[(format_time(time), f"{images:,}", text) for images, time, text in history.warnings],
        doctor=_doctor(history, folder),
        evaluation=_evaluation(history),
        stills=[(f"{images:,}", uri) for images, uri in stills],
        animation=animation,
        charts=charts,
        commands=_commands(folder, state),
        notes=history.notes,
        changed=changed,
        settings=_settings(settings, changed),
        environment=_environment(history),
        versions=_settings(history.environment.get("versions") or {}),
        version=(history.environment.get("versions") or {}).get("i2i", ""),
        written=format_time(history.time),
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template("report.html.j2")


def _data_names(settings: dict[str, Any]) -> str:
    """The names of the data, of a path only its last part, so that the report shows no folders of the disk."""
    sources = settings.get("data")
    names = sources if isinstance(sources, list | tuple) else [sources] if sources else []
    return ", ".join(Path(str(name)).name or str(name) for name in names)


def _tiles(history: RunHistory, total: int, state: str) -> list[Tile]:
    share = min(1.0, history.images / max(1, total))
    speed = history.speed()
    time_note = f"started {format_time(history.started)}"
    if state == "running" and speed:
        time_note = f"about {format_duration((total - history.images) / speed)} left"
    tiles = [
        Tile("Images seen", f"{history.images:,}", f"of {total:,} ({share:.0%})"),
        Tile("Training time", format_duration(history.seconds), time_note),
    ]
    if speed and state == "running":
        tiles.append(Tile("Speed", f"{speed:.3g}", "images a second"))
    elif history.images and history.seconds:
        tiles.append(Tile("Speed", f"{history.mean_speed():.3g}", "images a second, saving included"))
    if history.best:
        score, images = history.best
        tiles.append(
            Tile("Best score", f"{score:.4g}", f"{title(history.metric)} at {images:,} images; lower is better")
        )
    if history.saved is not None:
        tiles.append(Tile("Last checkpoint", f"{history.saved:,}", "images"))
    if history.environment.get("device"):
        precision = str(history.environment.get("precision") or "")
        tiles.append(Tile("Device", str(history.environment["device"]), precision))
    return tiles


def _doctor(history: RunHistory, folder: Path) -> dict[str, Any] | None:
    """Returns what the doctor says of the run: its signs, in the order in which they were found; None without it."""
    from i2i.training.doctor.table import SIGNS  # the doctor stands before a report, and this is a part of one

    if not history.checks and not history.signs:
        return None
    signs = [
        {"name": name, "about": SIGNS.get(name, ""), "images": f"{sign.images:,}", "time": format_time(sign.time),
         "text": sign.text, "remedy": sign.remedy}
        for name, sign in history.signs.items()
    ]  # fmt: skip
    suspects = [f"{name} ({SIGNS[name]})" for name in history.suspects if name in SIGNS and name not in history.signs]
    command = shlex.join(["i2i", "doctor", str(folder)])
    return {
        "signs": signs,
        "checks": history.checks,
        "suspects": suspects,
        "watched": len(SIGNS),
        "command": command,
    }


def _evaluation(history: RunHistory) -> dict[str, Any] | None:
    """Returns the table of metrics: a row for the model and for each baseline, the best value of a metric marked."""
    if not history.evaluation:
        return None
    images, rows = history.evaluation
    metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    best = {}
    for metric in metrics:
        values = [row[metric] for row in rows.values() if isinstance(row.get(metric), int | float)]
        if values and len(rows) > 1 and has_best(metric):
            best[metric] = max(values) if higher_is_better(metric) else min(values)

    def cell(metric: str, value: Any) -> Cell:
        text = f"{value:.4g}" if isinstance(value, int | float) else str(value or "–")
        return Cell(text, best=metric in best and value == best[metric])

    def direction(metric: str) -> str:
        return f"{'higher' if higher_is_better(metric) else 'lower'} is better" if has_best(metric) else ""

    return {
        "images": f"{images:,}",
        "metrics": [(metric, direction(metric)) for metric in metrics],
        "rows": [(name, [cell(metric, row.get(metric)) for metric in metrics]) for name, row in rows.items()],
    }


def _charts(history: RunHistory) -> list[Chart]:
    """Returns the charts of losses (a color per optimizer), score, learning rates and speed, each with its meaning."""
    own = history.environment.get("terms")
    own = own if has_form(own, {str: str}) else {}
    losses = [name for name in history.curves if name not in NO_LOSSES and not name.startswith("rate/")]
    owners = list(dict.fromkeys(name.rpartition("/")[0] for name in losses))
    curves: list[tuple[str, str, int]] = [
        (name.replace("/", ": ", 1), name, owners.index(name.rpartition("/")[0])) for name in losses
    ]
    if "score" in history.curves:
        curves.append(("validation score", "score", SCORE_COLOR))

    # Optimizers with the same learning rates share a chart.
    rates: dict[str, list[str]] = {}
    for name, curve in history.curves.items():
        if name.startswith("rate/"):
            rates.setdefault(repr(curve.points), []).append(name)
    for names in rates.values():
        optimizers = ", ".join(name.removeprefix("rate/") for name in names) if len(rates) > 1 else ""
        curves.append((f"learning rate {optimizers}".strip(), names[0], RATE_COLOR))
    if "images/s" in history.curves:
        curves.append(("images/s", "images/s", SPEED_COLOR))
    drawn = [(title, name, color) for title, name, color in curves if history.curves[name].points]
    end = max(history.images, 1)
    return [
        chart(f"chart{i}", title, history.curves[name], end, color, history.resumed, note_of(name, own))
        for i, (title, name, color) in enumerate(drawn)
    ]


def _commands(folder: Path, state: str) -> list[tuple[str, str]]:
    """Returns (what it does, command) of what can be done next."""
    commands = (
        [] if state == "finished" else [("Continue this run", shlex.join(["i2i", "train", "--resume", str(folder)]))]
    )
    use = use_of_run(folder)
    if use is not None:
        generates = use.startswith("i2i generate")
        commands.append(("Make images with this model" if generates else "Translate an image with this model", use))
    return commands


def _environment(history: RunHistory) -> list[Setting]:
    facts = {k: v for k, v in history.environment.items() if k not in ("about", "changed", "versions", "terms")}
    facts |= {"started": format_time(history.started), "last change": format_time(history.time)}
    if history.resumed:
        facts["resumed at"] = ", ".join(f"{images:,}" for images in history.resumed) + " images"
    return _settings(facts)


def _settings(values: dict[str, Any], marked: list[str] | None = None) -> list[Setting]:
    return [Setting(str(name), format_setting(value), name in (marked or [])) for name, value in values.items()]


def format_setting(value: Any) -> str:
    """Formats a setting for people: yes, no, – for nothing, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "" or value == [] or value == ():
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_setting, value))
    if isinstance(value, dict):
        return ", ".join(f"{k}: {format_setting(v)}" for k, v in value.items())
    return format_number(value) if isinstance(value, float) else str(value)


def format_time(stamp: str) -> str:
    """Formats 2026-11-25T02:54:20.123Z as 2026-11-25 02:54 UTC."""
    return f"{stamp[:10]} {stamp[11:16]} UTC" if len(stamp) > 16 else stamp
