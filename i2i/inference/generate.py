"""The use case "generate": images that a saved model makes from noise, written as files, a sheet or a video."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.files import sweep
from i2i.core.progress import Progress
from i2i.media import formats, grids, images, video_writer
from i2i.models.generator import LoadedGenerator, load_generator

VIDEOS = (".gif", ".mp4", ".webm")
MIN_FPS, MAX_FPS = 0.002, 100  # GIF stores delays of 1 to 65535 hundredths of a second
MAX_SEED = 1 << 60


@dataclass
class GenerateResult:
    """What `generate` wrote: the files, and how many images were made for them."""

    files: list[Path] = field(default_factory=list)
    count: int = 0

    @property
    def pictures(self) -> int:
        """`count`, by its name until version 0.2."""
        return self.count


def generate(
    model: str | Path | LoadedGenerator,
    n: int = 16,
    seed: int = 0,
    *,
    output: str | Path | None = None,
    grid: str | Path | None = None,
    label: str | int | None = None,
    truncation: float = 0.0,
    size: int | None = None,
    interpolate: int = 0,
    frames: int = 60,
    fps: float = 20.0,
    columns: int = 0,
    overwrite: bool = False,
    device: str = "auto",
    method: str | Path | None = None,
    progress: Progress | None = None,
) -> GenerateResult:
    """Makes images from noise: `n` of them, of the seeds seed, seed + 1, ...; or a walk.

    model: a model's file, a run's folder, or a loaded generator. output: a folder for the images, or a video (.gif;
    .mp4 and .webm if PyAV is installed). grid: a file for all images on one sheet, with `columns` in a row (0: about
    square). interpolate: 2 or more for a walk through the images of so many seeds and back to the first, in `frames`
    frames; fps: of its video, 0.002 to 100. label: name or number of a class; None: all in turn. truncation: largest
    absolute value of the noise; 0: no limit. size: side in pixels, for a model that grew through several sizes.
    overwrite: replace outputs that exist. method: the user's own method file that defines the network; **its code is
    run**. progress(images made, images in all): called after each pass of the network.

    Raises I2IError, before it makes an image, if a value is not allowed, an output exists, or the model has no such
    label or size; and if a file cannot be written."""
    generator = load_generator(model, device, method) if isinstance(model, str | Path) else model
    number = None if label is None else generator.label(label)
    generator.check(truncation, size)
    out, sheet = (None if path is None else Path(path) for path in (output, grid))
    is_video = out is not None and out.suffix.lower() in VIDEOS
    if n < 1 or not 0 <= seed < MAX_SEED:
        raise I2IError(f"n is {n} and seed is {seed}.", "n must be at least 1, and seed from 0 to 2^60.")
    _check_walk(interpolate, frames)
    _check_outputs(out, sheet, is_video, fps)

    # the files, none of which may exist
    seeds = range(seed, seed + (interpolate or n))
    targets: list[Path] = []
    if out is not None and not is_video:
        targets = _frame_names(out, frames) if interpolate else _seed_names(out, generator, seeds, number)
    files = [*targets, *([out] if out is not None and is_video else []), *([sheet] if sheet is not None else [])]
    if not overwrite:
        _check_new(files)
    for folder in {file.parent for file in files}:
        _make_folder(folder)

    if interpolate:
        tensors = generator.walk(seeds, frames, number, truncation, size, progress)
    else:
        tensors = generator.images(seeds, number, truncation, size, progress)
    sweep({file.parent for file in files})
    return _write(tensors, targets, out if is_video else None, fps, sheet, columns)


def _write(
    tensors: Iterable[Tensor],
    targets: Sequence[Path],
    animation: Path | None,
    fps: float,
    sheet: Path | None,
    columns: int,
) -> GenerateResult:
    """Writes each image at once to its target, if there are targets; then all of them as a video, and on a sheet."""
    result = GenerateResult()
    arrays: list[np.ndarray] = []  # held only if the video or the sheet needs them
    for i, tensor in enumerate(tensors):
        array = images.to_uint8(tensor)
        result.count += 1
        if targets:
            result.files.append(images.save(targets[i], array))
        if animation is not None or sheet is not None:
            arrays.append(array)
    if animation is not None:
        save = grids.save_gif if animation.suffix.lower() == ".gif" else video_writer.save_video
        result.files.append(save(animation, arrays, fps))
    if sheet is not None:
        result.files.append(images.save(sheet, grids.contact_sheet(arrays, columns)))
    return result


def _check_walk(interpolate: int, frames: int) -> None:
    if interpolate == 1 or interpolate < 0:
        raise I2IError(f"interpolate is {interpolate}.", "A walk needs at least 2 images; 0 makes no walk.")
    if interpolate and frames < interpolate:
        raise I2IError(
            f"{frames} frames are too few for a walk through {interpolate} images.", f"Give at least {interpolate}."
        )


def _check_outputs(out: Path | None, sheet: Path | None, is_video: bool, fps: float) -> None:
    if out is None and sheet is None:
        raise I2IError(
            "No output was given.",
            "Say where the images go: --grid images.png (one sheet), -o FOLDER (files), or -o walk.gif (a video).",
        )
    if is_video and not MIN_FPS <= fps <= MAX_FPS:
        raise I2IError(
            f"fps is {fps:g}.",
            f"Allowed: {MIN_FPS} to {MAX_FPS}; GIF stores delays of 1 to 65535 hundredths of a second.",
        )
    if out is None:
        return
    if not is_video and out.suffix.lower() in (*formats.SUFFIXES, ".avi", ".mov"):
        raise I2IError(
            f"{out} is neither a folder nor a video.", f"Give a folder, a video ({', '.join(VIDEOS)}), or use --grid."
        )
    if is_video and out.suffix.lower() != ".gif":
        video_writer.require_pyav(f"Writing {out.suffix} videos")


def _frame_names(folder: Path, frames: int) -> list[Path]:
    return [folder / f"frame{i:05d}.png" for i in range(frames)]


def _seed_names(folder: Path, generator: LoadedGenerator, seeds: Sequence[int], label: int | None) -> list[Path]:
    """CLASS-seedNUMBER.png of each seed, without CLASS if the model has no classes."""
    names = []
    for seed in seeds:
        k = label if label is not None else seed % len(generator.labels) if generator.conditional else None
        title = "" if k is None else re.sub(r"[^\w-]+", "_", generator.labels[k]).strip("_") + "-"
        names.append(folder / f"{title}seed{seed:06d}.png")
    return names


def _check_new(files: Sequence[Path]) -> None:
    existing = [file for file in files if file.exists()]
    if existing:
        more = f" and {len(existing) - 1} more exist" if len(existing) > 1 else " exists"
        raise I2IError(f"{existing[0]}{more} already.", "Give another output, or --overwrite to replace.")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise I2IError(f"The folder {path} cannot be created: {error.strerror}.", "Give another output.") from error
