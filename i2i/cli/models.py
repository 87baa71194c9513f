"""`i2i models`: the published models that `--model NAME` fetches."""

from __future__ import annotations

from typing import Annotated

import typer

from i2i.cli import say


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    group = typer.Typer(help=_list.__doc__, invoke_without_command=True)
    group.callback()(_list)
    group.command(name="show")(show)
    app.add_typer(group, name="models")


def _list(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the published models; they are fetched on first use, once."""
    if context.invoked_subcommand:
        return
    from i2i import zoo

    cards = [zoo.card(name) for name in zoo.names()]
    if as_json:
        say.machine([{**vars(c), "here": _here(c.name)} for c in cards])
        return
    say.table(
        [(c.name, f"{c.reads} -> {c.makes}", "yes" if _here(c.name) else "no") for c in cards],
        ["model", "translates", "here"],
    )


def show(
    name: Annotated[str, typer.Argument(help="A name of `i2i models`, a run's folder, or a model's file.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print what is known of a model: its network, data, terms, and where it comes from."""
    from pathlib import Path

    from i2i import zoo

    if Path(name).exists():
        from i2i import bundle
        from i2i.translator import find

        facts = {"file": str(find(name)), **bundle.read_header(find(name))}
    else:
        card = zoo.card(name)
        facts = {**vars(card), "addresses": list(card.addresses), "here": _here(name)}
        facts.pop("path")
    if as_json:
        say.machine(facts)
        return
    say.table([(k, v) for k, v in facts.items() if v not in ("", None)])


def _here(name: str) -> bool:
    from i2i import zoo

    return (zoo.cache() / f"{name}.safetensors").is_file()
