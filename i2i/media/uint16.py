"""16-bit color files, which Pillow reads and writes as 8 bits: PNG by OpenCV, TIFF by tifffile, profiles by Little CMS.

Arrays are uint16 (pages of a TIFF may also be uint8) [H, W, C] with 1 to 4 channels; alpha is the last channel and
straight (unpremultiplied). The extra `uint16` installs imagecodecs, which brings Little CMS for 16 bits and the
compressions that tifffile cannot read alone. Without it profiles are kept, but colors are not converted.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from i2i.core.errors import I2IError
from i2i.core.optional import install_hint, try_import
from i2i.media import color, png
from i2i.media.color import ColorState

BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339  # TIFF tags
ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA = 1, 2  # values of the TIFF tag ExtraSamples
CMS_MODES = {"L": "gray", "RGB": "rgb"}
CMS_FLAGS = 0x0040 | 0x0100  # Little CMS: no table in place of the curves, no cache of single colors
STRIP_BYTES = 1 << 18

Page = tuple[np.ndarray, bytes | None]  # pixels [H, W, C] and the ICC profile that describes them


# ---- reading -------------------------------------------------------------------------------------------------------


def is_color(frame: Image.Image) -> bool:
    """True if the current frame of an opened file has 16-bit color. Only the header is read."""
    if frame.mode not in ("RGB", "RGBA", "RGBX", "LA"):
        return False
    if frame.format == "TIFF":
        bits, kinds = (getattr(frame, "tag_v2", {}).get(tag, (1,)) for tag in (BITS_PER_SAMPLE, SAMPLE_FORMAT))
        return len(bits) >= 3 and set(bits) == {16} and set(kinds) == {1}
    return any(";16" in str(tile[3]) for tile in getattr(frame, "tile", []))


def decode(data: bytes, size: tuple[int, int], is_tiff: bool, page: int = 0) -> np.ndarray | None:
    """The stored pixels of a page [H, W, 3 or 4], not turned upright. size: width and height by the file's header.

    None if a PNG is of a kind that OpenCV does not read as 16 bits. Raises I2IError if a TIFF cannot be read."""
    array = _decode_tiff(data, size, page) if is_tiff else _decode_by_opencv(data)
    return array if array is not None and array.shape[1::-1] == size else None


def _decode_by_opencv(data: bytes, page: int = 0) -> np.ndarray | None:
    import cv2

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    buffer = np.frombuffer(data, np.uint8)
    if page:
        done, pages = cv2.imdecodemulti(buffer, flags, range=(page, page + 1))
        array = pages[0] if done and pages else None
    else:
        array = cv2.imdecode(buffer, flags)
    if array is None or array.dtype != np.uint16 or array.ndim != 3 or array.shape[2] not in (3, 4):
        return None
    return array[..., [2, 1, 0, 3][: array.shape[2]]]  # OpenCV has blue first


def _decode_tiff(data: bytes, size: tuple[int, int], number: int) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[number]
        array: np.ndarray
        if (page.imagewidth, page.imagelength) != size or page.imagedepth != 1 or page.samplesperpixel > 8:
            raise I2IError("The image's sizes contradict each other.", "It is damaged.")
        is_planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        try:
            array = page.asarray()
            array = np.moveaxis(array, 0, -1) if is_planar else array
        except (ValueError, KeyError) as error:
            if "imagecodecs" not in str(error):
                raise
            # OpenCV opens some compressions that tifffile leaves to imagecodecs, such as LZW.
            by_opencv = None if is_planar else _decode_by_opencv(data, number)
            if by_opencv is None:
                raise I2IError(
                    f"A TIFF of 16 bits with the compression {page.compression.name} cannot be read.",
                    f"Install what reads it: {install_hint('uint16')}",
                ) from error
            array = by_opencv
        alpha = next((int(kind) for kind in page.extrasamples), None)
    if array.shape[-1] > 3:  # channels after color and alpha are no part of the image
        array = array[..., : 3 + (alpha in (ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA))]
    if alpha == ASSOCIATED_ALPHA and array.shape[-1] == 4:  # premultiplied: divide it out
        share = np.maximum(array[..., 3:].astype(np.float32), 1) / 65535
        rgb = np.minimum(array[..., :3] / share, 65535).round().astype(np.uint16)
        array = np.concatenate([rgb, array[..., 3:]], -1)
    return array


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """[H, W, C] turned as its EXIF orientation says; 1 and unknown values leave it as it is."""
    if orientation not in range(2, 9):
        return array
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    flip_x, flip_y = {2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    return np.ascontiguousarray(array[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


# ---- profiles ------------------------------------------------------------------------------------------------------


def into_srgb(array: np.ndarray, profile: bytes | None) -> tuple[np.ndarray, ColorState]:
    """uint16 [H, W, C], its colors in sRGB if `profile` can be used and fits it; gray becomes RGB then."""
    mode = "RGB" if array.shape[-1] > 2 else "L"
    if profile is None or color.mode_of(profile) != mode:
        return array, ColorState(profile)
    if color.is_srgb(profile):
        return array, ColorState(profile, True)
    result = _convert(array, profile, mode, color.srgb_profile(), "RGB")
    return (array, ColorState(profile)) if result is None else (result, ColorState(profile, True))


def out_of_srgb(array: np.ndarray, state: ColorState, keep: bool = True) -> Page:
    """The way back: uint16 [H, W, 1, 3 or 4] and the profile that describes its numbers, if any does.

    keep: convert into the file's own profile if that is for such images; else the colors stay in sRGB."""
    mode = "RGB" if array.shape[-1] > 2 else "L"
    own = state.profile if color.mode_of(state.profile) == mode else None
    if not state.converted:
        return array, own
    if own is not None and keep:
        if color.is_srgb(own):
            return array, own
        result = _convert(array if mode == "RGB" else array[..., [0, 0, 0]], color.srgb_profile(), "RGB", own, mode)
        if result is not None:
            return result, own
    return array, color.srgb_profile() if mode == "RGB" else None


