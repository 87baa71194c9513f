"""From an image file to pixels in sRGB: the one way for training, evaluation, checks, the web page and translation.

Files without a color profile keep their numbers. `frame` is for those who need the way back; `read` and `opened` are
for those who look only: upright, laid on white, 8 bits.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from i2i.media import color, exif, formats, images, png, repair, tiff, uint16
from i2i.media.color import ColorState
from i2i.media.images import MAX_PIXELS


def read(source: str | Path | BinaryIO, channels: int | None = 3, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes an image to uint8 [H, W, C] in sRGB.

    channels: 1 gray, 3 RGB, 4 RGBA, None: as the file has them (gray 1, color 3, with transparency 4).
    Transparent pixels are laid on white unless alpha is asked for. Palettes and CMYK become RGB, the EXIF orientation
    is applied, an animation gives its first frame, and 16 bits are rounded to 8.
    Raises I2IError naming the file if it is no image, damaged, cut short, or has more than `max_pixels` pixels.
    """
    with opened(source, channels, max_pixels) as image:
        return images.to_array(image)


@contextlib.contextmanager
def opened(
    source: str | Path | BinaryIO, channels: int | None = 3, max_pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """The same as a Pillow image in mode L, RGB or RGBA. Raises I2IError as `read` does."""
    with images.open_image(source, max_pixels, load=False) as image:
        yield plain(source, image, channels)


def plain(source: str | Path | BinaryIO, image: Image.Image, channels: int | None = 3) -> Image.Image:
    """The first frame of an opened file that is not decoded yet, by the rules of `read`."""
    if not color.mode_of(exif.icc_profile(image)) and not png.has_key_of_16_bits(image):
        image.load()
        return images.convert(images.upright(image), channels, source)
    array, _, _ = frame(source, image, 0, content_of(source, image))
    return images.convert(images.to_pil(images.to_8_bits(array)), channels, source)


def frame(
    source: str | Path | BinaryIO, image: Image.Image, number: int, content: Callable[[], bytes]
) -> tuple[np.ndarray, ColorState, int]:
    """The frame at which an opened file stands: its pixels [H, W, C] (uint8 or uint16), upright, and in sRGB where its
    colors are known; how the colors were treated; and the EXIF orientation from which the pixels were turned.

    number: of that frame. content: gives the file's bytes."""
    # What the header says has to be asked for before decoding, except for a PNG: its EXIF may stand behind the pixels,
    # and damage that Pillow meets on the way there is not met again when the pixels are decoded.
    tiff.check_page(image, images.source_name(source))
    is_animated_png = image.format == "PNG" and getattr(image, "is_animated", False)  # OpenCV reads its first frame
    is_uint16 = uint16.is_color(image) and not is_animated_png
    size, key = exif.stored_size(image), image.info.get(png.KEY)
    if image.format == "PNG":
        image.load()
    orientation = exif.orientation(image)
    image.load()
    profile = exif.icc_profile(image)

    array = uint16.decode(content(), size, image.format == "TIFF", number) if is_uint16 else None
    if array is not None:
        array = png.with_alpha(uint16.upright(array, orientation), key if image.format == "PNG" else None)
        return *uint16.into_srgb(array, profile), orientation
    turned = images.upright(image)
    if turned.mode.startswith("I"):
        return *uint16.into_srgb(images.to_array(turned, source), profile), orientation
    if turned.mode == "F":
        return images.to_array(turned, source), ColorState(profile), orientation
    turned, state = color.into_srgb(turned, profile)
    return images.to_array(turned, source), state, orientation


def content_of(source: str | Path | BinaryIO, image: Image.Image) -> Callable[[], bytes]:
    """A function that gives the bytes of a file that was opened as `image`, or what was read in their place."""
    in_its_place = image.info.get(repair.REPAIR)
    return functools.cache(lambda: in_its_place.content if in_its_place else formats.start_of(source))
