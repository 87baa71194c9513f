"""Images in and out: reading any file on purpose, the papers' pre-processing, tensors, and files that land whole.

Everything inside i2i is uint8 [H, W, C] as an array and float32 [C, H, W] in [-1, 1] as a tensor.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from i2i.core.errors import I2IError, nearest
from i2i.core.files import atomic_write

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".avif", ".jp2", ".tga")
MAX_PIXELS = 100_000_000  # an image with more is refused before it is decoded
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


# ---- reading ---------------------------------------------------------------------------------------------------


def read(
    source: str | Path | BinaryIO,
    channels: int | None = 3,
    max_pixels: int = MAX_PIXELS,
    background: int = 255,
    deep: bool = False,
) -> np.ndarray:
    """Decodes an image to uint8 [H, W, C].

    channels: 1 grey, 3 RGB, 4 RGBA, None: as the file has them (grey 1, colour 3, with transparency 4).
    Transparent pixels are laid on `background` (0 black to 255 white) unless alpha is asked for. Palettes and CMYK
    become RGB, the EXIF orientation is applied, an animation gives its first frame. 16-bit grey is scaled to 8 bits
    with rounding; with deep=True it comes as uint16 [H, W, 1] (Pillow reads 16-bit colour as 8 bits in any case).
    Raises I2IError naming the file if it is no image, damaged, cut short, or of more than `max_pixels` pixels.
    """
    with open_image(source, max_pixels) as image:
        if image.mode.startswith("I") and deep and channels in (None, 1):
            return _sixteen(image, source)[..., None]
        return to_array(convert(image, channels, background, source))


@contextlib.contextmanager
def open_image(source: str | Path | BinaryIO, max_pixels: int = MAX_PIXELS, load: bool = True) -> Iterator[Image.Image]:
    """The Pillow image of a file, upright and decoded (load=False: the header only).

    Raises I2IError naming the file, also for what goes wrong while the image is in use inside the `with`."""
    name = source_name(source)
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # Pillow's own limit gives way to a higher one that was asked for
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning, odd EXIF: the limit here is stricter
            with Image.open(source) as image:
                if image.width * image.height > max_pixels:
                    raise I2IError(
                        f"{name} has {image.width}x{image.height} pixels, more than the limit of {max_pixels:,}.",
                        "Shrink it first, or raise the limit (max_pixels).",
                    )
                if load:
                    image.load()
                    yield upright(image)
                else:
                    yield image
    except I2IError:
        raise
    except Image.DecompressionBombError as error:
        raise I2IError(f"{name} has more than {max_pixels:,} pixels.", "Shrink it first.") from error
    except FileNotFoundError as error:
        where = "is a link to a file that does not exist" if os.path.islink(name) else "does not exist"
        raise I2IError(f"{name} {where}.") from error
    except Image.UnidentifiedImageError as error:
        raise I2IError(f"{name} is not an image, or of a format that Pillow does not read.") from error
    except MemoryError as error:
        raise I2IError(f"{name} is too large for the memory.", "Shrink it first.") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        if isinstance(error, OSError) and error.errno:  # of the system: permissions, links in a circle, a bad disk
            raise I2IError(f"{name} cannot be read: {error.strerror}.") from error
        reason = str(error) or type(error).__name__
        raise I2IError(f"{name} cannot be read: {reason}.", "It is damaged or cut short.") from error


def source_name(source: Any) -> str:
    """What an error message calls a file, a stream or an array."""
    if isinstance(source, str | Path):
        return str(source)
    return str(getattr(source, "name", "") or f"the {type(source).__name__}")


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; unreadable EXIF counts as upright."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:  # EXIF is a format of its own; an image is not lost because of it
        if isinstance(error, MemoryError):
            raise error
        return image


def natural_channels(image: Image.Image) -> int:
    """Channels that an image has by itself: 1 grey, 3 colour, 4 with transparency."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return 4
    return 1 if image.mode in ("1", "L", "F") or image.mode.startswith("I") else 3