def _convert(array: np.ndarray, source: bytes, mode: str, target: bytes, target_mode: str) -> np.ndarray | None:
    """From one profile into another, both with their modes ("RGB" or "L"); alpha is kept.

    None if a profile is broken or has no such direction, and without imagecodecs."""
    imagecodecs = try_import("imagecodecs")
    if imagecodecs is None:
        return None
    channels = {"L": 1, "RGB": 3}[mode]
    colors = np.ascontiguousarray(array[..., 0] if mode == "L" else array[..., :3])
    spaces = {"colorspace": CMS_MODES[mode], "outcolorspace": CMS_MODES[target_mode]}
    try:
        result = imagecodecs.cms_transform(colors, source, target, outdtype="u2", flags=CMS_FLAGS, **spaces)
    except (RuntimeError, ValueError, TypeError):
        return None
    result = result[..., None] if result.ndim == 2 else result
    return np.concatenate([result, array[..., channels:]], -1)


# ---- writing -------------------------------------------------------------------------------------------------------


def gray_alpha_to_color(array: np.ndarray) -> np.ndarray:
    """Gray with alpha [H, W, 2] as RGBA [H, W, 4], because few programs read the former in 16 bits; else unchanged."""
    return array[..., [0, 0, 0, 1]] if array.shape[-1] == 2 else array


def encode_png(array: np.ndarray, profile: bytes | None, dpi: tuple[float, float] | None = None) -> bytes:
    """A 16-bit PNG of uint16 [H, W, 1, 3 or 4]."""
    import cv2

    bgr = np.ascontiguousarray(array if array.shape[-1] == 1 else array[..., [2, 1, 0, 3][: array.shape[-1]]])
    done, buffer = cv2.imencode(".png", bgr)
    if not done:
        raise I2IError("The image cannot be written as a PNG of 16 bits.", "Give another --format.")
    chunks = b""  # OpenCV writes pixels only
    if profile:
        chunks += png.chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))
    if dpi:
        x, y = (round(value / 0.0254) for value in dpi)  # pixels a meter
        chunks += png.chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
    return png.inserted(buffer.tobytes(), chunks)


def encode_tiff(pages: Sequence[Page], dpi: tuple[float, float] | None = None) -> bytes:
    """A deflated TIFF of pages [H, W, 1, 3 or 4], uint16 or uint8, each with its profile."""
    import tifffile

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder="<") as file:
        for array, profile in pages:
            is_gray = array.shape[-1] == 1
            file.write(
                np.ascontiguousarray(array[..., 0] if is_gray else array),
                photometric="minisblack" if is_gray else "rgb",
                planarconfig=None if is_gray else "contig",
                extrasamples=["unassalpha"] if array.shape[-1] == 4 else None,
                compression="zlib",
                predictor=True,
                rowsperstrip=max(1, STRIP_BYTES // array[0].nbytes),
                resolution=dpi,
                resolutionunit="INCH" if dpi else None,
                iccprofile=profile,
                metadata=None,
                software=False,
                contiguous=False,
            )
    return buffer.getvalue()
