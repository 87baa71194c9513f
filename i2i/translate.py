"""The use case "translate": pictures and folders of pictures through a model, onto the disk.

Reading and writing run in threads beside the network. A file that cannot be read or written is noted and never stops
the rest; each output appears whole, by a rename, or not at all.

Outputs keep the name and format of their input where it can be written (jpg, png, webp, tif, bmp); anything else
becomes png. EXIF orientation is applied to the pixels and its tag removed, other EXIF, the resolution and a fitting
ICC profile are kept. Transparency is carried over where the format holds it. Grey pictures of 16 bits stay so if the
model gives grey pictures; colour is written with 8 bits. Of an animation the first frame is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from i2i import images
from i2i.errors import I2IError
from i2i.translator import Size, Taken, Translator, find, load, name_of, resize

__all__ = ["Result", "Translator", "find", "load", "name_of", "translate"]

# how each format is written; 4:4:4 keeps the colours of edges
OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".png": {},
    ".webp": {"quality": 95},
    ".tif": {},
    ".tiff": {},
    ".bmp": {},
}
OPAQUE = (".jpg", ".jpeg", ".bmp")  # hold no transparency
EXIF_ORIENTATION = 0x0112
AHEAD = 4  # batches read, and outputs being written, at any time: memory does not grow with the number of files


@dataclass
class Result:
    """What became of each input, in the order of the inputs."""

    done: list[Path] = field(default_factory=list)  # outputs written
    failed: list[tuple[Path, str]] = field(default_factory=list)  # (input, reason)
    skipped: list[Path] = field(default_factory=list)  # outputs that were there already


@dataclass
class _Job:
    number: int
    source: Path
    target: Path
    taken: Taken | None = None
    ready: Tensor | None = None  # pixels in the asked size
    meta: dict[str, Any] = field(default_factory=dict)


def translate(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None,
    model: str | Path | Translator,
    *,
    size: Size = None,
    batch: int = 1,
    overwrite: bool = False,
    recursive: bool = True,
    progress: Callable[[int, int, Path], None] | None = None,
    device: str = "auto",
    precision: str = "fp32",
    direction: str = "AtoB",
) -> Result:
    """Translates picture files and folders of them.

    inputs: files and folders; a folder's tree is kept below `output`. output: a folder, or a file name if there is one
    input file; None writes `photo.MODEL.jpg` beside `photo.jpg` and `holiday.MODEL/` beside `holiday/`. size: see
    Translator. overwrite: False leaves outputs that exist alone. progress(number done, number in all, input) is told
    after each file. Raises I2IError before anything is read if an input does not exist, there is no picture, two
    inputs would have one output, or an output would replace an input.
    """
    if batch < 1:
        raise I2IError(f"The batch is {batch}.", "Give 1 or more.")
    translator = model if isinstance(model, Translator) else load(model, device, precision, direction)
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    sources = [Path(p) for p in given]
    jobs = [_Job(i, s, t) for i, (s, t) in enumerate(plan(sources, output, translator.name, recursive))]
    result = Result()
    failed: dict[int, tuple[Path, str]] = {}
    done: dict[int, Path] = {}
    todo = []
    for job in jobs:
        if job.target.exists() and not overwrite:
            result.skipped.append(job.target)
        else:
            todo.append(job)

    def tell(job: _Job, error: BaseException | None) -> None:
        if error is None:
            done[job.number] = job.target
        else:
            failed[job.number] = (job.source, _reason(error))
        if progress:
            progress(len(result.skipped) + len(done) + len(failed), len(jobs), job.source)

    with ThreadPoolExecutor(2, "read") as readers, ThreadPoolExecutor(2, "write") as writers:
        writing: list[tuple[_Job, Future[None]]] = []
        for group in _batches(_read_ahead(readers, todo, translator, size, AHEAD * batch, tell), translator, batch):
            for job, made, error in _run(translator, group):
                if made is None:
                    tell(job, error)
                    continue
                writing.append((job, writers.submit(_write, translator, job, made)))
            while len(writing) > AHEAD * batch:
                job, future = writing.pop(0)
                tell(job, future.exception())
        for job, future in writing:
            tell(job, future.exception())
    result.done = [done[i] for i in sorted(done)]
    result.failed = [failed[i] for i in sorted(failed)]
    return result


def plan(
    inputs: Sequence[Path], output: str | Path | None, name: str, recursive: bool = True
) -> list[tuple[Path, Path]]:
    """(input file, output file) of each picture; raises I2IError as `translate` says."""
    out = None if output is None else Path(output)
    pairs: list[tuple[Path, Path]] = []
    for given in inputs:
        if given.is_dir():
            base = given.resolve().with_name(f"{given.resolve().name}.{name}") if out is None else out
            if base.is_file():
                raise I2IError(f"{base} is a file, but a folder was given to translate.", "Give a folder as output.")
            found = images.find(given) if recursive else [p for p in images.find(given) if p.parent == given]
            inside = base.resolve()  # never read what was written before
            same = inside == given.resolve()
            pairs += [(p, base / p.relative_to(given)) for p in found if same or not p.resolve().is_relative_to(inside)]
        elif not given.exists():
            raise I2IError(f"There is no file or folder {given}.")
        elif out is None:
            pairs.append((given, given.with_name(f"{given.stem}.{name}{given.suffix}")))
        elif len(inputs) == 1 and not out.is_dir() and out.suffix.lower() in OPTIONS:
            pairs.append((given, out))
        elif len(inputs) == 1 and not out.is_dir() and out.suffix.lower() in images.SUFFIXES:
            raise I2IError(f"Pictures are not written as {out.suffix}.", f"Give one of {', '.join(OPTIONS)}.")
        else:
            pairs.append((given, out / given.name))
    if not pairs:
        raise I2IError(
            f"There is no picture in {', '.join(map(str, inputs)) or 'what was given'}.",
            f"Known formats: {' '.join(sorted(images.SUFFIXES))}.",
        )
    return _settle(pairs)


def _settle(pairs: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Gives outputs a format that can be written, and sees that no two are one and none is an input."""
    plain = {_key(t) for _, t in pairs if t.suffix.lower() in OPTIONS}
    settled: dict[str, tuple[Path, Path]] = {}
    originals = {s.resolve() for s, _ in pairs}
    for source, target in pairs:
        if target.suffix.lower() not in OPTIONS:
            short = target.with_suffix(".png")
            taken = _key(short) in plain or _key(short) in settled
            target = target.with_name(target.name + ".png") if taken else short  # a.gif beside a.png: a.gif.png
        key = _key(target)
        if key in settled and settled[key][0].resolve() != source.resolve():
            raise I2IError(
                f"{settled[key][0]} and {source} would both become {target}.",
                "Translate them one by one, or into two folders.",
            )
        if target.resolve() in originals:
            raise I2IError(f"The output {target} would replace an input.", "Give another folder as output.")
        settled[key] = (source, target)
    return list(settled.values())


