"""`i2i methods`: the training methods, and a file to start one of your own from."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from i2i.cli.group import add_group
from i2i.cli.output import echo, format_value, print_json, print_table

if TYPE_CHECKING:
    from i2i.methods import Method

LAYOUTS = {
    "paired": "pairs of images",
    "unpaired": "two folders of images",
    "images": "a folder of images",
    "labelled": "a folder of images for each class",
    "attributes": "images with attributes, or a folder for each class",
}


def register(app: typer.Typer) -> None:
    """Adds `i2i methods` to the program."""
    group = add_group(app, "methods", _bare, show=show, new=new)
    group.command(name="list")(list_methods)


def _bare(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the training methods; `i2i methods new NAME` starts one of your own."""
    if not context.invoked_subcommand:
        list_methods(as_json)


def list_methods(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed methods, with the paper of each and the data that it needs."""
    from i2i.core.errors import I2IError
    from i2i.methods import builtin_methods, load_method, method_names

    builtin, rows = builtin_methods(), []
    for name in method_names():
        source = "i2i" if name in builtin else "entry point"
        try:
            rows.append({**_facts(name, load_method(name)), "source": source})
        except I2IError as error:  # a broken package must not hide the other methods
            rows.append({"name": name, "paper": "", "needs": "", "about": str(error), "source": source})
    if as_json:
        print_json(rows)
        return
    print_table(
        [(r["name"], r["paper"], LAYOUTS.get(r["needs"], ""), r["about"]) for r in rows],
        ["method", "paper", "data", "about"],
    )


def show(
    name: Annotated[str, typer.Argument(help="A name of `i2i methods list`, or the path of a method's .py file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a method does, the data that it needs, and each of its settings. A .py file is run for that."""
    from i2i.core import config
    from i2i.methods import load_method

    kind = load_method(name)
    facts, settings = _facts(name, kind), config.settings(kind.Config)
    if as_json:
        listed = [vars(s) for s in settings]
        print_json({**facts, "saved": list(kind.averaged), "doc": _documentation(kind), "settings": listed})
        return
    echo(_documentation(kind))
    echo(f"\nData: {LAYOUTS.get(kind.needs, kind.needs)} (layout {kind.needs})")
    echo(f"Networks in a saved model: {', '.join(kind.averaged)}")
    echo("\nSettings and their defaults, each changed by --set KEY=VALUE")
    print_table([(f"  {s.name}", format_value(s.default), s.comment or s.type) for s in settings])


def new(
    name: Annotated[str, typer.Argument(help="Name of the method: small letters, digits and underscores.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the two files.")] = Path("."),
) -> None:
    """Write NAME.py, a small method for pairs that trains, and test_NAME.py, its test.

    \b
    Example:
      i2i methods new mine
      i2i train mine.py --data maps --dry-run
    """
    from i2i.core.errors import I2IError
    from i2i.core.files import atomic_write

    folder = importlib.import_module("i2i.methods").__path__[0]
    files = {output / f"{name}.py": "_template.py", output / f"test_{name}.py": "_template_test.txt"}
    for path in files:
        if path.exists():
            raise I2IError(f"{path} exists already.", "Choose another name, or another folder with --output.")
    _check_name(name)
    class_name = "".join(part.capitalize() for part in name.split("_"))
    for path, template in files.items():
        text = (Path(folder) / template).read_text(encoding="utf-8")
        text = text.replace("Template", class_name).replace("template", name)
        with atomic_write(path) as file:
            file.write(text.encode())
    method, test = (shlex.quote(str(path)) for path in files)
    echo(f"Wrote {method} and {test}.")
    echo(f"Check it:  i2i train {method} --data FOLDER --dry-run")
    echo(f"Train it:  i2i train {method} --data FOLDER")
    echo(f"Test it:   python -m pytest {test}")


def _check_name(name: str) -> None:
    """Raises I2IError for a name that no method's file can have."""
    from i2i.core.errors import I2IError
    from i2i.training import recipes

    hint = "Choose a name such as my_method."
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise I2IError(
            f"{name!r} cannot be the name of a method: it must be a word of small letters, digits and _.", hint
        )
    if name in recipes.recipes():
        raise I2IError(f"A recipe or method of i2i is called {name!r} already.", hint)
    spec = importlib.util.find_spec(name)
    if spec is not None and Path(spec.origin or ".").parent != Path.cwd():
        raise I2IError(f"An installed Python module is called {name!r}, which {name}.py would hide.", hint)


def _facts(name: str, kind: type[Method]) -> dict[str, Any]:
    text = _documentation(kind)
    paper = re.search(r"arXiv[:\s]*(\d{4}\.\d{4,5})", text)
    about = text.split("\n")[0].rstrip(".")
    return {
        "name": name,
        "paper": f"arXiv {paper[1]}" if paper else "",
        "needs": kind.needs,
        "about": about,
    }


def _documentation(kind: type[Method]) -> str:
    """The docstring of a method's file, or of its class."""
    return (sys.modules[kind.__module__].__doc__ or kind.__doc__ or "").strip()
