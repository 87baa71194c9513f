"""What commands print: errors, tables, JSON, and the progress of downloads."""

from __future__ import annotations

import io
import json
import os
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import typer

from i2i.core.progress import Progress


def print_error(what: str, hint: str = "", machine: bool = False, plain: bool = False) -> None:
    """One sentence and what helps on stderr; with `machine` an object on stdout. plain: without the word Error.

    Of several processes that work together one sentence is heard: those of i2i.cli.launch leave theirs to the one that
    started them, and under torchrun the first on each host speaks."""
    text = printable(f"{what} {hint}".strip())
    together = os.environ.get("I2I_TOGETHER")
    if together:
        sentence = {"what": what, "hint": hint, "plain": plain, "time": time.time()}
        path = Path(together) / f"error-{os.environ.get('RANK', '0')}.json"
        path.with_suffix(".part").write_text(json.dumps(sentence), encoding="utf-8")
        path.with_suffix(".part").replace(path)
        return
    if not _first():
        return
    if machine:
        with suppress(OSError):  # which may be the very error
            typer.echo(json.dumps({"error": what, "hint": hint}))
    typer.echo(text if plain else f"Error: {text}", err=True)


def printable(text: str) -> str:
    """Names that are no valid text are shown with marks in place of their bytes, line breaks in them as \\n."""
    shown = "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" else c for c in text)
    return shown.encode("utf-8", "replace").decode("utf-8")


def _first() -> bool:
    """Whether no other process that torchrun started on this host has failed yet. Its folder for errors is shared."""
    place = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not place:
        return True
    try:
        (Path(place).parent.parent / "i2i-error").touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def format_value(given: Any) -> str:
    """The value of a setting as --set takes it."""
    if isinstance(given, bool):
        return "yes" if given else "no"
    return "none" if given is None else repr(given) if given == "" else str(given)


def print_json(value: Any) -> None:
    """One JSON value on a line of stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_table(rows: Iterable[Sequence[object]], titles: Sequence[str] = (), wrapped: int = 1) -> None:
    """Rows in columns on stdout; the last `wrapped` columns wrap in a terminal."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(
        *titles, box=None, show_header=bool(titles), pad_edge=False, header_style="bold", padding=(0, 2, 0, 0)
    )
    kept = [[str(cell) for cell in row] for row in rows]
    if not titles:
        for _ in kept[0] if kept else ():
            shown.add_column()
    for column in shown.columns[:-wrapped]:
        column.no_wrap = True
    for row in kept:
        shown.add_row(*row)
    if sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(shown)
        return
    plain = Console(file=io.StringIO(), highlight=False, markup=False, emoji=False, width=10_000)
    with plain.capture() as captured:
        plain.print(shown)
    typer.echo("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


@contextmanager
def progress_bar(
    title: str, quiet: bool = False, unit: Literal["bytes", "images"] = "bytes"
) -> Iterator[Progress | None]:
    """A progress bar on a terminal: gives the function to call with (done, total or 0), in bytes or images.

    Gives None, and draws nothing, if stderr is not a terminal, with `quiet`, and in all processes but the first."""
    if quiet or not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns: list[progress.ProgressColumn] = [progress.TextColumn("{task.description}")] if title else []
    columns.append(progress.BarColumn())
    if unit == "bytes":
        columns += [progress.DownloadColumn(), progress.TransferSpeedColumn()]
    else:
        columns += [progress.MofNCompleteColumn(), progress.TextColumn("{task.fields[rate]}")]
    columns.append(progress.TimeRemainingColumn())
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, rate="")
        start = time.monotonic()

        def advance(done: int, total: int) -> None:
            rate = done / max(1e-6, time.monotonic() - start)
            bar.update(task, completed=done, total=total or None, rate=f"{rate:.1f} {unit}/s")

        yield advance
