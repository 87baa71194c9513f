"""The use case "translate": images, folders and archives of images through a model, onto the disk.

    i2i.translate("photo.jpg", model="runs/mine")
    i2i.translate("in/", "out/", "runs/mine", resume=True)

What is translated and where it goes is settled first (naming), then the images run through the network (pipeline),
each is written so that nothing is lost on the way (codec) and appears whole, by a rename, or not at all. A record in
the output folder (manifest) knows what is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from i2i.core import files, storage
from i2i.core.errors import I2IError
from i2i.inference import inputs as naming
from i2i.inference import ray_cluster, workers
from i2i.inference.inputs import Pair
from i2i.inference.manifest import Manifest
from i2i.inference.pipeline import Job, reason
from i2i.inference.remote_manifest import RemoteManifest
from i2i.inference.workers import Work
from i2i.media import codec
from i2i.media.adapt import Size
from i2i.media.codec import WriteSettings
from i2i.models.load import ModelFile, display_name, find, load
from i2i.models.tiling import TileSettings
from i2i.models.translator import Translator

__all__ = ["Outcome", "Result", "Translator", "display_name", "find", "load", "translate", "translate_bytes"]

Progress = Callable[[int, int, Path], None]


@dataclass(frozen=True)
class Outcome:
    """What became of one image: done, skipped, failed, or planned (in a dry run)."""

    source: Path
    target: Path
    state: str
    error: str = ""


@dataclass
class Result:
    """What became of each input, in the order of the inputs."""

    outcomes: list[Outcome] = field(default_factory=list)
    record: str = ""  # why the record does not hold all of it; empty if it does, or if there is none

    def _of(self, state: str) -> list[Outcome]:
        return [o for o in self.outcomes if o.state == state]

    @property
    def done(self) -> list[Path]:
        """Outputs written."""
        return [o.target for o in self._of("done")]

    @property
    def failed(self) -> list[tuple[Path, str]]:
        """(input, reason) of what could not be read, translated or written."""
        return [(o.source, o.error) for o in self._of("failed")]

    @property
    def skipped(self) -> list[Path]:
        """Outputs that were there already."""
        return [o.target for o in self._of("skipped")]

    @property
    def planned(self) -> list[tuple[Path, Path]]:
        """(input, output) of what a dry run would do."""
        return [(o.source, o.target) for o in self._of("planned")]


def translate(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    model: str | Path | ModelFile | Translator = "",
    *,
    listed: Iterable[str | Path] = (),
    root: str | Path | None = None,
    recursive: bool = True,
    format: str | None = None,
    size: Size = None,
    quality: int | None = None,
    subsampling: str = "4:4:4",
    alpha: str = "keep",
    profile: str = "keep",
    max_pixels: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    record: bool | None = None,
    dry_run: bool = False,
    shard: tuple[int, int] | None = None,
    processes: int = 1,
    ray: str | None = None,
    batch: int = 0,
    tile: int | None = None,
    overlap: int | None = None,
    memory: float | None = None,
    exact: bool = False,
    compile: bool = False,
    device: str = "auto",
    precision: str = "fp32",
    direction: str = "AtoB",
    statistics: str = "auto",
    progress: Progress | None = None,
) -> Result:
    """Translates image files, folders of them, and patterns such as "archive/**/*.png".

    inputs, listed, root, output, recursive: see naming.plan. format: of all outputs, such as "png"; None keeps each
    input's.
    size: None keeps each image's, N makes its shorter side N pixels, (width, height) is exact. quality, subsampling,
    alpha, profile, max_pixels: see codec.Options. overwrite: False leaves outputs that exist alone. resume: what the
    output folder's record says is done and intact is skipped, what is not is done again. record: whether to keep that
    record; None: when images go into a folder of their own. shard (i, n): only the i-th of n parts, by a hash of each
    name. processes: on this machine, sharing the work. ray: the address of a cluster that does it instead (see
    cluster.run). batch: most images in one pass; 0 chooses. tile, overlap (pixels), memory (bytes), exact: see
    TileSettings. The rest: see load. progress(number done, number in all, input) is told after each file.

    Raises I2IError before anything is read if an input does not exist, there is no image, two inputs would have one
    output, an output would replace an input, or the record belongs to another model or other settings.
    """
    if isinstance(model, str | Path) and not str(model):
        raise I2IError("No model was given.", "Give a file, a run's folder, or a name of `i2i models`.")
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise I2IError(f"The shard is {shard[0]} of {shard[1]}.", "Give (i, n) with i from 1 to n.")
    if batch < 0 or processes < 1:
        raise I2IError(f"Batch {batch} and {processes} processes were asked for.", "Give 1 or more (batch 0 chooses).")
    limit = {} if max_pixels is None else {"max_pixels": max_pixels}
    options = WriteSettings(size, quality, subsampling, alpha, profile, **limit)
    tiling = TileSettings(tile, overlap, memory, exact)
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    work = Work(model, options, tiling, batch, compile, device, precision, direction, statistics)
    if processes > 1 and ray:
        raise I2IError(f"{processes} processes and a cluster were asked for.", "Give one of them.")
    source = model if isinstance(model, Translator) else find(model)
    if not ray:  # on a cluster each machine finds the model by itself
        work = dataclasses.replace(work, model=source)
    if processes == 1 and not ray:
        work = dataclasses.replace(work, model=work.translator())
    pairs = naming.collect_jobs(
        given, output, source.name, recursive=recursive, suffix=format, listed=listed, root=root
    )
    if shard is not None:
        pairs = [p for p in pairs if naming.in_shard(p.name, shard)]
    folder = _folder(given, output, pairs)
    wanted = (
        folder is not None and (len(pairs) > 1 or shard is not None or root is not None) if record is None else record
    )
    kept = None
    if wanted or resume:
        if folder is None:
            raise I2IError("A record needs a folder of outputs.", "Give one with --output.")
        kept = (RemoteManifest if storage.is_address(folder) else Manifest)(folder, _settings(work))
    states = _states(pairs, kept, overwrite, resume)
    if dry_run:
        return Result([Outcome(p.source, p.target, "planned" if s == "todo" else s) for p, s in zip(pairs, states)])
    files.sweep({p.target.parent for p in pairs if not storage.is_address(p.target)})
    return _run(work, pairs, states, kept, processes, ray, progress)


def _run(
    work: Work,
    pairs: list[Pair],
    states: list[str],
    record: Manifest | None,
    processes: int,
    ray: str | None,
    progress: Progress | None,
) -> Result:
    jobs = [Job(i, p.source, p.target, p.name) for i, (p, s) in enumerate(zip(pairs, states)) if s == "todo"]
    outcomes = {
        i: Outcome(p.source, p.target, "skipped") for i, (p, s) in enumerate(zip(pairs, states)) if s == "skipped"
    }

    lost: list[str] = []

    @contextlib.contextmanager
    def keeping() -> Iterator[None]:  # what became of the images is told even if the record cannot be kept
        try:
            yield
        except I2IError as error:
            lost.append(str(error))

    def tell(number: int, error: str | None) -> None:
        pair = pairs[number]
        outcomes[number] = Outcome(pair.source, pair.target, "failed" if error else "done", error or "")
        if error and record is not None:
            with keeping():
                record.failed(pair.name, pair.target, error)
        if progress:
            progress(len(outcomes), len(pairs), pair.source)

    if jobs and record is not None:
        record.open()  # before any work: without its record an archive is not begun
    try:
        if jobs and ray:
            ray_cluster.run(work, jobs, ray, record, tell)
        elif jobs and processes > 1:
            workers.run(work, jobs, min(processes, len(jobs)), record, tell)
        elif jobs:
            work.pipeline(record).run(jobs, lambda job, error: tell(job.number, reason(error) if error else None))
    finally:
        if record is not None:
            with keeping():
                record.close()
    return Result([outcomes[i] for i in sorted(outcomes)], record=lost[0] if lost else "")


def _states(pairs: list[Pair], record: Manifest | None, overwrite: bool, resume: bool) -> list[str]:
    """For each pair: todo, or skipped because its output is there."""
    entries = record.entries() if record is not None and resume else {}
    states, other = [], 0
    there = storage.file_sizes(p.target for p in pairs)
    for pair in pairs:
        if pair.target not in there:
            states.append("todo")
            continue
        entry = entries.get(record.name(pair.target)) if record is not None else None
        if record is not None and entry is not None:
            intact = record.intact(entry, pair.source, pair.target, there[pair.target])
            if not (intact or overwrite) and entry.get("state") == "done" and entry.get("input") != pair.name:
                raise I2IError(
                    f"{pair.target} was made from {entry.get('input')}, and {pair.source} would replace it.",
                    "Give another folder, or --overwrite.",
                )
            other += not intact and entry.get("settings") != record.settings
            states.append("skipped" if intact else "todo")
        else:
            states.append("todo" if overwrite else "skipped")
    if other and not overwrite:
        raise I2IError(
            f"{other} outputs were made with another model or other settings.",
            "Give another folder, or --overwrite to make them anew.",
        )
    return states


def _folder(given: Sequence[str | Path], output: str | Path | None, pairs: list[Pair]) -> Path | None:
    """The folder that holds all outputs and may hold their record; None if they lie beside their inputs."""
    if output is not None:
        out = storage.locate(output)
        return None if any(p.target == out for p in pairs) else out
    if len(given) == 1 and storage.locate(given[0]).is_dir() and pairs:
        return pairs[0].target.parents[len(Path(pairs[0].name).parts) - 1]
    return None


def _settings(work: Work) -> str:
    """Digest of the model's weights and of everything else that changes outputs."""
    facts: dict[str, Any] = {
        "weights": work.digest(),
        "options": dataclasses.asdict(work.options),
        "tiling": dataclasses.asdict(work.tiling),
        "precision": work.precision,
        "direction": work.direction,
        "statistics": work.statistics,
    }
    return files.blake2b_of(json.dumps(facts, sort_keys=True).encode())


