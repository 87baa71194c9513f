"""Colour of 16 bits in files, which Pillow cuts to 8: PNG by OpenCV, TIFF by tifffile, profiles by Little CMS.

Arrays are uint16 (a TIFF's pages may also be uint8) [H, W, C] with 1 to 4 channels, alpha last and not multiplied in.
imagecodecs (extra `deep`) holds Little CMS for 16 bits and opens what tifffile alone cannot.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from i2i.core.errors import I2IError
from i2i.core.optional import install_hint
from i2i.media import color
from i2i.media.exif import EXIF_IFD, GPS_IFD, TEXT_TAGS

BITS, SAMPLE_FORMAT = 258, 339  # of a TIFF
INTEROP = 0xA005
SPACES = {"L": "gray", "RGB": "rgb"}
PRECISE = 0x0040 | 0x0100  # Little CMS: no table in place of the curves, and no cache of single colours


# ---- reading -------------------------------------------------------------------------------------------------------


def is_color(image: Image.Image) -> bool:
    """Whether the frame at which an opened file stands has colours of 16 bits. Only the header is read."""
    if image.mode not in ("RGB", "RGBA", "RGBX", "LA"):
        return False
    if image.format == "TIFF":
        bits, kinds = (getattr(image, "tag_v2", {}).get(t, (1,)) for t in (BITS, SAMPLE_FORMAT))
        return len(bits) >= 3 and set(bits) == {16} and set(kinds) == {1}
    return any(";16" in str(t[3]) for t in getattr(image, "tile", []))


def decode(data: bytes, size: tuple[int, int], tiff: bool, page: int = 0) -> np.ndarray | None:
    """A page [H, W, 3 or 4] as it is stored, not turned; `size` is the width and height that its header says.

    None if a PNG is of a kind that OpenCV does not read in 16 bits. Raises I2IError if a TIFF cannot be read."""
    array = _tiff_page(data, size, page) if tiff else _by_opencv(data)
    return array if array is not None and array.shape[1::-1] == size else None


def _by_opencv(data: bytes, page: int = 0) -> np.ndarray | None:
    import cv2

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    buffer = np.frombuffer(data, np.uint8)
    if page:
        done, pages = cv2.imdecodemulti(buffer, flags, range=(page, page + 1))
        found = pages[0] if done and pages else None
    else:
        found = cv2.imdecode(buffer, flags)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[2] not in (3, 4):
        return None
    return found[..., [2, 1, 0, 3][: found.shape[2]]]


def _tiff_page(data: bytes, size: tuple[int, int], number: int) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[number]
        if (page.imagewidth, page.imagelength) != size or page.imagedepth != 1 or page.samplesperpixel > 8:
            raise I2IError("The image's sizes contradict each other.", "It is damaged.")
        apart = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        try:
            array = page.asarray()
        except (ValueError, KeyError) as error:
            if "imagecodecs" not in str(error):
                raise
            found = None if apart else _by_opencv(data, number)
            if found is None:
                raise I2IError(
                    f"A TIFF of 16 bits, compressed by {page.compression.name}, cannot be read.",
                    f"Install what reads it: {install_hint('uint16')}",
                ) from error
            array = found
        else:
            array = np.moveaxis(array, 0, -1) if apart else array
        alpha = [int(e) for e in page.extrasamples[:1]]
    if array.shape[-1] > 3:
        array = array[..., : 3 + (alpha[:1] in ([1], [2]))]  # further channels are no image
    if alpha == [1] and array.shape[-1] == 4:  # multiplied into the colours
        share = np.maximum(array[..., 3:].astype(np.float32), 1) / 65535
        colours = np.minimum(array[..., :3] / share, 65535).round().astype(np.uint16)
        array = np.concatenate([colours, array[..., 3:]], -1)
    return array


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """[H, W, C] upright, from its EXIF orientation; 1 and what is none leave it as it is."""
    if orientation not in range(2, 9):
        return array
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    across, down = {2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    return np.ascontiguousarray(array[:: -1 if down else 1, :: -1 if across else 1])


# ---- profiles ------------------------------------------------------------------------------------------------------


def into_srgb(array: np.ndarray, profile: bytes | None) -> tuple[np.ndarray, tuple[bytes | None, bool]]:
    """uint16 [H, W, C] with its colours in sRGB (grey becomes colour), its profile, and whether it was converted."""
    mode = "RGB" if array.shape[-1] > 2 else "L"
    if profile is None or color.mode_of(profile) != mode:
        return array, (profile, False)
    if color.is_srgb(profile):
        return array, (profile, True)
    made = _convert(array, profile, mode, color.srgb_profile(), "RGB")
    return (array, (profile, False)) if made is None else (made, (profile, True))


def out_of_srgb(array: np.ndarray, own: bytes | None, converted: bool, keep: bool) -> tuple[np.ndarray, bytes | None]:
    """The way back: uint16 [H, W, 1, 3 or 4] and the profile that says what its numbers mean, if any does.

    own, converted: what into_srgb gave. keep: go back into the file's own profile, if that is for such images."""
    mode = "RGB" if array.shape[-1] > 2 else "L"
    fits = own is not None and color.mode_of(own) == mode
    if not converted:
        return array, own if fits else None
    if own is not None and fits and keep:
        if color.is_srgb(own):
            return array, own
        made = _convert(array if mode == "RGB" else array[..., [0, 0, 0]], color.srgb_profile(), "RGB", own, mode)
        if made is not None:
            return made, own
    return array, color.srgb_profile() if mode == "RGB" else None


