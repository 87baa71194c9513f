"""The settings of a data set: where its images lie, how they are brought to size and varied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from i2i.core.config import MAX_SIDE, NonNegative, OptionalSide, Range
from i2i.core.errors import I2IError, nearest
from i2i.data.preprocess import RULES, Preprocess

MAKES = ("grey", "x2", "x3", "x4", "x8", "real", "jpeg", "noise", "blur", "mask", "edges", "pixelate")
HED = "hed"  # one more, which needs the weights of a network
SCALES = (1, 2, 3, 4, 8)
GEOMETRY = ("affine", "rotate90", "vflip", "cutout")  # of PARTS
PARTS = ("color", "affine", "rotate90", "vflip", "noise", "blur", "jpeg", "cutout")


def parts_of(augment: str) -> tuple[str, ...]:
    """The names in a setting such as "rotate90+color"."""
    return tuple(p.strip() for p in augment.replace(",", "+").split("+") if p.strip())


@dataclass(frozen=True)
class DataSettings:
    """Settings of a data set; the comments are the help texts of `i2i recipes show`."""

    layout: str = "auto"  # auto, paired, joined (pairs side by side), unpaired, images, labelled, attributes
    labels: str = ""  # layout attributes: table of the images' attributes, a CSV or CelebA's list; none: class folders
    attributes: str = ""  # columns of that table that count, with commas; none: all
    exclusive: str = "auto"  # attributes that exclude each other: A,B;C,D; auto: of the data card, or colors of hair
    direction: str = "AtoB"  # AtoB: x from A and y from B; BtoA: the other way
    size: Annotated[int, Range(4, MAX_SIDE)] = 256  # side of the square training crops, in pixels
    load: OptionalSide | None = None  # side before the crop, in pixels; none: size * 286 / 256, as in papers; 0: size
    center: OptionalSide = 0  # side of a square that is cut out of the middle of each image first, in pixels; 0: none
    preprocess: str = "resize_and_crop"  # resize_and_crop, resize, scale_width, scale_width_and_crop, crop, none
    scale: Annotated[int, Range(1, 8)] = (
        1  # sides of y divided by those of x: 1, 2, 3, 4, 8; the method has its default
    )
    exact: bool = False  # bit-exact Pillow resizing, as in the papers' code; three times slower
    flip: bool | None = None  # random left-right mirroring; none: yes, unless the data card forbids it
    channels_in: int = 0  # channels of the input: 1 grey, 3 color, 4 color and alpha; 0: as in the files
    channels_out: int = 0  # channels of the target: 1, 3 or 4; 0: as in the files
    workers: Annotated[int, Range(0, 256)] = 2  # threads that prepare batches ahead; 0: the training thread does it
    cache: str = "none"  # where decoded and resized images are kept for later epochs: none, memory, disk
    cache_gb: NonNegative = 8.0  # largest size of the cache, in 10^9 bytes
    palette: str = ""  # label maps as x: auto (the colors in them), or a file with a color a line; one channel a class
    label_edges: bool = False  # label maps: one more channel with the edges between colors (pix2pixHD's instance edges)
    make: str = (
        ""  # makes x from y: grey, x2, x3, x4, x8, real, jpeg, noise, blur, mask, edges, hed, pixelate; joined: +
    )
    degrade: str = ""  # as make, for data without pairs: bicubic (default if scale is above 1), real, or a chain
    hed: str = ""  # weights of HED for make=hed, edges by a network: a file; none: from their address, once
    augment: str = ""  # color, affine, rotate90, vflip, noise, blur, jpeg, cutout, joined by +; or a file of A.save
    augment_on: str = "cpu"  # cpu (albumentations, all) or device (kornia: color, affine, rotate90, noise, cutout)

    @property
    def rule(self) -> Preprocess:
        """The pre-processing rule that `preprocess` names."""
        return RULES[self.preprocess]

    @property
    def loaded(self) -> int:
        """Side in pixels before the random crop."""
        return round(self.size * 286 / 256) if self.load is None else self.load or self.size

    def check(self) -> None:
        """Raises I2IError for a setting that is not allowed."""
        choices = {
            "direction": ("AtoB", "BtoA"),
            "preprocess": tuple(RULES),
            "cache": ("none", "memory", "disk"),
            "augment_on": ("cpu", "device"),
            "channels_in": (0, 1, 3, 4),
            "channels_out": (0, 1, 3, 4),
            "scale": SCALES,
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed:
                raise I2IError(f"{name} is {value!r}.", f"Allowed: {', '.join(map(str, allowed))}.")
        if not 4 <= self.size <= MAX_SIDE:
            raise I2IError(f"size is {self.size}.", f"Allowed: 4 to {MAX_SIDE} pixels.")
        if self.size % self.scale:
            near = max(4, self.size // self.scale) * self.scale
            raise I2IError(f"size is {self.size} and scale is {self.scale}.", f"Give a multiple of it, such as {near}.")
        if self.loaded < self.size:
            raise I2IError(f"load is {self.load}, less than size {self.size}.", "Allowed: size or more, or 0 for size.")
        if self.workers < 0:
            raise I2IError(f"workers is {self.workers}.", "Allowed: 0 or more.")
        if self.cache != "none" and not self.rule.resize:
            raise I2IError(
                f"cache is {self.cache!r} with preprocess {self.preprocess!r}.",
                "A cache needs images of one size: preprocess must be resize_and_crop or resize.",
            )
        self._check_palette()
        if self.makes and self.direction == "BtoA":
            raise I2IError(f"make is {self.make!r} with direction BtoA.", "Leave direction out.")
        if self.layout != "attributes" and (self.labels or self.attributes):
            raise I2IError(f"labels is given with layout {self.layout}.", "Leave labels and attributes out.")
        if self.layout == "attributes" and (self.makes or self.direction == "BtoA"):
            raise I2IError("make and direction do not go with layout attributes.", "Leave them out.")
        for name, parts in (("make", self.makes), ("degrade", self.degrades)):
            for part in parts:
                if part not in (*MAKES, HED):
                    value, known = getattr(self, name), (*MAKES, HED)
                    raise I2IError(f"{name} is {value!r}, and its part {part!r} is unknown.", nearest(part, known))
        if not self.augment.endswith((".yaml", ".yml")):
            for part in self.parts:
                if part not in PARTS:
                    raise I2IError(f"The augmentation {part!r} is unknown.", nearest(part, PARTS))
        elif self.augment_on == "device":
            raise I2IError("An albumentations file runs on the CPU only.", "--set augment_on=cpu")
        if self.augment_on == "device" and set(self.parts) & {"jpeg", "blur", "vflip"}:
            raise I2IError("blur, jpeg and vflip run on the CPU only.", "--set augment_on=cpu")

    def check_augment(self) -> None:
        """Raises I2IError if x and y have different sizes, and the augmentation cannot move both alike."""
        if self.scale == 1 or not self.augment:
            return
        if self.augment_on == "device":
            raise I2IError(f"augment_on is device, and scale is {self.scale}.", "--set augment_on=cpu")
        if not self.makes and (self.augment.endswith((".yaml", ".yml")) or set(self.parts) & set(GEOMETRY)):
            raise I2IError(
                f"augment is {self.augment!r}, and scale is {self.scale}: it cannot move small and large images alike.",
                "Allowed there: color, noise, blur and jpeg; or give one folder of large images.",
            )

    def _check_palette(self) -> None:
        """Raises I2IError for what does not go together with label maps."""
        if self.label_edges and not self.palette:
            raise I2IError("label_edges is on, but there is no palette.", "Give palette=auto, or a file of colors.")
        if not self.palette:
            return
        if self.makes:
            raise I2IError(f"palette is {self.palette!r}, and make is {self.make!r}.", "Leave one of them out.")
        if self.channels_in == 4:
            raise I2IError("channels_in is 4, but label maps have no transparency.", "Leave channels_in out.")
        changing = [p for p in self.parts if p not in GEOMETRY]
        if changing:
            raise I2IError(
                f"augment is {self.augment!r}, and {changing[0]} would change the colors of label maps.",
                f"Allowed with a palette: {', '.join(GEOMETRY)}.",
            )
        if self.parts and self.augment_on == "device":
            raise I2IError("augment_on is device, which blends the colors of label maps.", "--set augment_on=cpu")

    @property
    def makes(self) -> tuple[str, ...]:
        """The parts of the chain that makes x from y; empty if x is read from files."""
        return self._chain(self.make)

    @property
    def degrades(self) -> tuple[str, ...]:
        """The parts of the chain that makes x from y where the data holds no pairs; empty: pairs are needed."""
        return self._chain(self.degrade or ("bicubic" if self.scale > 1 else ""))

    def _chain(self, text: str) -> tuple[str, ...]:
        parts = (p.strip().lower() for p in text.replace(",", "+").split("+"))
        return tuple(f"x{self.scale}" if p == "bicubic" and self.scale > 1 else p for p in parts if p)

    @property
    def parts(self) -> tuple[str, ...]:
        """The named augmentations."""
        return parts_of(self.augment)
