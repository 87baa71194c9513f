"""ICC color profiles of 8-bit images: into sRGB, which networks are trained on, and back into the image's own profile.

`uint16` does the same for 16 bits.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from i2i.media import images

Transform = Callable[[Image.Image], Image.Image]
MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # by the color space in a profile's header


@dataclass(frozen=True)
class ColorState:
    """How the numbers of an image were treated on their way to the network, and so how they go back."""

    profile: bytes | None = None  # ICC profile of the file; None if it has none, or none with a way back
    converted: bool = False  # True if the numbers were converted from that profile into sRGB


@functools.cache
def srgb_profile() -> bytes:
    """The ICC profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def mode_of(profile: bytes | None) -> str:
    """The mode of the images that a profile describes: "RGB", "L" or "CMYK"; "" for no profile or another kind."""
    return MODES.get(profile[16:20], "") if profile and len(profile) > 128 else ""


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, back: bool) -> Transform | None:
    """From `profile` into sRGB (gray becomes RGB), or back; None if it is broken or has no such direction."""
    mode = mode_of(profile)
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        standard = ImageCms.createProfile("sRGB")
        if back:
            transform = ImageCms.buildTransform(standard, own, "RGB", mode)
        else:
            transform = ImageCms.buildTransform(own, standard, mode, "RGB")
        if mode == "RGB" and _is_identity(transform):
            return _unchanged
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return lambda image: ImageCms.applyTransform(image, transform) or image


def _unchanged(image: Image.Image) -> Image.Image:
    return image


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """True if a transform of RGB moves no color by more than one level: the profile is sRGB under another name."""
    steps = np.linspace(0, 255, 6).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), transform)).astype(int)
    return bool(np.abs(moved - cube).max() <= 1)


def is_srgb(profile: bytes) -> bool:
    """True if an RGB profile is sRGB, possibly under another name."""
    return mode_of(profile) == "RGB" and _transform(profile, False) is _unchanged


def keeps_numbers(profile: bytes | None) -> bool:
    """True if pixels with this profile are in sRGB as they are: there is none, it is sRGB, or it cannot be used."""
    return not mode_of(profile) or _transform(profile or b"", False) in (None, _unchanged)


def into_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, ColorState]:
    """An upright 8-bit image in mode L, LA, RGB or RGBA, its colors in sRGB if `profile` can be read and fits it.

    CMYK and gray become RGB by it; alpha is kept. Without a usable profile the numbers stay as they are."""
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode not in ("CMYK", "RGB", "RGBA", "L", "LA"):
        image = images.convert(image, None)
    result = _apply(image, profile, back=False)
    converted = result is not None
    if image.mode == "CMYK":  # there is no way back into CMYK: the output is RGB, in sRGB if that is known
        profile = srgb_profile() if converted else None
        image = images.convert(image, None)
    return image if result is None else result, ColorState(profile, converted)


def out_of_srgb(image: Image.Image, state: ColorState, keep: bool = True) -> Image.Image:
    """The way back: an image whose info holds the profile that describes its numbers, if any does.

    keep: convert into the file's own profile; else the colors stay in sRGB and are tagged so."""
    image.info.pop("icc_profile", None)
    if state.converted:
        restored = _apply(image, state.profile, back=True) if keep else None
        if restored is not None:
            image = restored
            image.info["icc_profile"] = state.profile
        elif image.mode in ("RGB", "RGBA"):
            image.info["icc_profile"] = srgb_profile()
    elif state.profile and mode_of(state.profile) == ("L" if image.mode in ("L", "LA", "I;16") else "RGB"):
        image.info["icc_profile"] = state.profile  # it describes the numbers, which were left as they are
    return image


def _apply(image: Image.Image, profile: bytes | None, back: bool) -> Image.Image | None:
    """The image through a profile's transform, alpha kept; None if the profile does not fit it or cannot be used."""
    colors = {"RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode)
    if profile is None or not mode_of(profile) or colors != mode_of(profile):
        return None
    transform = _transform(profile, back)
    if transform is None:
        return None
    if transform is _unchanged:
        return image
    alpha = image.getchannel("A") if colors != image.mode else None
    result = transform(image.convert("RGB" if back else colors))
    if alpha is not None:
        result.putalpha(alpha)
    return result
