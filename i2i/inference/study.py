"""The use case "study new": a human study as HTML pages that work from the disk, and the key to what they show."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from i2i.core.errors import I2IError, among
from i2i.core.files import atomic_write, blake2b_of
from i2i.core.progress import Progress
from i2i.core.reading import MAX_BYTES, has_form, parse_json, read_json
from i2i.inference import study_sheet
from i2i.inference.evaluate_data import Source
from i2i.inference.html_pages import LOSSLESS, image_uri, render
from i2i.inference.lineup import Lineup, open_lineup
from i2i.inference.study_checks import check_of
from i2i.inference.study_sheet import INPUT, REAL, SPOILT, Picture, Planner, Sheet
from i2i.media import images

LARGEST = 40 << 20  # bytes of images in a page
QUALITY = 95  # of WebP, where images without loss would be larger than that
MOSAIC = 8  # blocks along a side of a spoilt image
SECONDS = {"real": 1.0, "ab": 0.0}  # of exposure; 0: until the answer


@dataclass
class NewStudy:
    """What `new_study` wrote. trials: of each page, by part."""

    id: str
    pages: list[Path]
    key: Path
    kind: str
    trials: dict[str, int]
    size: int
    notes: list[str]
    largest: int


def new_study(
    candidates: Sequence[str | Path],
    output: str | Path,
    data: Source | None = None,
    *,
    kind: str | None = None,
    trials: int = 50,
    practice: int = 10,
    vigilance: int = 5,
    seconds: float | None = None,
    show_input: bool | None = None,
    split: str | None = None,
    limit: int | None = None,
    size: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    device: str = "auto",
    method: str | Path | None = None,
    steps: int | None = None,
    progress: Progress | None = None,
) -> NewStudy:
    """Writes the pages of a human study and the key that says what they show.

    candidates, data, split, limit, size, device, method, steps: as of `compare`. kind: `real` or `ab`; None: `ab` for
    two or more. A study `real` has a page for each candidate: output, or NAME-1.html, NAME-2.html, ...; the key is
    NAME.key.json. trials, practice, vigilance: numbers of trials of a page; fewer if there are too few images.
    seconds: of exposure; None: 1 for `real`, 0 (until the answer) for `ab`. show_input: above the pair; None: for `ab`.
    The pages and the key are pure functions of images, arguments and seed; the pages hold no name.

    Raises I2IError, before any model runs, if a value is not allowed, a file exists, or there are no real images."""
    kind = kind or ("ab" if len(candidates) > 1 else "real")
    seconds = _exposure(kind, seconds)
    pages, key = _files(Path(output), len(candidates) if kind == "real" else 1, overwrite)
    least = 2 if kind == "ab" else 1
    lineup = open_lineup(
        candidates, data, least=least, split=split, limit=limit, size=size, device=device, method=method, steps=steps
    )
    if kind == "real" and len(lineup.data.sides) != 2:
        raise I2IError(
            "The data has no real images to put beside the outputs.",
            "Name pairs or two folders with --data, or ask which of two is better: --kind ab",
        )
    paired = lineup.data.layout == "paired"
    chances = lineup.count * (len(candidates) * (len(candidates) - 1) // 2 if kind == "ab" else 1)
    practice, trials, vigilance, note = study_sheet.fitting_lengths(chances, practice, trials, vigilance)
    above = kind == "ab" if show_input is None else show_input
    reals = len(lineup.data.sides[1]) if kind == "real" else 0
    sheets = Planner(kind, len(candidates), lineup.count, reals, paired, above, seed).sheets(
        practice, trials, vigilance
    )
    pictures = _pictures(lineup, sheets, progress)
    counts = {"practice": practice, "scored": trials, "vigilance": vigilance}
    facts = {"kind": kind, "seconds": seconds, "above": above}
    study = _identity(sheets, pictures, facts)
    notes = [*lineup.notes, *([note] if note else [])]
    largest = _write_pages(pages, study, sheets, pictures, facts, notes)
    _write_key(key, study, sheets, {**facts, "candidates": lineup.names, "size": lineup.size, "seed": seed})
    return NewStudy(study, pages, key, kind, counts, lineup.size, notes, largest)


def read_key(path: Path) -> dict[str, Any]:
    """The key of a study. Raises I2IError if the file is none."""
    packed = read_json(path, {"i2i study key": int, "study": str, "key": str})
    try:
        unpacking = zlib.decompressobj()
        key = parse_json(unpacking.decompress(base64.b64decode(packed["key"]), MAX_BYTES))
    except (ValueError, zlib.error):
        key = None
    trial = {"part": str, "target": str, "other": str, "pair": [int]}
    form = {"study": str, "kind": str, "seconds": float, "candidates": [str], "pages": [{str: trial}]}
    if not has_form(key, form) or key["study"] != packed["study"] or not _pairs_exist(key):
        raise I2IError(
            f"{path} is damaged: its values are not those that i2i writes.", "Take it from where it was made."
        )
    result: dict[str, Any] = key
    return result


# ---- steps of the above --------------------------------------------------------------------------------------------


def _pairs_exist(key: dict[str, Any]) -> bool:
    """Whether each trial of a key names two of its candidates."""
    pairs = [trial["pair"] for page in key["pages"] for trial in page.values()]
    return all(len(pair) == 2 and all(0 <= m < len(key["candidates"]) for m in pair) for pair in pairs)


def _exposure(kind: str, seconds: float | None) -> float:
    """Seconds that a pair is shown. Raises I2IError for another kind or an impossible time."""
    if kind not in study_sheet.KINDS:
        raise I2IError(f"The kind of study {kind!r} is unknown.", among(kind, study_sheet.KINDS))
    seconds = SECONDS[kind] if seconds is None else seconds
    if not 0 <= seconds <= 60:
        raise I2IError(f"Images cannot be shown for {seconds} seconds.", "Allowed: 0 (until the answer) to 60.")
    return seconds


def _files(path: Path, count: int, overwrite: bool) -> tuple[list[Path], Path]:
    """The paths of `count` pages and of the key. Raises I2IError if one exists, or the name is not that of a page."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise I2IError(f"{path} is no name of a page.", "Give a name that ends with .html, such as study.html.")
    pages = [path] if count < 2 else [path.with_name(f"{path.stem}-{i + 1}{path.suffix}") for i in range(count)]
    key = path.with_name(f"{path.stem}.key.json")
    for file in (*pages, key):
        if file.exists() and not overwrite:
            raise I2IError(f"{file} exists; people may have answered it.", "Give another -o, or --overwrite.")
    return pages, key


