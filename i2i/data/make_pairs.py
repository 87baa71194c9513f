"""Made pairs as files, to look at or to train on: A/ holds what is made, B/ the images that it is made from."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder
from i2i.core.progress import Progress
from i2i.data import source
from i2i.data.spec import DataSettings
from i2i.media import images


def make_pairs(
    data: str | Path,
    chain: str,
    output: str | Path,
    size: int = 256,
    most: int = 0,
    progress: Progress | None = None,
    scale: int = 1,
    hed: str = "",
) -> int:
    """Writes pairs of `size` x `size` pixels as PNG into the new folder `output`; returns their number.

    data: a folder, or the name of a data set. chain: see DataSettings.make. most: pairs at most, spread evenly; 0: all.
    scale: the images in A are so many times smaller than those in B. hed: weights for the chain "hed".
    Raises I2IError if the folder exists, there is no image, an image cannot be read, or the chain is unknown."""
    folder = Path(output)
    if folder.exists():
        raise I2IError(f"{folder} exists.", "Give the name of a new folder.")
    if most < 0:
        raise I2IError(f"most is {most}.", "Allowed: 0 or more.")
    spec = DataSettings(make=chain, size=size, load=0, exact=True, scale=scale, hed=hed)
    if not spec.makes:
        raise I2IError("The chain is empty.", "Give one, such as --make real.")
    opened = source.open([data], spec)
    count = min(most, opened.count) if most else opened.count
    with atomic_folder(folder) as temporary:
        for done, i in enumerate(i * opened.count // count for i in range(count)):
            pair = opened.item(i)
            assert pair.y is not None
            name = f"{i:06d}_{PurePosixPath(opened.names[i]).stem}.png"
            for side, pixels in (("A", pair.x), ("B", pair.y)):
                (temporary / side).mkdir(exist_ok=True)
                images.save(temporary / side / name, images.to_uint8(pixels[0]))
            if progress:
                progress(done + 1, count)
    return count
