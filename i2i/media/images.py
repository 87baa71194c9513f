"""Opening and writing images: any mode to uint8, network output to uint8, listing folders, atomic saving.

Inside i2i an image is uint8 [H, W, C] as an array and float32 [C, H, W] in [-1, 1] as a tensor.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from i2i.core import pretenders
from i2i.core.errors import I2IError, nearest
from i2i.core.files import atomic_write
from i2i.media import png, repair
from i2i.media.formats import readable, start_of

MAX_PIXELS = 100_000_000  # an image with more is refused before it is decoded
JPEG_QUALITY = 95
MAX_TEXT = 1 << 24  # bytes of an unpacked text of a PNG; a file with a longer one counts as a bomb
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}

PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, MAX_TEXT)

# Pillow warns of large images, odd EXIF and odd palettes. The limits here are stricter, and images are decoded in
# threads, where the filters of warnings.catch_warnings() would leak from one into another; so for the whole process.
warnings.filterwarnings("ignore", module=r"PIL\.")


# ---- reading ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_image(source: str | Path | BinaryIO, max_pixels: int = MAX_PIXELS, load: bool = True) -> Iterator[Image.Image]:
    """The Pillow image of a file, decoded and upright (load=False: only the header is read).

    Raises I2IError naming the file, also for what goes wrong while the image is in use inside the `with`."""
    name = source_name(source)
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # Pillow's own limit gives way to a higher one that was asked for
    try:
        with repair.opened(source, name, max_pixels) as image:
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
        problem = "is a link to a file that does not exist" if os.path.islink(name) else "does not exist"
        raise I2IError(f"{name} {problem}.") from error
    except UnidentifiedImageError as error:
        if os.path.isfile(name) and not os.path.getsize(name):
            raise I2IError(f"{name} is empty: it has 0 bytes.", "Copy or download it again.") from error
        if pretender := pretenders.unmask(start_of(source, pretenders.HEAD), "image"):
            raise I2IError(f"{name} {pretender[0]}", pretender[1]) from error
        raise I2IError(
            f"{name} is not an image, or has a format that is not read.", f"Formats: {' '.join(sorted(readable()))}."
        ) from error
    except MemoryError as error:
        raise I2IError(f"{name} is too large for the memory.", "Shrink it first.") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        if isinstance(error, OSError) and error.errno:  # from the system: permissions, links in a circle, a bad disk
            raise I2IError(f"{name} cannot be read: {error.strerror}.") from error
        if "MAX_TEXT" in str(error) or "text chunks" in str(error):
            what = f"{name} has texts of more than {MAX_TEXT >> 20} MB, as a decompression bomb has."
            raise I2IError(what, "Save it without its texts.") from error
        reason = str(error) or type(error).__name__
        raise I2IError(f"{name} cannot be read: {reason}.", "It is damaged or cut short.") from error


def source_name(source: object) -> str:
    """The name of a file, a stream or an array in error messages."""
    if isinstance(source, str | Path):
        return str(source)
    unnamed = "the file in memory" if isinstance(source, io.BytesIO) else f"the {type(source).__name__}"
    return str(getattr(source, "name", "") or unnamed)


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; unreadable EXIF counts as upright."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (broken EXIF raises nearly anything, and the pixels are still good)
        return image


# ---- modes and arrays ------------------------------------------------------------------------------------------


def natural_channels(image: Image.Image) -> int:
    """The channels that an image has by itself: 1 gray, 3 color, 4 with transparency."""
    if image.has_transparency_data:
        return 4
    return 1 if image.mode in ("1", "L", "F") or image.mode.startswith("I") else 3


def convert(image: Image.Image, channels: int | None = 3, source: object = "the image") -> Image.Image:
    """The image in mode L, RGB or RGBA, by the rules of `pixels.read`. Raises I2IError naming `source`."""
    if channels not in (None, *_MODES):
        raise I2IError(f"{channels} channels were asked for.", "Allowed: 1 (gray), 3 (RGB), 4 (RGBA), or None.")
    if image.mode == "La":
        image = image.convert("LA")  # Pillow goes no other way
    natural = natural_channels(image)
    mode = _MODES[channels or natural]
    if image.mode == mode and (natural != 4 or mode == "RGBA"):
        return image
    if image.mode.startswith("I"):
        array = png.with_alpha(_uint16(image, source)[..., None], image.info.get(png.KEY))
        image = to_pil(to_8_bits(array))
    elif image.mode == "F":
        image = Image.fromarray(_from_floats(image, source))
    if natural == 4:
        image = image.convert("RGBA")
        if mode != "RGBA":
            image = _on_white(image)
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if natural == 1 else "RGB")
    return image if image.mode == mode else image.convert(mode)


def on_white(array: np.ndarray) -> np.ndarray:
    """Gray or color [H, W, 1 or 3] of an array whose last channel is alpha [H, W, 2 or 4], laid on white.

    uint8, uint16, or floats in [0, 1]; uint8 exactly as `convert` does it, which training uses."""
    colors, alpha = array[..., :-1], array[..., -1:]
    if array.dtype == np.uint8:
        rgba = array if array.shape[-1] == 4 else array[..., [0, 0, 0, 1]]
        blended = np.asarray(_on_white(Image.fromarray(np.ascontiguousarray(rgba))))
        return blended if array.shape[-1] == 4 else blended[..., :1]
    top = 65535 if array.dtype == np.uint16 else 1
    share = alpha.astype(np.float32).clip(0, top) / top
    blended = colors * share + top * (1 - share)
    return np.where(share < 1, blended.round() if top > 1 else blended, colors).astype(array.dtype)


def _on_white(image: Image.Image) -> Image.Image:
    """RGBA laid on white: RGB."""
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def to_8_bits(array: np.ndarray) -> np.ndarray:
    """uint8 of uint16 values, rounded to the nearest level; uint8 stays as it is."""
    return array if array.dtype == np.uint8 else ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _uint16(image: Image.Image, source: object) -> np.ndarray:
    """uint16 [H, W] of an image of mode I;16* or I; Pillow's own conversions clip such images to white."""
    values = np.asarray(image)
    if image.mode == "I" and values.size and (values.min() < 0 or values.max() > 65535):
        raise I2IError(f"{source_name(source)} has 32-bit values outside 0..65535.", "Save it with 8 or 16 bits.")
    return values.astype(np.uint16)


