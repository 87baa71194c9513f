"""What a user should know about the training images before a run."""

from __future__ import annotations

from i2i.core.errors import I2IError
from i2i.data import Data, layouts

FEW_IMAGES = 10  # a side with fewer training images gets a remark
HEADERS = 500  # images of a side whose sizes are read, at most


def remarks(data: Data) -> list[str]:
    """Sentences about images that are few, small or left out. Raises I2IError naming a file that is not an image."""
    sentences = list(data.notes)
    fewest = min(len(side) for side in data.sides)
    if fewest == 1:
        sentences.append("There is only 1 training image: hardly enough.")
    elif fewest < FEW_IMAGES:
        sentences.append(f"There are only {fewest} training images: hardly enough.")

    # Sizes come from the headers of evenly spaced files; a half of a joined image is half as wide as its file.
    sources = [s for side in data.sides for s in side[:: max(1, len(side) // HEADERS)][:HEADERS]]
    try:
        headers = [(layouts.header(s.path), s.part) for s in sources]
    except I2IError as error:
        raise I2IError(error.what, "Remove it; `i2i data check FOLDER` finds all such files.") from error
    sizes = [(width // (1 if part == layouts.WHOLE else 2), height) for (width, height, _), part in headers]
    size, smallest = data.size, min(sizes, key=min)
    if min(smallest) < size and data.spec.rule.resize:
        smaller = sum(min(s) < size for s in sizes)
        sentences.append(
            f"{smaller} of {len(sizes)} images looked at are smaller than the {size} pixels of training (the smallest "
            f"is {smallest[0]}x{smallest[1]}) and are enlarged; a smaller --size suits them better."
        )
    return sentences
