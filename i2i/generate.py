"""The use case "generate": a saved model that makes pictures from noise, as pictures, sheets and films.

Picture number s is the one of seed s: a pure function of the model, s, the label and the truncation. It is computed at
the same place of a pass of the same shape whatever else is asked for, so it has the same bits in any batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from i2i import bundle, film, images
from i2i.errors import I2IError, nearest
from i2i.kinds import Latent
from i2i.loading import find, name_of
from i2i.ops import device_of

GAP = 2  # pixels between the pictures of a sheet
FILMS = (".gif", ".mp4", ".webm")
SLOWEST = 0.002  # pictures a second of a film, at least
LISTED = 60  # labels that an error lists

Tell = Callable[[int, int], None]


def load(model: str | Path, device: str = "auto") -> Generator:
    """The generator of a saved model: a .safetensors file or a run's folder.

    Raises I2IError for anything missing or unreadable, and for a model that translates pictures instead."""
    path = find(model)
    if path.suffix != ".safetensors":
        raise I2IError(f"{path} is no model that generates.", "Give a .safetensors file or a run's folder.")
    header = bundle.read_header(path)
    if header.get("kind") != "generate" or "latent" not in header:
        raise I2IError(
            f"{path} turns pictures into pictures; it makes none from noise.",
            "`i2i translate` uses it, and i2i.load in Python.",
        )
    network = bundle.load(path, ["G"]).networks["G"]
    return Generator(network.to(device_of(device)), header, name_of(model))


class Generator:
    """A generator G(z) or G(z, c) with what its file says of it. The network is in eval mode."""

    def __init__(self, network: nn.Module, header: dict[str, Any], name: str = "model") -> None:
        self.network = network.eval().requires_grad_(False)
        self.header, self.name = header, name
        self.latent = Latent(tuple((str(kind), int(width)) for kind, width in header["latent"]))
        self.conditional = bool(header.get("class_names"))
        self.labels: list[str] = list(header.get("class_names") or [f"code {k}" for k in range(self.latent.codes)])
        grown = getattr(network, "sizes", None)  # of a growing generator: those that training has reached
        self.sizes: list[int] = [int(s) for s in header.get("sizes") or grown or [header.get("size", 64)]]
        self.device = next(network.parameters()).device
        self.standing = 0.0  # the truncation that batch norm's statistics are for
        self.stored = {k: v.clone() for k, v in network.state_dict().items()} if header.get("standing") else {}

    def label(self, text: str | int) -> int:
        """The number of a label given by name or else by number: where labels are called 7, 8, 9, the label "8" is the
        second one and "0" the first. Raises I2IError saying which there are."""
        if not self.labels:
            raise I2IError(f"{self.name} knows no labels.", "Leave --label out.")
        name = str(text).strip()
        if name in self.labels:
            return self.labels.index(name)
        if name.isdecimal() and int(name) < len(self.labels):
            return int(name)
        known = ", ".join(f"{i} ({n})" if n != str(i) else n for i, n in enumerate(self.labels[:LISTED]))
        more = f" and {len(self.labels) - LISTED} more" if len(self.labels) > LISTED else ""
        close = nearest(name, self.labels)
        hint = f"{close} " if close.startswith("Did you mean") else ""
        raise I2IError(f"{self.name} has no label {name!r}.", f"{hint}It has: {known}{more}.")

    def check(self, truncation: float = 0.0, size: int | None = None) -> None:
        """Raises I2IError for a truncation or a size that the model cannot take."""
        if not 0 <= truncation < math.inf:
            raise I2IError(f"truncation is {truncation:g}.", "Give a number such as 0.5 or 1; 0 is no limit.")
        if truncation and not any(kind == "normal" for kind, _ in self.latent.parts):
            raise I2IError(f"The noise of {self.name} is not normal, so it cannot be truncated.", "Leave it out.")
        if size is not None and size not in self.sizes:
            raise I2IError(
                f"{self.name} makes no pictures of {size} pixels.", f"It makes {', '.join(map(str, self.sizes))}."
            )

    @property
    def rows(self) -> int:
        """Pictures in a pass of the network; always so many, that the bits of none depend on how many are asked for."""
        return 16 if max(self.sizes) <= 128 else 4

    def pictures(
        self,
        seeds: Sequence[int],
        label: int | None = None,
        truncation: float = 0.0,
        size: int | None = None,
        progress: Tell | None = None,
    ) -> Iterator[Tensor]:
        """The picture of each seed, float32 [C, H, W] in [-1, 1] on the CPU, one after the other.

        label: its number; None: classes go round with the seed, codes are drawn. truncation: noise given that |z| is
        at most this; 0 none. size: of an earlier stage of a growing model."""
        self.check(truncation, size)
        self._stand(truncation)
        ids = torch.tensor(list(seeds), dtype=torch.int64)
        code = None if label is None or self.conditional else torch.full_like(ids, label)
        z = self.latent.draw(ids, truncation=truncation, code=code)
        yield from self.run(z, self.classes(ids, label), [s % self.rows for s in seeds], size, progress)

    def classes(self, ids: Tensor, label: int | None) -> Tensor | None:
        """The class of each seed int64 [B], where the network takes one."""
        if not self.conditional:
            return None
        return ids % len(self.labels) if label is None else torch.full_like(ids, label)

    @torch.inference_mode()
    def run(
        self,
        z: Tensor,
        c: Tensor | None,
        places: Sequence[int],
        size: int | None = None,
        progress: Tell | None = None,
    ) -> Iterator[Tensor]:
        """The pictures of z [B, width] and c [B]; each is computed in the row `places` of a pass of `rows` rows."""
        start = 0
        while start < len(z):
            end = start + 1  # a pass takes what follows in rising places
            while end < len(z) and places[end] > places[end - 1]:
                end += 1
            rows = torch.tensor(places[start:end])
            full = z.new_zeros(self.rows, z.shape[1]).index_copy(0, rows, z[start:end]).to(self.device)
            inputs = [full]
            if c is not None:
                inputs.append(c.new_zeros(self.rows).index_copy(0, rows, c[start:end]).to(self.device))
            made = self.network(*inputs, **({} if size in (None, self.sizes[-1]) else {"size": size}))
            yield from made.float().cpu()[rows]
            if progress:
                progress(end, len(z))
            start = end

    def walk(
        self,
        seeds: Sequence[int],
        frames: int,
        label: int | None = None,
        truncation: float = 0.0,
        size: int | None = None,
        progress: Tell | None = None,
    ) -> Iterator[Tensor]:
        """`frames` pictures of a round trip through the noise of `seeds`, on great circles in its normal parts.

        With classes and no label, the class is that of the first seed."""
        self.check(truncation, size)
        self._stand(truncation)
        ids = torch.tensor(list(seeds), dtype=torch.int64)
        code = None if self.conditional or not self.latent.codes else torch.full_like(ids, label or 0)
        ends = self.latent.draw(ids, truncation=truncation, code=code)
        made = []
        for frame in range(frames):
            at = frame * len(seeds) / frames
            k = int(at)
            a, b = ends[k : k + 1], ends[(k + 1) % len(seeds)][None]
            made.append(self.latent.between(a, b, at - k))
        z = torch.cat(made)
        first = ids[:1] if label is not None else ids[:1] % max(1, len(self.labels))
        c = self.classes(first, label)
        c = None if c is None else c.expand(frames).clone()
        yield from self.run(z, c, [i % self.rows for i in range(frames)], size, progress)

    @torch.no_grad()
    def _stand(self, truncation: float) -> None:
        """Standing statistics (Brock et al. 2018, section 4): batch norm's means and variances anew for this
        truncation, as the average over passes of fresh noise, where the model's header asks for them."""
        passes = int(self.header.get("standing") or 0)
        if not passes or truncation == self.standing:
            return
        self.standing = truncation
        if not truncation:
            self.network.load_state_dict(self.stored)
            return
        norms = [m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        kept = [m.momentum for m in norms]
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # the plain average
            m.train()
        for k in range(passes):
            ids = torch.arange(64 * k, 64 * (k + 1))
            c = self.classes(ids, None)
            z = self.latent.draw(ids, salt="standing", truncation=truncation).to(self.device)
            self.network(z, *(() if c is None else (c.to(self.device),)))
        for m, momentum in zip(norms, kept, strict=True):
            m.momentum = momentum
            m.eval()


@dataclass
class Made:
    """What `generate` left behind."""

    files: list[Path] = field(default_factory=list)
    pictures: int = 0


def generate(
    model: str | Path | Generator,
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
    progress: Tell | None = None,
) -> Made:
    """Makes `n` pictures, of the seeds seed, seed + 1, ..., or a walk between `interpolate` of them in `frames` frames.

    output: a folder for the pictures, or a film (.gif; .mp4 and .webm where PyAV is installed). grid: a file for all of
    them in one sheet of `columns` (0: about square). label: see `Generator.label`. Raises I2IError before anything is
    made if something does not fit, and when the disk refuses."""
    made = load(model, device) if isinstance(model, str | Path) else model
    number = None if label is None else made.label(label)
    made.check(truncation, size)
    out, sheet_at = (None if p is None else Path(p) for p in (output, grid))
    moving = out is not None and out.suffix.lower() in FILMS
    _refuse(made, n, seed, out, sheet_at, interpolate, frames, fps, moving)
    seeds = range(seed, seed + (interpolate or n))
    targets = [] if out is None or moving else _names(made, out, seeds, number, frames if interpolate else 0)
    _free([*targets, *([out] if moving and out else []), *([sheet_at] if sheet_at else [])], overwrite)
    found = made.walk(seeds, frames, number, truncation, size, progress) if interpolate else None
    pictures = found or made.pictures(seeds, number, truncation, size, progress)
    result = Made()
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
        result.files.append(gif(out, kept, fps) if out.suffix.lower() == ".gif" else video(out, kept, fps))
    if sheet_at:
        _folder(sheet_at.parent)
        result.files.append(images.save(sheet_at, sheet(kept, columns or math.ceil(math.sqrt(len(kept))))))
    return result


def _refuse(
    made: Generator,
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
        raise I2IError("Nothing says where the pictures go.", "Give -o FOLDER, -o FILM.gif or --grid FILE.png.")
    if n < 1 or not 0 <= seed < 1 << 60:
        raise I2IError(f"n is {n} and seed is {seed}.", "n must be at least 1, and seed from 0 to 2^60.")
    if points == 1 or points < 0:
        raise I2IError(f"interpolate is {points}.", "A walk needs at least 2 pictures to go between.")
    if points and frames < points:
        raise I2IError(f"{frames} frames are too few for a walk through {points} pictures.", "Give at least as many.")
    if moving and not SLOWEST <= fps <= 100:
        waits = "a GIF's delays are 1 to 65535 hundredths of a second"
        raise I2IError(f"fps is {fps:g}.", f"Allowed: {SLOWEST} to 100; {waits}.")
    if out is not None and out.suffix and not moving and out.suffix.lower() in (*images.SUFFIXES, ".avi", ".mov"):
        raise I2IError(f"{out} is no folder and no film.", f"Give a folder, a film ({', '.join(FILMS)}), or --grid.")
    if moving and out is not None and out.suffix.lower() != ".gif":
        film.library(f"Writing {out.suffix} films")


def _names(made: Generator, out: Path, seeds: Sequence[int], label: int | None, frames: int) -> list[Path]:
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


def sheet(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures uint8 [H, W, C] of one size in rows of `columns`, on black."""
    high, wide, channels = pictures[0].shape
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    made = np.zeros((rows * (high + GAP) + GAP, columns * (wide + GAP) + GAP, channels), np.uint8)
    for i, picture in enumerate(pictures):
        top, left = GAP + i // columns * (high + GAP), GAP + i % columns * (wide + GAP)
        made[top : top + high, left : left + wide] = picture
    return made


def enlarged(picture: np.ndarray, least: int = 128) -> np.ndarray:
    """The picture with each pixel repeated until its longer side has `least` pixels, with even sides, as films need."""
    factor = max(1, -(-least // max(picture.shape[:2])))
    picture = picture.repeat(factor, 0).repeat(factor, 1)
    odd = [(0, side % 2) for side in picture.shape[:2]]
    return np.pad(picture, (*odd, (0, 0)), mode="edge")


def gif(path: Path, pictures: Sequence[np.ndarray], fps: float) -> Path:
    """Writes an endless animation. Pictures uint8 [H, W, C]; GIF counts in hundredths of a second."""
    frames = [images.to_pil(enlarged(p)) for p in pictures]
    colour = [f if f.mode == "L" else f.convert("RGB") for f in frames]
    wait = max(20, round(100 / fps) * 10)  # milliseconds; browsers slow down what is faster
    with images.replacing(path) as file:
        first, *rest = [f if f.mode == "L" else f.quantize(256, Image.Quantize.MEDIANCUT) for f in colour]
        first.save(file, "GIF", save_all=True, append_images=rest, duration=wait, loop=0, optimize=False)
    return path


def video(path: Path, pictures: Sequence[np.ndarray], fps: float) -> Path:
    """Writes an .mp4 (H.264) or .webm (VP9) film by PyAV. Pictures uint8 [H, W, C]."""
    film.library(f"Writing {path.suffix} films")
    with images.replacing(path) as file:
        writer = film.Writer(file, path.suffix.lower(), Fraction(fps).limit_denominator(1000))
        for picture in pictures:
            writer.add(enlarged(picture))
        writer.end()
    return path
