"""What commands print: errors, tables, JSON, and the progress of downloads."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import typer

from i2i.core.escape import json_printable, printable
from i2i.core.progress import Progress

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # environment variable of torchrun: FOLDER/RANK/NAME, FOLDER common to a host


def print_error(what: str, hint: str = "", as_json: bool = False, plain: bool = False) -> None:
    """Prints an error on stderr; with `as_json` also an object on stdout. plain: without the word "Error".

    Of several processes that train together, started by i2i.cli.launch or by torchrun, only the first that fails on
    each host prints."""
    text = printable(f"{what} {hint}".strip())
    if not _is_first_failure():
        return
    if as_json:
        with suppress(OSError):  # standard output may be what failed
            typer.echo(json.dumps({"error": what, "hint": hint}))
    typer.echo(text if plain else f"Error: {text}", err=True)


def echo(text: object, err: bool = False) -> None:
    """Prints a text in which words of strangers may stand: control characters but the line's end are escaped."""
    typer.echo(printable(str(text), keep="\n"), err=err)


def error_was_printed(folder: Path) -> bool:
    """Returns whether a process has printed an error whose ERROR_FILE is `folder`/RANK/NAME."""
    return (folder / "i2i-error").exists()


def _is_first_failure() -> bool:
    """Returns whether no other process of the same training on this host has failed yet."""
    error_file = os.environ.get(ERROR_FILE)
    if not error_file:
        return True
    try:  # the folder above is shared by the processes of a host
        (Path(error_file).parent.parent / "i2i-error").touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def format_value(value: Any) -> str:
    """Formats a setting as --set takes it: yes, no, none, '' for an empty text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else repr(value) if value == "" else str(value)


def print_json(value: Any) -> None:
    """Prints one JSON value on a line of stdout."""
    typer.echo(json_printable(json.dumps(value, ensure_ascii=False, default=str)))


def fact_rows(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The facts about a model or data set as rows of a table: without empty ones, yes or no for booleans."""
    rows = []
    for name, value in facts.items():
        if value in ("", None, (), []) or (isinstance(value, int) and not isinstance(value, bool) and value == 0):
            continue
        text: object = printable(value) if isinstance(value, str) else value
        if isinstance(value, tuple):
            text = "\n".join(printable(str(part)) for part in value)
        rows.append(("on this disk" if name == "here" else name, format_value(text) if text in (True, False) else text))
    return rows


def print_table(rows: Iterable[Sequence[object]], titles: Sequence[str] = (), wrapped: int = 1) -> None:
    """Prints rows as aligned columns on stdout; in a terminal the last `wrapped` columns may wrap."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        *map(printable, titles),
        box=None,
        show_header=bool(titles),
        pad_edge=False,
        header_style="bold",
        padding=(0, 2, 0, 0),
    )
    cells = [[printable(str(cell), keep="\n") for cell in row] for row in rows]
    if not titles:
        for _ in cells[0] if cells else ():
            table.add_column()
    for column in table.columns[:-wrapped]:
        column.no_wrap = True
    for row in cells:
        table.add_row(*row)
    if sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(table)
        return
    plain = Console(file=io.StringIO(), highlight=False, markup=False, emoji=False, width=10_000)
    with plain.capture() as captured:
        plain.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


@contextmanager
def progress_bar(
    title: str, quiet: bool = False, unit: Literal["bytes", "images"] = "bytes"
) -> Iterator[Progress | None]:
    """Shows a progress bar and yields the function that moves it: (done, total or 0), in bytes or images.

    Shows nothing and yields None if stderr is no terminal, if `quiet`, and in every process but the first."""
    if quiet or not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns: list[progress.ProgressColumn] = [progress.TextColumn("{task.description}", markup=False)] if title else []
    columns.append(progress.BarColumn())
    if unit == "bytes":
        columns += [progress.DownloadColumn(), progress.TransferSpeedColumn()]
    else:
        columns += [progress.MofNCompleteColumn(), progress.TextColumn("{task.fields[rate]}")]
    columns.append(progress.TimeRemainingColumn())
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(title), total=None, rate="")
        start = time.monotonic()

        def advance(done: int, total: int) -> None:
            rate = done / max(1e-6, time.monotonic() - start)
            bar.update(task, completed=done, total=total or None, rate=f"{rate:.1f} {unit}/s")

        yield advance
