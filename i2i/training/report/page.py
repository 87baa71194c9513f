"""report.html as text: one file with everything in it, readable offline and without JavaScript."""

from __future__ import annotations

import json
import shlex
from html import escape
from pathlib import Path
from typing import Any

from i2i.core.format import format_duration, format_number
from i2i.training.report.chart import chart
from i2i.training.report.history import Curve, RunHistory
from i2i.training.report.look import SCRIPT, STYLE

# The page may load nothing: neither a text in it nor an image can make a browser ask the network.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
LESS, MORE = ("l1", "l2", "mse", "fid", "kid", "lpips"), ("psnr", "ssim", "accuracy")  # better when lower, higher


def render(
    history: RunHistory,
    *,
    recipe: str,
    settings: dict[str, Any],
    folder: Path,
    total: int,
    running: bool,
    stills: list[tuple[int, str]],
    film: str,
) -> str:
    """The page. stills: (images, data URI) in order; video: a data URI, or empty; running: the run goes on."""
    name = Path(recipe).stem
    state = "running" if running else "finished" if history.images >= total else "stopped"
    charts, data = _charts(history, max(history.images, 1))
    about = str(history.environment.get("about") or "")
    sources = settings.get("data")
    where = ", ".join(map(str, sources)) if isinstance(sources, list | tuple) else str(sources or "")
    parts = [
        f"<header><div><h1>{escape(name)}{f' <small>on {escape(where)}</small>' if where else ''}</h1>",
        f"<p>{escape(about)}</p>" if about else "",
        f'</div><span class="state {state}">{state}</span></header>',
        _tiles(history, total, state),
        _warnings(history),
        _evaluation(history),
        _samples(stills, film),
        _curves(charts),
        _commands(folder, state),
        _list("Notes", history.notes),
        _settings(settings, list(history.environment.get("changed") or [])),
        _environment(history),
    ]
    version = (history.environment.get("versions") or {}).get("i2i", "")
    foot = f"Written by i2i {version} at {_when(history.time)}. This file needs no network and no other file."
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(name)}: {history.images:,} images</title><style>{STYLE}</style></head>\n<body><main>"
        + "\n".join(p for p in parts if p)
        + f"\n<footer>{escape(foot)}</footer></main>\n"
        + f'<script type="application/json" id="data">{_json(data)}</script><script>{SCRIPT}</script></body></html>\n'
    )


def _tiles(history: RunHistory, total: int, state: str) -> str:
    share = min(1.0, history.images / max(1, total))
    speed = history.speed()
    left = ""
    if state == "running" and speed:
        left = f"about {format_duration((total - history.images) / speed)} left"
    tiles = [
        ("Images seen", f"{history.images:,}", f"of {total:,} ({share:.0%})"),
        ("Training time", format_duration(history.seconds), left or f"begun {_when(history.started)}"),
    ]
    if speed:
        tiles.append(("Speed", f"{speed:.3g}", "images a second"))
    if history.best:
        tiles.append(("Best score", f"{history.best[0]:.4g}", f"at {history.best[1]:,} images; lower is better"))
    if history.saved is not None:
        tiles.append(("Last checkpoint", f"{history.saved:,}", "images"))
    if history.environment.get("device"):
        tiles.append(("Device", str(history.environment["device"]), str(history.environment.get("precision") or "")))
    made = "".join(
        f'<div class="tile"><span>{escape(title)}</span><b>{escape(value)}</b><span>{escape(small)}</span></div>'
        for title, value, small in tiles
    )
    bar = f'<div class="bar"><div style="width:{100 * share:.2f}%"></div></div>'
    reason = f'<p class="reason">{escape(history.reason)}</p>' if history.reason and state != "running" else ""
    return f'{bar}<div class="tiles">{made}</div>{reason}'


def _warnings(history: RunHistory) -> str:
    if not history.warnings:
        return ""
    lines = "".join(
        f"<li><span>{escape(_when(time))}, {images:,} images</span> {escape(text)}</li>"
        for images, time, text in history.warnings
    )
    return f'<section class="warn"><h2>Warnings</h2><ul>{lines}</ul></section>'


def _list(title: str, lines: list[str]) -> str:
    made = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<section><h2>{title}</h2><ul>{made}</ul></section>" if lines else ""


