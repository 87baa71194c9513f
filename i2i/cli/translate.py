"""`i2i translate`: images and folders of images through a model."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from i2i.cli.output import download_progress, printable
from i2i.core.device import DEVICE_NAMES
from i2i.core.errors import I2IError

if TYPE_CHECKING:
    from i2i.inference.translate import Outcome, Result
    from i2i.models.load import ModelFile

SOME_FAILED = 3  # the exit code when single images of a batch failed


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="translate")(translate)


def translate(
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A model's file, a run's folder, or a name of `i2i models`.", show_default=False
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images, videos, folders, patterns such as 'archive/**/*.png'; - is standard input and output.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="A folder, or a file for one image. Without it: photo.MODEL.jpg beside photo.jpg."
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", help="A file with the images' names, one a line; - reads them.", metavar="FILE"),
    ] = None,
    null: Annotated[bool, typer.Option("-0", "--null", help="The names of --list end with NUL bytes.")] = False,
    format: Annotated[
        str | None, typer.Option(help="Of the outputs: jpg, png, webp, tif, bmp, gif, avif. Else as each input.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Another size: N for the shorter side, or WIDTHxHEIGHT.", metavar="N|WxH")
    ] = None,
    quality: Annotated[int | None, typer.Option(help="Of JPEG, WebP, AVIF: 1 to 100. [95; AVIF 90]", metavar="Q")] = (
        None
    ),
    subsampling: Annotated[str, typer.Option(help="Of JPEG's colours: 4:4:4, 4:2:2 or 4:2:0.")] = "4:4:4",
    alpha: Annotated[
        str, typer.Option(help="Transparency: keep it, drop it (on white), or translate it like a grey image.")
    ] = "keep",
    profile: Annotated[str, typer.Option(help="Colour profile: keep the input's, or srgb.")] = "keep",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Say nothing about outputs that exist; they are left alone.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip what the output folder's record says is done and intact.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with what is put into the folder later.")] = False,
    settle: Annotated[float, typer.Option(help="With --watch: seconds a file must rest.", min=0)] = 2.0,
    shard: Annotated[
        str | None, typer.Option(help="Only part i of n, by a hash of each name: for job arrays.", metavar="I/N")
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes of this machine that share the work.", min=1)] = 1,
    ray: Annotated[
        str | None,
        typer.Option(help="A Ray cluster for the work: auto, local, HOST:PORT, ray://HOST:PORT.", metavar="ADDRESS"),
    ] = None,
    batch: Annotated[int, typer.Option(help="Most images in one pass of the network; 0 chooses.", min=0)] = 0,
    tile: Annotated[
        int | None,
        typer.Option(help="Cut into windows of N pixels; 0 never. Else only above the memory limit.", metavar="N"),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Pixels around each window. Else the network's receptive field.", metavar="N")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="GiB that one pass of the network may take.", metavar="GIB")
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="In windows: the norms' statistics exact, even where that takes many passes."),
    ] = False,
    max_pixels: Annotated[
        int | None, typer.Option(help="Refuse images with more pixels. [100 million]", metavar="N", min=1)
    ] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the network; pays after some 100 images.")] = (
        False
    ),
    device: Annotated[str, typer.Option(help=f"Device to run on: {DEVICE_NAMES}.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, bf16 (faster) or fp16 (GPUs).")] = "fp32",
    direction: Annotated[str, typer.Option(help="AtoB, or BtoA for a model that holds the way back.")] = "AtoB",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an image and a summary, for machines.")] = (
        False
    ),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
) -> None:
    """Translate images: one, many, or whole archives with their tree.

    Outputs keep their input's size, format and metadata. Nothing that exists is overwritten unless you say so, and a
    bad image never stops the rest: it is listed at the end, and the exit code is 3 (1 for one image by itself).

    \b
    Examples:
      i2i translate photo.jpg --model cyclegan_horse2zebra
      i2i translate holiday/ -o out/ --model runs/mine
      i2i translate 'archive/**/*.png' -o out/ --model runs/mine --resume
      i2i translate video.mp4 -o out.mp4 --model runs/mine
      i2i translate s3://bucket/in/ -o s3://bucket/out/ --model runs/mine
      i2i translate scan_8k.tif -o out.tif --model runs/mine --tile 512
      i2i translate - --model runs/mine < photo.jpg > out.jpg
    """
    if overwrite and skip_existing:
        raise I2IError("--overwrite replaces outputs that exist; --skip-existing leaves them.", "Give one of them.")
    from i2i.core import storage
    from i2i.inference import inputs as naming
    from i2i.models.load import find

    with download_progress(model, quiet or as_json) as fetching:
        source = find(model, fetching)
    given = inputs or []
    settings: dict[str, Any] = {
        "size": _size(size),
        "quality": quality,
        "subsampling": subsampling,
        "alpha": alpha,
        "profile": profile,
        "max_pixels": max_pixels,
    }
    network = {"device": device, "precision": precision, "direction": direction}
    windows = {"tile": tile, "overlap": overlap, "memory": None if memory is None else memory * 2**30, "exact": exact}
    if "-" in given:
        if len(given) > 1 or listed or watch:
            raise I2IError("Standard input (-) is one image, alone.", "Name files, or give - by itself.")
        if dry_run or resume or shard or ray or processes > 1:
            raise I2IError("Standard input (-) is one image and translated at once.", "Leave out what plans work.")
        if output is not None and "://" in output:
            raise I2IError(f"{output} is an address; - is translated into a file or to standard output.")
        if output is None and as_json:
            raise I2IError("Standard output is where the image goes, not --json's lines.", "Give --output.")
        _stream(output, source, format, settings, network, windows, overwrite, skip_existing, as_json, quiet)
        return
    if not given and listed is None:
        raise I2IError("No image was given.", "Name images, folders or patterns, or a list of them with --list.")
    run: dict[str, Any] = {**settings, **network, **windows, "format": format, "overwrite": overwrite, "batch": batch}
    run |= {"compile": compile, "shard": naming.parse_shard(shard) if shard else None}
    if watch:
        if len(given) != 1 or output is None or listed:
            raise I2IError("--watch needs one folder and an output folder.", "i2i translate in/ -o out/ --watch ...")
        if dry_run:
            raise I2IError("--dry-run says what would be done now; --watch waits.", "Give one of them.")
        if ray or processes > 1:
            raise I2IError("A watched folder is translated by one process.", "Leave out --ray and --processes.")
        if "://" in given[0]:
            raise I2IError(f"{given[0]} is an address; only a folder of this machine can be watched.")
        _watch(given[0], output, source, settle, run, as_json, quiet)
        return
    from i2i.inference.translate import translate as translated

    started = time.monotonic()
    with _progress(quiet or as_json) as tell:
        result = translated(
            given,
            output,
            model if ray else source,
            listed=naming.read_list(listed, null) if listed else (),
            resume=resume,
            dry_run=dry_run,
            processes=processes,
            ray=ray,
            progress=tell,
            **run,
        )
    alone = len(given) == 1 and [str(o.source) for o in result.outcomes] == [str(storage.locate(given[0]))]
    if alone and result.skipped and not (skip_existing or resume or dry_run):
        raise I2IError(f"{result.skipped[0]} exists.", "Give --overwrite to replace it, or --skip-existing.")
    _report(result, time.monotonic() - started, as_json, quiet, skip_existing or resume, alone)


def _stream(
    output: str | None,
    model: ModelFile,
    format: str | None,
    settings: dict[str, Any],
    network: dict[str, Any],
    windows: dict[str, Any],
    overwrite: bool,
    skip_existing: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """One image from standard input to standard output, or into a file."""
    from i2i.core import files
    from i2i.inference import inputs as naming
    from i2i.inference.translate import Outcome, Result, translate_bytes
    from i2i.media.codec import WriteSettings
    from i2i.models.load import load
    from i2i.models.tiling import TileSettings

    started = time.monotonic()
    target = None if output is None else Path(output)
    if target is not None:
        format = naming.format_of(target, format)
    elif sys.stdout.isatty():
        raise I2IError("An image would be written to the terminal.", "Send it into a file with >, or give --output.")
    elif getattr(sys.stdout, "name", "") == os.devnull:  # as the program opens what was closed
        raise I2IError("Standard output is closed.", "Send the image into a file with >, or give --output.")
    there = target is not None and target.exists() and not overwrite
    if there and not skip_existing:
        raise I2IError(f"{target} exists.", "Give --overwrite to replace it.")
    tiling = TileSettings(windows["tile"], windows["overlap"], windows["memory"], windows["exact"])
    options = WriteSettings(**{k: v for k, v in settings.items() if v is not None})
    if not there:
        data = translate_bytes(sys.stdin.buffer.read(), load(model, **network, tiling=tiling), options, format)
        if target is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        with files.atomic_write(target) as file:
            file.write(data)
    assert target is not None
    result = Result([Outcome(Path("-"), target, "skipped" if there else "done")])
    _report(result, time.monotonic() - started, as_json, quiet, skip_existing)


def _watch(
    folder: str, output: str, model: ModelFile, settle: float, run: dict[str, Any], as_json: bool, quiet: bool
) -> None:
    """Until it is interrupted: a line for each image."""
    from i2i.inference.watch import watch

    def tell(outcome: Outcome) -> None:
        if as_json:
            _line(_entry(outcome))
        elif outcome.state == "failed":
            _say(f"failed: {_named(outcome)}")
        elif not quiet:
            _say(f"{outcome.state}: {outcome.target}")

    def ready() -> None:
        if not quiet:
            _say(f"Watching {folder}; Ctrl-C ends it.")

    watch(folder, output, model, settle=settle, tell=tell, ready=ready, **run)


def _size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.strip().isdecimal() for p in parts):
        raise I2IError(f"The size {text!r} is not understood.", "Give N for the shorter side, or WIDTHxHEIGHT.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


@contextmanager
def _progress(silent: bool) -> Iterator[Callable[[int, int, Path], None] | None]:
    """What is told after each image: a bar on a terminal, nothing elsewhere."""
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


def _report(
    result: Result, seconds: float, as_json: bool, quiet: bool, silent_skips: bool, alone: bool = False
) -> None:
    """Prints what became of the images and ends with the fitting exit code; `alone`: one was named, no batch."""
    counts = {s: sum(o.state == s for o in result.outcomes) for s in ("done", "skipped", "failed", "planned")}
    if as_json:
        for outcome in result.outcomes:
            _line(_entry(outcome))
        _line({**counts, "seconds": round(seconds, 3), **({"record": result.record} if result.record else {})})
    elif alone and result.failed:
        raise I2IError(_named(result.outcomes[0]))
    else:
        if counts["planned"]:
            for source, target in result.planned:
                typer.echo(printable(f"{source} -> {target}"))
        if not quiet:
            _say(_summary(result, counts, seconds, silent_skips))
        if result.failed:
            _say(f"{_count(counts['failed'])} failed:")
        for outcome in result.outcomes:
            if outcome.state == "failed":
                _say(f"  {_named(outcome)}")
    if result.record and not quiet:
        _say(f"The record is not complete: {result.record}")
    if result.failed or result.record:
        raise typer.Exit(I2IError.code if alone or not result.failed else SOME_FAILED)


def _summary(result: Result, counts: dict[str, int], seconds: float, silent_skips: bool) -> str:
    said = [f"{_count(counts['done'])} translated in {seconds:.1f} s"]
    if counts["planned"] or (counts["skipped"] and not counts["done"] + counts["failed"]):
        said = [f"{_count(counts['planned'])} to translate"]
    elif counts["done"] == 1:
        said = [f"{result.done[0]} written in {seconds:.1f} s"]
    if counts["skipped"]:
        why = "" if silent_skips else " (--overwrite replaces them)"
        said += [f"{counts['skipped']} left as they were, because they exist{why}"]
    return "; ".join(said) + "."


def _entry(outcome: Outcome) -> dict[str, Any]:
    entry = {"input": str(outcome.source), "output": str(outcome.target), "state": outcome.state}
    return {**entry, "error": outcome.error} if outcome.error else entry


def _named(outcome: Outcome) -> str:
    """The error, with the image's name if it does not say it."""
    named = str(outcome.source) in outcome.error or str(outcome.target) in outcome.error
    return outcome.error if named else f"{outcome.source}: {outcome.error}"


def _count(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"


def _say(text: str) -> None:
    typer.echo(printable(text), err=True)


def _line(entry: dict[str, Any]) -> None:
    typer.echo(json.dumps(entry))
