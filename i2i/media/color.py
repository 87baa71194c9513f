"""Colour profiles: pixels into sRGB, which networks are trained on, and back into the image's own profile."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

Convert = Callable[[Image.Image], Image.Image]
SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}


@functools.cache
def srgb_profile() -> bytes:
    """The profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def mode_of(profile: bytes | None) -> str:
    """The mode of images that a profile is for: RGB, L or CMYK; empty if there is none, or one of another kind."""
    return SPACES.get(profile[16:20], "") if profile and len(profile) > 128 else ""


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, back: bool, colour: bool) -> Convert | None:
    """From the profile into sRGB, or back; None if the profile is broken or has no such way."""
    own = mode_of(profile)
    try:
        of = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        standard = ImageCms.createProfile("sRGB")
        if back:
            made = ImageCms.buildTransform(standard, of, "RGB", own)
        else:
            made = ImageCms.buildTransform(of, standard, own, "RGB" if colour else own)
        if own == "RGB" and _is_nothing(made):
            return _same
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return lambda image: ImageCms.applyTransform(image, made) or image


def _same(image: Image.Image) -> Image.Image:
    return image


def _is_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform of RGB moves no colour by more than one level: the profile is sRGB under another name."""
    steps = np.linspace(0, 255, 6).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), transform)).astype(int)
    return bool(np.abs(moved - cube).max() <= 1)


def is_srgb(profile: bytes) -> bool:
    """Whether a profile of RGB is that of sRGB, if only under another name."""
    return mode_of(profile) == "RGB" and _transform(profile, False, True) is _same


def into_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    """`image` with its colours in sRGB, and whether its profile could be read and fits it.

    RGB, CMYK (becomes RGB) and grey images (which become RGB) are converted, an alpha channel is kept aside; images
    of 16 bits stay as they are."""
    own = mode_of(profile)
    plain = {"RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode)
    if not own or profile is None or plain != own:
        return image, False
    convert = _transform(profile, False, True)
    if convert is None:
        return image, False
    if convert is _same:
        return image, True
    alpha = image.getchannel("A") if plain != image.mode else None
    made = convert(image.convert(plain))
    if alpha is not None:
        made.putalpha(alpha)
    return made, True


def out_of_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """`image` (RGB, RGBA, or for a grey profile L, LA) in `profile`; None if that has no way back or does not fit."""
    own = mode_of(profile)
    plain = {"RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode)
    if plain != own or own == "CMYK":
        return None
    convert = _transform(profile, True, True)
    if convert is None:
        return None
    if convert is _same:
        return image
    alpha = image.getchannel("A") if plain != image.mode else None
    made = convert(image.convert("RGB"))
    if alpha is not None:
        made.putalpha(alpha)
    return made


def restore_profile(picture: Image.Image, own: bytes | None, converted: bool, keep: bool = True) -> Image.Image:
    """The way back: an image with the profile in its info that says what its numbers mean, if any does.

    own, converted: the profile it had, and whether its colours were put into sRGB from it. keep: go back into it."""
    picture.info.pop("icc_profile", None)
    if converted:
        back = out_of_srgb(picture, own) if own and keep else None
        if back is not None:
            picture = back
            picture.info["icc_profile"] = own
        elif picture.mode in ("RGB", "RGBA"):
            picture.info["icc_profile"] = srgb_profile()
    elif own and mode_of(own) == ("L" if picture.mode in ("L", "LA", "I;16") else "RGB"):
        picture.info["icc_profile"] = own  # says what the numbers mean, which were left as they are
    return picture
