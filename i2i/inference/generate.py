"""The use case "generate": what a saved model makes from noise (i2i.load_generator), as images, sheets and videos."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from i2i.core.errors import I2IError
from i2i.core.progress import Progress
from i2i.media import grids, images, video
from i2i.models.generator import LoadedGenerator, load_generator

FILMS = (".gif", ".mp4", ".webm")
SLOWEST = 0.002  # images a second of a video, at least


@dataclass
class GenerateResult:
    """What `generate` left behind."""

    files: list[Path] = field(default_factory=list)
    pictures: int = 0


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
    progress: Progress | None = None,
) -> GenerateResult:
    """Makes `n` images, of the seeds seed, seed + 1, ..., or a walk between `interpolate` of them in `frames` frames.

    output: a folder for the images, or a video (.gif; .mp4 and .webm where PyAV is installed). grid: a file for all of
    them in one sheet of `columns` (0: about square). label: see `LoadedGenerator.label`. Raises I2IError before
    anything is made if something does not fit, and when the disk refuses."""
    made = load_generator(model, device) if isinstance(model, str | Path) else model
    number = None if label is None else made.label(label)
    made.check(truncation, size)
    out, sheet_at = (None if p is None else Path(p) for p in (output, grid))
    moving = out is not None and out.suffix.lower() in FILMS
    _refuse(made, n, seed, out, sheet_at, interpolate, frames, fps, moving)
    seeds = range(seed, seed + (interpolate or n))
    targets = [] if out is None or moving else _names(made, out, seeds, number, frames if interpolate else 0)
    _free([*targets, *([out] if moving and out else []), *([sheet_at] if sheet_at else [])], overwrite)
    found = made.walk(seeds, frames, number, truncation, size, progress) if interpolate else None
    pictures = found or made.images(seeds, number, truncation, size, progress)
    result = GenerateResult()
    kept: list[np.ndarray] = []
    if targets and out:
        _folder(out)
    for i, picture in enumerate(pictures):
        array = images.to_uint8(picture)
        result.pictures += 1
        if targets:
            result.files.append(images.save(targets[i], array))
        if moving or sheet_at:
            kept.append(array)
    if moving and out:
        _folder(out.parent)
        save = grids.save_gif if out.suffix.lower() == ".gif" else video.save_video
        result.files.append(save(out, kept, fps))
    if sheet_at:
        _folder(sheet_at.parent)
        result.files.append(images.save(sheet_at, grids.contact_sheet(kept, columns)))
    return result


def _refuse(
    made: LoadedGenerator,
    n: int,
    seed: int,
    out: Path | None,
    grid: Path | None,
    points: int,
    frames: int,
    fps: float,
    moving: bool,
) -> None:
    """Raises I2IError for a request that makes no sense."""
    if out is None and grid is None:
        raise I2IError("Nothing says where the images go.", "Give -o FOLDER, -o FILM.gif or --grid FILE.png.")
    if n < 1 or not 0 <= seed < 1 << 60:
        raise I2IError(f"n is {n} and seed is {seed}.", "n must be at least 1, and seed from 0 to 2^60.")
    if points == 1 or points < 0:
        raise I2IError(f"interpolate is {points}.", "A walk needs at least 2 images to go between.")
    if points and frames < points:
        raise I2IError(f"{frames} frames are too few for a walk through {points} images.", "Give at least as many.")
    if moving and not SLOWEST <= fps <= 100:
        waits = "a GIF's delays are 1 to 65535 hundredths of a second"
        raise I2IError(f"fps is {fps:g}.", f"Allowed: {SLOWEST} to 100; {waits}.")
    if out is not None and out.suffix and not moving and out.suffix.lower() in (*images.SUFFIXES, ".avi", ".mov"):
        raise I2IError(f"{out} is no folder and no video.", f"Give a folder, a video ({', '.join(FILMS)}), or --grid.")
    if moving and out is not None and out.suffix.lower() != ".gif":
        video.require_pyav(f"Writing {out.suffix} videos")


def _names(made: LoadedGenerator, out: Path, seeds: Sequence[int], label: int | None, frames: int) -> list[Path]:
    if frames:
        return [out / f"frame{i:05d}.png" for i in range(frames)]
    names = []
    for s in seeds:
        k = label if label is not None else s % len(made.labels) if made.conditional else None
        title = "" if k is None else re.sub(r"[^\w-]+", "_", made.labels[k]).strip("_") + "-"
        names.append(out / f"{title}seed{s:06d}.png")
    return names


def _free(targets: Sequence[Path], overwrite: bool) -> None:
    there = [] if overwrite else [t for t in targets if t.exists()]
    if there:
        more = f" and {len(there) - 1} more exist" if len(there) > 1 else " exists"
        raise I2IError(f"{there[0]}{more} already.", "Give another place, or --overwrite.")


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise I2IError(f"The folder {path} cannot be made: {error.strerror}.", "Give another place.") from error
