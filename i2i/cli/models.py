"""`i2i models`: the models that `--model NAME` takes, and how models are passed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from i2i.cli.group import add_group
from i2i.cli.output import fact_rows, print_json, print_table
from i2i.core.files import kind_of
from i2i.core.optional import install_hint

MODEL_HELP = "Model file, run folder, or a name of `i2i models`."


def register(app: typer.Typer) -> None:
    """Adds `i2i models` to the program."""
    group = add_group(app, "models", _list, show=show, pack=pack)
    needs = f"Needs an extra: {install_hint('hub')}"
    group.command(name="push", help=f"{push.__doc__}\n\n{needs}")(push)
    group.command(name="pull", help=f"{pull.__doc__}\n\n{needs}")(pull)


def _list(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models by name. Models that are not on this disk are downloaded at their first use."""
    if context.invoked_subcommand:
        return
    from i2i.models import zoo

    cards = [zoo.card(name) for name in zoo.names()]
    if as_json:
        print_json([{**vars(card), "here": _is_on_disk(card.name)} for card in cards])
        return
    print_table(
        [(card.name, f"{card.reads} -> {card.makes}", "yes" if _is_on_disk(card.name) else "no") for card in cards],
        ["model", "input -> output", "on this disk"],
    )


def show(
    name: Annotated[str, typer.Argument(help=MODEL_HELP)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the facts about a model: its network, data, terms and source."""
    from i2i.models import zoo

    if kind_of(name):
        from i2i.models.facts import facts_of
        from i2i.models.load import find

        facts = facts_of(find(name).path)
    else:
        card = zoo.card(name)
        facts = {**vars(card), "addresses": list(card.addresses), "here": _is_on_disk(card.name)}
        facts.pop("path")
        if not card.base and not as_json:  # a shipped model is on no host
            facts.pop("base")
    if as_json:
        print_json(facts)
        return
    if isinstance(facts.get("domain"), dict):
        facts["domain"] = f"statistics of the training images ({', '.join(facts['domain'])})"
    if isinstance(lowered := facts.get("bf16"), dict):
        shares = [f"{way} {100 * one.get('within', 0):.2f} %" for way, one in lowered.items() if isinstance(one, dict)]
        facts["bf16"] = f"bf16 on held-out images, values within a level of fp32: {', '.join(shares)}"
    print_table(fact_rows(facts))


def pack(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.", show_default=False)],
    only: Annotated[
        str | None, typer.Option(help="Keep one network: G translates AtoB, F translates BtoA. [default: all]")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Keep 32 bits for each weight. [default: 16]")] = False,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            help="Training images, for a model that does not remember them: a folder or a data set's name; for two "
            "folders give --inputs twice. i2i translate then notes images that are unlike them.",
            metavar="DATA",
        ),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="Held-out images: a folder or a data set's name. On 16 of them the copy is measured in bf16, so that "
            "i2i translate may take it on a CPU. A training on a CPU does so at its end.",
            metavar="DATA",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the file and its size as JSON.")] = False,
) -> None:
    """Write a smaller copy of a model to pass on to others. The paths of its training data are left out.

    \b
    Examples:
      i2i models pack runs/mine -o mine.safetensors
      i2i models pack pix2pix_earth -o earth.safetensors --inputs earth
    """
    import torch

    from i2i.core.errors import I2IError
    from i2i.inference.domain_facts import facts_from, held_out_inputs
    from i2i.models import format as model_file
    from i2i.models.header import with_networks
    from i2i.models.load import find
    from i2i.models.measured import measure_file

    if output.exists() and not overwrite:
        raise I2IError(f"{output} exists.", "Give --overwrite to replace it.")
    path = find(model).path
    header = model_file.read_header(path)
    if only and only in header["networks"]:  # another name is refused below
        header = with_networks(header, [only])
    added = facts_from(header, inputs) if inputs else {}
    held_out = held_out_inputs(header, measure) if measure else {}
    model_file.pack(path, output, only, torch.float32 if full else torch.float16, added)
    if held_out:
        measure_file(output, held_out)
    if as_json:
        print_json({"path": str(output), "bytes": output.stat().st_size})
        return
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


def push(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    name: Annotated[str, typer.Argument(help="USER/NAME on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Show it to you only, if it is new.")] = False,
) -> None:
    """Upload a model to the Hugging Face Hub. Its card shows its scores, images, settings and license."""
    from i2i.models import hub
    from i2i.models.load import find

    typer.echo(hub.push(find(model).path, name, private))


def pull(
    name: Annotated[str, typer.Argument(help="hf:USER/NAME or hf:USER/NAME@REVISION.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new folder for the model. [default: the Hub's cache]", metavar="DIR"),
    ] = None,
) -> None:
    """Download a model from the Hugging Face Hub. `--model hf:USER/NAME` does so by itself."""
    from i2i.models import hub

    typer.echo(hub.pull(name, output))


def _is_on_disk(name: str) -> bool:
    from i2i.models import zoo

    return zoo.path_of(name).is_file()