def _convert(array: np.ndarray, profile: bytes, of: str, into: bytes, to: str) -> np.ndarray | None:
    """From one profile into another, `of` and `to` their modes (RGB or L); an alpha channel stays. None if the profiles
    are broken or have no such way, or without imagecodecs."""
    try:
        import imagecodecs
    except ImportError:
        return None
    channels = {"L": 1, "RGB": 3}[of]
    colours = np.ascontiguousarray(array[..., 0] if of == "L" else array[..., :3])
    try:
        made = imagecodecs.cms_transform(
            colours, profile, into, colorspace=SPACES[of], outcolorspace=SPACES[to], outdtype="u2", flags=PRECISE
        )
    except (RuntimeError, ValueError, TypeError):
        return None
    made = made[..., None] if made.ndim == 2 else made
    return np.concatenate([made, array[..., channels:]], -1)


# ---- writing -------------------------------------------------------------------------------------------------------


def gray_alpha_to_color(array: np.ndarray) -> np.ndarray:
    """Grey with alpha [H, W, 2], which few programs read in 16 bits, as colour with alpha; others as they are."""
    return array[..., [0, 0, 0, 1]] if array.shape[-1] == 2 else array


def encode_png(array: np.ndarray, profile: bytes | None, keep: dict[str, Any]) -> bytes:
    """A PNG of uint16 [H, W, 1, 3 or 4] with the chunks for profile, EXIF and resolution (`keep`: exif, dpi)."""
    import cv2

    swapped = np.ascontiguousarray(array if array.shape[-1] == 1 else array[..., [2, 1, 0, 3][: array.shape[-1]]])
    done, data = cv2.imencode(".png", swapped)
    if not done:
        raise I2IError("The image cannot be written as a PNG of 16 bits.", "Give another --format.")
    chunks = b""
    if profile:
        chunks += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))
    if "dpi" in keep:
        across, down = (round(v / 0.0254) for v in keep["dpi"])
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if "exif" in keep:
        chunks += _chunk(b"eXIf", keep["exif"].removeprefix(b"Exif\0\0"))
    whole = data.tobytes()
    after_header = 8 + 25
    return whole[:after_header] + chunks + whole[after_header:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def encode_tiff(pages: Sequence[tuple[np.ndarray, bytes | None]], keep: dict[str, Any]) -> bytes:
    """A TIFF of pages [H, W, 1, 3 or 4], uint16 or uint8, each with its profile, deflated; EXIF and resolution
    (`keep`: exif, dpi) go with the first."""
    import tifffile

    exif = Image.Exif()
    if "exif" in keep:
        exif.load(keep["exif"])
    inner = {tag: dict(exif.get_ifd(tag)) for tag in (EXIF_IFD, GPS_IFD)}
    texts: list[tuple[Any, ...]] = [(tag, "s", 0, str(exif[tag]), True) for tag in TEXT_TAGS if tag in exif]
    places = [(tag + 1, "I", 1, 0, True) for tag, values in inner.items() if values]  # tifffile refuses their own
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder="<") as file:
        for i, (array, profile) in enumerate(pages):
            grey = array.shape[-1] == 1
            file.write(
                np.ascontiguousarray(array[..., 0] if grey else array),
                photometric="minisblack" if grey else "rgb",
                planarconfig=None if grey else "contig",
                extrasamples=["unassalpha"] if array.shape[-1] == 4 else None,
                compression="zlib",
                predictor=True,
                rowsperstrip=max(1, (1 << 18) // array[0].nbytes),
                resolution=keep.get("dpi"),
                resolutionunit="INCH" if "dpi" in keep else None,
                iccprofile=profile,
                extratags=texts + places if i == 0 else (),
                metadata=None,
                software=False,
                contiguous=False,
            )
    return _with_inner(buffer.getvalue(), {tag: values for tag, values in inner.items() if values})


def _with_inner(data: bytes, inner: dict[int, dict[int, Any]]) -> bytes:
    """The TIFF with directories for EXIF and GPS at its end; the first page's tags of the next numbers, which were kept
    free for that, become those that point at them."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        entries = {tag: file.pages.first.tags[tag + 1].offset for tag in inner}
    whole = bytearray(data)
    for tag, values in inner.items():
        directory = ImageFileDirectory_v2(prefix=b"II")
        for name, value in values.items():
            if name != INTEROP:  # only a place in the old file
                directory[name] = value
        whole += bytes(len(whole) % 2)
        place = len(whole)
        whole += directory.tobytes(place)
        struct.pack_into("<H", whole, entries[tag], tag)
        struct.pack_into("<I", whole, entries[tag] + 8, place)
    return bytes(whole)