def _from_floats(image: Image.Image, source: object) -> np.ndarray:
    """uint8 [H, W] of a floating-point image with values in [0, 1]."""
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise I2IError(f"{source_name(source)} has floating-point values outside 0..1.", "Save it with 8 or 16 bits.")
    return (values * 255).round().astype(np.uint8)


def to_array(image: Image.Image, source: object = "the image") -> np.ndarray:
    """[H, W, C] of an image of any mode, in memory of its own: uint16 for 16-bit gray, else uint8 with C of 1, 3 or 4.

    Raises I2IError naming `source` if its values have no place in 8 or 16 bits."""
    if image.mode.startswith("I"):
        return png.with_alpha(_uint16(image, source)[..., None], image.info.get(png.KEY))
    array = np.array(convert(image, None, source))
    return array[..., None] if array.ndim == 2 else array


def to_pil(array: np.ndarray) -> Image.Image:
    """The Pillow image of uint8 or uint16 [H, W] or [H, W, C], C of 1 to 4 (2: gray with alpha).

    Gray keeps 16 bits; 16-bit color, which Pillow cannot hold, is rounded to 8. Raises I2IError for other arrays."""
    known = array.ndim == 2 or (array.ndim == 3 and 1 <= array.shape[2] <= 4)
    if not known or array.dtype not in (np.uint8, np.uint16):
        raise I2IError(
            f"An array of shape {list(array.shape)} and type {array.dtype} cannot become an image file.",
            "Allowed: uint8 or uint16 [H, W] or [H, W, C] with 1 to 4 channels.",
        )
    if array.ndim == 3:
        array = array[..., 0] if array.shape[2] == 1 else to_8_bits(array)
    return Image.fromarray(np.ascontiguousarray(array))


