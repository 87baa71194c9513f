"""`i2i translate`: images and folders of images through a model."""

from __future__ import annotations

import glob
import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from i2i.cli import translate_options as option
from i2i.cli.output import progress_bar
from i2i.cli.panels import PanelCommand
from i2i.cli.translate_report import Report
from i2i.cli.translate_stop import Stop
from i2i.cli.video_hint import video_hint
from i2i.core.errors import I2IError
from i2i.core.files import kind_of

if TYPE_CHECKING:
    from i2i.inference.settings import TranslateSettings
    from i2i.models.load import ModelFile


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="translate", cls=PanelCommand, help=option.HELP)(translate)


def translate(
    context: typer.Context,
    model: option.Model,
    inputs: option.Inputs = None,
    output: option.Output = None,
    listed: option.Listed = None,
    null: option.Null = False,
    format: option.Format = None,
    size: option.Size = None,
    quality: option.Quality = None,
    subsampling: option.Subsampling = "4:4:4",
    alpha: option.Alpha = "keep",
    profile: option.Profile = "keep",
    metadata: option.Metadata = "keep",
    overwrite: option.Overwrite = False,
    skip_existing: option.SkipExisting = False,
    resume: option.Resume = False,
    dry_run: option.DryRun = False,
    watch: option.Watch = False,
    settle: option.Settle = 2.0,
    shard: option.Shard = None,
    processes: option.Processes = 1,
    ray: option.Ray = None,
    batch: option.Batch = 0,
    tile: option.Tile = None,
    overlap: option.Overlap = None,
    memory: option.Memory = None,
    exact: option.Exact = False,
    max_pixels: option.MaxPixels = None,
    compile: option.Compile = False,
    render_factor: option.RenderFactor = 0,
    device: option.Device = "auto",
    precision: option.Precision = "auto",
    direction: option.Direction = "AtoB",
    statistics: option.Statistics = "auto",
    method: option.Method = None,
    domain_check: option.DomainCheck = True,
    to: option.To = None,
    answers: option.Answers = 1,
    seed: option.Seed = 0,
    like: option.Like = None,
    steps: option.Steps = None,
    as_json: option.AsJson = False,
    quiet: option.Quiet = False,
) -> None:
    """Parses the options of `i2i translate` (see option.HELP), and translates in one of three ways."""
    from i2i.inference.inputs import parse_shard
    from i2i.inference.settings import NetworkSettings, RunSettings, TranslateSettings
    from i2i.media.codec import WriteSettings
    from i2i.media.images import MAX_PIXELS
    from i2i.models.answers import AnswerSettings
    from i2i.models.tiling import TileSettings

    if overwrite and skip_existing:
        raise I2IError(
            "--overwrite replaces outputs that exist; --skip-existing leaves them.", "Give only one of them."
        )
    part = parse_shard(shard) if shard else None
    settings = TranslateSettings(
        WriteSettings(parse_size(size), quality, subsampling, alpha, profile, max_pixels or MAX_PIXELS, metadata),
        TileSettings(tile, overlap, None if memory is None else memory * 2**30, exact),
        NetworkSettings(device, precision, direction, statistics, method, batch, compile, render_factor),
        RunSettings(overwrite, skip_existing, resume, None, dry_run, part, processes, ray, domain_check),
        AnswerSettings(to or (), answers, seed, like, steps),
    )
    request = Request(inputs or [], listed, null, output, model, format, settings)
    report = Report(as_json, quiet, skip_existing or resume)
    if "-" in (*request.inputs, output):
        _stream(request, report, watch, skip_existing)
    elif watch:
        _watch(request, report, settle)
    else:
        _batch(request, report, skip_existing, context.find_root().obj or [])


@dataclass(frozen=True)
class Request:
    """What the user wants translated."""

    inputs: list[str]
    listed: Path | None  # the list file
    null: bool  # its entries are separated by NUL bytes
    output: str | None
    model: str
    format: str | None
    settings: TranslateSettings

    def find_model(self, report: Report) -> ModelFile:
        """The model's file; a published model is downloaded if it is not on this disk. Raises I2IError."""
        from i2i.models.load import find

        with progress_bar(self.model, not report.may_draw) as progress:
            return find(self.model, progress)


def _batch(request: Request, report: Report, skip_existing: bool, words: list[str]) -> None:
    """Images, folders, patterns and lists, until all of them are done. words: the command as it was typed."""
    from i2i.core import storage
    from i2i.inference.inputs import NoImages, read_list
    from i2i.inference.translate import translate as run

    if not request.inputs and request.listed is None:
        raise I2IError("No image was given.", "Give images, folders or patterns, or a list of them with --list.")
    _refuse_output_among_inputs(request)
    model = request.find_model(report)
    started = time.monotonic()
    stop = Stop(words, has_record=request.output is not None or _is_one_folder(request))
    try:
        with stop.explained(), progress_bar("", not report.may_draw, "images") as advance:
            result = run(
                request.inputs,
                request.output,
                request.model if request.settings.run.ray else model,
                listed=read_list(request.listed, request.null) if request.listed else (),
                format=request.format,
                progress=stop.counting(advance),
                settings=request.settings,
            )
    except NoImages as error:
        hint = video_hint(words, request.inputs, error.others)
        raise I2IError(error.what, hint or error.hint) from None

    # one image by itself: what would be a line of a list is an error
    sources = [str(o.source) for o in result.outcomes]
    alone = len(request.inputs) == 1 and sources == [str(storage.locate(request.inputs[0]))]
    settings = request.settings.run
    if alone and result.skipped and not (skip_existing or settings.resume or settings.dry_run):
        raise I2IError(
            f"{result.skipped[0]} exists.", "Give --overwrite to replace it, or --skip-existing to leave it."
        )
    hint = video_hint(words, request.inputs, result.left_out_files)
    report.print_result(result, time.monotonic() - started, alone, hint)


