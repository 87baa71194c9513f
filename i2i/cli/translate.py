"""`i2i translate`: pictures and folders of pictures through a model."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from i2i.errors import I2IError

if TYPE_CHECKING:
    from i2i.translate import Result

SOME_FAILED = 3  # the exit code when single pictures of a batch failed
DEVICES = "auto, cpu, cuda, cuda:1, mps"


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="translate")(translate)


def translate(
    inputs: Annotated[list[str], typer.Argument(help="Pictures and folders of pictures.", show_default=False)],
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="A model's file, a run's folder, or a name of `i2i models`."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A folder, or a file for one picture. Without it: photo.MODEL.jpg beside photo.jpg."
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Another size: N for the shorter side, or WIDTHxHEIGHT.", metavar="N|WxH")
    ] = None,
    batch: Annotated[int, typer.Option(help="Pictures in one pass of the network.", min=1)] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    device: Annotated[str, typer.Option(help=f"Where the network runs: {DEVICES}.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, bf16 (faster) or fp16 (GPUs).")] = "fp32",
    direction: Annotated[str, typer.Option(help="AtoB, or BtoA for a model that holds the way back.")] = "AtoB",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture and a summary, for machines.")] = (
        False
    ),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
) -> None:
    """Translate pictures: one, many, or whole folders with their tree.

    Outputs keep their input's size, format and metadata. Nothing that exists is overwritten unless you say so, and a
    bad picture never stops the rest: it is listed at the end, and the exit code is 3.

    \b
    Examples:
      i2i translate photo.jpg --model cyclegan_horse2zebra
      i2i translate holiday/ -o out/ --model runs/mine
    """
    from i2i.translate import translate as run

    started = time.monotonic()
    with _progress(quiet or as_json) as tell:
        result = run(
            inputs,
            output,
            model,
            size=_size(size),
            batch=batch,
            overwrite=overwrite,
            progress=tell,
            device=device,
            precision=precision,
            direction=direction,
        )
    _report(result, len(inputs), time.monotonic() - started, as_json, quiet)


def _size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.strip().isdecimal() for p in parts):
        raise I2IError(f"The size {text!r} is not understood.", "Give N for the shorter side, or WIDTHxHEIGHT.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


@contextmanager
def _progress(silent: bool) -> Iterator[Callable[[int, int, Path], None] | None]:
    """What is told after each picture: a bar on a terminal, nothing elsewhere."""
    if silent or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate="")
        first = time.monotonic()

        def tell(done: int, total: int, _: Path) -> None:
            rate = done / max(1e-6, time.monotonic() - first)
            bar.update(task, completed=done, total=total, rate=f"{rate:.1f} images/s")

        yield tell


def _report(result: Result, given: int, seconds: float, as_json: bool, quiet: bool) -> None:
    """Prints what became of the pictures and ends with the fitting exit code."""
    if as_json:
        for path in result.done:
            _line({"output": str(path), "state": "done"})
        for path in result.skipped:
            _line({"output": str(path), "state": "skipped"})
        for path, reason in result.failed:
            _line({"input": str(path), "state": "failed", "error": reason})
        counts = {"done": len(result.done), "skipped": len(result.skipped), "failed": len(result.failed)}
        _line({**counts, "seconds": round(seconds, 3)})
    else:
        said = [f"{_count(len(result.done))} translated in {seconds:.1f} s"]
        if len(result.done) == 1:
            said = [f"{result.done[0]} written in {seconds:.1f} s"]
        if result.skipped:
            said += [f"{len(result.skipped)} left as they were, because they exist (--overwrite replaces them)"]
        if not quiet:
            typer.echo("; ".join(said) + ".", err=True)
        if result.failed:
            typer.echo(f"{_count(len(result.failed))} failed:", err=True)
        for path, reason in result.failed:
            typer.echo(f"  {reason}" if str(path) in reason else f"  {path}: {reason}", err=True)
    if result.failed:
        raise typer.Exit(SOME_FAILED)


def _count(number: int) -> str:
    return f"{number} picture{'' if number == 1 else 's'}"


def _line(entry: dict[str, Any]) -> None:
    typer.echo(json.dumps(entry, ensure_ascii=False))
