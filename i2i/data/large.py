"""Images that are too small for the training crops are left out before a run, and named."""

from __future__ import annotations

from dataclasses import replace

from i2i.core.errors import I2IError
from i2i.data.layouts import WHOLE, Layout, Source, header
from i2i.data.spec import DataSettings

NAMED = 5  # small images that are listed by name


def large_enough(layout: Layout, spec: DataSettings) -> Layout:
    """The layout without images that have no crop of spec.size pixels, with a note that counts and names them.

    Sizes are read from the files' headers. Pairs are left out whole. With a rule that resizes, all images fit. Raises
    I2IError if none is left."""
    if not spec.rule.crop or spec.rule.resize or spec.rule.scale_width:
        return layout
    smaller = spec.size // spec.scale if layout.name == "paired" else spec.size
    crops = (smaller, spec.size) if spec.direction == "AtoB" else (spec.size, smaller)
    small: list[tuple[Source, str]] = []
    sides = zip((layout.a, layout.b), crops)
    fits = [[_fits(source, crop, spec.center, small) for source in side] for side, crop in sides]
    if layout.name == "paired":
        fits = [[all(both) for both in zip(*fits)]] * 2
    if not small:
        return layout
    a, b = ([s for s, ok in zip(side, good) if ok] for side, good in zip((layout.a, layout.b), fits))
    names = [f"{source.path.name} ({size})" for source, size in small[:NAMED]]
    more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
    count = f"{len(small)} image{' is' if len(small) == 1 else 's are'}"
    line = f"{count} smaller than the crops of {spec.size} pixels: {', '.join(names)}{more}."
    if not a or (layout.b and not b):
        raise I2IError(f"No image is large enough. {line}", "Choose a smaller --size, or preprocess=resize_and_crop.")
    rows = [row for row, ok in zip(layout.rows, fits[0]) if ok]
    labelled = fits[1] if layout.rows else fits[0]  # with attributes of A, classes are those of B
    labels = [label for label, ok in zip(layout.labels, labelled) if ok]
    return replace(layout, a=a, b=b, labels=labels, rows=rows, notes=[*layout.notes, f"Left out: {line}"])


def _fits(source: Source, crop: int, center: int, small: list[tuple[Source, str]]) -> bool:
    """Whether an image has a crop of that size; if not, adds it and its size to `small`.

    center: side of the square of the middle that alone is used; 0: all of the image. An image that cannot be read
    counts as large enough: decoding it raises the error that names it."""
    try:
        width, height, _ = header(source.path)
    except I2IError:
        return True
    width = width if source.part == WHOLE else width // 2
    if center:  # only this square of the middle is used
        width, height = min(width, center), min(height, center)
    if min(width, height) >= crop:
        return True
    small.append((source, f"{width}x{height}"))
    return False