def _evaluation(history: RunHistory) -> str:
    """The table of metrics: a row for the model and for each baseline; the best value of a metric is bold."""
    if not history.evaluation:
        return ""
    images, rows = history.evaluation
    metrics = list(dict.fromkeys(m for row in rows.values() for m in row))
    best = {}
    for metric in metrics:
        values = [row[metric] for row in rows.values() if isinstance(row.get(metric), int | float)]
        if values and metric.lower() in LESS + MORE and len(rows) > 1:
            best[metric] = min(values) if metric.lower() in LESS else max(values)
    arrow = {**dict.fromkeys(LESS, " (lower is better)"), **dict.fromkeys(MORE, " (higher is better)")}
    head = "".join(f"<th>{escape(m)}<small>{arrow.get(m.lower(), '')}</small></th>" for m in metrics)
    body = ""
    for title, row in rows.items():
        cells = ""
        for metric in metrics:
            value = row.get(metric)
            text = f"{value:.4g}" if isinstance(value, int | float) else escape(str(value or "–"))
            cells += f"<td>{f'<b>{text}</b>' if metric in best and value == best[metric] else text}</td>"
        body += f"<tr><th>{escape(str(title))}</th>{cells}</tr>"
    return (
        f"<section><h2>Evaluation <small>at {images:,} images</small></h2>"
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _samples(stills: list[tuple[int, str]], film: str) -> str:
    if not stills:
        return ""
    shots = "".join(
        f'<figure><img src="{uri}" alt="Samples after {n:,} images"><figcaption>{n:,} images</figcaption></figure>'
        for n, uri in stills
    )
    scrub = (
        '<div class="scrub" hidden><button type="button" aria-label="Play">&#9654;</button>'
        f'<input type="range" min="0" max="{len(stills) - 1}" value="{len(stills) - 1}" aria-label="Time">'
        "<output></output></div>"
    )
    movie = ""
    if film:
        movie = (
            "<details><summary>Video of the run (an animated GIF to save or to share)</summary>"
            f'<img src="{film}" alt="The samples over time, animated"></details>'
        )
    return (
        "<section><h2>Samples <small>the same images through time</small></h2>"
        f'<div class="shots" tabindex="0">{shots}</div>{scrub}{movie}</section>'
    )


def _charts(history: RunHistory, end: int) -> tuple[list[str], dict[str, Any]]:
    """Drawings of all curves, and their data by name."""
    owners = list(dict.fromkeys(n.rpartition("/")[0] for n in history.curves if _is_loss(n)))
    todo: list[tuple[str, Curve, int]] = []
    for name, curve in history.curves.items():
        if _is_loss(name):
            todo.append((name.replace("/", ": ", 1), curve, owners.index(name.rpartition("/")[0])))
    if "score" in history.curves:
        todo.append(("validation score", history.curves["score"], 3))
    rates: dict[str, list[str]] = {}
    for name, curve in history.curves.items():
        if name.startswith("rate/"):
            rates.setdefault(repr(curve.points), []).append(name)
    for names in rates.values():
        title = "learning rate" + (f" {', '.join(n.removeprefix('rate/') for n in names)}" if len(rates) > 1 else "")
        todo.append((title, history.curves[names[0]], 4))
    if "images/s" in history.curves:
        todo.append(("images/s", history.curves["images/s"], 5))
    made, data = [], {}
    for i, (title, curve, colour) in enumerate(t for t in todo if t[1].points):
        html, numbers = chart(f"chart{i}", title, curve, end, colour, history.resumed)
        made.append(html)
        data[f"chart{i}"] = numbers
    return made, data


def _is_loss(name: str) -> bool:
    return name not in ("score", "images/s") and not name.startswith("rate/")


def _curves(charts: list[str]) -> str:
    if not charts:
        return ""
    return (
        "<section><h2>Curves <small>over the images seen; the last value at the right</small></h2>"
        '<input type="checkbox" id="log"><label for="log">logarithmic scale</label>'
        f'<div class="charts">{"".join(charts)}</div></section>'
    )


def _commands(folder: Path, state: str) -> str:
    place = shlex.quote(str(folder))
    lines = [("Translate an image with this model", f"i2i translate photo.jpg --model {place}")]
    if state != "finished":
        lines.insert(0, ("Go on with this run", f"i2i train --resume {place}"))
    made = "".join(
        f'<p>{escape(title)}</p><div class="command"><code>{escape(line)}</code>'
        '<button type="button" hidden>copy</button></div>'
        for title, line in lines
    )
    return f"<section><h2>What next</h2>{made}</section>"


def _settings(settings: dict[str, Any], changed: list[str]) -> str:
    if not settings:
        return ""
    legend = " <small>marked: not the method's default</small>" if changed else ""
    return f"<section><h2>Settings{legend}</h2>{_table(settings, changed)}</section>"


def _environment(history: RunHistory) -> str:
    facts = {k: v for k, v in history.environment.items() if k not in ("about", "changed", "versions")}
    facts |= {"begun": _when(history.started), "last change": _when(history.time)}
    if history.resumed:
        facts["resumed at"] = ", ".join(f"{n:,}" for n in history.resumed) + " images"
    versions = history.environment.get("versions") or {}
    made = f"<section><h2>Where and when</h2>{_table(facts)}</section>"
    return made + (f"<section><h2>Versions</h2>{_table(versions)}</section>" if versions else "")


def _table(values: dict[str, Any], marked: list[str] | None = None) -> str:
    mark = ' class="marked"'
    rows = "".join(
        f"<div{mark if key in (marked or []) else ''}><dt>{escape(str(key))}</dt><dd>{escape(_words(value))}</dd></div>"
        for key, value in values.items()
    )
    return f"<dl>{rows}</dl>"


def _words(value: Any) -> str:
    """A setting in a person's words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "" or value == [] or value == ():
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_words(v)}" for k, v in value.items())
    return format_number(value) if isinstance(value, float) else str(value)


def _when(stamp: str) -> str:
    """2026-11-25T02:54:20.123Z as 2026-11-25 02:54 UTC."""
    return f"{stamp[:10]} {stamp[11:16]} UTC" if len(stamp) > 16 else stamp


def _json(data: Any) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
