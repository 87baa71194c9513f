"""`i2i export`: a model as an ONNX file, for other programs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from i2i.cli import translate_options as option
from i2i.cli.output import echo, print_json, progress_bar
from i2i.cli.panels import PanelCommand
from i2i.core.optional import install_hint

HELP = f"""Write a model as ONNX, for other programs, after checking it on real images.

Batch, height and width stay free. `i2i translate --model FILE.onnx` runs the file with onnxruntime. Needs an extra:
{install_hint("onnx")}

\b
Examples:
  i2i export --model runs/mine -o mine.onnx
  i2i export --model runs/mine -o back.onnx --direction BtoA --check photos/
  i2i export --model runs/mine -o fast.onnx --quantize int8 --check photos/
"""


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="export", cls=PanelCommand, help=HELP)(export)


def export(
    model: option.Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.", show_default=False)],
    direction: option.Direction = "AtoB",
    statistics: option.Statistics = "auto",
    check: Annotated[
        Path | None,
        typer.Option(help="Folder of images to check the file on. [default: images of i2i]", metavar="DIR"),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            help="Largest difference allowed between ONNX and torch, of values in [-1, 1]; with --quantize the mean "
            "difference. [default: 0.001; int8 0.02]",
            show_default=False,
        ),
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(help="int8: a file in 8 bits, smaller and faster; ranges are measured on the images of --check."),
    ] = None,
    method: option.Method = None,
    steps: option.Steps = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="Domain or attributes that the file translates into, of a model with many. [default: the first]",
            metavar="NAMES",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Parses the options of `i2i export` (see HELP), and prints how well the file agrees with the model."""
    from i2i.models import export as exporting
    from i2i.models.load import find
    from i2i.models.use import use_command

    with progress_bar(model, as_json) as progress:
        source = find(model, progress)
    result = exporting.export(
        source,
        output,
        direction=direction,
        statistics=statistics,
        check=check,
        limit=limit,
        quantize=quantize or "",
        overwrite=overwrite,
        method=method,
        steps=steps,
        to=to or (),
        tell=None if as_json else lambda sentence: echo(sentence, err=True),
    )
    if as_json:
        values = {"path": str(result.path), "largest": result.largest, "mean": result.mean}
        print_json({**values, "pictures": result.images, "sizes": result.sizes, "notes": result.notes})
        return
    for note in result.notes:
        echo(f"Note: {note}")
    sizes = ", ".join(f"{width}x{height}" for height, width in result.sizes)
    echo(f"{result.path}: {result.path.stat().st_size / 1e6:.2f} MB")
    echo(f"Checked on {result.images} images of {sizes} pixels:")
    echo(f"  largest difference {result.largest:.2g}, mean {result.mean:.2g} (of values in [-1, 1])")
    words = ["--direction", direction] if direction != "AtoB" else []
    echo(f"Use it:  {shlex.join([*shlex.split(use_command(result.path, False)), *words])}")
