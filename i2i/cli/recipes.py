"""`i2i recipes`: what can be trained, and with which settings."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from i2i.cli.group import add_group
from i2i.cli.output import echo, format_value, print_json, print_table

TITLES = {
    "method": "settings of the method",
    "data": "settings of the data",
    "training": "settings of training",
    "tricks": "settings of the GAN tricks",
}


def register(app: typer.Typer) -> None:
    """Adds `i2i recipes` to the program."""
    add_group(app, "recipes", _list, show=show)


def _list(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes. `i2i recipes show NAME` explains one."""
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
    """The first arXiv number in a text, as "arXiv NUMBER"; empty if there is none."""
    match = re.search(r"arXiv[:\s]*(\d{4}\.\d{4,5})", text)
    return f"arXiv {match[1]}" if match else ""


def show(
    name: Annotated[str, typer.Argument(help="A name of `i2i recipes`, or the path of a .yaml or .py file.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Run the Python file that a .yaml file names as its method.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a recipe: its command, its paper, and all settings with their meaning. A .py file is run for that."""
    from i2i.core import config, user_code
    from i2i.data import DataSettings
    from i2i.methods import load_method
    from i2i.training import recipes
    from i2i.training.settings import TrainSettings
    from i2i.training.tricks import TrickSettings

    values = recipes.recipe(name)
    with nullcontext() if trust else user_code.only_showing([name]):
        method = load_method(str(values["method"]))
    about = recipes.about(name)
    parts = {"data": DataSettings, "training": TrainSettings, "tricks": TrickSettings, "method": method.Config}
    changed = {k: v for k, v in values.items() if k not in ("method", "data")}
    config.resolve(changed, parts)  # refuses an unknown setting of the recipe, as training does
    settings = {title: config.settings(parts[title]) for title in ("method", "data", "training", "tricks")}
    if as_json:
        listed: list[dict[str, Any]] = [
            {**vars(setting), "part": title, "value": changed.get(setting.name, setting.default)}
            for title, part in settings.items()
            for setting in part
        ]
        print_json({"name": name, **values, "about": about, "settings": listed})
        return

    # The recipe and its method, then a table of settings for each part.
    echo(about)
    documentation = (sys.modules[method.__module__].__doc__ or "").strip()
    if documentation != about:
        echo(f"\nMethod {values['method']}: {documentation}")
    default_data = f"; default: {values['data']}" if "data" in values else ""
    echo(f"\nlayout of the data: {method.needs}{default_data}")
    echo("settings (* differs from the method's default); change them with --set KEY=VALUE")
    for title, part in settings.items():
        echo(f"\n{TITLES[title]}")
        rows = []
        for setting in part:
            mark = "*" if setting.name in changed else " "
            value = format_value(changed.get(setting.name, setting.default))
            rows.append([f"{mark} {setting.name}", value, setting.comment or setting.type])
        print_table(rows)
