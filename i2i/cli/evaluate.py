"""`i2i evaluate`: how good a model is on pairs it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from i2i.cli.output import echo, print_json, print_table, progress_bar
from i2i.core.device import DEVICE_NAMES
from i2i.core.suggest import same_name

ROWS = ("model", "mean image", "input copied", "real images")


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
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Metrics, with commas: l1, psnr, ssim, ms_ssim, lpips, dists, fd, fid, kid, mind, precision, recall, "
            "density, coverage, prdc, is. [default: all that fit and need no download]",
            metavar="NAMES",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            help="Network by which sets of images are compared: effnet, alex, inception, vgg, torchvision:NAME, "
            "timm:NAME, or a file of weights.",
            metavar="NETWORK",
        ),
    ] = "effnet",
    size: Annotated[
        int | None, typer.Option(help="Side in pixels to score at. [default: the model's]", metavar="PIXELS", min=8)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of intervals and of random subsets.", metavar="N")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Score a model beside trivial guesses: the mean training image, and the input itself.

    Images with a true answer: L1 (values in [-1, 1]), PSNR, SSIM, MS-SSIM, LPIPS, DISTS. All outputs as a set, beside
    real images: FD (the Frechet distance; FID on the Inception network), KID, MIND, precision, recall, density,
    coverage. The column "real images" is the floor: real training images beside real test images. A useful model beats
    both guesses. Images without pairs have no truth to score each image by; then sets are compared.

    \b
    Examples:
      i2i evaluate --model runs/mine
      i2i evaluate --model pix2pix_sat2map --data maps --split val --limit 100
      i2i evaluate --model runs/mine --save runs/mine/test
      i2i evaluate --model runs/mine inputs/ true-outputs/
      i2i evaluate --model runs/mine --metrics lpips,kid,fid --features inception
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
    with progress_bar("evaluate", as_json) as progress:
        result = run(
            model,
            sources or None,
            limit,
            split=split,
            device=device,
            save=save,
            method=method,
            metrics=metrics,
            features=features,
            size=size,
            seed=seed,
            progress=progress,
        )
    if as_json:
        print_json(result)
        return
    print_scores(result)
    if save is not None:
        echo(f"The translations are in {save}.")


def print_scores(result: dict[str, Any]) -> None:
    """Prints what `i2i.evaluate` returns as tables."""
    if result.get("note"):
        typer.echo(result["note"])
    kind = "images" if "unpaired" in result else "pairs"
    size = f", at {result['size']} pixels" if "size" in result else ""
    typer.echo(f"Scores on {result['count']} {kind} of {result.get('split') or 'the data'}{size}:")
    if "unpaired" in result:
        names = {"changed": "mean change, |G(x) - x|", "way back": "error of the way back, |F(G(x)) - x|"}
        names["colors"] = "difference of mean colors to the other side"
        print_table([[names[key], f"{value:.4f}"] for key, value in result["unpaired"].items()])
    rows = {title: values for title, values in result.items() if title in ROWS}
    if rows:
        typer.echo()
        _print_rows(rows, result.get("intervals", {}).get("model", {}))
    facts = result.get("features")
    if facts:
        typer.echo(
            f"Sets are compared by {facts['network']} (resize: {facts['resize']}): {facts['images']} outputs and "
            f"{facts['real images']} real images, seed {facts['seed']}."
        )
        for warning in facts["warnings"]:
            typer.echo(f"Note: {warning}")


def _print_rows(rows: dict[str, dict[str, float]], intervals: dict[str, list[float]]) -> None:
    """One line a metric: the model's score with its 95 % interval, and the score of each guess."""
    from i2i.inference.metric_choice import HIGHER_IS_BETTER, title

    metrics = list(dict.fromkeys(metric for values in rows.values() for metric in values))
    lines = []
    for metric in metrics:
        edges = intervals.get(metric)
        interval = f"{_short(edges[0])} to {_short(edges[1])}" if edges else "-"
        better = "higher" if metric in HIGHER_IS_BETTER else "lower"
        scores = [_short(values[metric]) if metric in values else "-" for values in rows.values()]
        lines.append([title(metric), better, scores[0], interval, *scores[1:]])
    first, *others = rows
    print_table(lines, ["", "better", first, "95 % interval", *others])


def _short(value: float) -> str:
    """Four digits after the point for small numbers, fewer for large ones."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"
