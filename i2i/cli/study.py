"""`i2i study`: how people judge the images of models, as a page to answer and as numbers from the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from i2i.cli.group import add_group
from i2i.cli.output import echo, print_json, print_table, progress_bar
from i2i.core.device import DEVICE_NAMES

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PARTIAL = 3  # exit code: some files of a batch failed


def register(app: typer.Typer) -> None:
    """Adds `i2i study` to the program."""
    add_group(app, "study", _about, new=new, read=read)


def _about(context: typer.Context) -> None:
    """Ask people how good the images are: write a page with `new`, and read their answers with `read`.

    \b
    Examples:
      i2i study new runs/mine -o study.html
      i2i study new runs/a runs/b -o study.html
      i2i study read answers/*.json --key study.key.json
    """
    if not context.invoked_subcommand:
        typer.echo(context.get_help())


def new(
    candidates: Annotated[
        list[str],
        typer.Argument(
            help="Models (files, run folders, names of `i2i models`) or folders with outputs.",
            metavar="A [B ...]",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.", metavar="FILE.html")] = Path("study.html"),
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="Where the inputs and the real images lie; for two folders write --data twice. "
            "[default: what the models were trained on]",
            metavar="DIR|NAME",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="real: which of two images is real? A page for each candidate. ab: which output of two candidates is "
            "better? [default: real for one candidate, ab for more]",
            metavar="real|ab",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="Scored pairs of a page.", metavar="N", min=1)] = 50,
    practice: Annotated[
        int, typer.Option(help="Pairs for practice before them, with feedback; never scored.", metavar="N", min=0)
    ] = 10,
    vigilance: Annotated[
        int, typer.Option(help="Obvious pairs among them, which show who does not look.", metavar="N", min=0)
    ] = 5,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Time that a pair is shown, 0 to 60; 0: until the answer. [default: 1 for real, 0 for ab]",
            metavar="SECONDS",
            show_default=False,
        ),
    ] = None,
    show_input: Annotated[
        bool | None,
        typer.Option(
            "--input/--no-input", help="Show the input above the pair. [default: for ab only]", show_default=False
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split of the data. [default: test, or all if there are no splits]", metavar="NAME"),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first N inputs.", metavar="N", min=1)] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the images in pixels. [default: the models'; of several the largest]", min=8),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of pairs.", metavar="N")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a page and a key that exist.")] = False,
    device: Annotated[str, typer.Option(help=f"Device to run on: {DEVICE_NAMES}.")] = "auto",
    method: Annotated[
        Path | None,
        typer.Option(help="Your own method file, if a model was trained with one. Its code is run.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a study as a page that works from the disk, and the key that says what it shows.

    The page holds at most 40 MB of images and no names. Send it to people; each saves a file of answers. Keep the key
    (NAME.key.json) for yourself, and give the answers to `i2i study read`.

    \b
    Examples:
      i2i study new runs/mine -o study.html
      i2i study new runs/a other-outputs/ --data maps --trials 40 -o study.html
      i2i study new runs/a runs/b --kind real -o study.html
    """
    from i2i.inference.study import new_study

    with progress_bar("study", as_json, "images") as progress:
        made = new_study(
            candidates,
            output,
            data or None,
            kind=kind,
            trials=trials,
            practice=practice,
            vigilance=vigilance,
            seconds=seconds,
            show_input=show_input,
            split=split,
            limit=limit,
            size=size,
            seed=seed,
            overwrite=overwrite,
            device=device,
            method=method,
            progress=progress,
        )
    if as_json:
        pages, key = list(map(str, made.pages)), str(made.key)
        facts = {"study": made.id, "kind": made.kind, "pages": pages, "key": key, "trials": made.trials}
        print_json({**facts, "size": made.size, "bytes": made.largest, "notes": made.notes})
        return
    counts = made.trials
    echo(
        f"Each page has {counts['practice']} pairs for practice, {counts['scored']} scored and {counts['vigilance']} "
        f"vigilance pairs, at {made.size} pixels, in {made.largest / 2**20:.1f} MB."
    )
    for note in made.notes:
        echo(f"Note: {note}")
    for page in made.pages:
        echo(f"Page: {page}")
    if len(made.pages) > 1:
        echo("Each person answers one of the pages.")
    echo(f"Key:  {made.key} (keep it for yourself)")
    echo(f"Then: i2i study read answers/*.json --key {made.key}")


def read(
    answers: Annotated[
        list[Path],
        typer.Argument(help="Files that people have saved.", metavar="ANSWERS.json...", show_default=False),
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            help="The key of the study. [default: the only *.key.json beside the answers, above them, or here]",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    attentive: Annotated[
        float,
        typer.Option(
            help="Leave out people with a smaller share of right vigilance pairs: 0 (nobody) to 1.", metavar="SHARE"
        ),
    ] = 0.0,
    draws: Annotated[int, typer.Option(help="Draws of the bootstrap: 200 or more.", metavar="N")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.", metavar="N")] = 0,
    as_json: AsJson = False,
) -> None:
    """Read the answers of people: fooled rates or preferences, with 95 % intervals.

    A file that was changed by hand, or belongs to another study, is named and left out; then the exit code is 3.

    \b
    Examples:
      i2i study read answers/*.json
      i2i study read answers/*.json --key study.key.json --attentive 0.8 --json
    """
    from i2i.inference.study_answers import read_answers

    result = read_answers(answers, key, attentive=attentive, draws=draws, seed=seed)
    if as_json:
        print_json(result)
    else:
        _print_rates(result)
    for one in result["refused"]:
        echo(f"Left out: {one['error']}", err=True)
    if result["refused"]:
        raise typer.Exit(PARTIAL)


def _print_rates(result: dict[str, Any]) -> None:
    """Prints what `read_answers` returns as tables."""
    is_real = result["kind"] == "real"
    rows = []
    for row in result["rates"]:
        name = row["candidate"] if is_real else f"{row['a']} over {row['b']}"
        share = f"{row['rate']:.1%} +- {row['deviation']:.1%}"
        rows.append([name, share, _edges(row["interval"]), _edges(row["wilson"]), row["trials"], row["people"]])
    what = "fooled" if is_real else "preferred"
    echo(f"{result['people']} people, {result['answers']} scored answers:")
    if rows:
        print_table(rows, ["", what, "95 % over people", "95 % Wilson", "answers", "people"])
    for row in result["better"]:
        echo(f"{row['a']} fools more often than {row['b']} in {row['share']:.1%} of the bootstrap draws.")
    echo(
        "50 % is the ceiling: nobody can tell the images from real ones."
        if is_real
        else "50 % means that people like both as much. A difference is clear if 50 % lies outside of the interval."
    )
    vigilance = result["vigilance"]
    if vigilance["trials"]:
        echo(f"Vigilance: {vigilance['right']} of {vigilance['trials']} right.")
    for note in result["notes"]:
        echo(f"Note: {note}")


def _edges(interval: list[float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
