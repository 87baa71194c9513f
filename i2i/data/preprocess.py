"""The papers' pre-processing: bringing an image to the network's size."""

from __future__ import annotations

from PIL import Image

from i2i.core.errors import I2IError, nearest

PREPROCESS = ("resize_and_crop", "resize", "scale_width", "scale_width_and_crop", "crop", "none")


def fit(
    image: Image.Image,
    preprocess: str = "resize_and_crop",
    load: int = 286,
    crop: int = 256,
    position: tuple[int, int] | None = None,
    flip: bool = False,
) -> Image.Image:
    """Brings an image to the network's size by one of the papers' rules; all resizing is Pillow's bicubic.

    preprocess: "resize_and_crop": to load x load ignoring the aspect ratio, then a crop x crop window;
    "resize": the first half of that; "scale_width": to the width `load`, the height in proportion but not under
    `crop`; "scale_width_and_crop"; "crop": the window alone; "none": each side to the nearest multiple of 4.
    position: left and top of the window (None: the middle). flip: mirror left-right at the end.
    Grey conversion comes before this. Raises I2IError for an unknown rule.
    """
    image = scale(image, preprocess, load, crop)
    if "crop" in preprocess and (image.width > crop or image.height > crop):
        left, top = position or ((image.width - crop) // 2, (image.height - crop) // 2)
        image = image.crop((left, top, left + crop, top + crop))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image


def scale(image: Image.Image, preprocess: str, load: int, crop: int) -> Image.Image:
    """The deterministic first half of `fit`: what happens before the window is cut out."""
    size = scaled_size(image.width, image.height, preprocess, load, crop)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def scaled_size(width: int, height: int, preprocess: str, load: int, crop: int) -> tuple[int, int]:
    """Width and height that `scale` gives an image of width x height."""
    if preprocess not in PREPROCESS:
        raise I2IError(f"The preprocess rule {preprocess!r} is unknown.", nearest(preprocess, PREPROCESS))
    if "resize" in preprocess:
        return load, load
    if "scale_width" in preprocess:
        if width == load and height >= crop:
            return width, height
        return load, int(max(load * height / width, crop))
    if preprocess == "none":
        return max(4, round(width / 4) * 4), max(4, round(height / 4) * 4)
    return width, height
