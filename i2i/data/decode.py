"""From a file to uint8 [H, W, C] of the size that the random crop starts from.

`exact` is Pillow throughout, as the papers' code. `fast` gives the same decoded pixels (libjpeg-turbo by OpenCV
instead of Pillow) and resizes by torch's vectorised bicubic: equal to Pillow's in 99.8 % of the values, off by one
level in the rest, by two in about five of a million. Training uses fast; previews and evaluation use exact.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from i2i.core.errors import I2IError
from i2i.core.files import open_regular
from i2i.data.layouts import LEFT, WHOLE, Source
from i2i.media import color, exif, images, pixels

END_OF_IMAGE, TAIL = b"\xff\xd9", 1024  # the marker, and the bytes at the end of a JPEG file among which it must be
Size = Callable[[int, int], tuple[int, int]]  # (width, height) of an image -> (width, height) wanted


def decoded_jpeg(data: np.ndarray, channels: int) -> np.ndarray | None:
    """The bytes of a JPEG file, uint8 [N], decoded to uint8 [H, W, channels]; channels is 1 or 3.

    None if it is damaged, or ends early, where OpenCV would make up the rest."""
    if END_OF_IMAGE not in data[-TAIL:].tobytes():
        return None
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR)
    if image is None or channels == 1:
        return image if image is None else image[..., None]
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def exact(source: Source, channels: int, size: Size, labels: bool = False) -> np.ndarray:
    """uint8 [H, W, channels] in sRGB, by Pillow. labels: resized by the nearest pixel, so that no new color appears.

    Raises I2IError naming the file."""
    with pixels.opened(source.path, channels) as image:
        if source.part != WHOLE:
            _require_halves(image.width, source.path)
            middle = image.width // 2
            left, right = (0, middle) if source.part == LEFT else (middle, image.width)
            image = image.crop((left, 0, right, image.height))
        if source.center:
            image = image.crop(_middle(image.width, image.height, source.center))
        wanted = size(*image.size)
        kind = Image.Resampling.NEAREST if labels else Image.Resampling.BICUBIC
        return images.to_array(image if wanted == image.size else image.resize(wanted, kind))


def fast(source: Source, channels: int, size: Size, labels: bool = False) -> np.ndarray:
    """As `exact`, faster. Raises I2IError naming the file."""
    if labels:
        return exact(source, channels, size, labels)
    array = whole(source.path, channels)
    if source.part != WHOLE:
        _require_halves(array.shape[1], source.path)
    array = half(array, source.part)
    if source.center:
        left, top, right, bottom = _middle(array.shape[1], array.shape[0], source.center)
        array = array[top:bottom, left:right]
    return resized(array, size)


def fast_pair(path: Path, channels: tuple[int, int], size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Left and right half of one file, each as `fast` gives it, decoded once."""
    a = whole(path, channels[0])
    _require_halves(a.shape[1], path)
    b = a if channels[1] == channels[0] else whole(path, channels[1])
    return resized(half(a, LEFT), size), resized(half(b, 1), size)


def _middle(width: int, height: int, side: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the square in the middle; of a smaller image all of that direction.

    Half a pixel is rounded to the even number, as torchvision's CenterCrop does it."""
    wide, high = min(side, width), min(side, height)
    left, top = round((width - wide) / 2), round((height - high) / 2)
    return left, top, left + wide, top + high


def _require_halves(width: int, path: Path) -> None:
    """Raises I2IError if an image is too narrow to hold a pair side by side."""
    if width < 2:
        raise I2IError(f"{path} is {width} pixel wide; it cannot hold a pair side by side.", "Remove or replace it.")


def half(array: np.ndarray, part: int) -> np.ndarray:
    """One half of an image (a view), or all of it."""
    if part == WHOLE:
        return array
    middle = array.shape[1] // 2
    return array[:, :middle] if part == LEFT else array[:, middle:]


def whole(path: Path, channels: int) -> np.ndarray:
    """uint8 [H, W, channels] of a file, in sRGB; libjpeg-turbo decodes plain JPEGs, Pillow the rest.

    Raises I2IError naming the file."""
    if path.suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif"):
        try:
            with open_regular(path) as file:
                data = np.fromfile(file, np.uint8)
            array = decoded_jpeg(data, channels) if _is_plain_jpeg(data, path, channels) else None
            if array is not None:
                return array
        except (cv2.error, OSError, ValueError):
            pass  # Pillow below reads it, or says what is wrong with it
    return pixels.read(path, channels)


def _is_plain_jpeg(data: np.ndarray, path: Path, channels: int) -> bool:
    """True for a JPEG of 1 or 3 components, upright, of the channels wanted and under the limit of pixels."""
    frame = jpeg_frame(data[:65536].tobytes())
    if frame is not None:
        width, height, components = frame
        return components == channels and channels in (1, 3) and width * height <= images.MAX_PIXELS
    with images.open_image(path, load=False) as image:
        plain = image.format == "JPEG" and image.mode == {1: "L", 3: "RGB"}.get(channels)
        return plain and exif.orientation(image) == 1 and color.keeps_numbers(exif.icc_profile(image))


def jpeg_frame(head: bytes) -> tuple[int, int, int] | None:
    """Width, height and components from the beginning of a JPEG file, up to its pixels; None if it is none, or carries
    EXIF, Adobe data or a profile (an orientation, another color space), or if the header does not say."""
    at, frame = 2, None
    if head[:2] != b"\xff\xd8":
        return None
    while at + 9 < len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        has_profile = marker == 0xE2 and head[at + 4 : at + 15] == b"ICC_PROFILE"
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = (int.from_bytes(head[k : k + 2], "big") for k in (at + 5, at + 7))
            frame = width, height, head[at + 9]
        elif marker == 0xDA:
            return frame
        elif marker in (0xE1, 0xEE) or has_profile or not (0xC4 <= marker <= 0xFE) or length < 2:
            return None
        at += 2 + length
    return frame


def resized(array: np.ndarray, size: Size) -> np.ndarray:
    """uint8 [H, W, C] brought to `size` by antialiased bicubic interpolation, in memory of its own."""
    height, width = array.shape[:2]
    wanted = size(width, height)
    if wanted == (width, height):
        return np.ascontiguousarray(array)
    # One image of [1, H, W, C] in memory is channels-last for torch, which has a vectorised form for that.
    image = torch.from_numpy(np.ascontiguousarray(array))[None].permute(0, 3, 1, 2)
    made = functional.interpolate(image, (wanted[1], wanted[0]), mode="bicubic", antialias=True)
    return np.ascontiguousarray(made.permute(0, 2, 3, 1)[0].numpy())
