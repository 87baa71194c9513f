"""`i2i study`: how people judge the images of models, as a page to answer and as numbers from the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from i2i.cli import common_options as common
from i2i.cli import study_options as options
from i2i.cli.group import add_group
from i2i.cli.output import echo, print_json, print_table, progress_bar

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
    candidates: options.Candidates,
    output: options.Output = Path("study.html"),
    data: options.Data = None,
    kind: options.Kind = None,
    trials: options.Trials = 50,
    practice: options.Practice = 10,
    vigilance: options.Vigilance = 5,
    seconds: options.Seconds = None,
    show_input: options.ShowInput = None,
    split: common.Split = None,
    limit: options.Limit = None,
    size: common.Size = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    device: common.Device = "auto",
    method: common.Method = None,
    steps: common.Steps = None,
    as_json: common.AsJson = False,
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
            steps=steps,
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
    as_json: common.AsJson = False,
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
    echo(f"{result['people']} {'person' if result['people'] == 1 else 'people'}, {result['answers']} scored answers:")
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
