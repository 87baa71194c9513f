"""A picture file around the network: what is read from it, and an output that has lost nothing on the way.

Orientation is applied to the pixels and its tag removed; other EXIF, resolution and colour profile are kept. Colours
are converted into sRGB for the network and back into the picture's own profile. Transparency is carried over,
laid on white, or translated alongside. 16 bits stay where format and Pillow or OpenCV hold them (grey and colour PNG,
grey TIFF); pictures of 16 bits are not colour-converted. Animations (GIF, WebP, APNG, AVIF) and TIFFs of many pages
are translated frame by frame with their timing.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from i2i import colour, images, pixels
from i2i.errors import I2IError, nearest
from i2i.pixels import Size, Taken

ALPHA = ("keep", "drop", "translate")
PROFILE = ("keep", "srgb")
SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
OPAQUE = (".jpg", ".jpeg", ".bmp")  # hold no transparency
MANY = (".gif", ".webp", ".png", ".tif", ".tiff", ".avif")  # hold several frames
NAMES = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
QUALITY = {".jpg": 95, ".jpeg": 95, ".webp": 95, ".avif": 90}
TIFF_TAGS = (270, 271, 272, 305, 306, 315, 33432)  # description, make, model, software, date, artist, copyright
GPS_IFD = 0x8825
EXIF_ORIENTATION, EXIF_IFD, EXIF_WIDTH, EXIF_HEIGHT = 0x0112, 0x8769, 0xA002, 0xA003


@dataclass(frozen=True)
class Options:
    """How files are read and written."""

    size: Size = None  # see Translator
    quality: int | None = None  # 1 to 100; None: 95 for JPEG and WebP, 90 for AVIF
    subsampling: str = "4:4:4"  # of JPEG's colours; 4:4:4 keeps those of edges
    alpha: str = "keep"  # carried over; drop: laid on white; translate: sent through the network as a grey picture
    profile: str = "keep"  # colours come back in the input's profile; srgb: they stay in sRGB
    max_pixels: int = images.MAX_PIXELS  # of a picture, all its frames together

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("alpha", self.alpha, ALPHA),
            ("profile", self.profile, PROFILE),
            ("subsampling", self.subsampling, tuple(SUBSAMPLING)),
        ):
            if value not in allowed:
                raise I2IError(f"{name} is {value!r}.", f"{nearest(value, allowed)} Allowed: {', '.join(allowed)}.")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise I2IError(f"The quality is {self.quality}.", "Give 1 (small) to 100 (good).")
        if self.max_pixels < 1:
            raise I2IError(f"The limit of pixels is {self.max_pixels}.", "Give 1 or more.")


@dataclass
class Document:
    """A picture file, read: the parts that go through the network, and how they become a file again.

    parts: for each frame its colours and, if alpha is translated, its alpha."""

    parts: list[Taken]
    per_frame: int
    keep: dict[str, Any] = field(default_factory=dict)  # arguments of saving: dpi, exif
    timing: dict[str, Any] = field(default_factory=dict)  # of an animation
    profile: bytes | None = None  # of the file, if pixels were converted out of it or it fits as it is
    converted: bool = False  # pixels are in sRGB now

    @property
    def pixels(self) -> int:
        """Of all parts."""
        return sum(p.height * p.width for p in self.parts)


# ---- reading -------------------------------------------------------------------------------------------------------


def read(source: Path | BinaryIO, channels: int, options: Options, suffix: str) -> Document:
    """Reads a picture for a network of `channels` input channels and an output file with `suffix`.

    Raises I2IError naming the file if it is no picture, damaged, cut short, or too large."""
    with images.opened(source, options.max_pixels, load=False) as image:
        frames = getattr(image, "n_frames", 1) if suffix in MANY else 1
        if image.width * image.height * frames > options.max_pixels:
            raise I2IError(
                f"{images.name_of(source)} has {frames} frames of {image.width}x{image.height} pixels, more than the "
                f"limit of {options.max_pixels:,}.",
                "Raise it with --max-pixels.",
            )
        document = Document([], 2 if options.alpha == "translate" else 1)
        deep = _is_deep(image)
        document.profile = image.info.get("icc_profile")
        durations = []
        if frames == 1:
            image.load()
            document.keep = _metadata(image, options.size)
            _add(document, image, channels, options, source if deep else None)
            return document
        for frame in ImageSequence.Iterator(image):
            frame.load()
            durations.append(float(frame.info.get("duration", 0)))
            if not document.parts:
                document.keep = _metadata(frame, options.size)
            _add(document, frame.copy(), channels, options, None)
        if any(durations):
            document.timing = {"duration": [round(d) for d in durations]}
            if "loop" in image.info:
                document.timing["loop"] = image.info["loop"]
        return document


def _add(document: Document, image: Image.Image, channels: int, options: Options, deep: Any) -> None:
    """Adds one frame. deep: the file, if it has 16-bit colour, which Pillow would reduce to 8."""
    array = _sixteen(deep, image) if deep is not None else None
    if array is None:
        image, array = _in_srgb(document, images.upright(image))
    if options.alpha == "drop" and array.shape[-1] in (2, 4) and channels != array.shape[-1]:
        array = _on_white(array)
    taken = pixels.take_array(array, channels, lambda made: made)
    if options.alpha == "translate":
        alpha, taken = taken.alpha, replace(taken, alpha=None)
        document.parts.append(taken.resized(options.size))
        if alpha is None:  # none to translate: an empty place keeps the count
            document.per_frame = 1 if len(document.parts) == 1 else document.per_frame
            if document.per_frame == 1:
                return
            alpha = np.full((*array.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
        document.parts.append(pixels.take_array(alpha, channels, lambda made: made).resized(options.size))
    else:
        document.parts.append(taken.resized(options.size))


def _in_srgb(document: Document, image: Image.Image) -> tuple[Image.Image, np.ndarray]:
    if image.mode.startswith("I") or image.mode == "F":
        return image, pixels.to_array(image)
    if image.mode not in ("CMYK", "RGB", "RGBA", "L", "LA"):
        image = images.convert(image, None)
    was = image.mode
    image, fits = colour.into_srgb(image, document.profile)
    document.converted = fits
    if was == "CMYK":
        document.profile = colour.srgb() if fits else None
        image = images.convert(image, None)
    return image, pixels.to_array(image)


def _on_white(array: np.ndarray) -> np.ndarray:
    top = np.iinfo(array.dtype).max
    alpha = array[..., -1:].astype(np.float32) / top
    return (array[..., :-1] * alpha + top * (1 - alpha)).round().astype(array.dtype)


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has 16-bit colour, which Pillow reads as 8 bits."""
    return image.mode in ("RGB", "RGBA") and any(";16" in str(t[3]) for t in getattr(image, "tile", []))


