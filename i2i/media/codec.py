"""Image files around the network: how they are read and written so that nothing is lost. `reader` reads them.

Orientation: applied to the pixels, and set to 1. Resolution and color profile: kept.
EXIF, XMP, IPTC, texts, comments, GeoTIFF tags: kept byte by byte where the output format holds them (see `metadata`).
Color: converted into sRGB for the network, and back into the image's own profile.
Transparency: the network sees the colors laid on white, as in training, and never those stored under transparent
pixels; the alpha channel is carried over, dropped, or translated alongside.
16 bits: stay in PNG and TIFF, gray and color (see `uint16`); become 8 in other formats, in CMYK and in animations.
Frames: animations (GIF, WebP, APNG, AVIF) and TIFFs of several pages are translated frame by frame with their timing;
as JPEG or BMP, an animation gives its first frame.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from i2i.core.errors import I2IError, among
from i2i.media import adapt, animation, color, container, images, uint16
from i2i.media.adapt import PreparedImage, Size
from i2i.media.color import ColorState
from i2i.media.metadata import Metadata

ALPHA = ("keep", "drop", "translate")
PROFILE = ("keep", "srgb")
METADATA = ("keep", "strip")
SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}  # and Pillow's numbers for them
QUALITY = {".jpg": images.JPEG_QUALITY, ".jpeg": images.JPEG_QUALITY, ".webp": 95, ".avif": 90}  # defaults
UNTAGGED = (".bmp", ".gif")  # formats without color profiles: their colors are in sRGB
OPAQUE = (".jpg", ".jpeg", ".bmp")  # formats without transparency
MULTI_FRAME = (".gif", ".webp", ".png", ".tif", ".tiff", ".avif")  # formats that hold several frames
STILL_APART = (".png",)  # formats of animations that may hold a still image apart from the frames
TIFF = (".tif", ".tiff")
FORMAT_NAMES = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}


@dataclass(frozen=True)
class WriteSettings:
    """How image files are read and written."""

    size: Size = None  # pixels of the shorter side, (width, height), or None: as the input, times the model's scale
    quality: int | None = None  # 1 (small) to 100 (good); None: 95 for JPEG and WebP, 90 for AVIF
    subsampling: str = "4:4:4"  # chroma subsampling of JPEG and AVIF outputs: 4:4:4, 4:2:2 or 4:2:0
    alpha: str = "keep"  # keep: carry it over; drop: leave it out; translate: send it through the network as gray
    profile: str = "keep"  # keep: colors in the input's profile; srgb: colors stay in sRGB
    max_pixels: int = images.MAX_PIXELS  # of an image and of its output, all frames together
    metadata: str = "keep"  # keep: all that the format holds; strip: only resolution, timing and color profile

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("alpha", self.alpha, ALPHA),
            ("profile", self.profile, PROFILE),
            ("metadata", self.metadata, METADATA),
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
    """An image file, read: the parts that go through the network, and what turns them into a file again."""

    parts: list[PreparedImage]  # of each frame its color and, if alpha is translated, its alpha
    per_frame: int  # parts of a frame: 1, or 2 with alpha
    scale: int = 1  # how many times the network enlarges them
    metadata: Metadata = field(default_factory=Metadata)
    timing: dict[str, Any] = field(default_factory=dict)  # of an animation: duration (ms, a list), loop
    has_still: bool = False  # True if the first frame is a still image for programs that show no animations
    states: list[ColorState] = field(default_factory=list)  # one for each frame
    note: str = ""  # what the user should know of the file
    labels: bool = False  # True for label maps, whose colors must not be blended

    @property
    def pixels(self) -> int:
        """The pixels of all parts, as the network makes them."""
        return sum(p.held or p.height * p.width for p in self.parts) * self.scale**2


# ---- writing -------------------------------------------------------------------------------------------------------


def encode(document: Document, levels: Sequence[np.ndarray], suffix: str, options: WriteSettings) -> bytes:
    """The output file with `suffix`. levels: the network's output of each part, [H, W, C] in the part's own values.

    Adds to the document's note what could not be kept."""
    suffix = suffix.lower()
    frames = _frames(document, levels)
    metadata = document.metadata.fitted(frames[0].shape[1], frames[0].shape[0])
    state = document.states[0]
    container.note_losses(metadata, suffix, state.profile)
    data, profile = _encode(document, frames, metadata, suffix, options)
    if profile != state.profile and state.converted:
        metadata.colors = []  # the numbers of the output are in sRGB
    data = container.inserted(data, metadata, suffix)
    document.note = " ".join([document.note, *metadata.notes]).strip()
    return data


