"""TIFF files that Pillow does not read, or reads wrongly, as ones that it reads: decoded by tifffile and written anew.

These are: 0 is white in 16 or 32 bits; 10, 12, 14 and other depths between 1 and 16 bits, scaled to the full range of
8 or 16; separate planes of 16 bits, or of gray and alpha; gray with alpha in 16 bits; compressed floating-point values;
BigTIFF of big-endian machines; stacks of ImageJ whose slices share one directory.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
from typing import Any

import numpy as np
from PIL import Image

from i2i.core.errors import I2IError
from i2i.core.optional import install_hint
from i2i.media.formats import open_pillow

WIDTH, HEIGHT, STRIPS, SAMPLES, ROWS, PLANAR = 256, 257, 273, 277, 278, 284  # tags
TILE_WIDTH, TILE_HEIGHT, TILES = 322, 323, 324
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF, little- and big-endian
BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION, FORMAT, IMAGE_DEPTH = 258, 259, 262, 270, 339, 32997  # tags
WHITE_IS_ZERO, PALETTE, CMYK = 0, 3, 5  # photometric interpretations
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # sample formats
PILLOW_BITS = (1, 2, 4, 8, 16, 32)
ORIENTATION, PROFILE = 274, 34675


def check_page(image: Image.Image, name: str) -> None:
    """Raises I2IError if the current page of an opened TIFF has signed values, which Pillow takes for unsigned ones, or
    lacks strips or tiles, which Pillow takes for black."""
    tags = getattr(image, "tag_v2", {})
    if SIGNED in _values(tags, FORMAT, UNSIGNED):
        raise _signed(name, max(_values(tags, BITS, 1)))
    if image.format != "TIFF" or not (STRIPS in tags or TILES in tags):
        return
    try:
        width, height = (_values(tags, tag, 0)[0] for tag in (WIDTH, HEIGHT))
        planes = _values(tags, SAMPLES, 1)[0] if _values(tags, PLANAR, 1)[0] == 2 else 1
        if TILES in tags:
            side, rows = (max(1, _values(tags, tag, 0)[0]) for tag in (TILE_WIDTH, TILE_HEIGHT))
            there, needed = len(_values(tags, TILES, 0)), -(-width // side) * -(-height // rows) * planes
        else:
            rows = max(1, min(height, _values(tags, ROWS, height)[0]))
            there, needed = len(_values(tags, STRIPS, 0)), -(-height // rows) * planes
    except TypeError as error:  # a damaged header has texts in place of numbers
        raise I2IError(f"{name} cannot be read: its header is damaged.", "It is damaged or cut short.") from error
    if there < needed:
        raise _parts_missing(name)


def _parts_missing(name: str) -> I2IError:
    return I2IError(f"{name} cannot be read: parts of its pixels are missing.", "It is damaged or cut short.")


def is_misread(image: Image.Image) -> bool:
    """True if Pillow misreads a page of an opened TIFF, or passes pages over. Only headers are read.

    Pages behind a broken one are not looked at."""
    if _is_stack(image):
        return True
    try:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            if _is_misread_page(image):
                return True
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (whatever is broken behind the first page)
        return False
    finally:
        with contextlib.suppress(Exception):
            image.seek(0)
    return False


def _is_misread_page(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    bits = _values(tags, BITS, 1)
    photometric, samples = _values(tags, PHOTOMETRIC, 1)[0], _values(tags, SAMPLES, 1)[0]
    has_misread_zero = photometric == WHITE_IS_ZERO and max(bits) > 8
    is_planar = _values(tags, PLANAR, 1)[0] == 2 and photometric in (0, 1, 2, CMYK)
    has_misread_planes = is_planar and samples > 1 and (max(bits) > 8 or samples not in (3, 4))
    is_packed_float = FLOAT in _values(tags, FORMAT, UNSIGNED) and _values(tags, COMPRESSION, 1)[0] != 1
    return has_misread_zero or has_misread_planes or is_packed_float or any(b not in PILLOW_BITS for b in bits)


def _is_stack(image: Image.Image) -> bool:
    """True if the only directory stands for several slices."""
    tags = getattr(image, "tag_v2", {})
    description = str(tags.get(DESCRIPTION, ""))
    says_so = ("ImageJ=" in description and "images=" in description) or '"truncated"' in description
    if not says_so and _values(tags, IMAGE_DEPTH, 1)[0] <= 1:
        return False
    return getattr(image, "n_frames", 1) == 1


def _values(tags: Any, tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, tuple) and value else (value,)


def _signed(name: str, bits: int) -> I2IError:
    return I2IError(f"{name} has signed values of {bits} bits.", "Save it with unsigned values of 8 or 16 bits.")


def rewritten(data: bytes, name: str, max_pixels: int) -> bytes:
    """The TIFF as one that Pillow and tifffile read alike: pixels, resolution, orientation and profile.

    Raises I2IError naming the file if its values have no place in 8 or 16 bits, or it has too many pixels."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            pages = _stack(file, name, max_pixels) or _pages(file, data, name, max_pixels)
    except (tifffile.TiffFileError, IndexError) as error:
        raise I2IError(f"{name} cannot be read: {error}.", "It is damaged or cut short.") from error
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder="<") as writer:
        for array, options in pages:
            if not array.size:
                raise I2IError(f"{name} has no pixels.", "It is damaged.")
            writer.write(array, metadata=None, software=False, contiguous=False, **options)
    return buffer.getvalue()


# tifffile logs what is damaged; the error says it. Who has set up logging still gets its lines.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

Page = tuple[np.ndarray, dict[str, Any]]  # pixels, and options of writing them


