"""`i2i doctor`: what went wrong in a training, and what helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from i2i.cli.common_options import AsJson, Device, Method
from i2i.cli.output import echo, print_json, print_table

if TYPE_CHECKING:
    from i2i.training.doctor import Diagnosis


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="doctor")(doctor)


def doctor(
    model: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, model file, or a name of `i2i models`.",
            metavar="RUN|MODEL",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="Images to try the model on: a folder, or the name of a data set; for two folders give --data twice. "
            "[default: the data that it was trained on]",
            metavar="DIR|NAME",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most images that the model is tried on.", metavar="N", min=2)] = 64,
    strict: Annotated[bool, typer.Option("--strict", help="End with exit code 1 if a sign is found.")] = False,
    device: Device = "auto",
    method: Method = None,
    as_json: AsJson = False,
) -> None:
    """Look for signs of a failed training: in the log of a run, and in what its model makes.

    Each sign is found, not found, or cannot be judged. For those that are found, the command says what helps. The same
    signs are watched while a run trains: they are in its report and in log.jsonl.

    \b
    Examples:
      i2i doctor runs/mine
      i2i doctor cyclegan_daynight
      i2i doctor model.safetensors --data photos/
      i2i doctor runs/mine --json --strict
    """
    from i2i.training.doctor import diagnose

    diagnosis = diagnose(model, data, limit=limit, device=device, method=method)
    if as_json:
        print_json(diagnosis.as_dict())
    else:
        _print(diagnosis)
    if strict and diagnosis.found:
        raise typer.Exit(1)


def _print(diagnosis: Diagnosis) -> None:
    from i2i.training.doctor.table import SIGNS

    if diagnosis.count and diagnosis.split:
        images = f"{diagnosis.count} images of {' '.join(diagnosis.data)}, split {diagnosis.split}"
        echo(f"{diagnosis.model}, tried on {images}:")
    rows = []
    for finding in diagnosis.findings:
        numbers = ", ".join(f"{name} {value:.3g}" for name, value in finding.numbers.items())
        why = numbers if finding.state != "cannot be judged" else finding.text
        rows.append((finding.sign, SIGNS[finding.sign], finding.state, why))
    print_table(rows, ["sign", "means", "state", "numbers, or why not"])
    if not diagnosis.found:
        echo("\nNo sign of a failed training was found.")
    for finding in diagnosis.found:
        echo(f"\n{finding.sign}: {finding.text} {finding.remedy}")
