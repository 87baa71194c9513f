"""`i2i evaluate`: how good a model is on pairs it was not trained on."""

from __future__ import annotations

from typing import Any

import typer

from i2i.cli import common_options as common
from i2i.cli import evaluate_options as options
from i2i.cli.output import echo, print_json, print_table, progress_bar
from i2i.cli.scores import print_scores
from i2i.core.files import kind_of
from i2i.core.suggest import same_name


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="evaluate", help=options.HELP)(evaluate)


def evaluate(
    model: options.Model,
    folders: options.Folders = None,
    data: options.Data = None,
    split: common.Split = None,
    direction: options.Direction = "AtoB",
    limit: options.Limit = None,
    save: options.Save = None,
    device: common.Device = "auto",
    method: common.Method = None,
    metrics: options.Metrics = None,
    features: options.Features = "effnet",
    size: options.Size = None,
    samples: options.Samples = None,
    seed: options.Seed = 0,
    to: options.To = None,
    steps: common.Steps = None,
    reveal: options.Reveal = None,
    as_json: common.AsJson = False,
) -> None:
    from i2i.data import cards, source
    from i2i.inference.evaluate import evaluate as run
    from i2i.models.load import find

    sources = [*(data or []), *(folders or [])]  # of `--data A B` the parser gives B to the argument
    for name in [model, *sources]:
        with progress_bar(name, as_json) as progress:
            if name == model:
                find(name, progress)
            elif same_name(name, cards.names()) and kind_of(name) != "folder":
                source.get(name, progress)
    hidden = None
    if reveal is not None:  # first, for a model without a way back is refused
        from i2i.inference.reveal import LIMIT, reveal_hidden

        hidden = reveal_hidden(
            model, reveal, sources or None, split=split, size=size, limit=limit or LIMIT, direction=direction,
            device=device, method=method,
        )  # fmt: skip
    with progress_bar("", as_json, "images") as progress:
        result = run(
            model,
            sources or None,
            limit,
            split=split,
            direction=direction,
            device=device,
            save=save,
            method=method,
            metrics=metrics,
            features=features,
            size=size,
            seed=seed,
            to=to or (),
            steps=steps,
            samples=samples,
            progress=progress,
        )
    if hidden is not None:
        result["reveal"] = hidden
    if as_json:
        print_json(result)
        return
    print_scores(result)
    if hidden is not None:
        print_reveal(hidden)
    if save is not None:
        echo(f"The {'images' if 'generated' in result else 'translations'} are in {save}.")


def print_reveal(result: dict[str, Any]) -> None:
    """Prints what `i2i.inference.reveal.reveal_hidden` returns."""
    echo(f"\nThe way back, by the noise on {result['count']} translations:")
    print_table([[f"{level} of 255", f"{value:.1f} dB"] for level, value in result["psnr"].items()], ["noise", "PSNR"])
    state = "hide their input: little noise destroys the way back" if result["hides"] else "hide nothing that shows"
    echo(f"Score {result['score']:.2f} (over 3: suspicious). The translations {state}. See {result['file']}.")