def _pages(file: Any, data: bytes, name: str, max_pixels: int) -> list[Page]:
    """All pages but reduced copies of others."""
    pages = [page for i, page in enumerate(file.pages) if i == 0 or not page.is_reduced]
    _check_pixels(sum(p.imagewidth * p.imagelength * p.imagedepth for p in pages), name, max_pixels)
    for page in pages:
        _check_parts(page, len(data), name)
    return [(_levels(_decoded(page, data, name), page, name), _options(page)) for page in pages]


def _stack(file: Any, name: str, max_pixels: int) -> list[Page]:
    """The slices of a stack in one directory; [] if it is no stack."""
    page = file.pages[0]
    if len(file.pages) > 1 or not file.series:
        return []
    shape = tuple(file.series[0].shape)
    slices = int(np.prod(shape)) // max(1, page.imagewidth * page.imagelength * page.samplesperpixel)
    if slices < 2:
        return []
    _check_pixels(slices * page.imagewidth * page.imagelength, name, max_pixels)
    if len(file.series[0].pages) == 1 and page.is_memmappable and file.series[0].nbytes > file.filehandle.size:
        raise _parts_missing(name)
    array = np.asarray(file.series[0].asarray())
    samples = () if page.samplesperpixel == 1 else (page.samplesperpixel,)
    if samples and page.planarconfig == 2:
        raise I2IError(f"{name} is a stack with separate color planes.", "Save each slice as a page of its own.")
    array = array.reshape(-1, page.imagelength, page.imagewidth, *samples)
    return [(_levels(one, page, name), _options(page)) for one in array]


def _check_pixels(count: int, name: str, max_pixels: int) -> None:
    if count > max_pixels:
        raise I2IError(f"{name} has {count:,} pixels, more than the limit of {max_pixels:,}.", "Raise it (max_pixels).")


def _check_parts(page: Any, size: int, name: str) -> None:
    """Raises I2IError if strips or tiles of a page are not in the file of `size` bytes: they would be read as zeros.

    A part of 0 bytes is one that the writer has left out on purpose."""
    parts = list(zip(page.dataoffsets, page.databytecounts))
    if len(parts) < math.prod(page.chunked) or any(count and offset + count > size for offset, count in parts):
        raise _parts_missing(name)


def _decoded(page: Any, data: bytes, name: str) -> np.ndarray:
    """The stored values [H, W] or [H, W, C]."""
    try:
        array = np.asarray(page.asarray())
    except (ValueError, KeyError) as error:
        if "imagecodecs" not in str(error) and "compress" not in str(error).lower():
            raise
        with contextlib.suppress(Exception), open_pillow(io.BytesIO(data)) as image:  # libtiff knows some compressions
            image.seek(page.index)
            if image.mode.startswith("I"):
                return np.asarray(image)
        raise I2IError(
            f"{name} is a TIFF of {page.bitspersample} bits with the compression {page.compression.name}, which cannot "
            "be read.",
            f"Install what reads it: {install_hint('uint16')}",
        ) from error
    return np.moveaxis(array, 0, -1) if page.planarconfig == 2 and array.ndim == 3 else array


def _levels(array: np.ndarray, page: Any, name: str) -> np.ndarray:
    """Values as uint8, uint16 or float32 over their full range, 0 being black."""
    bits, kind, photometric = page.bitspersample, int(page.sampleformat), int(page.photometric)
    if kind == SIGNED:
        raise _signed(name, bits)
    is_zero_white = photometric == WHITE_IS_ZERO
    if kind == FLOAT and bits == 32 and page.samplesperpixel == 1:
        return (1 - array if is_zero_white else array).astype(np.float32)
    if kind != UNSIGNED or bits > (32 if is_zero_white else 16) or photometric not in (0, 1, 2, CMYK):
        what = "floating-point values" if kind == FLOAT else "a palette" if photometric == PALETTE else "values"
        raise I2IError(
            f"{name} is a TIFF with {what} of {bits} bits (channels: {page.samplesperpixel}), which is not read.",
            "Save it as gray or RGB with 8 or 16 bits.",
        )
    top, new_top = 2**bits - 1, 255 if bits <= 8 else 65535
    levels = array.astype(np.int64)
    if is_zero_white:
        colors = levels if levels.ndim == 2 else levels[..., :1]
        colors[...] = top - colors
    if top != new_top:
        levels = (levels * new_top + top // 2) // top
    levels = levels.astype(np.uint8 if bits <= 8 else np.uint16)
    if levels.ndim == 3 and levels.shape[-1] == 2 and levels.dtype == np.uint16:
        return levels[..., [0, 0, 0, 1]]  # Pillow has no gray with alpha of 16 bits
    return levels


def _options(page: Any) -> dict[str, Any]:
    """Options of tifffile for writing a page."""
    samples = page.samplesperpixel
    is_color = int(page.photometric) == 2 or (samples == 2 and page.bitspersample > 8)
    is_cmyk = int(page.photometric) == CMYK
    options: dict[str, Any] = {"photometric": "separated" if is_cmyk else "rgb" if is_color else "minisblack"}
    if samples > 1:
        options["planarconfig"] = "contig"
    if page.extrasamples:
        options["extrasamples"] = [int(kind) for kind in page.extrasamples]
    tags = {tag.code: tag for tag in page.tags}
    if PROFILE in tags:
        options["iccprofile"] = tags[PROFILE].value
    if 282 in tags and 283 in tags:
        options["resolution"] = tuple(tags[code].value for code in (282, 283))
        options["resolutionunit"] = int(tags[296].value) if 296 in tags else 2
    if ORIENTATION in tags and isinstance(tags[ORIENTATION].value, int):
        options["extratags"] = [(ORIENTATION, "H", 1, int(tags[ORIENTATION].value), True)]
    return options
