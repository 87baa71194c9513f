"""`i2i runs`: lists the runs on this disk, shows one, compares several, and removes them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from i2i.cli.group import add_group
from i2i.cli.output import echo, format_value, print_json, print_table
from i2i.core.errors import I2IError
from i2i.core.format import format_bytes, format_duration

if TYPE_CHECKING:
    from i2i.training.runs import RunFacts

Folders = Annotated[list[Path], typer.Argument(help="Folders of runs.", metavar="RUN...", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Adds `i2i runs` to the program."""
    add_group(app, "runs", _list, show=show, compare=compare, rm=rm)


def _list(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--in", help="The folder that holds the runs.", metavar="DIR")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List the runs, the newest first."""
    if context.invoked_subcommand:
        return
    from i2i.training.runs import list_runs

    runs = list_runs(folder, lambda why: typer.echo(f"Left out: {why}", err=True))
    if as_json:
        print_json([run.as_dict() for run in runs])
        return
    if not runs:
        echo(f"{folder} holds no runs.")
        return
    rows = [
        (run.folder, run.recipe, " ".join(run.data), run.state, f"{run.images:,}", format_duration(run.seconds),
         _score(run), format_bytes(run.size))
        for run in runs
    ]  # fmt: skip
    print_table(rows, ["run", "recipe", "data", "state", "images", "time", "score", "disk"])


def show(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a run: how far it came, its scores, its settings, and what can be done with it."""
    from i2i.models.use import use_of_run
    from i2i.training.runs import read_run

    facts = read_run(run)
    if as_json:
        print_json(facts.as_dict())
        return
    rows: list[tuple[str, Any]] = [("run", facts.folder), ("recipe", facts.recipe), ("data", " ".join(facts.data))]
    rows += [("state", f"{facts.state}: {facts.reason}" if facts.reason else facts.state)]
    rows += [("images", f"{facts.images:,}"), ("time", format_duration(facts.seconds)), ("started", facts.started)]
    rows += [("disk", format_bytes(facts.size)), ("score", _score(facts))]
    rows += [(f"loss {name}", f"{value:.4g}") for name, value in facts.losses.items()]
    rows += [(name, _cell(value)) for name, value in (facts.metrics.get("model") or {}).items()]
    print_table([row for row in rows if row[1] not in ("", "-")])
    echo("\nsettings")
    print_table([(f"  {name}", format_value(value)) for name, value in facts.settings.items()])
    use = use_of_run(facts.folder)
    if use:
        echo(f"\nUse it:  {use}")


def compare(runs: Folders, as_json: AsJson = False) -> None:
    """Compare runs: the settings in which they differ, and their scores and last losses."""
    from i2i.training.runs import compare_runs, read_run

    if len(runs) < 2:
        raise I2IError("One run cannot be compared.", "Give two folders of runs, or more.")
    rows = compare_runs([read_run(run) for run in runs])
    if as_json:
        print_json({"runs": list(map(str, runs)), "rows": rows})
        return
    print_table([(name, *map(_cell, values)) for name, values in rows.items()], ["", *map(str, runs)])


def rm(
    runs: Folders,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove runs with all their files: models, checkpoints, reports. Asks first."""
    from i2i.training.runs import read_run, remove_runs

    facts = [read_run(run) for run in runs]
    size = format_bytes(sum(run.size for run in facts))
    if not yes:
        files = (file for run in runs for file in run.rglob("*") if file.exists())
        newest = max((file.stat().st_mtime for file in files), default=0.0)
        warning = " One of them changed in the last minute: is it still training?" if time.time() - newest < 60 else ""
        listed = ", ".join(map(str, runs))
        if not _confirmed(f"Remove {listed} ({size}) for good?{warning}"):
            raise I2IError("Nothing was removed.")
    freed = remove_runs(runs)
    if as_json:
        print_json({"removed": list(map(str, runs)), "bytes": freed})
    else:
        echo(f"Removed {len(runs)} run{'' if len(runs) == 1 else 's'}, {size}.")


def _confirmed(question: str) -> bool:
    """The user's answer. Raises I2IError if nobody can answer."""
    typer.echo(f"{question} [y/N]: ", err=True, nl=False)
    answer = sys.stdin.readline()
    if not answer:
        typer.echo(err=True)
        raise I2IError("Nothing was removed, because nobody answered.", "--yes removes without asking.")
    return answer.strip().lower() in ("y", "yes")


def _score(run: RunFacts) -> str:
    from i2i.inference.metric_choice import title

    model = run.metrics.get("model") or {}
    if isinstance(model.get("l1"), float | int):
        return f"L1 {model['l1']:.4f}"
    score = run.best.get("score")
    name = title(str(run.best.get("metric") or "l1"))  # until version 0.1 the score was L1
    return f"{name} {score:.4f}" if isinstance(score, float | int) else "-"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None or value == "" else format_value(value)