def translate_bytes(
    data: bytes,
    translator: Translator,
    options: WriteSettings | None = None,
    format: str | None = None,
    name: str = "what came from standard input",
) -> bytes:
    """One image file's bytes to those of its translation, in its own format (or png) or in `format`.

    name: what errors call it. Raises I2IError if it cannot be read or written."""
    options = options or WriteSettings()
    format = format or _format(data)
    suffix = f".{format.lstrip('.').lower()}"
    if suffix not in naming.WRITABLE:
        raise I2IError(f"Images are not written as {suffix}.", f"Give one of {', '.join(naming.WRITABLE)}.")
    source = io.BytesIO(data)
    source.name = name
    document = codec.read(source, translator.channels_in, options, suffix)
    levels = [translator.levels([part])[0] for part in document.parts]
    return codec.encode(document, levels, suffix, options)


def _format(data: bytes) -> str:
    """The format that an image's bytes are translated into, as for a file of its own suffix."""
    try:
        kind = (Image.open(io.BytesIO(data)).format or "").lower()
    except (OSError, Image.DecompressionBombError):
        kind = ""
    kind = {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif"}.get(kind, kind)
    still = kind == "gif" and not naming.moves(io.BytesIO(data))
    return kind if f".{kind}" in naming.WRITABLE and not still else "png"