def _key(path: Path) -> str:
    """Names that differ in case only are one file on some systems."""
    return str(path).casefold()


def _read_ahead(
    pool: ThreadPoolExecutor,
    jobs: Iterable[_Job],
    translator: Translator,
    size: Size,
    most: int,
    tell: Callable[[_Job, BaseException | None], None],
) -> Iterator[_Job]:
    """The jobs in order, their pictures read up to `most` ahead; unreadable ones are told and left out."""
    rest = iter(jobs)
    waiting = [(job, pool.submit(_read, translator, job, size)) for job in islice(rest, most)]
    while waiting:
        job, future = waiting.pop(0)
        error = future.exception()
        for following in islice(rest, 1):
            waiting.append((following, pool.submit(_read, translator, following, size)))
        if error is None:
            yield job
        else:
            tell(job, error)


def _batches(jobs: Iterable[_Job], translator: Translator, batch: int) -> Iterator[list[_Job]]:
    """Groups of up to `batch` jobs whose pictures have one padded size; few wait at any time."""
    groups: dict[tuple[int, int], list[_Job]] = {}
    for job in jobs:
        assert job.ready is not None
        group = groups.setdefault(translator.padded(job.ready), [])
        group.append(job)
        if len(group) >= max(1, batch):
            del groups[translator.padded(job.ready)]
            yield group
        elif sum(map(len, groups.values())) > AHEAD * batch:
            yield groups.pop(max(groups, key=lambda k: len(groups[k])))
    yield from groups.values()


def _read(translator: Translator, job: _Job, size: Size) -> None:
    with images.opened(job.source) as picture:
        job.meta = _metadata(picture)
        job.taken = translator.take(picture)
    job.ready = resize(job.taken.pixels, size)


def _run(translator: Translator, group: list[_Job]) -> Iterator[tuple[_Job, Tensor | None, BaseException | None]]:
    """Each job's output, or why there is none; a batch that fails is tried again picture by picture."""
    ready = [job.ready for job in group if job.ready is not None]
    try:
        for job, made in zip(group, translator.run(ready)):
            yield job, made, None
    except RuntimeError as error:  # out of memory, most of all
        if len(group) == 1:
            yield group[0], None, error
            return
        for job in group:
            yield from _run(translator, [job])


def _write(translator: Translator, job: _Job, made: Tensor) -> None:
    assert job.taken is not None
    picture: Image.Image = translator.give(job.taken, made)
    suffix = job.target.suffix.lower()
    if suffix in OPAQUE or (suffix == ".webp" and picture.mode == "I;16"):
        picture = images.convert(picture, 1 if images.natural_channels(picture) == 1 else 3)
    keep = dict(job.meta)
    if "icc_profile" in picture.info and suffix != ".bmp":
        keep["icc_profile"] = picture.info["icc_profile"]
    if suffix == ".bmp":
        keep.pop("exif", None)
    if suffix in (".tif", ".tiff") and "exif" not in keep:
        keep["compression"] = "tiff_deflate"  # libtiff, which compresses, cannot write EXIF
    images.save(job.target, picture, **OPTIONS[suffix], **keep)
    job.taken = job.ready = None


def _metadata(picture: Image.Image) -> dict[str, Any]:
    """What is kept of a file besides pixels and colour profile, as arguments for saving."""
    keep: dict[str, Any] = {}
    try:
        resolution = tuple(float(v) for v in picture.info.get("dpi", ()))
        if len(resolution) == 2 and all(0 < v < 1e5 for v in resolution):
            keep["dpi"] = resolution
        if "exif" in picture.info:
            exif = picture.getexif()
            exif.pop(EXIF_ORIENTATION, None)
            if len(exif):
                keep["exif"] = exif.tobytes()
    except Exception as error:  # broken EXIF raises nearly anything, and is not worth losing the picture for
        if isinstance(error, MemoryError):
            raise
    return keep


def _reason(error: BaseException) -> str:
    if isinstance(error, I2IError):
        return str(error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
