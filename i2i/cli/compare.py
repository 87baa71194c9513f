"""`i2i compare`: models and folders of outputs on the same images, as a table and a page."""

from __future__ import annotations

from typing import Any

import typer

from i2i.cli import common_options as common
from i2i.cli import compare_options as options
from i2i.cli.output import echo, print_json, print_table, progress_bar


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="compare")(compare)


def compare(
    candidates: options.Candidates,
    data: options.Data = None,
    output: options.Output = None,
    split: common.Split = None,
    limit: options.Limit = None,
    show: options.Show = 24,
    size: common.Size = None,
    metrics: options.Metrics = None,
    features: options.Features = "effnet",
    seed: options.Seed = 0,
    device: common.Device = "auto",
    method: common.Method = None,
    steps: common.Steps = None,
    as_json: common.AsJson = False,
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
            steps=steps,
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
