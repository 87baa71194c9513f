"""`i2i generate`: images from noise by a saved model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from i2i.cli.output import print_json, progress_bar
from i2i.core.device import DEVICE_NAMES


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="generate", help=HELP)(generate)


HELP = """Make images from noise: as files, as one sheet, or as a video that walks from image to image.

A seed always gives the same image, however large -n is.

\b
Examples:
  i2i generate --model biggan_digits -n 40 --columns 10 --grid digits.png
  i2i generate --model runs/x -n 64 --seed 0 --grid out.png
  i2i generate --model runs/x --label 3 --truncation 0.5 -n 1000 -o out/
  i2i generate --model runs/x --interpolate 8 --frames 60 -o walk.gif
"""


def generate(
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Model file, run folder, or a name of `i2i models`.", show_default=False),
    ],
    n: Annotated[int, typer.Option("-n", "--number", help="Number of images.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the first image; each next image has the next seed.", min=0)] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Output folder, or a video: .gif, .mp4 or .webm.")
    ] = None,
    grid: Annotated[Path | None, typer.Option(help="Image file for all images on one sheet.", metavar="FILE")] = None,
    columns: Annotated[int, typer.Option(help="Images per row of the sheet; 0: about square.", min=0)] = 0,
    label: Annotated[
        str | None, typer.Option(help="Class of the images: its name, or its number from 0. [default: all in turn]")
    ] = None,
    truncation: Annotated[
        float,
        typer.Option(help="Largest absolute noise value; below 2, images get better and more alike. 0: no limit."),
    ] = 0.0,
    size: Annotated[
        int | None,
        typer.Option(help="Side in pixels, for models that grew through several sizes. [default: the largest]"),
    ] = None,
    interpolate: Annotated[
        int, typer.Option(help="Walk through the images of N seeds and back to the first; 0: no walk.", metavar="N")
    ] = 0,
    frames: Annotated[int, typer.Option(help="Number of frames of the walk.", min=1)] = 60,
    fps: Annotated[float, typer.Option(help="Frames per second of a video, 0.002 to 100.")] = 20.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    device: Annotated[str, typer.Option(help=f"Device to run on: {DEVICE_NAMES}.")] = "auto",
    method: Annotated[
        Path | None,
        typer.Option(help="Your own method file, if the model was trained with one. Its code is run.", metavar="FILE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the files and the number of images as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Makes the images and prints where they are (see HELP)."""
    from i2i.inference.generate import generate as run

    started = time.monotonic()
    with progress_bar("", quiet or as_json, "images") as progress:
        result = run(
            model, n, seed, output=output, grid=grid, label=label, truncation=truncation, size=size,
            interpolate=interpolate, frames=frames, fps=fps, columns=columns, overwrite=overwrite, device=device,
            method=method, progress=progress,
        )  # fmt: skip
    if as_json:
        seconds = round(time.monotonic() - started, 3)
        print_json({"images": result.count, "files": list(map(str, result.files)), "seconds": seconds})
    elif not quiet:
        images = f"{result.count} image{'' if result.count == 1 else 's'}"
        first, more = result.files[0], len(result.files) - 1
        where = f"{first} and {more} more file{'' if more == 1 else 's'}" if more else str(first)
        typer.echo(f"{images} made in {time.monotonic() - started:.1f} s: {where}.", err=True)