def levels(image: Tensor) -> Tensor:
    """Values in [-1, 1] -> uint8 of the same shape, on the CPU: the nearest level; values outside are clipped."""
    rounded = image.detach().to("cpu", torch.float32).add(1).mul_(127.5).round_().clamp_(0, 255)
    return rounded.to(torch.uint8)


def to_uint8(image: Tensor) -> np.ndarray:
    """[C, H, W] in [-1, 1] -> uint8 [H, W, C], rounded to the nearest level; values outside are clipped."""
    return levels(image).permute(1, 2, 0).contiguous().numpy()


# ---- files -----------------------------------------------------------------------------------------------------


def find_images(folder: str | Path, broken: bool = False, others: list[Path] | None = None) -> list[Path]:
    """All images under `folder` by suffix, recursively, sorted by path; hidden files and folders are skipped.

    A linked folder is followed once, so a loop of links ends. broken: include links that lead nowhere, so that reading
    them names them. others: gets the files that are no readable images, for `formats.left_out`.
    Raises I2IError if a folder cannot be read."""
    return [Path(name) for name in find_image_names(folder, broken, others)]


def find_image_names(folder: str | Path, broken: bool = False, others: list[Path] | None = None) -> list[str]:
    """As `find_images`, but texts, which take a third of the memory."""
    names = image_names(folder, broken, others)
    return sorted(names) if os.sep == "/" else sorted(names, key=lambda name: Path(name).as_posix())


def image_names(folder: str | Path, broken: bool = False, others: list[Path] | None = None) -> Iterator[str]:
    """As `find_image_names`, but one after the other, in any order. `others` is complete at the end."""
    suffixes = readable()
    for entry, kind in _entries(folder):
        if not entry.name.lower().endswith(suffixes):
            if others is not None and kind == "file":
                others.append(Path(entry.path))
        elif kind == "file" or (broken and kind == "link"):
            yield entry.path


def find_others(folder: str | Path) -> list[Path]:
    """All files under `folder` that are no readable images, in any order, for `formats.left_out`."""
    suffixes = readable()
    return [
        Path(entry.path)
        for entry, kind in _entries(folder)
        if kind == "file" and not entry.name.lower().endswith(suffixes)
    ]


def holds_images(folder: str | Path) -> bool:
    """Whether `find_images` would find any; looks no further than the first."""
    suffixes = readable()
    return any(kind == "file" and entry.name.lower().endswith(suffixes) for entry, kind in _entries(folder))


def _entries(folder: str | Path) -> Iterator[tuple[os.DirEntry[str], str]]:
    """All entries under `folder` that are no folders, with their `_kind`; see `find_images`."""
    seen: set[tuple[int, int]] = set()
    todo = [str(folder)]
    while todo:
        current = todo.pop()
        try:
            status = os.stat(current)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    kind = _kind(entry)
                    if kind == "folder":
                        todo.append(entry.path)
                    else:
                        yield entry, kind
        except OSError as error:
            raise I2IError(f"The folder {current} cannot be read: {error.strerror}.") from error


def _kind(entry: os.DirEntry[str]) -> str:
    """ "folder" or "file", also through links; "link" if it leads nowhere or in a circle; "" for anything else."""
    with contextlib.suppress(OSError):
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    return "link" if entry.is_symlink() and not os.path.exists(entry.path) else ""


def save(path: str | Path, image: Image.Image | np.ndarray, **options: Any) -> Path:
    """Writes an image; after any failure `path` holds what it held before.

    The suffix chooses the format; `options` go to Pillow's save (quality, exif, icc_profile, ...). JPEG has quality 95
    by default and no transparency: transparent pixels are blended with white. Raises I2IError if the suffix is unknown
    or the disk refuses.
    """
    path = Path(path)
    pil_image = image if isinstance(image, Image.Image) else to_pil(image)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise I2IError(f"{path} has a suffix that cannot be written.", nearest(path.suffix, (".png", ".jpg", ".webp")))
    if kind == "JPEG":
        pil_image = convert(pil_image, 1 if natural_channels(pil_image) == 1 else 3)
        options = {"quality": JPEG_QUALITY, **options}
    with atomic_write(path) as file:
        pil_image.save(file, format=kind, **options)
    return path
