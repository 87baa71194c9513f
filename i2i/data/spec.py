"""The settings of a data set."""

from __future__ import annotations

from dataclasses import dataclass

from i2i.core.config import NonNegative
from i2i.core.errors import I2IError, nearest
from i2i.data import preprocess

PARTS = ("color", "affine", "rotate90", "vflip", "noise", "blur", "jpeg", "cutout")


@dataclass(frozen=True)
class DataSettings:
    """How images are found, brought to size and varied."""

    layout: str = "auto"  # auto, paired, joined (paired, side by side in one file), unpaired, images, labelled
    direction: str = "AtoB"  # AtoB: x from A and y from B; BtoA: the other way
    size: int = 256  # pixels, side of the square that training sees
    load: int | None = None  # pixels before the random crop; none: size * 286 / 256 as the papers; 0: size, no jitter
    preprocess: str = "resize_and_crop"  # resize_and_crop, resize, scale_width, scale_width_and_crop, crop, none
    exact: bool = False  # resize by Pillow to the last level, as the papers' code, at a third of the speed
    flip: bool | None = None  # mirror left-right at random; none: yes, unless the data set forbids it
    channels_in: int = 0  # 1 grey, 3 colour, 4 with alpha; 0: as the images are
    channels_out: int = 0  # the same for the target
    workers: int = 2  # threads that prepare batches ahead; 0: none
    cache: str = "none"  # decoded and resized images are kept: none, memory, disk
    cache_gb: NonNegative = 8.0  # limit of the cache, in 10^9 bytes
    augment: str = ""  # color, affine, rotate90, vflip, noise, blur, jpeg, cutout joined by +; or albumentations YAML
    augment_on: str = "cpu"  # cpu (albumentations) or device (kornia: color, affine, rotate90, noise, cutout)

    @property
    def loaded(self) -> int:
        """Side in pixels before the random crop."""
        return round(self.size * 286 / 256) if self.load is None else self.load or self.size

    def check(self) -> None:
        """Raises I2IError for a setting that is not allowed."""
        choices = {
            "direction": ("AtoB", "BtoA"),
            "preprocess": preprocess.PREPROCESS,
            "cache": ("none", "memory", "disk"),
            "augment_on": ("cpu", "device"),
            "channels_in": (0, 1, 3, 4),
            "channels_out": (0, 1, 3, 4),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed:
                raise I2IError(f"{name} is {value!r}.", f"Allowed: {', '.join(map(str, allowed))}.")
        if self.size < 4:
            raise I2IError(f"size is {self.size}.", "Allowed: 4 or more pixels.")
        if self.loaded < self.size:
            raise I2IError(f"load is {self.load}, less than size {self.size}.", "Allowed: size or more, or 0 for size.")
        if self.workers < 0:
            raise I2IError(f"workers is {self.workers}.", "Allowed: 0 or more.")
        if self.cache != "none" and "resize" not in self.preprocess:
            raise I2IError(
                f"cache is {self.cache!r} with preprocess {self.preprocess!r}.",
                "A cache needs images of one size: preprocess resize_and_crop or resize.",
            )
        if not self.augment.endswith((".yaml", ".yml")):
            for part in self.parts:
                if part not in PARTS:
                    raise I2IError(f"The augmentation {part!r} is unknown.", nearest(part, PARTS))
        elif self.augment_on == "device":
            raise I2IError("An albumentations file cannot run on the device.", "Set augment_on to cpu.")
        if self.augment_on == "device" and set(self.parts) & {"jpeg", "blur", "vflip"}:
            raise I2IError(f"augment {self.augment!r} has parts that only run on the cpu.", "Set augment_on to cpu.")

    @property
    def parts(self) -> tuple[str, ...]:
        """The named augmentations."""
        return tuple(p.strip() for p in self.augment.replace(",", "+").split("+") if p.strip())
