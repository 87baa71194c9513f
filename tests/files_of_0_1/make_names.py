"""Writes names.json: every setting with its default, and every option of every command, of the i2i on the path."""

import json

import typer
from i2i.craft import Craft
from i2i.plan import Plan

from i2i import config, registry
from i2i.cli import program
from i2i.data import Spec


def plain(value):
    return list(value) if isinstance(value, tuple) else value


def listed(part):
    return {s.name: plain(s.default) for s in config.settings(part)}


settings = {name: listed(registry.method(name).Config) for name in registry.methods()}
settings |= {"data": listed(Spec), "training": listed(Plan), "tricks": listed(Craft)}


def options(command, path=()):
    found = {
        " ".join(path): sorted(o for p in command.params for o in [*p.opts, *p.secondary_opts] if o.startswith("-"))
    }
    for name, sub in getattr(command, "commands", {}).items():
        found |= options(sub, (*path, name))
    return found


recipes = {name: registry.recipe(name) for name in registry.recipes()}
print(
    json.dumps(
        {"settings": settings, "options": options(typer.main.get_command(program())), "recipes": recipes},
        indent=1,
        default=plain,
    )
)
