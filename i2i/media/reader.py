"""Reading an image file, with all its frames, into a `Document` for the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from i2i.core.errors import I2IError
from i2i.media import adapt, images, metadata, pixels, repair
from i2i.media.codec import MULTI_FRAME, STILL_APART, TIFF, Document, WriteSettings
from i2i.media.palette import Palette, outside_note

TIFF_SUBFILE, REDUCED = 254, 1  # the tag NewSubfileType, and its bit for a reduced copy of another page


# ---- reading -------------------------------------------------------------------------------------------------------


def read(
    source: Path | BinaryIO,
    channels: int,
    options: WriteSettings,
    suffix: str,
    scale: int = 1,
    palette: Palette | None = None,
) -> Document:
    """Reads an image for a network of `channels` input channels and an output file with `suffix`.

    scale: how many times the network enlarges images. palette: of a network of label maps: they are resized by the
    nearest pixel, and the document's note counts pixels of other colors.
    Raises I2IError naming the file if it is no image, damaged, cut short, or too large."""
    with images.open_image(source, options.max_pixels, load=False) as image:
        numbers = _frame_numbers(source, image, suffix)
        count = len(numbers)
        is_still_apart = bool(image.info.get("default_image")) and numbers[0] == 0 and count > 1
        _check_total(source, image.width * image.height * count, count, options.max_pixels)
        document = Document([], 2 if options.alpha == "translate" else 1, scale, labels=palette is not None)
        content = pixels.content_of(source, image)
        document.metadata = metadata.read(source, image, numbers)
        if options.metadata == "strip":
            document.metadata = document.metadata.stripped()
        document.note = getattr(image.info.get(repair.REPAIR), "note", "")
        durations, total = [], 0
        for number in numbers:
            # Sizes are checked from the header, before anything is decoded: later pages may be larger.
            if number:
                image.seek(number)
            total += image.width * image.height
            _check_total(source, total, count, options.max_pixels)

            array, state, orientation = pixels.frame(source, image, number, content)
            if not document.parts:
                document.metadata.orientation = orientation
            durations.append(float(image.info.get("duration", 0)))
            check_output_size(source, array.shape[1], array.shape[0], count, options, scale)
            document.states.append(state)
            _add(document, array, channels, options)
        _check_pages(source, document, suffix)
        if palette is not None:
            document.note = f"{document.note} {_outside(document, palette)}".strip()
        if is_still_apart:
            document.has_still, durations = True, durations[1:]
        if count > 1 and any(durations):
            document.timing["duration"] = durations
        if count > 1 and (any(durations) or "loop" in image.info):
            document.timing["loop"] = image.info.get("loop")
        return document


def _frame_numbers(source: Path | BinaryIO, image: Image.Image, suffix: str) -> list[int]:
    """The numbers of the frames to translate: every independent one if the output format holds several, else the first.

    Left out are the further images of an MPO (previews, depth maps, second views) and a TIFF's reduced copies of other
    pages. Raises I2IError if pages of a TIFF would be lost; an animation may become a still image."""
    if image.info.get("default_image") and suffix in MULTI_FRAME and suffix not in STILL_APART:
        return list(range(1, getattr(image, "n_frames", 1)))  # the still image before them is for old programs
    if image.format in ("MPO", "HEIF") or (suffix not in MULTI_FRAME and image.format != "TIFF"):
        return [0]
    try:
        count = getattr(image, "n_frames", 1)
    except Exception as error:  # whatever is broken behind the first page
        if suffix in MULTI_FRAME or isinstance(error, MemoryError):
            raise
        return [0]
    numbers = list(range(count))
    if image.format == "TIFF" and count > 1:
        numbers = [0]
        for number in range(1, count):
            image.seek(number)
            if not int(getattr(image, "tag_v2", {}).get(TIFF_SUBFILE, 0)) & REDUCED:
                numbers.append(number)
        image.seek(0)
    if len(numbers) > 1 and suffix not in MULTI_FRAME:
        raise I2IError(
            f"{images.source_name(source)} has {len(numbers)} pages; {suffix} holds one.", "Give --format tif."
        )
    return numbers


def _add(document: Document, array: np.ndarray, channels: int, options: WriteSettings) -> None:
    """Adds one frame to the parts: its color and, if alpha is translated, its alpha."""
    if options.alpha == "drop" and array.shape[-1] in (2, 4) and channels != array.shape[-1]:
        array = images.on_white(array)
    prepared = adapt.prepare_array(array, channels, lambda levels: levels)
    if document.per_frame == 1:
        document.parts.append(prepared.resized(options.size, document.scale, document.labels))
        return
    alpha, prepared = prepared.alpha, replace(prepared, alpha=None)
    document.parts.append(prepared.resized(options.size, document.scale, document.labels))
    if alpha is None:
        # The first frame decides whether alpha is translated; a later one without any gets an opaque one.
        if len(document.parts) == 1:
            document.per_frame = 1
            return
        alpha = np.full((*array.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
    prepared = adapt.prepare_array(alpha, channels, lambda levels: levels)
    document.parts.append(prepared.resized(options.size, document.scale, document.labels))


def _outside(document: Document, palette: Palette) -> str:
    """A sentence about pixels whose colors the palette lacks; empty if there are none."""
    colors = document.parts[:: document.per_frame]
    found = [palette.outside(images.to_uint8(part.pixels)) for part in colors]
    count, total = sum(n for n, _ in found), sum(part.height * part.width for part in colors)
    return outside_note(count, total, next(color for _, color in found if color)) if count else ""


# ---- limits --------------------------------------------------------------------------------------------------------


def _check_total(source: Path | BinaryIO, total: int, frames: int, limit: int) -> None:
    if total > limit:
        raise I2IError(
            f"{images.source_name(source)} has {total:,} pixels in {frames} frames, more than the limit of {limit:,}.",
            "Raise it with --max-pixels.",
        )


def check_output_size(
    source: Path | BinaryIO, width: int, height: int, frames: int, options: WriteSettings, scale: int = 1
) -> None:
    """Raises I2IError if the output would have more pixels than are allowed.

    It is resized as the options say; before that a network that enlarges images makes `scale` times their size."""
    enlarged = (width * scale, height * scale)
    sizes = [(enlarged, "a smaller image")] if scale > 1 else []
    if options.size is not None:
        sizes.append((adapt.target_size(*enlarged, options.size), "a smaller --size"))
    for (out_width, out_height), smaller in sizes:
        if out_width * out_height * frames > options.max_pixels:
            each = f"{frames} frames of " if frames > 1 else ""
            by_scale = f", enlarged {scale} times," if scale > 1 else ""
            raise I2IError(
                f"{images.source_name(source)}{by_scale} would have {each}{out_width}x{out_height} pixels, more than "
                f"the limit of {options.max_pixels:,}.",
                f"Give {smaller}, or raise the limit with --max-pixels.",
            )


def _check_pages(source: Path | BinaryIO, document: Document, suffix: str) -> None:
    """Raises I2IError if the pages differ in size and the output format wants them equal."""
    sizes = {p.output or (p.width, p.height) for p in document.parts}
    if suffix not in TIFF and len(sizes) > 1:
        one, other = (f"{width}x{height}" for width, height in sorted(sizes)[:2])
        raise I2IError(
            f"The pages of {images.source_name(source)} differ in size ({one}, {other}); those of {suffix} cannot.",
            "Give --format tif, or one --size WIDTHxHEIGHT.",
        )
