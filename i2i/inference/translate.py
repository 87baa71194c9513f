"""The use case "translate": images, folders and archives of images through a model, onto the disk.

    i2i.translate("photo.jpg", model="runs/mine")
    i2i.translate("in/", "out/", "runs/mine", resume=True)

What is translated, and where it goes, is decided first (inputs). Then the images run through the network (pipeline).
Each is written without loss of its metadata (media.codec), and appears whole, by a rename, or not at all. A record in
the output folder (record) knows what is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

from PIL import Image

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.core.files import blake2b_of, sweep
from i2i.inference import precision, ray_cluster, sheets, workers
from i2i.inference.domain_check import has_pixels, larger_than_training, spread, unlike_training
from i2i.inference.inputs import collect_jobs, in_shard
from i2i.inference.jobs import Jobs, reason
from i2i.inference.notes import with_domain, with_format, with_totals
from i2i.inference.output_folder import OutputFolder
from i2i.inference.outputs import WRITABLE, FilePair, has_frames
from i2i.inference.record import Record
from i2i.inference.results import Outcome, Result
from i2i.inference.settings import RunSettings, TranslateOptions, TranslateSettings
from i2i.inference.todo import record_for, todo_of
from i2i.inference.workers import Work
from i2i.media import codec, reader, tiff
from i2i.media.codec import WriteSettings
from i2i.media.formats import open_pillow
from i2i.models.answers import Answer, AnswerSettings, answers_of
from i2i.models.load import ModelFile, find
from i2i.models.translator import Translator

Progress = Callable[[int, int, Path], None]  # (images done, images in all, the input that was done last)


def translate(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    model: str | Path | ModelFile | Translator = "",
    *,
    listed: Iterable[str | Path] = (),
    root: str | Path | None = None,
    recursive: bool = True,
    format: str | None = None,
    progress: Progress | None = None,
    settings: TranslateSettings | None = None,
    **options: Unpack[TranslateOptions],
) -> Result:
    """Translates image files, folders of them, and patterns such as "archive/**/*.png".

    inputs, output, listed, root, recursive: see inputs.collect_jobs. model: a model's file, a run's folder, a name of
    `i2i models`, or a loaded model. format: of all outputs, such as "png"; None keeps each input's format.
    progress(images done, images in all, input): called after each image.

    settings: how images are written, cut into tiles, sent through the network, and which are translated again. options
    change single settings by keyword:

    - size (None keeps each image's; N: shorter side in pixels; (width, height): exact), quality, subsampling, alpha,
      profile, metadata, max_pixels: see media.codec.WriteSettings;
    - tile and overlap (pixels), memory (bytes), exact: see models.tiling.TileSettings;
    - device, precision, direction, statistics, method, batch, compile, render_factor: see settings.NetworkSettings;
    - overwrite, skip_existing, resume, record, dry_run, shard, processes, ray, domain_check: see settings.RunSettings;
    - to, answers, seed, like, steps: of a model with several answers; see models.answers.AnswerSettings.

    Returns what became of each image; an image that cannot be read, translated or written never stops the others.
    Raises I2IError, before anything is read, if an input does not exist, there is no image, two inputs would have one
    output, an output would replace an input, or the record belongs to another model or other settings.
    """
    settings = (settings or TranslateSettings()).with_options(**options)
    run = settings.run

    source, work, answers, why = _work_of(model, settings)

    # the images, and the names of their outputs
    inputs = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    others: list[Path] = []
    pairs = collect_jobs(
        inputs, output, source.name, recursive=recursive, suffix=format, listed=listed, root=root, others=others
    )
    if run.shard is not None:
        pairs = [p for p in pairs if in_shard(p.name, run.shard)]

    is_named = len(pairs) == 1 and output is not None and pairs[0].target == storage.locate(output)
    folder = _output_folder(inputs, output, pairs)
    pairs = sheets.expand(pairs, answers, settings.answer.every_domain)

    # what is done already, and in which precision
    several = len(pairs) > 1 or root is not None
    record = record_for(folder, run, several, settings_digest(work, settings.answer))
    if settings.network.precision == "auto" and not isinstance(model, Translator):
        form = precision.kept(work, record, lambda form: settings_digest(form, settings.answer))
        if form.network.precision != work.network.precision:
            work, why = form, precision.BEGUN
            record = record_for(folder, run, several, settings_digest(work, settings.answer))
    todo = todo_of(pairs, record, run)
    if run.dry_run:
        states = ["planned" if t else "skipped" for t in todo]
        outcomes = [Outcome.of(p, state) for p, state in zip(pairs, states)]
        return Result(outcomes, left_out_files=others, precision=work.network.precision, why=why)

    sweep({p.target.parent for p in pairs if not storage.is_address(p.target)})
    with OutputFolder(folder, None if record is None else record.path).held() as watched:
        result = _run(work, pairs, todo, answers, record, watched, run, progress)
    unlike = ""
    if run.domain_check and not run.ray:
        images = [p for p, due in zip(pairs, todo) if due and has_pixels(p.source)]
        looks = [p.source for p in spread(images)]
        unlike = unlike_training(source, work.network.direction, looks)
        if not unlike and settings.write.size is None:
            unlike = larger_than_training(source, work.network.direction, looks)
    result = dataclasses.replace(result, left_out_files=others, unlike=unlike)
    result = dataclasses.replace(result, precision=work.network.precision, why=why)
    if format is None and not is_named:
        result.outcomes[:] = [with_format(outcome) for outcome in result.outcomes]
    result.outcomes[:] = with_totals(result.outcomes)
    if not settings.answer.to:
        result.outcomes[:] = [with_domain(outcome, work) for outcome in result.outcomes]
    return result


def _work_of(
    model: str | Path | ModelFile | Translator, settings: TranslateSettings
) -> tuple[ModelFile | Translator, Work, list[Answer], str]:
    """(the model, found; what is done with each image; the answers that are asked for, none for the default; why this
    precision, if auto chose it).

    The model is loaded here, or by the processes that do the work; on a cluster, each node finds its file itself.
    Raises I2IError if there is no such model, or it does not have the answers."""
    if isinstance(model, str | Path) and not str(model):
        raise I2IError("No model was given.", "Give a model file, a run folder, or a name that `i2i models` lists.")
    run = settings.run
    source = model if isinstance(model, Translator) else find(model)
    work = Work(model if run.ray else source, settings.write, settings.tiling, settings.network)
    work, why = precision.settled(work, run)
    if run.processes == 1 and not run.ray:
        work = dataclasses.replace(work, model=work.translator())
    answers = [] if settings.answer.is_default else _answers(work, settings.answer)
    return source, dataclasses.replace(work, choices=tuple(answer.choice for answer in answers)), answers, why


def _answers(work: Work, settings: AnswerSettings) -> list[Answer]:
    """The answers that are wanted. Raises I2IError before any work if the model does not have one of them."""
    if isinstance(work.model, Translator):
        translator = work.model
    else:  # several processes load the model for themselves
        network = dataclasses.replace(work.network, device="cpu", precision="fp32")
        translator = dataclasses.replace(work, network=network).translator()
    answers = answers_of(settings, translator.saved_network, translator.channels_out)
    for answer in answers:
        translator.with_choice(answer.choice)
    return answers


def _run(
    work: Work,
    pairs: list[FilePair],
    todo: list[bool],
    answers: list[Answer],
    record: Record | None,
    folder: OutputFolder,
    run: RunSettings,
    progress: Progress | None,
) -> Result:
    """Translates the pairs that are to do: here, in several processes, or on a cluster.

    Raises I2IError if the output folder is removed meanwhile."""
    outcomes = [None if due else Outcome.of(p, "skipped") for p, due in zip(pairs, todo)]
    done = len(pairs) - sum(todo)
    jobs = Jobs(pairs, (i for i, p in enumerate(pairs) if todo[i] and p.answer != sheets.SHEET))
    record_errors: list[str] = []

    @contextlib.contextmanager
    def noting_record_errors() -> Iterator[None]:
        """What became of the images is reported even if the record cannot be written."""
        try:
            yield
        except I2IError as error:
            record_errors.append(str(error))

    def tell(number: int, error: str | None, note: str = "") -> None:
        nonlocal done
        pair = pairs[number]
        done += outcomes[number] is None
        outcomes[number] = Outcome.of(pair, "failed" if error else "done", error or "", note)
        if error and record is not None:
            with noting_record_errors():
                record.failed(pair.name, pair.target, error)
        if progress:
            progress(done, len(pairs), pair.source)
        folder.check(done, len(pairs))

    def has_failed(number: int) -> bool:
        outcome = outcomes[number]
        return outcome is None or outcome.state == "failed"

    if any(todo) and record is not None and not (jobs and run.ray):  # a cluster is reached first
        record.open()  # before any work: an archive is not begun without its record
        folder.check(done, len(pairs))
    try:
        if jobs and run.ray:
            ray_cluster.run(work, jobs, run.ray, record, tell)
        elif jobs and run.processes > 1:
            workers.run(work, jobs, min(run.processes, len(jobs)), record, tell)
        elif jobs:
            work.pipeline(record).run(
                jobs, lambda job, error: tell(job.number, reason(error) if error else None, job.note)
            )
        sheets.write_sheets(pairs, todo, answers, has_failed, record, tell)
    finally:
        if record is not None:
            with noting_record_errors():
                record.close()
    return Result([o for o in outcomes if o is not None], record_errors[0] if record_errors else "")


def _output_folder(inputs: Sequence[str | Path], output: str | Path | None, pairs: list[FilePair]) -> Path | None:
    """The folder that holds all outputs and may hold their record; None if they lie beside their inputs."""
    if output is not None:
        out = storage.locate(output)
        return None if any(p.target == out for p in pairs) else out
    if len(inputs) == 1 and storage.locate(inputs[0]).is_dir() and pairs:
        return pairs[0].target.parents[len(Path(pairs[0].name).parts) - 1]
    return None


def settings_digest(work: Work, answer: AnswerSettings | None = None) -> str:
    """BLAKE2b of the model's weights and of everything else that changes outputs. Records on users' disks hold it.

    A choice of answers is part of it only where one was made, as records of version 0.1 know none."""
    statistics = work.network.statistics
    options = dataclasses.asdict(work.write)
    if options["metadata"] == "keep":
        del options["metadata"]  # records of version 0.1 do not know it
    facts: dict[str, Any] = {
        "weights": work.digest(),
        "options": options,
        "tiling": dataclasses.asdict(work.tiling),
        "precision": "fp32" if work.network.precision == "auto" else work.network.precision,
        "direction": work.network.direction,
        "statistics": {"image": "picture"}.get(statistics, statistics),  # its name until version 0.1
    }
    if work.network.render_factor:
        facts["render factor"] = work.network.render_factor
    choice = {} if answer is None else answer.facts()
    if not choice and isinstance(work.model, Translator):
        choice = work.model.choice.facts()
    if choice:
        facts["choice"] = choice
    return blake2b_of(json.dumps(facts, sort_keys=True).encode())


def translate_bytes(
    data: bytes,
    translator: Translator,
    settings: WriteSettings | None = None,
    format: str | None = None,
    name: str = "the image from standard input",
) -> bytes:
    """Translates the bytes of one image file into those of another.

    format: such as "jpg"; None keeps the input's format, or takes png if that cannot be written. name: what errors call
    the image. Raises I2IError if it cannot be read or written."""
    settings = settings or WriteSettings()
    format = format or _format_of_bytes(data)
    suffix = f".{format.lstrip('.').lower()}"
    if suffix not in WRITABLE:
        raise I2IError(f"Images cannot be written as {suffix}.", f"Allowed: {', '.join(WRITABLE)}.")
    source = io.BytesIO(data)
    source.name = name
    palette = translator.palette
    document = reader.read(source, translator.channels_in, settings, suffix, translator.scale, palette)
    levels = [translator.levels([translator.adapt(part)])[0] for part in document.parts]
    return codec.encode(document, levels, suffix, settings)


def _format_of_bytes(data: bytes) -> str:
    """The format that an image is translated into, as if it were a file with the suffix of its own format."""
    try:
        kind = (open_pillow(io.BytesIO(data)).format or "").lower()
    except (OSError, Image.DecompressionBombError):
        kind = "tiff" if data[:4] in tiff.MAGIC else ""  # Pillow does not know all of them
    kind = {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif"}.get(kind, kind)
    still = kind == "gif" and not has_frames(io.BytesIO(data))
    return kind if f".{kind}" in WRITABLE and not still else "png"
