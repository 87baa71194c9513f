"""`i2i evaluate`: how good a model is on pairs it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from i2i.cli.output import echo, print_json, print_table, progress_bar
from i2i.core.device import DEVICE_NAMES
from i2i.core.suggest import same_name


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="evaluate")(evaluate)


def evaluate(
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Model file, run folder, or a name of `i2i models`.", show_default=False),
    ],
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            help="Pairs: one folder, two folders, or the name of a data set. [default: the model's training data]",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="The same as DATA: --data A B.", metavar="DIR|NAME", show_default=False),
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
        int | None, typer.Option(help="Evaluate only the first N pairs. [default: all]", metavar="N", min=1)
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Save every translation as PNG into this folder.", metavar="DIR")
    ] = None,
    device: Annotated[str, typer.Option(help=f"Device to run on: {DEVICE_NAMES}.")] = "auto",
    method: Annotated[
        Path | None,
        typer.Option(help="Your own method file, if the model was trained with one. Its code is run.", metavar="FILE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Score a model, and beside it two trivial guesses: the mean training image, and the input itself.

    L1 is the mean absolute difference of values in [-1, 1]; lower is better. PSNR is in dB and SSIM is at most 1; for
    both, higher is better. A useful model beats both guesses. Images without pairs have no truth to score by; then the
    command says what else can be measured.

    \b
    Examples:
      i2i evaluate --model runs/mine
      i2i evaluate --model pix2pix_sat2map --data maps --split val --limit 100
      i2i evaluate --model runs/mine --save runs/mine/test
      i2i evaluate --model runs/mine inputs/ true-outputs/
    """
    from i2i.data import cards, source
    from i2i.inference.evaluate import evaluate as run
    from i2i.models.load import find

    sources = [*(data or []), *(folders or [])]  # of `--data A B` the parser gives B to the argument
    for name in [model, *sources]:
        with progress_bar(name, as_json) as progress:
            if name == model:
                find(name, progress)
            elif same_name(name, cards.names()) and not Path(name).is_dir():
                source.get(name, progress)
    result = run(model, sources or None, limit, split=split, device=device, save=save, method=method)
    if as_json:
        print_json(result)
        return
    print_scores(result)
    if save is not None:
        echo(f"The translations are in {save}.")


def print_scores(result: dict[str, Any]) -> None:
    """Prints what `i2i.evaluate` returns as a table."""
    if result.get("note"):
        echo(result["note"])
    if "unpaired" in result:
        names = {"changed": "mean change, |G(x) - x|", "way back": "error of the way back, |F(G(x)) - x|"}
        names["colors"] = "difference of mean colors to the other side"
        echo(f"Measured on {result['count']} images of {result.get('split') or 'the data'}, values in [-1, 1]:")
        print_table([[names[key], f"{value:.4f}"] for key, value in result["unpaired"].items()])
        return
    echo(f"Scores on {result['count']} pairs of {result.get('split') or 'the data'}:")
    rows = [
        [title, *(f"{values[k]:.4f}" if k in values else "-" for k in ("l1", "psnr", "ssim"))]
        for title, values in result.items()
        if isinstance(values, dict)
    ]
    print_table(rows, ["", "L1", "PSNR dB", "SSIM"])
