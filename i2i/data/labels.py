"""The palette of a data set whose sources are label maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from i2i.core.errors import I2IError
from i2i.data import decode
from i2i.data.layouts import Source
from i2i.data.spec import DataSettings
from i2i.media import images
from i2i.media.palette import PREFIX, Palette, outside_note

READ = 1000  # label maps whose colors `auto` reads, at most, spread evenly
CHECKED = 64  # label maps that are compared with the palette


def palette_of(spec: DataSettings, layout: str, sources: Sequence[Source]) -> Palette:
    """The palette that the setting names: a file, "auto", or text. Raises I2IError if it is none."""
    if layout != "paired":
        raise I2IError(
            f"palette is {spec.palette!r}, and the images are no pairs.",
            "Label maps are the sources of pairs: give pairs, or leave palette out.",
        )
    _require_8_bits(sources)
    if spec.palette.startswith(PREFIX):
        return Palette.of_text(spec.palette)
    if spec.palette.lower() != "auto":
        return Palette.read(spec.palette)
    channels = spec.channels_in or (1 if all(_is_gray(a) for _, a in _arrays(sources, CHECKED, 3)) else 3)
    return Palette.of_images(_arrays(sources, READ, channels))


def outside_of(palette: Palette, sources: Sequence[Source]) -> str:
    """A sentence about pixels of the first label maps whose colors the palette lacks; empty if there are none."""
    wrong = total = images = 0
    example = ""
    for _, array in _arrays(sources, CHECKED, palette.channels):
        count, color = palette.outside(array)
        wrong, total, images, example = (
            wrong + count,
            total + array.shape[0] * array.shape[1],
            images + 1,
            example or color,
        )
    return outside_note(wrong, total, example, images) if wrong else ""


def _arrays(sources: Sequence[Source], most: int, channels: int) -> Iterator[tuple[str, np.ndarray]]:
    """(name, uint8 [H, W, channels]) of up to `most` label maps, spread evenly, in their own size."""
    count = min(most, len(sources))
    for i in range(count):
        source = sources[i * len(sources) // count]
        yield source.path.name, decode.half(decode.whole(source.path, channels), source.part)


def _require_8_bits(sources: Sequence[Source]) -> None:
    """Raises I2IError if one of some label maps has 16-bit numbers, which 8 bits would mix."""
    for source in sources[:: max(1, len(sources) // CHECKED)]:
        with images.open_image(source.path, load=False) as image:
            if image.mode.startswith("I"):
                raise I2IError(
                    f"{source.path} has 16-bit numbers, not the colors of a label map.",
                    f"Give each thing a color: i2i data labels {source.path.parent} -o labels/",
                )


def _is_gray(array: np.ndarray) -> bool:
    return bool((array[..., 0] == array[..., 1]).all() and (array[..., 1] == array[..., 2]).all())
