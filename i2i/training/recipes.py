"""Recipes by name: a method and the settings that differ from their defaults.

A recipe is `recipes/NAME.yaml`, or any other .yaml file by its path. Its opening comment has the command, the paper and
the expected numbers. The name of a method is a recipe, too: that of the method's defaults.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from i2i.core import resources
from i2i.core.errors import I2IError
from i2i.core.files import kind_of
from i2i.core.reading import has_form, read_text, read_yaml
from i2i.core.suggest import did_you_mean, same_name, similar
from i2i.methods import builtin_methods, load_method, method_names

LAYOUTS = {  # of the images that a method needs, in a user's words
    "paired": "For pairs of images",
    "unpaired": "For two piles of images without pairs",
    "images": "For one pile of images, to make new ones like them",
    "labelled": "For one folder per class, to make new images of a class",
    "attributes": "For images with attributes or classes, to translate between all of them",
}


def recipes() -> list[str]:
    """Names of all recipes, sorted: those of the shipped files and of all methods."""
    return sorted({p.stem for p in resources.shipped("recipes").glob("*.yaml")} | set(method_names()))


def canonical(name: str) -> str:
    """The recipe's own name for a name in any case, with - or _; a path, or an unknown name, stays as it is."""
    if name.endswith((".yaml", ".yml", ".py")):
        return name
    return same_name(name, recipes()) or name


def by_layout() -> dict[str, list[str]]:
    """The names of the methods by the layout of the images that they need: paired, unpaired, images, labelled."""
    groups: dict[str, list[str]] = {}
    for name in method_names():
        with contextlib.suppress(I2IError):  # an installed method may be broken
            groups.setdefault(load_method(name).needs or "images", []).append(name)
    return groups


def recipe(name: str) -> dict[str, Any]:
    """The settings of a recipe, its "method" and, if it has one, its "data".

    name: of a recipe or method, or a path to a .yaml or .py file. Raises I2IError if there is none of that name, or if
    the file is not a recipe."""
    name = canonical(name)
    path = _recipe_file(name)
    if path is None:
        return {"method": name}
    values: dict[str, Any] = read_yaml(path)
    data = values.get("data", "") if isinstance(values, dict) else ""
    if not has_form(values, {str: object, "method": str}) or not (has_form(data, str | None) or has_form(data, [str])):
        raise I2IError(f"{path} is not a recipe.", "A recipe has a line `method: NAME` and lines `setting: value`.")
    if values["method"].endswith(".py"):  # the path is relative to the recipe's folder
        values["method"] = str(path.parent / values["method"])
    return values


def about(name: str) -> str:
    """The opening comment of a recipe; for a method, the docstring of its file. Raises I2IError as `recipe` does."""
    name = canonical(name)
    path = _recipe_file(name)
    if path is None:
        return _docstring(name)
    lines = []
    for line in read_text(path).splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines).strip()


def _docstring(name: str) -> str:
    """The docstring of a method's file, read without running the file where its path is known."""
    source: Path | None = Path(name) if name.endswith(".py") else None
    if name in builtin_methods():
        source = Path(importlib.import_module("i2i.methods").__path__[0]) / f"{name}.py"
    if source is None:
        return (sys.modules[load_method(name).__module__].__doc__ or "").strip()
    try:
        return (ast.get_docstring(ast.parse(read_text(source))) or "").strip()
    except (SyntaxError, ValueError, RecursionError) as error:
        raise I2IError(f"{source} cannot be read: {error}.", "Correct the syntax of the file.") from error


def _recipe_file(name: str) -> Path | None:
    """The .yaml file of a recipe; None if `name` is a method or its file. Raises I2IError if there is neither."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if kind_of(path) != "file":
            raise I2IError(f"There is no file {path}.", "Give a recipe's file, or a name of `i2i recipes`.")
        return path
    if name.endswith(".py"):
        if kind_of(name) != "file":
            raise I2IError(f"There is no file {name}.", "Give a method's file, or a name of `i2i recipes`.")
        return None
    path = resources.shipped("recipes") / f"{name}.yaml"
    if kind_of(path) == "file":
        return path
    if name in method_names():
        return None
    raise I2IError(f"There is no recipe {name!r}.", _hint(name))


def _hint(name: str) -> str:
    """What to do about an unknown recipe: the names that are near, or else the methods by what they need."""
    near = did_you_mean(similar(name, recipes()))
    if near:
        return near
    groups = by_layout()
    parts = [f"{title}: {', '.join(groups[layout])}" for layout, title in LAYOUTS.items() if layout in groups]
    return f"{'. '.join(parts)}. `i2i recipes` lists all."