def convert(
    image: Image.Image, channels: int | None = 3, background: int = 255, source: Any = "the image"
) -> Image.Image:
    """The image in mode L, RGB or RGBA, whatever its mode was (the rules of `read`)."""
    if channels not in (None, *_MODES):
        raise I2IError(f"{channels} channels were asked for.", "Allowed: 1 (grey), 3 (RGB), 4 (RGBA), or None.")
    natural = natural_channels(image)
    wanted = _MODES[channels or natural]
    if image.mode == wanted:
        return image
    if image.mode.startswith("I"):
        image = Image.fromarray(((_sixteen(image, source).astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        image = Image.fromarray(_floating(image, source))
    if natural == 4:
        image = image.convert("RGBA")
        if wanted != "RGBA":
            paper = Image.new("RGBA", image.size, (background,) * 3 + (255,))
            image = Image.alpha_composite(paper, image).convert("RGB")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if natural == 1 else "RGB")
    return image if image.mode == wanted else image.convert(wanted)


def _sixteen(image: Image.Image, source: Any) -> np.ndarray:
    """uint16 [H, W] of a mode I;16* or I image; Pillow's own conversions clip such images to white."""
    values = np.asarray(image)
    if image.mode == "I" and (values.min() < 0 or values.max() > 65535):
        raise I2IError(f"{source_name(source)} has 32-bit values outside 0..65535.", "Save it with 8 or 16 bits.")
    return values.astype(np.uint16)


def _floating(image: Image.Image, source: Any) -> np.ndarray:
    """uint8 [H, W] of a floating-point image with values in [0, 1]."""
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise I2IError(f"{source_name(source)} has floating-point values outside 0..1.", "Save it with 8 or 16 bits.")
    return np.rint(values * 255).astype(np.uint8)


def to_array(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, C] of an image in mode L, RGB or RGBA (own memory, writable)."""
    array = np.array(image)
    return array[..., None] if array.ndim == 2 else array


def to_pil(array: np.ndarray) -> Image.Image:
    """The Pillow image of uint8 [H, W] or [H, W, 1 | 3 | 4], or uint16 [H, W] or [H, W, 1]."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    known = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    known = known or (array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8)
    if not known:
        raise I2IError(
            f"An array of shape {list(array.shape)} and type {array.dtype} is no image.",
            "Allowed: uint8 [H, W], [H, W, 1], [H, W, 3], [H, W, 4], or uint16 [H, W].",
        )
    return Image.fromarray(np.ascontiguousarray(array))


# ---- tensors ---------------------------------------------------------------------------------------------------


def to_tensor(array: np.ndarray) -> Tensor:
    """uint8 or uint16 [H, W] or [H, W, C] -> float32 [C, H, W] in [-1, 1], as (u / 255 - 0.5) / 0.5."""
    if array.ndim == 2:
        array = array[..., None]
    top = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}.get(array.dtype)
    if array.ndim != 3 or top is None:
        raise I2IError(f"An array of shape {list(array.shape)} and type {array.dtype} is no image [H, W, C].")
    moved = np.ascontiguousarray(array.transpose(2, 0, 1))
    return torch.from_numpy(moved).to(torch.float32).div_(top).sub_(0.5).div_(0.5)


def to_uint8(image: Tensor) -> np.ndarray:
    """[C, H, W] in [-1, 1] -> uint8 [H, W, C], rounded to the nearest level; values outside are clipped."""
    levels = image.detach().to("cpu", torch.float32).add(1).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def cut_uint8(image: Tensor) -> np.ndarray:
    """[C, H, W] or the first of [B, C, H, W] in [-1, 1] -> uint8 [H, W, 3] as the papers' code saved it: cut towards
    zero, not rounded, and grey repeated. About a quarter of the levels come out one lower than they went in."""
    array = (image[0] if image.ndim == 4 else image).detach().to("cpu", torch.float32).numpy()
    if array.shape[0] == 1:
        array = np.repeat(array, 3, axis=0)
    return ((array.transpose(1, 2, 0) + 1) / 2.0 * 255.0).clip(0, 255).astype(np.uint8)


# ---- the papers' pre-processing --------------------------------------------------------------------------------


# ---- files -----------------------------------------------------------------------------------------------------


def find_images(folder: str | Path, broken: bool = False) -> list[Path]:
    """All images under `folder` by suffix, recursively, sorted by their path; hidden files and folders are skipped.

    A linked folder is followed once; a loop of links ends where it began. broken: links that lead nowhere count as
    images, so that they are named when they are read. Raises I2IError if a folder cannot be read."""
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    todo = [str(folder)]
    while todo:
        place = todo.pop()
        try:
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    kind = _kind(entry)
                    if kind == "folder":
                        todo.append(entry.path)
                    elif entry.name.lower().endswith(SUFFIXES) and (kind == "file" or (broken and kind == "link")):
                        found.append(Path(entry.path))
        except OSError as error:
            raise I2IError(f"The folder {place} cannot be read: {error.strerror}.") from error
    return sorted(found, key=lambda p: p.as_posix())


def _kind(entry: os.DirEntry[str]) -> str:
    """folder or file, also through links; link if it leads nowhere or in a circle; else nothing."""
    with contextlib.suppress(OSError):
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    return "link" if entry.is_symlink() and not os.path.exists(entry.path) else ""


def save(path: str | Path, image: Image.Image | np.ndarray, **options: Any) -> Path:
    """Writes an image so that `path` holds either all of it or what it held before.

    The format comes from the suffix; `options` go to Pillow's save (quality, exif, icc_profile, ...). JPEG has no
    transparency: such an image is laid on white. Raises I2IError if the suffix is unknown or writing fails.
    """
    path = Path(path)
    picture = image if isinstance(image, Image.Image) else to_pil(image)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise I2IError(f"{path} has a suffix that cannot be written.", nearest(path.suffix, (".png", ".jpg", ".webp")))
    if kind == "JPEG":
        picture = convert(picture, 1 if natural_channels(picture) == 1 else 3)
        options = {"quality": 95, **options}
    with atomic_write(path) as file:
        picture.save(file, format=kind, **options)
    return path
