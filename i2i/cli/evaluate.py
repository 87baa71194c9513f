"""`i2i evaluate`: how good a model is on pairs it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from i2i.cli.output import download_progress, print_json, print_table


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="evaluate")(evaluate)


def evaluate(
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A model's file, a run's folder, or a name of `i2i models`.", show_default=False
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="Pairs: a folder, two folders, or a name. [what the model was trained on]",
            metavar="DIR|NAME",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first N pairs.", metavar="N", min=1)] = None,
    save: Annotated[Path | None, typer.Option(help="A folder that gets every translation.", metavar="DIR")] = None,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The scores as JSON.")] = False,
) -> None:
    """Score a model beside two trivial guesses: the mean training image, and the input handed back.

    L1 is the mean absolute difference (images lie in [-1, 1]; lower is better), PSNR is in dB and SSIM at most 1
    (higher is better).

    \b
    Examples:
      i2i evaluate --model runs/mine
      i2i evaluate --model pix2pix_sat2map --data maps --split val --limit 100
      i2i evaluate --model runs/mine --save runs/mine/test
    """
    from i2i.data import cards, source
    from i2i.inference.evaluate import evaluate as run
    from i2i.models.load import find

    for name in [model, *(data or [])]:
        with download_progress(name, as_json) as progress:
            if name == model:
                find(name, progress)
            elif name in cards.names() and not Path(name).is_dir():
                source.get(name, progress)
    found = run(model, data or None, limit, split=split, device=device, save=save)
    if as_json:
        print_json(found)
        return
    scores(found)
    if save is not None:
        typer.echo(f"Translations: {save}")


def scores(found: dict[str, Any]) -> None:
    """Prints the table of what `i2i.evaluate` returns."""
    typer.echo(f"On {found['count']} pairs of {found.get('split') or 'the data'}:")
    guesses = [(title, values) for title, values in found.items() if isinstance(values, dict)]
    print_table(
        [
            [title, *(f"{values[k]:.4f}" if k in values else "-" for k in ("l1", "psnr", "ssim"))]
            for title, values in guesses
        ],
        ["", "L1", "PSNR dB", "SSIM"],
    )
