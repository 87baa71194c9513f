"""`i2i generate`: images from noise by a saved model."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from i2i.core.device import DEVICE_NAMES
from i2i.core.progress import Progress


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="generate")(generate)


def generate(
    model: Annotated[str, typer.Option("--model", "-m", help="A model's file, or a run's folder.", show_default=False)],
    n: Annotated[int, typer.Option("-n", "--number", help="Images to make.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the first image; the next ones have the next seeds.", min=0)] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A folder, or a video: .gif, .mp4 and .webm (with PyAV)."),
    ] = None,
    grid: Annotated[Path | None, typer.Option(help="A file for all images in one sheet.")] = None,
    columns: Annotated[int, typer.Option(help="Images in a row of the sheet; 0: about square.", min=0)] = 0,
    label: Annotated[
        str | None,
        typer.Option(help="Class to make: its name, or its number from 0 if no class is called so. [all in turn]"),
    ] = None,
    truncation: Annotated[
        float, typer.Option(help="Largest absolute noise: below 2 better but more alike images; 0: no limit.")
    ] = 0.0,
    size: Annotated[int | None, typer.Option(help="Side in pixels, of a model that grew through several.")] = None,
    interpolate: Annotated[int, typer.Option(help="Walk through so many images and back to the first.")] = 0,
    frames: Annotated[int, typer.Option(help="Frames of the walk.", min=1)] = 60,
    fps: Annotated[float, typer.Option(help="Frames a second of a video, 0.002 to 100.")] = 20.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    device: Annotated[str, typer.Option(help=f"Device to run on: {DEVICE_NAMES}.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
) -> None:
    """Make images from noise: folders, sheets, and walks as videos.

    A seed gives the same image every time, however many are made at once.

    \b
    Examples:
      i2i generate --model runs/x -n 64 --seed 0 --grid out.png
      i2i generate --model runs/x --label 3 --truncation 0.5 -n 1000 -o out/
      i2i generate --model runs/x --interpolate 8 --frames 60 -o walk.gif
    """
    from i2i.inference.generate import generate as run

    started = time.monotonic()
    with _progress(quiet) as tell:
        made = run(
            model,
            n,
            seed,
            output=output,
            grid=grid,
            label=label,
            truncation=truncation,
            size=size,
            interpolate=interpolate,
            frames=frames,
            fps=fps,
            columns=columns,
            overwrite=overwrite,
            device=device,
            progress=tell,
        )
    if not quiet:
        where = str(made.files[0]) if len(made.files) == 1 else f"{len(made.files)} files, the first {made.files[0]}"
        what = f"{made.pictures} image{'' if made.pictures == 1 else 's'}"
        typer.echo(f"{what} in {time.monotonic() - started:.1f} s: {where}.", err=True)


@contextmanager
def _progress(silent: bool) -> Iterator[Progress | None]:
    """What is told after each pass: a bar on a terminal, nothing elsewhere."""
    if silent or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