def _is_one_folder(request: Request) -> bool:
    return len(request.inputs) == 1 and Path(request.inputs[0]).is_dir()


def _refuse_output_among_inputs(request: Request) -> None:
    """Raises I2IError for `i2i translate photo.jpg out.jpg`: the output is given by -o."""
    *inputs, last = request.inputs or [""]
    if not inputs or request.output is not None or "://" in last or glob.has_magic(last) or kind_of(last):
        return
    if all(kind_of(entry) for entry in inputs):
        line = shlex.join(["i2i", "translate", *inputs, "-o", last, "--model", request.model])
        raise I2IError(f"There is no file or folder {last}.", f"If it is the output, type: {line}")


def _watch(request: Request, report: Report, settle: float) -> None:
    """A folder, until the user interrupts; one line for each image."""
    from i2i.inference.watch import watch
    from i2i.media import formats

    if len(request.inputs) != 1 or request.output is None or request.listed:
        raise I2IError(
            "--watch takes one input folder and an output folder.",
            "For example: i2i translate in/ -o out/ --watch --model runs/mine",
        )
    folder = request.inputs[0]
    watch(
        folder,
        request.output,
        request.find_model(report),
        format=request.format,
        tell=report.print_outcome,
        ready=lambda: report.note(f"Watching {folder}. Press Ctrl-C to stop."),
        leave_out=lambda files: report.note(formats.left_out(files)),
        settle=settle,
        settings=request.settings,
    )


def _stream(request: Request, report: Report, watch: bool, skip_existing: bool) -> None:
    """One image from standard input to standard output, or into a file."""
    from i2i.core.files import atomic_write
    from i2i.inference.outputs import output_format
    from i2i.inference.results import Outcome, Result
    from i2i.inference.translate import translate_bytes
    from i2i.inference.workers import Work

    settings = request.settings
    target = _stream_target(request, report, watch)
    format = request.format if target is None else output_format(target, request.format)
    exists = target is not None and target.exists() and not settings.run.overwrite
    if exists and not skip_existing:
        raise I2IError(f"{target} exists.", "Give --overwrite to replace it, or --skip-existing to leave it.")

    started = time.monotonic()
    if not exists:
        translator = Work(request.find_model(report), settings.write, settings.tiling, settings.network).translator()
        translator = translator.with_answer(settings.answer)
        data = translate_bytes(sys.stdin.buffer.read(), translator, settings.write, format)
        if target is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        with atomic_write(target) as file:
            file.write(data)
    assert target is not None
    result = Result([Outcome(Path("-"), target, "skipped" if exists else "done")])
    report.print_result(result, time.monotonic() - started)


def _stream_target(request: Request, report: Report, watch: bool) -> Path | None:
    """The output file of an image from standard input; None: standard output. Raises I2IError for what cannot be."""
    run, output = request.settings.run, None if request.output == "-" else request.output
    if "-" not in request.inputs:
        raise I2IError(
            "Only an image from standard input can go to standard output (-o -).",
            f"Type: i2i translate - --model {shlex.quote(request.model)} < photo.jpg > out.jpg",
        )
    if len(request.inputs) > 1 or request.listed or watch:
        raise I2IError(
            "Standard input (-) cannot be combined with other inputs, --list or --watch.",
            "Give - alone, or give files.",
        )
    if run.dry_run or run.resume or run.shard or run.ray or run.processes > 1:
        raise I2IError(
            "Standard input (-) cannot be combined with --dry-run, --resume, --shard, --processes or --ray.",
            "Leave them out: - is a single image, translated at once.",
        )
    if output is not None and "://" in output:
        raise I2IError(
            f"The output {output} is an address; an image from standard input goes into a file or to standard output.",
            "Give a file with --output.",
        )
    if output is not None:
        return Path(output)
    if report.as_json:
        raise I2IError("The image and the lines of --json cannot both go to standard output.", "Give --output FILE.")
    if sys.stdout.isatty():
        raise I2IError("The image would be written to the terminal.", "Add > FILE, or give --output FILE.")
    if getattr(sys.stdout, "name", "") == os.devnull:  # the program opens what was closed so
        raise I2IError("Standard output is closed.", "Add > FILE, or give --output FILE.")
    return None


def parse_size(text: str | None) -> int | tuple[int, int] | None:
    """--size: N, or WIDTHxHEIGHT as (width, height). Raises I2IError."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.strip().isdecimal() for p in parts):
        raise I2IError(f"The size is {text!r}.", "Give N for the shorter side, or WIDTHxHEIGHT: 512 or 640x480.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