def _sixteen(source: Path | BinaryIO, image: Image.Image) -> np.ndarray | None:
    """uint16 [H, W, 3 or 4] of a file that Pillow has read whole; None if OpenCV cannot."""
    import cv2

    if isinstance(source, Path):
        data = source.read_bytes()
    else:
        source.seek(0)
        data = source.read()
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[2] not in (3, 4):
        return None
    array = found[..., [2, 1, 0, 3][: found.shape[2]]]
    turned = image.getexif().get(EXIF_ORIENTATION, 1)
    if turned in range(2, 9):
        array = _turn(array, turned)
    return np.ascontiguousarray(array)


def _turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """[H, W, C] upright, from its EXIF orientation 2 to 8."""
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    across, down = {2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    return array[:: -1 if down else 1, :: -1 if across else 1]


def _metadata(picture: Image.Image, size: Size) -> dict[str, Any]:
    """What is kept of a file besides pixels and colour profile, as arguments for saving."""
    keep: dict[str, Any] = {}
    try:
        resolution = tuple(float(v) for v in picture.info.get("dpi", ()))
        if len(resolution) == 2 and all(0 < v < 1e5 for v in resolution):
            keep["dpi"] = resolution
        exif = _exif(picture)
        if exif is not None:
            turned = exif.pop(EXIF_ORIENTATION, None)
            sides = exif.get_ifd(EXIF_IFD)
            if turned in (5, 6, 7, 8) and EXIF_WIDTH in sides and EXIF_HEIGHT in sides:
                sides[EXIF_WIDTH], sides[EXIF_HEIGHT] = sides[EXIF_HEIGHT], sides[EXIF_WIDTH]
            if size is not None:
                sides.pop(EXIF_WIDTH, None)
                sides.pop(EXIF_HEIGHT, None)
            if len(exif):
                keep["exif"] = exif.tobytes()
    except Exception as error:  # broken EXIF raises nearly anything, and is not worth losing the picture for
        if isinstance(error, MemoryError):
            raise
    return keep


def _exif(picture: Image.Image) -> Image.Exif | None:
    """A copy of the EXIF data, without what describes the layout of a TIFF."""
    exif = Image.Exif()
    if "exif" in picture.info:
        exif.load(picture.info["exif"])
        return exif
    if picture.format != "TIFF":
        return None
    whole = picture.getexif()
    for tag in (*TIFF_TAGS, EXIF_ORIENTATION):
        if tag in whole:
            exif[tag] = whole[tag]
    for tag in (EXIF_IFD, GPS_IFD):
        if inner := dict(whole.get_ifd(tag)):
            exif.get_ifd(tag).update(inner)
    return exif


# ---- writing -------------------------------------------------------------------------------------------------------


def encode(document: Document, levels: Sequence[np.ndarray], suffix: str, options: Options) -> bytes:
    """The output file with `suffix` for the network's output of each part, as levels [H, W, C]."""
    suffix = suffix.lower()
    frames = []
    for i in range(0, len(levels), document.per_frame):
        made = levels[i]
        if document.per_frame == 2:
            made = _with_alpha(made, levels[i + 1].mean(-1, keepdims=True).round().astype(made.dtype))
        elif (alpha := document.parts[i].alpha) is not None:
            made = _with_alpha(made, pixels.resize_levels(alpha, *made.shape[:2]))
        frames.append(made)
    if frames[0].dtype == np.uint16 and frames[0].shape[-1] >= 3 and suffix == ".png" and len(frames) == 1:
        return _deep_png(frames[0], document)
    pictures = [_picture(made, document, suffix, options) for made in frames]
    buffer = io.BytesIO()
    try:
        pictures[0].save(buffer, **_arguments(pictures, document, suffix, options))
    except (OSError, ValueError, KeyError) as error:
        raise I2IError(f"The picture cannot be written as {suffix}: {error}.", "Give another --format.") from error
    return buffer.getvalue()


def _with_alpha(made: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([made, alpha], -1) if made.shape[-1] in (1, 3) else made


def _picture(made: np.ndarray, document: Document, suffix: str, options: Options) -> Image.Image:
    """One frame as the format holds it, in the profile that it is tagged with (in its info)."""
    picture = pixels.to_pil(made)
    if suffix in OPAQUE or (suffix in (".webp", ".avif", ".gif") and picture.mode == "I;16"):
        picture = images.convert(picture, 1 if images.natural_channels(picture) == 1 else 3)
    own, sixteen = document.profile, picture.mode == "I;16" or made.dtype == np.uint16
    picture.info.pop("icc_profile", None)
    if document.converted and not sixteen:
        back = colour.out_of_srgb(picture, own) if own and options.profile == "keep" else None
        if back is not None:
            picture = back
            picture.info["icc_profile"] = own
        elif picture.mode in ("RGB", "RGBA"):
            picture.info["icc_profile"] = colour.srgb()
    elif own and colour.space(own) == ("L" if picture.mode in ("L", "LA", "I;16") else "RGB"):
        picture.info["icc_profile"] = own  # says what the numbers mean, which were left as they are
    return picture


def _arguments(pictures: list[Image.Image], document: Document, suffix: str, options: Options) -> dict[str, Any]:
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
            keep |= document.timing
        if suffix == ".gif":
            keep["disposal"] = 2 if any(p.mode in ("RGBA", "LA") for p in pictures) else 1
    return keep


def _deep_png(array: np.ndarray, document: Document) -> bytes:
    """A PNG of 16-bit colour, which Pillow cannot write, with the chunks for profile, EXIF and resolution."""
    import cv2

    swapped = np.ascontiguousarray(array[..., [2, 1, 0, 3][: array.shape[-1]]])
    done, data = cv2.imencode(".png", swapped)
    if not done:
        raise I2IError("The picture cannot be written as a PNG of 16 bits.", "Give another --format.")
    chunks = b""
    if document.profile and colour.space(document.profile) == "RGB":
        chunks += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(document.profile))
    if "dpi" in document.keep:
        across, down = (round(v / 0.0254) for v in document.keep["dpi"])
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if "exif" in document.keep:
        chunks += _chunk(b"eXIf", document.keep["exif"].removeprefix(b"Exif\0\0"))
    whole = data.tobytes()
    after_header = 8 + 25
    return whole[:after_header] + chunks + whole[after_header:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
