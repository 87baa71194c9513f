"""Folders of outputs as candidates of a comparison: which file belongs to which input, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.data import decode, layouts
from i2i.data.layouts import WHOLE, Source
from i2i.media import images

MOST_LISTED = 10  # missing names in a message
# what programs add to the name of an input: 3_fake_B.png of the authors of pix2pix, 3_fake.png, 3-out.png
ADDED = re.compile(r"[_-](fake(_[AB])?|synthesized_image|translated|out|output)$")
GRAY = {1: "gray", 3: "in color", 4: "transparent"}


def files_of(folder: Path) -> dict[str, Path]:
    """The images of a folder by their path below it, without suffix. Raises I2IError if two have one name."""
    files: dict[str, Path] = {}
    for path in images.find_images(folder):
        key = layouts.pair_key(path, folder)
        if key in files:
            raise I2IError(f"{files[key]} and {path} have the same name.", "Remove one of them.")
        files[key] = path
    for key, path in list(files.items()):
        if (plain := ADDED.sub("", key)) != key:
            files.setdefault(plain, path)
    return files


def match(folder: Path, names: Sequence[str]) -> list[Path]:
    """The output of each input; names: paths of the inputs below their data, such as testA/3.jpg.

    Outputs may lie as the inputs do (testA/3.png) or without the outer folders (3.png). Raises I2IError that lists the
    names without an output."""
    files = files_of(folder)
    stems = [name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name for name in names]
    best: list[str] = []
    for cut in range(max(stem.count("/") for stem in stems) + 1):
        keys = ["/".join(stem.split("/")[min(cut, stem.count("/")) :]) for stem in stems]
        if len(set(keys)) == len(keys) and (not best or _hits(keys, files) > _hits(best, files)):
            best = keys
    missing = [key for key in best if key not in files]
    if missing:
        listed = ", ".join(missing[:MOST_LISTED])
        more = f" and {len(missing) - MOST_LISTED} more" if len(missing) > MOST_LISTED else ""
        hint = "Translate these, too, or compare fewer images with --limit. An output has the name of its input."
        if len(missing) == len(names):
            hint = (
                "An output has the name of its input. If this folder is the second one of the data: --data A --data B"
            )
        raise I2IError(f"{folder} has no output for {len(missing)} of {len(names)} inputs: {listed}{more}.", hint)
    return [files[key] for key in best]


def _hits(keys: Sequence[str], files: dict[str, Path]) -> int:
    return sum(key in files for key in keys)


def check(path: Path, size: tuple[int, int], channels: int, origins: Sequence[Source]) -> None:
    """Raises I2IError unless an output can stand beside a reference image of `size` (width, height) and `channels`.

    It must have that size, or the size that the input or the true image (`origins`) has on the disk."""
    width, height, natural = layouts.header(path)
    if natural != channels and not (natural == 4 and channels == 3):
        what = f"{path} is {GRAY[natural]}, but the images that it is compared with are {GRAY.get(channels, channels)}."
        raise I2IError(what, "Give outputs with the channels of the true images.")
    allowed = [size, *(size_of(origin) for origin in origins)]
    if (width, height) not in allowed:
        sizes = " or ".join(dict.fromkeys(f"{w}x{h}" for w, h in allowed))
        raise I2IError(
            f"{path} has {width}x{height} pixels, but the images are compared at {size[0]}x{size[1]}.",
            f"Allowed: {sizes} pixels. Another size for all: --size {min(width, height)}",
        )


def size_of(source: Source) -> tuple[int, int]:
    """Width and height of an image on the disk: of a file, or of one half of it."""
    width, height, _ = layouts.header(source.path)
    return (width if source.part == WHOLE else width // 2), height


def read(path: Path, size: tuple[int, int], channels: int) -> Tensor:
    """An output as float32 [C, H, W] in [-1, 1], at `size` (width, height)."""
    array = decode.exact(Source(path), channels, lambda w, h: size)
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).float().div_(127.5).sub_(1)
