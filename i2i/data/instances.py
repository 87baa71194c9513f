"""Label maps from maps of things, whose 16-bit numbers say class and thing, as Cityscapes' instanceIds have them.

A number under `each` is a class without separate things; from there on it is class * each + thing (26003: car number 3,
with each = 1000). Every class gets 32 colors, so that two things that touch have two colors, unless their numbers are
equal modulo 32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder
from i2i.core.progress import Progress
from i2i.media import images
from i2i.media.palette import shown

THINGS = 32  # colors of a class
SCATTER = 10_368_889  # odd, so that code * SCATTER modulo 2^24 gives every code a color of its own
FILE = "colors.txt"  # the palette, in the output folder


def label_maps(
    source: str | Path, output: str | Path, each: int = 1000, progress: Progress | None = None
) -> tuple[int, int]:
    """Writes a color PNG for each gray image (8 or 16 bits) below `source` into the new folder `output`, under the same
    names, and their palette beside them, for `--set palette`. Returns the numbers of images and of classes.

    Raises I2IError if `output` exists, there is no image, or an image is not gray."""
    folder, new = Path(source), Path(output)
    if new.exists():
        raise I2IError(f"{new} exists.", "Give the name of a new folder.")
    if each < 1:
        raise I2IError(f"each is {each}.", "Allowed: 1 or more.")
    paths = images.find_images(folder)
    if not paths:
        raise I2IError(f"{folder} holds no images.", "Give a folder with instance maps.")
    codes: set[int] = set()
    with atomic_folder(new) as temporary:
        for done, path in enumerate(paths, 1):
            with images.open_image(path) as image:
                numbers = images.to_array(image, path)
            if numbers.shape[2] != 1:
                raise I2IError(f"{path} has colors, so it is no map of numbers.", "Give gray images of 8 or 16 bits.")
            found, where = np.unique(codes_of(numbers[..., 0], each), return_inverse=True)
            codes |= set(found.tolist())
            colors = np.array([color_of(code) for code in found.tolist()], np.uint8)
            target = temporary / path.relative_to(folder).with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            images.save(target, colors[where.reshape(numbers.shape[:2])])
            if progress:
                progress(done, len(paths))
        classes = sorted({code // (THINGS + 1) for code in codes})
        lines = [
            " ".join([f"class_{k}", *(shown(color_of(code)) for code in sorted(codes) if code // (THINGS + 1) == k)])
            for k in classes
        ]
        (temporary / FILE).write_text("\n".join(lines) + "\n")
    return len(paths), len(classes)


def codes_of(numbers: np.ndarray, each: int) -> np.ndarray:
    """Numbers of an instance map as one code for each color: class * 33, plus 1 to 32 for a separate thing."""
    wide = numbers.astype(np.int64)
    thing = wide >= each
    return np.where(thing, wide // each * (THINGS + 1) + 1 + wide % each % THINGS, wide * (THINGS + 1))


def color_of(code: int) -> tuple[int, int, int]:
    """The color of a code; no two codes under 2^24 have the same."""
    mixed = code * SCATTER & 0xFFFFFF
    return mixed >> 16, mixed >> 8 & 255, mixed & 255
