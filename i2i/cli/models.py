"""`i2i models`: the models that `--model NAME` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from i2i.cli import hub
from i2i.cli.group import add_group
from i2i.cli.output import print_json, print_table


def register(app: typer.Typer) -> None:
    """Adds `i2i models` to the program."""
    hub.add(add_group(app, "models", _list, show=show, pack=pack))


def _list(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the models by name: shipped ones, and published ones, which are fetched on first use, once."""
    if context.invoked_subcommand:
        return
    from i2i.models import zoo

    cards = [zoo.card(name) for name in zoo.names()]
    if as_json:
        print_json([{**vars(c), "here": _here(c.name)} for c in cards])
        return
    print_table(
        [(c.name, f"{c.reads} -> {c.makes}", "yes" if _here(c.name) else "no") for c in cards],
        ["model", "translates", "here"],
    )


def show(
    name: Annotated[str, typer.Argument(help="A name of `i2i models`, a run's folder, or a model's file.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print what is known of a model: its network, data, terms, and where it comes from."""
    from i2i.models import zoo

    if Path(name).exists():
        from i2i.models import format as model_file
        from i2i.models.load import find

        source = find(name)
        facts = {"file": str(source.path), **model_file.read_header(source.path)}
    else:
        card = zoo.card(name)
        facts = {**vars(card), "addresses": list(card.addresses), "here": _here(name)}
        facts.pop("path")
    if as_json:
        print_json(facts)
        return
    print_table([(k, v) for k, v in facts.items() if v not in ("", None)])


def pack(
    model: Annotated[str, typer.Argument(help="A run's folder, a model's file, or a name of `i2i models`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.", show_default=False)],
    only: Annotated[
        str | None, typer.Option(help="Keep one network: G, the way it was trained, or F, the way back.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Keep 32 bits a weight.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a small copy of a model to pass on: 16 bits a weight, and one direction if asked."""
    import torch

    from i2i.core.errors import I2IError
    from i2i.models import format as model_file
    from i2i.models.load import find

    if output.exists() and not overwrite:
        raise I2IError(f"{output} exists.", "Give --overwrite to replace it.")
    found = model_file.load(find(model).path)
    if only is not None and only not in found.networks:
        raise I2IError(f"The model holds no network {only!r}.", f"It holds {', '.join(found.networks)}.")
    kept = found.networks if only is None else {only: found.networks[only]}
    header = dict(found.header)
    if "data" in header:  # names of data sets and folders, but not where they lie: that is nobody else's business
        header["data"] = [Path(str(d)).name for d in header["data"]]
    model_file.save(output, kept, header, torch.float32 if full else torch.float16)
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


def _here(name: str) -> bool:
    from i2i.models import zoo

    return zoo.path_of(name).is_file()