def _pictures(lineup: Lineup, sheets: Sequence[Sheet], progress: Progress | None) -> dict[Picture, np.ndarray]:
    """The images of all sheets, uint8 [H, W, C]. Only inputs that are used go through the models."""
    wanted = {picture for sheet in sheets for picture in sheet.pictures.values()}
    unpaired_reals = sorted({p.index for p in wanted if p.role == REAL}) if lineup.data.layout == "unpaired" else []
    inputs = sorted({p.index for p in wanted if not (unpaired_reals and p.role == REAL)})
    found: dict[Picture, np.ndarray] = {}
    for done, item in enumerate(lineup.items(inputs), 1):
        ways = {Picture(item.index, INPUT): item.x}
        if item.truth is not None:
            ways[Picture(item.index, REAL)] = item.truth
        for m, image in enumerate(item.outputs):
            ways[Picture(item.index, "output", m)] = image
        found.update({p: images.to_uint8(image) for p, image in ways.items() if p in wanted})
        for m, image in enumerate(item.outputs):
            if Picture(item.index, SPOILT, m) in wanted:
                found[Picture(item.index, SPOILT, m)] = _spoilt(images.to_uint8(image))
        if progress is not None:
            progress(done, len(inputs))
    for i, image in zip(unpaired_reals, lineup.real_images(unpaired_reals), strict=True):
        found[Picture(i, REAL)] = images.to_uint8(image)
    return found


def _spoilt(image: np.ndarray) -> np.ndarray:
    """A mosaic of the image, which nobody who looks takes for real."""
    pil = images.to_pil(image)
    small = pil.resize((MOSAIC, MOSAIC), Image.Resampling.BOX)
    return images.to_array(small.resize(pil.size, Image.Resampling.NEAREST))


def _identity(sheets: Sequence[Sheet], pictures: dict[Picture, np.ndarray], facts: dict[str, Any]) -> str:
    """The id of a study: of its trials, what they show and how."""
    parts = [json.dumps(study_sheet.key_of(list(sheets))), json.dumps(facts)]
    parts += [blake2b_of(pictures[p].tobytes()) for sheet in sheets for p in sheet.pictures.values()]
    return blake2b_of("\n".join(parts).encode())[:16]


def _write_pages(
    paths: Sequence[Path],
    study: str,
    sheets: Sequence[Sheet],
    pictures: dict[Picture, np.ndarray],
    facts: dict[str, Any],
    notes: list[str],
) -> int:
    """Writes the pages, with images of one quality in all of them, and returns the bytes of the largest.

    Raises I2IError if the images need more than LARGEST bytes."""
    uris = [_uris(sheet.pictures.items(), pictures, LOSSLESS) for sheet in sheets]
    if max(sum(map(len, page.values())) for page in uris) > LARGEST:
        uris = [_uris(sheet.pictures.items(), pictures, QUALITY) for sheet in sheets]
        notes.append(f"All images are stored as WebP of quality {QUALITY}, to keep a page under {LARGEST >> 20} MB.")
    needed = max(sum(map(len, page.values())) for page in uris)
    if needed > LARGEST:
        raise I2IError(
            f"The images of a page need {needed / 2**20:.0f} MB, and a page may have {LARGEST >> 20} MB.",
            "Give fewer --trials, or a smaller --size.",
        )
    largest = 0
    for number, (path, sheet, page) in enumerate(zip(paths, sheets, uris, strict=True)):
        text = render("study", {"study": study, "page": number, **facts, "images": page, "trials": _shown(sheet)})
        with atomic_write(path) as file:
            file.write(text.encode("utf-8"))
        largest = max(largest, len(text))
    return largest


def _uris(wanted: Iterable[tuple[str, Picture]], pictures: dict[Picture, np.ndarray], quality: int) -> dict[str, str]:
    return {id: image_uri(pictures[picture], quality) for id, picture in wanted}


def _shown(sheet: Sheet) -> list[dict[str, Any]]:
    """The trials as the page holds them: nothing in them tells the two images apart, but in practice a check sum."""
    rows = []
    for trial in sheet.trials:
        a, b = sorted((trial.target, trial.other))
        row: dict[str, Any] = {"id": trial.id, "a": a, "b": b, "above": trial.above}
        if trial.part == study_sheet.PRACTICE:
            row["practice"] = check_of(f"{trial.id} {trial.target}")
        rows.append(row)
    return rows


def _write_key(path: Path, study: str, sheets: Sequence[Sheet], facts: dict[str, Any]) -> None:
    """Writes the key packed, so that nobody reads it by accident."""
    key = {"study": study, **facts, "pages": study_sheet.key_of(list(sheets))}
    packed = base64.b64encode(zlib.compress(json.dumps(key).encode(), 9)).decode()
    with atomic_write(path) as file:
        file.write(json.dumps({"i2i study key": 1, "study": study, "key": packed}).encode())
