"""`i2i compare`: models and folders of outputs on the same images, as a table and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from i2i.cli.output import echo, print_json, print_table, progress_bar
from i2i.core.device import DEVICE_NAMES


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="compare")(compare)


def compare(
    candidates: Annotated[
        list[str],
        typer.Argument(
            help="Two or more models (files, run folders, names of `i2i models`) or folders with outputs.",
            metavar="A B ...",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="Where the inputs and the true images lie: a folder or the name of a data set; for two folders write "
            "--data twice. [default: what the models were trained on]",
            metavar="DIR|NAME",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page, an HTML file. [default: none]", metavar="FILE.html")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of the data: train, val or test. [default: test, or all if there are no splits]",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Compare only the first N images. [default: all]", metavar="N", min=1)
    ] = None,
    show: Annotated[int, typer.Option(help="Images on the page: 1 to 500.", metavar="N", min=1, max=500)] = 24,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side in pixels at which all are run and scored. [default: the models'; of several the largest]",
            metavar="PIXELS",
            min=8,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Metrics, with commas; see `i2i evaluate --help`. [default: all that fit]", metavar="NAMES"),
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            help="Network by which sets of images are compared; see `i2i evaluate --help`.", metavar="NETWORK"
        ),
    ] = "effnet",
    seed: Annotated[int, typer.Option(help="Seed of intervals and of random subsets.", metavar="N")] = 0,
    device: Annotated[str, typer.Option(help=f"Device to run on: {DEVICE_NAMES}.")] = "auto",
    method: Annotated[
        Path | None,
        typer.Option(help="Your own method file, if a model was trained with one. Its code is run.", metavar="FILE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare models, runs or folders of outputs on the same images, at one size.

    Prints the scores with 95 % intervals, and for each two candidates the difference on the same images: it is clear if
    0 lies outside of its interval. With -o also writes a page that works from the disk: the images side by side, those
    first on which the outputs differ most, with common zoom and difference maps. In a folder of outputs, each file has
    the name of its input.

    \b
    Examples:
      i2i compare runs/a runs/b -o compare.html
      i2i compare runs/a other-outputs/ --data maps --split test
      i2i compare a.safetensors b.pth outputs/ --data photos/ --data paintings/ --json
    """
    from i2i.inference.compare import compare as run

    with progress_bar("compare", as_json, "images") as progress:
        result = run(
            candidates,
            data or None,
            split=split,
            limit=limit,
            size=size,
            metrics=metrics,
            features=features,
            page=output,
            show=show,
            seed=seed,
            device=device,
            method=method,
            progress=progress,
        )
    if as_json:
        print_json(result)
    else:
        print_comparison(result)


def print_comparison(result: dict[str, Any]) -> None:
    """Prints what `i2i.inference.compare.compare` returns as tables."""
    from i2i.inference.compare_page import difference_lines, short, table
    from i2i.inference.metric_choice import title

    kind = "pairs" if result["layout"] == "paired" else "images"
    echo(f"{result['count']} {kind} of {result['split']}, all at {result['size']} pixels:")
    rows = table(result)
    if rows:
        print_table(rows, ["", "better", *result["scores"]])
    if result["differences"]:
        echo("\nDifferences on the same images:")
        print_table(difference_lines(result), ["", "metric", "difference", "95 % interval", "says"])
    echo("")
    for pair, distance in result["apart"].items():
        listed = ", ".join(f"{title(metric)} {short(value)}" for metric, value in distance.items())
        echo(f"Mean distance of the outputs of {pair}: {listed}")
    facts = result.get("features", {})
    if facts:
        echo(
            f"Sets are compared by {facts['network']} (resize: {facts['resize']}): {facts['images']} outputs of each "
            f"and {facts['real images']} real images, seed {facts['seed']}."
        )
    for note in [*result["notes"], *facts.get("warnings", [])]:
        echo(f"Note: {note}")
    if result.get("page"):
        echo(f"The page is {result['page']}: {result['shown']} images, those first that differ most.")
