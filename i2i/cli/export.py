"""`i2i export`: a model as an ONNX file, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from i2i.cli.output import print_json, progress_bar


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="export")(export)


def export(
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A model's file, a run's folder, or a name of `i2i models`.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.", show_default=False)],
    direction: Annotated[str, typer.Option(help="AtoB, or BtoA for a model that holds the way back.")] = "AtoB",
    statistics: Annotated[
        str, typer.Option(help="Of batch norm: the image's own, the stored ones, or auto as the model says.")
    ] = "auto",
    check: Annotated[
        Path | None, typer.Option(help="Images to check the file on. [shipped ones]", metavar="DIR")
    ] = None,
    limit: Annotated[float, typer.Option(help="Largest difference allowed, of values in [-1, 1].")] = 1e-3,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was found as JSON.")] = False,
) -> None:
    """Write a model as ONNX, with free batch, height and width, checked on real images before it is kept.

    `i2i translate --model FILE.onnx` runs it with onnxruntime. Needs the extra: pip install 'i2i-toolkit[onnx]'.

    \b
    Examples:
      i2i export --model runs/mine -o mine.onnx
      i2i export --model runs/mine -o back.onnx --direction BtoA --check photos/
    """
    from i2i.models.export import export as run
    from i2i.models.load import find

    with progress_bar(model, as_json) as progress:
        find(model, progress)
    made = run(model, output, direction=direction, statistics=statistics, check=check, limit=limit, overwrite=overwrite)
    if as_json:
        print_json({**vars(made), "path": str(made.path)})
        return
    for note in made.notes:
        typer.echo(f"Note: {note}")
    sizes = ", ".join(f"{width}x{height}" for height, width in made.sizes)
    typer.echo(f"{made.path}: {made.path.stat().st_size / 1e6:.2f} MB")
    typer.echo(f"Checked on {made.pictures} images of {sizes}:")
    typer.echo(f"  largest difference {made.largest:.2g}, mean {made.mean:.2g} (of values in [-1, 1])")
