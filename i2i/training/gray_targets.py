"""Training images that are gray, where a model is to learn colors: they teach it to leave images gray."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from i2i.core.errors import I2IError
from i2i.data import Data, layouts
from i2i.media import images

LOOKED = 300  # images that are looked at, spread evenly over all
SIDE = 32  # pixels that an image is reduced to
FAINT = 2.0  # levels of 255; mean difference of the channels below which an image is gray, for JPEG leaves some
NAMED = 3


def gray_targets(data: Data) -> list[str]:
    """A sentence if some of the target images are gray; none if all have colors.

    Raises I2IError if all that were looked at are gray, or an image cannot be read."""
    targets = list(dict.fromkeys(source.path for source in data.sides[-1] if source.part == layouts.WHOLE))
    looked = targets[:: max(1, -(-len(targets) // LOOKED))]
    if not looked:
        return []
    with ThreadPoolExecutor(4) as pool:
        gray = [path for path, is_gray in zip(looked, pool.map(_is_gray, looked), strict=True) if is_gray]
    if not gray:
        return []
    names = ", ".join(path.name for path in gray[:NAMED]) + (", ..." if len(gray) > NAMED else "")
    of = f"{len(gray)} of {len(looked)} target images" + ("" if len(looked) == len(targets) else " looked at")
    if len(gray) == len(looked):
        raise I2IError(f"{of} are gray ({names}): there is no color to learn.", "Give color images.")
    verb = "is" if len(gray) == 1 else "are"
    return [f"{of} {verb} gray ({names}) and will teach the model to leave images gray: remove them."]


def _is_gray(path: Path) -> bool:
    with images.open_image(path, load=False) as image:
        if image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F")):
            return True
        image.draft("RGB", (SIDE, SIDE))
        small = np.asarray(image.convert("RGB").resize((SIDE, SIDE)), np.float32)
    return float((small.max(-1) - small.min(-1)).mean()) < FAINT
