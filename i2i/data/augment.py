"""More variation than crop and flip, on the CPU (albumentations) or on the device (kornia's functions).

Each sample's variation is a pure function of (seed, number of the sample). A pair gets the same geometry; color,
noise, blur and compression change x alone, because y is what x should become; without pairs every image is varied
by itself.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from i2i.core.errors import I2IError
from i2i.core.random import seed_of
from i2i.core.reading import read_yaml
from i2i.data.spec import GEOMETRY, parts_of


class Augment:
    """The CPU augmentation of a data set; `""` does nothing. labels: x is a label map, whose colors stay exact."""

    def __init__(self, augment: str, paired: bool, labels: bool = False) -> None:
        self.augment = augment
        self.paired = paired
        self.labels = labels
        self.turns = [p for p in parts_of(augment) if p in GEOMETRY] == ["rotate90"]  # needs no albumentations
        self.local = threading.local()  # albumentations' objects hold random state: one set a thread
        if augment:
            self._transforms()  # a wrong file is reported now, not in a thread later

    def one(self, image: np.ndarray, seed: int, number: int, salt: str = "x") -> np.ndarray:
        """Varies an image uint8 [H, W, C] by itself."""
        if not self.augment:
            return image
        image = self.geometry_of(image, seed, number, salt)
        return self._vary_color(self._transforms()[1], image, seed, number, salt)

    def pair(self, x: np.ndarray, y: np.ndarray, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Varies a pair: the same geometry for both, color for x alone."""
        if not self.augment:
            return x, y
        geometry, color = self._transforms()
        if self.turns:
            which = seed_of(seed, "geometry", "x", number)
            x, y = _turned(x, which), _turned(y, which)
        elif geometry is not None:
            geometry.set_random_seed(seed_of(seed, "geometry", "x", number) % 2**32)
            if self.labels:
                varied = geometry(image=_contiguous(y), x=_contiguous(x))
                return _with_channels(varied["x"], x), _with_channels(varied["image"], y)
            varied = geometry(image=_contiguous(x), y=_contiguous(y))
            x, y = _with_channels(varied["image"], x), _with_channels(varied["y"], y)
        return self._vary_color(color, x, seed, number, "x"), y

    def geometry_of(self, image: np.ndarray, seed: int, number: int, salt: str = "x") -> np.ndarray:
        """The geometry alone; with the salt "x" the one that `pair` gives to both images."""
        if self.turns:
            return _turned(image, seed_of(seed, "geometry", salt, number))
        geometry = self._transforms()[0] if self.augment else None
        if geometry is None:
            return image
        geometry.set_random_seed(seed_of(seed, "geometry", salt, number) % 2**32)
        return _with_channels(geometry(image=_contiguous(image))["image"], image)

    def color_of(self, x: np.ndarray, seed: int, number: int) -> np.ndarray:
        """The color that `pair` gives to x."""
        return self._vary_color(self._transforms()[1], x, seed, number, "x") if self.augment else x

    def _vary_color(self, color: Any, image: np.ndarray, seed: int, number: int, salt: str) -> np.ndarray:
        if color is None:
            return image
        color.set_random_seed(seed_of(seed, "colour", salt, number) % 2**32)
        if image.shape[2] == 4:  # color only; the transparency stays
            return np.dstack([color(image=_contiguous(image[..., :3]))["image"], image[..., 3:]])
        return _with_channels(color(image=_contiguous(image))["image"], image)

    def _transforms(self) -> tuple[Any, Any]:
        """(geometry, color) of this thread, either may be None."""
        if not hasattr(self.local, "transforms"):
            self.local.transforms = self._build()
        transforms: tuple[Any, Any] = self.local.transforms
        return transforms

    def _build(self) -> tuple[Any, Any]:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or importing it asks the network for news
        import albumentations as A
        import cv2

        targets = {"x": "mask"} if self.labels else {"y": "image"} if self.paired else {}
        if self.augment.endswith((".yaml", ".yml")):
            read_yaml(Path(self.augment), "Write it by A.save.")
            try:
                loaded = A.load(Path(self.augment), data_format="yaml")
                return A.Compose([loaded], additional_targets=targets), None
            except Exception as error:  # the file may hold anything
                raise I2IError(f"{self.augment} is no albumentations file: {error}.", "Write it by A.save.") from error
        mirror = cv2.BORDER_REFLECT_101
        known = {
            "affine": A.Affine(
                scale=(0.9, 1.1), rotate=(-10, 10), translate_percent=(-0.05, 0.05), border_mode=mirror, p=0.8
            ),
            "rotate90": A.D4(p=1.0),
            "vflip": A.VerticalFlip(p=0.5),
            "cutout": A.CoarseDropout(
                num_holes_range=(1, 4), hole_height_range=(0.05, 0.2), hole_width_range=(0.05, 0.2), p=0.5
            ),
            "color": A.ColorJitter(
                brightness=(0.8, 1.2), contrast=(0.8, 1.2), saturation=(0.8, 1.2), hue=(-0.05, 0.05)
            ),
            "noise": A.GaussNoise(std_range=(0.01, 0.05), p=0.5),
            "blur": A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.5), p=0.5),
            "jpeg": A.ImageCompression(quality_range=(40, 95), p=0.5),
        }
        parts = parts_of(self.augment)
        geometry = [known[p] for p in parts if p in GEOMETRY]
        color = [known[p] for p in parts if p not in GEOMETRY]
        return (
            A.Compose(geometry, additional_targets=targets) if geometry else None,
            A.Compose(color) if color else None,
        )


def _turned(image: np.ndarray, which: int) -> np.ndarray:
    """One of the eight ways to turn and mirror a square, in memory of its own; a tenth of albumentations' time."""
    turned = np.rot90(image, which % 4)
    return np.ascontiguousarray(turned[:, ::-1] if which // 4 % 2 else turned)


def _contiguous(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image)


def _with_channels(varied: np.ndarray, like: np.ndarray) -> np.ndarray:
    """`varied` with its channel axis, which OpenCV drops from grey images."""
    return varied.reshape(*varied.shape[:2], like.shape[2])
