"""`i2i models push` and `pull`: models on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add(group: typer.Typer) -> None:
    """Adds both commands to the group `models`."""
    group.command(name="push")(push)
    group.command(name="pull")(pull)


def push(
    model: Annotated[str, typer.Argument(help="A run's folder, a model's file, or a name of `i2i models`.")],
    name: Annotated[str, typer.Argument(help="USER/NAME on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Only for you to see, if it is new.")] = False,
) -> None:
    """Put a model on the Hugging Face Hub, with a card of its figures, image, settings and licence."""
    from i2i.models import hub
    from i2i.models.load import find

    typer.echo(hub.push(find(model).path, name, private))


def pull(
    name: Annotated[str, typer.Argument(help="hf:USER/NAME or hf:USER/NAME@REVISION.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new folder for it. [the Hub's cache]", metavar="DIR")
    ] = None,
) -> None:
    """Fetch a model from the Hugging Face Hub; `--model hf:USER/NAME` does so by itself."""
    from i2i.models import hub

    typer.echo(hub.pull(name, output))
