"""An image file around the network: what is read from it, and an output that has lost nothing on the way.

Orientation is applied to the pixels and its tag removed; other EXIF, resolution and colour profile are kept. Colours
are converted into sRGB for the network and back into the image's own profile. Transparency is carried over,
laid on white, or translated alongside. 16 bits stay in PNG and TIFF, grey and colour (i2i.deep), and become 8 in other
formats, in CMYK and in animations; their colours are converted if the extra `deep` is there, and else left as they are.
Animations (GIF, WebP, APNG, AVIF) and TIFFs of many pages are translated frame by frame with their timing; as JPEG or
BMP, an animation gives its first frame.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from i2i.core.errors import I2IError, among
from i2i.media import adapt, color, exif, images, uint16
from i2i.media.adapt import Prepared, Size

ALPHA = ("keep", "drop", "translate")
PROFILE = ("keep", "srgb")
SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
OPAQUE = (".jpg", ".jpeg", ".bmp")  # hold no transparency
MANY = (".gif", ".webp", ".png", ".tif", ".tiff", ".avif")  # hold several frames
NAMES = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
TIFF_KIND, REDUCED = 254, 1  # the tag NewSubfileType, and a bit of it
QUALITY = {".jpg": 95, ".jpeg": 95, ".webp": 95, ".avif": 90}


@dataclass(frozen=True)
class WriteSettings:
    """How files are read and written."""

    size: Size = None  # see Translator
    quality: int | None = None  # 1 to 100; None: 95 for JPEG and WebP, 90 for AVIF
    subsampling: str = "4:4:4"  # of JPEG's colours; 4:4:4 keeps those of edges
    alpha: str = "keep"  # carried over; drop: laid on white; translate: sent through the network as a grey image
    profile: str = "keep"  # colours come back in the input's profile; srgb: they stay in sRGB
    max_pixels: int = images.MAX_PIXELS  # of an image, all its frames together

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("alpha", self.alpha, ALPHA),
            ("profile", self.profile, PROFILE),
            ("subsampling", self.subsampling, tuple(SUBSAMPLING)),
        ):
            if value not in allowed:
                raise I2IError(f"{name} is {value!r}.", among(value, allowed))
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise I2IError(f"The quality is {self.quality}.", "Give 1 (small) to 100 (good).")
        adapt.check_size(self.size)
        if self.max_pixels < 1:
            raise I2IError(f"The limit of pixels is {self.max_pixels}.", "Give 1 or more.")


@dataclass
class Document:
    """An image file, read: the parts that go through the network, and how they become a file again.

    parts: for each frame its colours and, if alpha is translated, its alpha. profiles: for each frame that of the file
    (None if it does not say what the parts' numbers mean), and whether the parts were converted from it into sRGB."""

    parts: list[Prepared]
    per_frame: int
    keep: dict[str, Any] = field(default_factory=dict)  # arguments of saving: dpi, exif
    timing: dict[str, Any] = field(default_factory=dict)  # of an animation
    profiles: list[tuple[bytes | None, bool]] = field(default_factory=list)

    @property
    def pixels(self) -> int:
        """Of all parts."""
        return sum(p.height * p.width for p in self.parts)


# ---- reading -------------------------------------------------------------------------------------------------------


def read(source: Path | BinaryIO, channels: int, options: WriteSettings, suffix: str) -> Document:
    """Reads an image for a network of `channels` input channels and an output file with `suffix`.

    Raises I2IError naming the file if it is no image, damaged, cut short, or too large."""
    with images.open_image(source, options.max_pixels, load=False) as image:
        wanted = _frames(source, image, suffix)
        count = len(wanted)
        _within(source, image.width * image.height * count, count, options.max_pixels)
        document = Document([], 2 if options.alpha == "translate" else 1)
        durations, total, data = [], 0, b""
        frame = image
        for number in wanted:
            if number:
                image.seek(number)
            total += frame.width * frame.height  # pages may grow
            _within(source, total, count, options.max_pixels)
            is_deep, size = uint16.is_color(frame), exif.stored_size(frame)
            if frame.format == "PNG":  # its EXIF is looked for behind its pixels, and damage met on the way there is
                frame.load()  # not met again
            turned = exif.orientation(frame)
            frame.load()
            durations.append(float(frame.info.get("duration", 0)))
            if number == 0:
                document.keep = exif.metadata_to_keep(frame, options.size, turned)
            array = None
            if is_deep:
                data = data or _bytes(source)
                array = uint16.decode(data, size, frame.format == "TIFF", number)
            if array is not None:
                array, known = uint16.into_srgb(uint16.upright(array, turned), exif.icc_profile(frame))
            else:
                array, known = _in_srgb(images.upright(frame), exif.icc_profile(frame))
            document.profiles.append(known)
            check_output_size(source, array.shape[1], array.shape[0], count, options)
            _add(document, array, channels, options)
        if suffix not in (".tif", ".tiff") and len(sides := {(p.width, p.height) for p in document.parts}) > 1:
            (width, height), (other, high) = sorted(sides)[:2]
            raise I2IError(
                f"The pages of {images.source_name(source)} differ in size ({width}x{height}, {other}x{high}); "
                f"those of {suffix} cannot.",
                "Give --format tif, or one --size WIDTHxHEIGHT.",
            )
        if count > 1 and any(durations):
            document.timing["duration"] = [round(d) for d in durations]
        if count > 1 and (any(durations) or "loop" in image.info):
            document.timing["loop"] = image.info.get("loop")
        return document


def _within(source: Path | BinaryIO, total: int, frames: int, limit: int) -> None:
    if total > limit:
        raise I2IError(
            f"{images.source_name(source)} has {total:,} pixels in {frames} frames, more than the limit of {limit:,}.",
            "Raise it with --max-pixels.",
        )


def check_output_size(source: Path | BinaryIO, width: int, height: int, frames: int, options: WriteSettings) -> None:
    """Raises I2IError if the size that is asked for would have more pixels than are allowed."""
    if options.size is None:
        return
    width, height = adapt.target_size(width, height, options.size)
    if width * height * frames > options.max_pixels:
        each = f"{frames} frames of " if frames > 1 else ""
        raise I2IError(
            f"{images.source_name(source)} would have {each}{width}x{height} pixels, more than the limit of "
            f"{options.max_pixels:,}.",
            "Give a smaller --size, or raise it with --max-pixels.",
        )


def _frames(source: Path | BinaryIO, image: Image.Image, suffix: str) -> list[int]:
    """The numbers of the frames that are translated: all that are works of their own, if the output holds several.

    Not so are an MPO's further images (previews, depths, second views) and a TIFF's reduced copies of pages. Raises
    I2IError if pages would be lost; what moves may become a still image."""
    if image.format == "MPO" or (suffix not in MANY and image.format != "TIFF"):
        return [0]
    try:
        count = getattr(image, "n_frames", 1)
    except Exception as error:  # whatever is broken behind the first page
        if suffix in MANY or isinstance(error, MemoryError):
            raise
        return [0]
    wanted = list(range(count))
    if image.format == "TIFF" and count > 1:
        wanted = [0]
        for number in range(1, count):
            image.seek(number)
            if not int(getattr(image, "tag_v2", {}).get(TIFF_KIND, 0)) & REDUCED:
                wanted.append(number)
        image.seek(0)
    if len(wanted) > 1 and suffix not in MANY:
        raise I2IError(
            f"{images.source_name(source)} has {len(wanted)} pages; {suffix} holds one.", "Give --format tif."
        )
    return wanted


def _bytes(source: Path | BinaryIO) -> bytes:
    if isinstance(source, Path):
        return source.read_bytes()
    source.seek(0)
    return source.read()


def _add(document: Document, array: np.ndarray, channels: int, options: WriteSettings) -> None:
    """Adds one frame: its colours and, if that is translated, its alpha."""
    if options.alpha == "drop" and array.shape[-1] in (2, 4) and channels != array.shape[-1]:
        array = _on_white(array)
    taken = adapt.prepare_array(array, channels, lambda made: made)
    if options.alpha == "translate" and document.per_frame == 2:
        alpha, taken = taken.alpha, replace(taken, alpha=None)
        document.parts.append(taken.resized(options.size))
        if alpha is None:  # none to translate: an empty place keeps the count
            document.per_frame = 1 if len(document.parts) == 1 else 2  # by the first; later ones' is carried over then
            if document.per_frame == 1:
                return
            alpha = np.full((*array.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
        document.parts.append(adapt.prepare_array(alpha, channels, lambda made: made).resized(options.size))
    else:
        document.parts.append(taken.resized(options.size))


def _in_srgb(image: Image.Image, profile: bytes | None) -> tuple[np.ndarray, tuple[bytes | None, bool]]:
    """An upright image as an array, in sRGB if its profile tells how; and what Document.profiles holds of it."""
    if image.mode.startswith("I") or image.mode == "F":
        array = adapt.to_array(image)
        return uint16.into_srgb(array, profile) if array.dtype == np.uint16 else (array, (profile, False))
    image, known = adapt.in_srgb(image, profile)
    return adapt.to_array(image), known


def _on_white(array: np.ndarray) -> np.ndarray:
    top = np.iinfo(array.dtype).max
    alpha = array[..., -1:].astype(np.float32) / top
    return (array[..., :-1] * alpha + top * (1 - alpha)).round().astype(array.dtype)


# ---- writing -------------------------------------------------------------------------------------------------------


def encode(document: Document, levels: Sequence[np.ndarray], suffix: str, options: WriteSettings) -> bytes:
    """The output file with `suffix` for the network's output of each part, as levels [H, W, C]."""
    suffix = suffix.lower()
    frames = []
    for i in range(0, len(levels), document.per_frame):
        made = levels[i]
        if document.per_frame == 2:
            made = _with_alpha(made, levels[i + 1].mean(-1, keepdims=True).round().astype(made.dtype))
        elif (alpha := document.parts[i].alpha) is not None:
            made = _with_alpha(made, adapt.resize_levels(alpha, *made.shape[:2]))
        frames.append(made)
    keep = options.profile == "keep"
    if suffix in (".tif", ".tiff") and any(f.dtype == np.uint16 for f in frames):
        return uint16.encode_tiff([_page(f, *p, keep) for f, p in zip(frames, document.profiles)], document.keep)
    if suffix == ".png" and frames[0].dtype == np.uint16 and len(frames) == 1:
        return uint16.encode_png(*_page(frames[0], *document.profiles[0], keep), document.keep)
    pictures = [_picture(f, suffix, *p, keep) for f, p in zip(frames, document.profiles)]
    buffer = io.BytesIO()
    try:
        pictures[0].save(buffer, **_arguments(pictures, document, suffix, options))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise I2IError(f"The image cannot be written as {suffix}: {error}.", "Give another --format.") from error
    data = buffer.getvalue()
    if suffix == ".webp" and len(pictures) > 1 and any(p.mode in ("RGBA", "LA") for p in pictures):
        data = _transparent(data)
    return data


def _transparent(data: bytes) -> bytes:
    """An animated WebP whose head says that it has transparency: where the opaque part of each frame is a rectangle,
    libwebp stores that alone and does not say so, and all around it is shown black."""
    return data[:20] + bytes([data[20] | 0x10]) + data[21:] if data[12:16] == b"VP8X" else data


def _with_alpha(made: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([made, alpha], -1) if made.shape[-1] in (1, 3) else made


def _page(made: np.ndarray, own: bytes | None, converted: bool, keep: bool) -> tuple[np.ndarray, bytes | None]:
    """One frame of a file of 16 bits: its pixels, 8 bits staying 8, and the profile that they are tagged with."""
    if made.dtype == np.uint16:
        return uint16.out_of_srgb(uint16.gray_alpha_to_color(made), own, converted, keep)
    picture = _picture(made, ".tif", own, converted, keep)
    return uint16.gray_alpha_to_color(images.to_array(picture)), picture.info.get("icc_profile")


def _picture(made: np.ndarray, suffix: str, own: bytes | None, converted: bool, keep: bool) -> Image.Image:
    """One frame of 8 bits as the format holds it, in the profile that it is tagged with (in its info).

    own, converted: see Document.profiles. keep: go back into the file's own profile."""
    if made.dtype == np.uint16:
        made = (made.astype(np.float32) / 257).round().astype(np.uint8)
    picture = adapt.to_pil(made)
    if suffix in OPAQUE:
        picture = images.convert(picture, 1 if images.natural_channels(picture) == 1 else 3)
    return color.restore_profile(picture, own, converted, keep)


def _arguments(pictures: list[Image.Image], document: Document, suffix: str, options: WriteSettings) -> dict[str, Any]:
    keep: dict[str, Any] = dict(document.keep)
    keep["format"] = NAMES.get(suffix, suffix[1:].upper())
    if suffix in QUALITY:
        keep["quality"] = options.quality or QUALITY[suffix]
    if suffix in (".jpg", ".jpeg"):
        keep["subsampling"] = SUBSAMPLING[options.subsampling]
    if suffix in (".avif",):
        keep["subsampling"] = options.subsampling
    if suffix not in (".bmp", ".gif") and "icc_profile" in pictures[0].info:
        keep["icc_profile"] = pictures[0].info["icc_profile"]
    if suffix in (".bmp", ".gif"):
        keep.pop("exif", None)
    if suffix in (".tif", ".tiff") and "exif" not in keep:
        keep["compression"] = "tiff_deflate"  # libtiff, which compresses, cannot write EXIF
    if len(pictures) > 1:
        keep |= {"save_all": True, "append_images": pictures[1:]}
        if suffix not in (".tif", ".tiff"):
            keep |= _timing(document, suffix)
        if suffix == ".gif":
            keep["disposal"] = 2 if any(p.mode in ("RGBA", "LA") for p in pictures) else 1
    return keep


def _timing(document: Document, suffix: str) -> dict[str, Any]:
    """Arguments for an animation's durations and repetitions; what does not say how often it plays, plays once."""
    timing = dict(document.timing)
    if timing.get("loop", 0) is None:
        timing.pop("loop")
        if suffix in (".webp", ".png"):
            timing["loop"] = 1
    return timing
