"""CelebA's own held-out list, `list_eval_partition.txt`: which images of a table are for training, val and test.

A line for each image: its file and 0 (train), 1 (val) or 2 (test), with a blank or a comma between them. A first line
of names, as in the CSV form, is skipped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from i2i.core.errors import I2IError
from i2i.core.reading import read_bytes
from i2i.data.folder_names import SPLITS

NAMES = ("list_eval_partition.txt", "list_eval_partition.csv")
MOST_BYTES = 1 << 26  # of a list; CelebA's has 3 MB
FEW = 5  # names of files in a message


def list_beside(table: Path) -> Path | None:
    """The list in the folder of a table, if it is there."""
    return next((table.parent / name for name in NAMES if (table.parent / name).is_file()), None)


def read(path: Path, images: Collection[str], table: Path) -> dict[str, str]:
    """The split of each image that a table names: {file: train, val or test}.

    Raises I2IError naming the line with another value, or the images that only one of list and table names."""
    splits: dict[str, str] = {}
    text = read_bytes(path, MOST_BYTES).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.replace(",", " ").split()
        if not cells or (number == 1 and cells[-1] == "partition"):
            continue
        if len(cells) != 2 or cells[1] not in ("0", "1", "2"):
            raise I2IError(
                f"Line {number} of {path} is {line.strip()[:60]!r}.",
                "A line is a file and 0 (train), 1 (val) or 2 (test): 000001.jpg 0",
            )
        splits[cells[0]] = SPLITS[int(cells[1])]
    known = set(images)
    if unknown := [name for name in splits if name not in known]:
        raise I2IError(
            f"{path} names {len(unknown):,} images that {table} does not: {some_names(unknown)}.",
            f"Remove their lines, or the file {path.name}: then all images are for training.",
        )
    if missing := [name for name in images if name not in splits]:
        raise I2IError(
            f"{path} does not say the split of {len(missing):,} images in {table}: {some_names(missing)}.",
            "Add a line for each: a file and 0 (train), 1 (val) or 2 (test).",
        )
    return splits


def some_names(names: Sequence[str]) -> str:
    """The first FEW names, and how many more there are."""
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
