"""`i2i recipes`: what can be trained, and with which settings."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from i2i.cli.group import add_group
from i2i.cli.output import format_value, print_json, print_table


def register(app: typer.Typer) -> None:
    """Adds `i2i recipes` to the program."""
    add_group(app, "recipes", _list, show=show)


def _list(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the recipes; `i2i recipes show NAME` explains one."""
    if context.invoked_subcommand:
        return
    from i2i.training import recipes

    rows = []
    for name in recipes.recipes():
        values = recipes.recipe(name)
        about = recipes.about(name)
        paper = _paper(about) or _paper(recipes.about(str(values["method"])))
        rows.append((name, str(values["method"]), paper, about.split("\n")[0].rstrip(".")))
    if as_json:
        print_json([dict(zip(("name", "method", "paper", "about"), row)) for row in rows])
        return
    print_table(rows, ["recipe", "method", "paper", "about"])


def _paper(text: str) -> str:
    """The first paper that a text names by its number."""
    found = re.search(r"arXiv[:\s]*(\d{4}\.\d{4,5})", text)
    return f"arXiv {found[1]}" if found else ""


def show(
    name: Annotated[str, typer.Argument(help="A recipe or method, or the path of a .yaml or .py file.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print a recipe: its command and paper, and every setting with its meaning."""
    from i2i.core import config
    from i2i.data import DataSettings
    from i2i.methods import load_method
    from i2i.training import recipes
    from i2i.training.settings import TrainSettings
    from i2i.training.tricks import TrickSettings

    values = recipes.recipe(name)
    method = load_method(str(values["method"]))
    about = recipes.about(name)
    parts = {"data": DataSettings, "training": TrainSettings, "tricks": TrickSettings, "method": method.Config}
    given = {k: v for k, v in values.items() if k not in ("method", "data")}
    config.resolve(given, parts)  # a recipe with an unknown setting is refused here as in training
    settings = {title: config.settings(parts[title]) for title in ("method", "data", "training", "tricks")}
    if as_json:
        listed: list[dict[str, Any]] = [
            {**vars(s), "part": title, "value": given.get(s.name, s.default)}
            for title, ss in settings.items()
            for s in ss
        ]
        print_json({"name": name, **values, "about": about, "settings": listed})
        return
    typer.echo(about)
    doc = (sys.modules[method.__module__].__doc__ or "").strip()
    if doc != about:
        typer.echo(f"\nMethod {values['method']}: {doc}")
    typer.echo(
        f"\nneeds data of layout: {method.needs}" + (f"; by default {values['data']}" if "data" in values else "")
    )
    typer.echo("settings (* differs from the method's default), each reached by --set KEY=VALUE")
    for title, found in settings.items():
        typer.echo(f"\n{title}")
        print_table(
            [
                [
                    f"{'*' if s.name in given else ' '} {s.name}",
                    format_value(given.get(s.name, s.default)),
                    s.comment or s.type,
                ]
                for s in found
            ]
        )
