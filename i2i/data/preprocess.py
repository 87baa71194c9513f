"""The papers' pre-processing: bringing an image to the network's size."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from i2i.core.errors import I2IError, nearest


@dataclass(frozen=True)
class Preprocess:
    """A pre-processing rule, parsed once from its name: what is done before the network sees an image."""

    resize: bool = False  # to load x load, ignoring the aspect ratio
    scale_width: bool = False  # to the width `load`, the height in proportion but not under the crop
    crop: bool = False  # cut a square of `crop` pixels
    round_sides: bool = False  # bring each side to the nearest multiple of 4

    @classmethod
    def named(cls, name: str) -> Preprocess:
        """The rule of that name. Raises I2IError with the nearest name if there is none."""
        if name not in RULES:
            raise I2IError(f"The preprocess rule {name!r} is unknown.", nearest(name, RULES))
        return RULES[name]

    @property
    def whole(self) -> Preprocess:
        """The rule for whole images: no crop; images that keep their size get sides that are multiples of 4."""
        if self.resize or self.scale_width:
            return Preprocess(resize=self.resize, scale_width=self.scale_width)
        return Preprocess(round_sides=True)

    @property
    def square(self) -> Preprocess:
        """The rule for images that must all be squares of one size: as it is if it crops, else a plain resize."""
        return self if self.crop else Preprocess(resize=True)

    def size(self, width: int, height: int, load: int, crop: int) -> tuple[int, int]:
        """Width and height in pixels of an image of width x height after resizing and before the crop."""
        if self.resize:
            return load, load
        if self.scale_width:
            if width == load and height >= crop:
                return width, height
            return load, int(max(load * height / width, crop))
        if self.round_sides:
            return max(4, round(width / 4) * 4), max(4, round(height / 4) * 4)
        return width, height


RULES = {
    "resize_and_crop": Preprocess(resize=True, crop=True),
    "resize": Preprocess(resize=True),
    "scale_width": Preprocess(scale_width=True),
    "scale_width_and_crop": Preprocess(scale_width=True, crop=True),
    "crop": Preprocess(crop=True),
    "none": Preprocess(round_sides=True),
}


def fit(
    image: Image.Image,
    rule: str | Preprocess = "resize_and_crop",
    load: int = 286,
    crop: int = 256,
    position: tuple[int, int] | None = None,
    flip: bool = False,
) -> Image.Image:
    """Brings an image to the network's size by one of the papers' rules; all resizing is Pillow's bicubic.

    rule: "resize_and_crop": to load x load ignoring the aspect ratio, then a crop of crop x crop pixels; "resize": the
    first half of that; "scale_width": to the width `load`, the height in proportion but not under `crop`;
    "scale_width_and_crop"; "crop": the crop alone; "none": each side to the nearest multiple of 4.
    load, crop: pixels. position: left and top of the crop in pixels; None: the middle. flip: mirror left-right at the
    end. Convert to grey before this. Raises I2IError for an unknown rule.
    """
    rule = rule if isinstance(rule, Preprocess) else Preprocess.named(rule)
    size = rule.size(image.width, image.height, load, crop)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    if rule.crop and (image.width > crop or image.height > crop):
        left, top = position or ((image.width - crop) // 2, (image.height - crop) // 2)
        image = image.crop((left, top, left + crop, top + crop))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image