def _encode(
    document: Document, frames: list[np.ndarray], metadata: Metadata, suffix: str, options: WriteSettings
) -> tuple[bytes, bytes | None]:
    """The output file without most of its metadata, and the color profile of its first frame."""
    keep = options.profile == "keep" and suffix not in UNTAGGED

    # Formats that keep 16 bits.
    if suffix in TIFF and any(f.dtype == np.uint16 for f in frames):
        pages = [_page(f, s, keep) for f, s in zip(frames, document.states)]
        return uint16.encode_tiff(pages, metadata.dpi), pages[0][1]
    if suffix == ".png" and frames[0].dtype == np.uint16 and len(frames) == 1:
        page = _page(frames[0], document.states[0], keep)
        return uint16.encode_png(*page, metadata.dpi), page[1]

    # All others, by Pillow.
    pil_frames = [_pil_frame(f, suffix, s, keep) for f, s in zip(frames, document.states)]
    profile = pil_frames[0].info.get("icc_profile")
    durations = document.timing.get("duration")
    if suffix == ".png" and durations:
        pil_frames, durations = animation.merged(pil_frames, durations, document.has_still)
        document.timing["duration"] = durations
    buffer = io.BytesIO()
    try:
        pil_frames[0].save(
            buffer, **_save_arguments(pil_frames, document, suffix, options), **container.arguments(metadata, suffix)
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise I2IError(f"The image cannot be written as {suffix}: {error}.", "Give another --format.") from error
    data = buffer.getvalue()
    if suffix == ".webp" and len(pil_frames) > 1 and any(p.mode in ("RGBA", "LA") for p in pil_frames):
        data = _mark_transparent(data)
    if suffix == ".png" and durations:
        data = animation.with_durations(data, durations)
    return data, profile


def _frames(document: Document, levels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The output of each frame [H, W, C], its alpha, translated or carried over, in the last channel."""
    frames = []
    for i in range(0, len(levels), document.per_frame):
        frame, alpha = levels[i], document.parts[i].alpha
        if document.per_frame == 2:
            alpha = levels[i + 1].mean(-1, keepdims=True).round().astype(frame.dtype)
        if alpha is not None and frame.shape[-1] in (1, 3):
            frame = np.concatenate([frame, adapt.resize_levels(alpha, *frame.shape[:2])], -1)
        frames.append(frame)
    return frames


def _mark_transparent(data: bytes) -> bytes:
    """An animated WebP whose header says that it has transparency.

    libwebp stores only the opaque part of a frame if that is a rectangle, and then does not say so; without the flag
    programs show black around it."""
    return data[:20] + bytes([data[20] | 0x10]) + data[21:] if data[12:16] == b"VP8X" else data


def _page(levels: np.ndarray, state: ColorState, keep: bool) -> uint16.Page:
    """One frame of a 16-bit file: its pixels (8 bits stay 8) and the profile that describes them."""
    if levels.dtype == np.uint16:
        return uint16.out_of_srgb(uint16.gray_alpha_to_color(levels), state, keep)
    pil_frame = _pil_frame(levels, ".tif", state, keep)
    return images.to_array(pil_frame), pil_frame.info.get("icc_profile")


def _pil_frame(levels: np.ndarray, suffix: str, state: ColorState, keep: bool) -> Image.Image:
    """One 8-bit frame as the format holds it; the profile that describes it is in its info."""
    pil_frame = images.to_pil(images.to_8_bits(levels))
    if suffix in OPAQUE:
        pil_frame = images.convert(pil_frame, 1 if images.natural_channels(pil_frame) == 1 else 3)
    return color.out_of_srgb(pil_frame, state, keep)


def _save_arguments(
    pil_frames: list[Image.Image], document: Document, suffix: str, options: WriteSettings
) -> dict[str, Any]:
    """The arguments for Pillow's save of the first frame, with all others appended."""
    arguments: dict[str, Any] = {"format": FORMAT_NAMES.get(suffix, suffix[1:].upper())}
    if suffix in QUALITY:
        arguments["quality"] = options.quality or QUALITY[suffix]
    if suffix in (".jpg", ".jpeg"):
        arguments["subsampling"] = SUBSAMPLING[options.subsampling]
    if suffix == ".avif":
        arguments["subsampling"] = options.subsampling
    if suffix not in UNTAGGED and "icc_profile" in pil_frames[0].info:
        arguments["icc_profile"] = pil_frames[0].info["icc_profile"]
    if suffix in TIFF:
        arguments["compression"] = "tiff_deflate"
    if len(pil_frames) > 1:
        arguments |= {"save_all": True, "append_images": pil_frames[1:]}
        if suffix not in TIFF:
            arguments |= _timing(document, suffix)
        if suffix == ".gif":
            arguments["disposal"] = 2 if any(p.mode in ("RGBA", "LA") for p in pil_frames) else 1
        if suffix in STILL_APART and document.has_still:
            arguments["default_image"] = True
    return arguments


def _timing(document: Document, suffix: str) -> dict[str, Any]:
    """Arguments for an animation's durations and repetitions; it plays once if it does not state how often."""
    timing = dict(document.timing)
    if "duration" in timing:
        timing["duration"] = animation.rounded(timing["duration"], suffix)
    if timing.get("loop", 0) is None:
        timing.pop("loop")
        if suffix in (".webp", ".png"):
            timing["loop"] = 1
    return timing
