"""Several outputs of one input: what they are called, and the sheet that shows all of them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.inference.jobs import TellNumber, reason
from i2i.inference.outputs import FilePair, settle_outputs
from i2i.inference.record import Record
from i2i.media import grids, pixels, video
from i2i.models.answers import ALL, Answer

SHEET = -1  # the `answer` of a pair whose output shows all others of its input
CELL = 512  # pixels; longer side of an image on a sheet
LANDSCAPE = 1.5  # columns of a sheet for each of its rows


def expand(pairs: list[FilePair], answers: Sequence[Answer], sheet: bool) -> list[FilePair]:
    """A pair for each answer of each input, called NAME_LABEL; without labels the names stay.

    sheet: one more for each image, NAME_all.png. Raises I2IError if two outputs would be one file, or an output would
    replace an input."""
    if not any(answer.label for answer in answers):
        return pairs
    expanded = []
    for pair in pairs:
        for number, answer in enumerate(answers):
            expanded.append(pair.with_target(_labelled(pair.target, answer.label), number))
        if sheet and not video.is_video(pair.source):
            target = _labelled(pair.target.with_suffix(".png"), ALL)
            expanded.append(pair.with_target(target, SHEET))
    return settle_outputs(expanded, None, named=True)


def _labelled(path: Path, label: str) -> Path:
    return path.with_name(f"{path.stem}_{label}{path.suffix}")


def write_sheets(
    pairs: Sequence[FilePair],
    todo: Sequence[bool],
    answers: Sequence[Answer],
    has_failed: Callable[[int], bool],
    record: Record | None,
    tell: TellNumber,
) -> None:
    """Writes the sheets that are to do, from the inputs and the outputs on the disk. has_failed: of a pair's number."""
    outputs: dict[tuple[Path, str], dict[str, int]] = {}  # of an input: label of each output, and the pair's number
    for number, pair in enumerate(pairs):
        if answers and pair.answer != SHEET:
            outputs.setdefault((pair.source, pair.name), {})[answers[pair.answer].label] = number
    for number, pair in enumerate(pairs):
        if pair.answer != SHEET or not todo[number]:
            continue
        own = outputs[pair.source, pair.name]
        try:
            if any(has_failed(other) for other in own.values()):
                raise I2IError("The sheet was not made, because an image that belongs on it has failed.")
            images = {label: pairs[other].target for label, other in own.items()}
            data = draw_sheet({"input": pair.source, **images})
            if record is not None:
                record.done(pair.name, pair.source, pair.target, data)
            storage.write_bytes(pair.target, data)
            tell(number, None)
        except (I2IError, OSError, RuntimeError, MemoryError) as error:
            tell(number, reason(error))


def draw_sheet(files: Mapping[str, Path]) -> bytes:
    """A PNG file of images with their titles above them, reduced to 512 pixels; {title: file}."""
    images = {title: _read(path) for title, path in files.items()}
    columns = max(2, round(math.sqrt(len(images) * LANDSCAPE)))
    names = list(images)
    rows = [
        grids.draw_grid({name: images[name] for name in names[start : start + columns]})
        for start in range(0, len(names), columns)
    ]
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), grids.BACKGROUND)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _read(path: Path) -> Tensor:
    """An image file [1, C, H, W] in [-1, 1], its longer side at most CELL pixels."""
    with pixels.opened(storage.decoder_input(path), None) as image:
        image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
        array = np.array(image)
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 127.5 - 1
