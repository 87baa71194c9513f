"""The layout "attributes": images with a table of attributes, or in one folder for each class, or both.

Forms of a table (`--labels FILE`):

- CSV, separated by commas, semicolons or tabs: a line of names, then for each image its file and a value per attribute;
- CelebA's list: the number of images, the names of the attributes, then a line for each image, separated by blanks.

Values are 1 (has it) and 0 or -1 (has it not). Files are named below the data folder, below the folder of a split, or
below the only folder that holds images. `list_eval_partition.txt` beside the table tells the splits (`partition.py`).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from i2i.core import files
from i2i.core.errors import I2IError, nearest
from i2i.core.reading import read_bytes
from i2i.core.suggest import did_you_mean, neighbors
from i2i.data import folder_names, layouts, partition
from i2i.data.layouts import Layout, Source
from i2i.data.partition import FEW, some_names
from i2i.media import images
from i2i.nets.domains import HAIR, Domains

TABLES = (
    "attributes.csv",
    "list_attr_celeba.txt",
    "list_attr_celeba.csv",
)  # names of tables that are found in the data folder
VALUES = {"1": 1.0, "0": 0.0, "-1": 0.0}
ALL = "all"  # means every domain to `i2i translate --to`
LISTED = 16  # domains whose numbers of images are named; of more, the rarest are
MOST_BYTES = 1 << 28  # of a table; CelebA's has 27 MB


@dataclass(frozen=True)
class Table:
    """Attributes of images by the name of the file, each 1 or 0."""

    path: Path
    names: tuple[str, ...]
    rows: dict[str, list[float]]


# ---- layouts ---------------------------------------------------------------------------------------------------------


def find(
    folders: Sequence[Path],
    split: str = "train",
    labels: str = "",
    attributes: str = "",
    exclusive: str = "auto",
    groups: Sequence[Sequence[str]] = (),
) -> Layout:
    """The images of one or two folders with their attributes or classes.

    labels: the table of the (first) folder; empty: TABLES in that folder, else one folder for each class. attributes:
    the columns that count, with commas; empty: all. exclusive: groups of attributes of which an image has at most one,
    such as "Black_Hair,Blond_Hair;Smiling,Sad"; auto: `groups` (of the data card), else CelebA's colors of hair; none.
    With two folders the first has a table, and the second a folder for each class.

    Raises I2IError if images or values are missing, a name is unknown, or an attribute or a class is useless."""
    for folder in folders:
        if not folder.is_dir():
            raise I2IError(f"The folder {folder} does not exist.", "Give a folder with images, or a data set's name.")
    path = table_of(folders[0], labels)
    if len(folders) > 2 or (len(folders) == 2 and path is None):
        raise I2IError(
            f"{len(folders)} data folders were given, and the first has no table of attributes.",
            "Give one folder that holds a folder for each class, or --labels attributes.csv for the first of two.",
        )
    if path is None:
        if attributes:
            raise I2IError(f"attributes is {attributes!r}, but there is no table.", "Give --labels attributes.csv.")
        return _of_classes(folders[0], split)
    table = read_table(path, [name.strip() for name in attributes.split(",") if name.strip()])
    layout = _of_table(folders[0], split, table)
    domains = Domains(table.names, (), _groups(exclusive, groups, table.names))
    if len(folders) == 2:
        second = _of_classes(folders[1], split)
        layout.b, layout.labels = second.a, second.labels
        layout.splits = tuple(s for s in layout.splits if s in second.splits)
        layout.notes += second.notes
        domains = Domains(domains.bits, tuple(second.class_names), domains.exclusive)
    layout.domains = domains
    layout.notes += _clashes(layout.rows, domains)
    return layout


def table_of(folder: Path, labels: str) -> Path | None:
    """The table that the user named, found from the current folder or in the data folder; or one of TABLES."""
    if not labels:
        return next((folder / name for name in TABLES if (folder / name).is_file()), None)
    for path in (Path(labels), folder / labels):
        if files.kind_of(path) == "file":
            return path
    raise I2IError(f"There is no file {labels}.", did_you_mean(neighbors(labels)) or "Give a CSV with --labels.")


def _of_table(folder: Path, split: str, table: Table) -> Layout:
    """The images of a split that the table knows, with their attributes."""
    splits, notes = folder_names.splits_and_notes(folder)
    named = folder_names.split_folders(folder)
    split_list = partition.list_beside(table.path) if not named else None
    held = partition.read(split_list, table.rows, table.path) if split_list else {}
    if held:
        splits = tuple(name for name in folder_names.SPLITS if name in held.values())
    folder_names.need_split(str(folder), splits, split, notes)
    paths = {path.relative_to(folder).as_posix(): path for path in images.find_images(folder)}
    places = ["", *(f"{one.name}/" for (_, side), one in named.items() if not side)]
    if len(parents := {name.rpartition("/")[0] for name in paths}) == 1:  # celeba/img_align_celeba/000001.jpg
        places += [f"{parent}/" for parent in parents if parent]
    without_suffix: dict[str, list[str]] = {}
    for name in paths:
        without_suffix.setdefault(name.rpartition(".")[0], []).append(name)

    # Each line's file: as it is named, in the folder of a split, or with another suffix.
    found: dict[str, list[float]] = {}
    elsewhere: set[str] = set()  # files of other splits, by the list
    missing: list[str] = []
    for name, row in table.rows.items():
        plain = name.replace("\\", "/").removeprefix("./")
        known = [place + plain for place in places if place + plain in paths]
        if not known:
            stems = [without_suffix.get(place + plain.rpartition(".")[0], []) for place in places]
            known = [names[0] for names in stems if len(names) == 1]
        if not known:
            missing.append(name)
        found |= dict.fromkeys(known, row)
        if held and held[name] != split:
            elsewhere.update(known)
    if missing:
        raise I2IError(
            f"{len(missing):,} of the {len(table.rows):,} images in {table.path} are missing in {folder}: "
            f"{some_names(missing)}.",
            "Add them, remove their lines, or give the folder below which the table names its files.",
        )

    # The images of this split, in the order of their names.
    inside = named.get((split, ""), folder)
    below = [name for name, path in paths.items() if path.is_relative_to(inside) and name not in elsewhere]
    own = [name for name in below if name in found]
    rest = len(below) - len(own)
    if not own:
        raise I2IError(f"{table.path} names no image of {inside}.", "Give the table of these images.")
    layout = Layout("attributes", [Source(paths[name]) for name in own], splits=splits, notes=list(notes))
    layout.rows = [found[name] for name in own]
    if split_list:
        layout.notes.append(f"{split_list.name} tells the splits: {', '.join(splits)}.")
    if rest:
        layout.notes.append(f"{rest:,} images in {inside} are not in {table.path} and are left out.")
    counts = {name: int(sum(row[k] for row in layout.rows)) for k, name in enumerate(table.names)}
    if split == "train":
        _require_both_values(counts, len(own), table)
    layout.notes.append(_counted(counts, len(own)))
    return layout


def _of_classes(folder: Path, split: str) -> Layout:
    """The images of one folder for each class."""
    inside = folder_names.split_folders(folder).get((split, ""), folder)
    if sides := folder_names.sides_of(folder, split):  # trainA and trainB, or A and B, are two classes
        splits, notes = folder_names.splits_and_notes(folder)
        layout, parents = layouts.labelled({"A": sides[0], "B": sides[1]}, splits), list(sides)
        layout.notes = notes
    else:
        try:
            layout = layouts.find([folder], "labelled", split)
        except layouts.NoClasses as error:
            hint = "Put the images of each class into a folder, or give --labels TABLE.csv."
            raise I2IError(error.what, hint) from None
        parents = [inside / name for name in layout.class_names]
    layout.name = "attributes"
    inner = [layouts.class_folders(parent) for parent in parents]
    if len(parents) == 1 or all(len(names) > 1 for names in inner):
        deepest = next((p for p, names in zip(parents, inner, strict=True) if len(names) > 1), None)
        hint = f"It holds folders itself: give {deepest}." if deepest else "Give the folder that holds all classes."
        count = "one class" if len(parents) == 1 else f"{len(parents)} classes"
        raise I2IError(
            f"{inside} would make {count}: {some_names(layout.class_names)}. It seems one level too high.", hint
        )
    if ALL in layout.class_names:
        raise I2IError(f"A class is called {ALL}, which means every domain.", "Rename its folder.")
    layout.domains = Domains(classes=tuple(layout.class_names))
    numbers = Counter(layout.labels)
    layout.notes.append(_counted({name: numbers[k] for k, name in enumerate(layout.class_names)}, len(layout.a)))
    return layout


def _require_both_values(counts: dict[str, int], total: int, table: Table) -> None:
    """Raises I2IError if an attribute has one value for all images, so that nothing can be learnt of it."""
    constant = [name for name, count in counts.items() if count in (0, total)]
    if not constant:
        return
    rest = [name for name in table.names if name not in constant]
    value = 0 if counts[constant[0]] == 0 else 1
    others = f", and so {len(constant) - 1} more" if len(constant) > 1 else ""
    raise I2IError(
        f"The attribute {constant[0]} is {value} for all {total:,} images of {table.path}{others}.",
        f"Leave it out: --set attributes={','.join(rest)}" if rest else "Give a table in which attributes differ.",
    )


def _counted(counts: dict[str, int], total: int) -> str:
    """How many images each domain has."""
    if len(counts) > LISTED:
        rare = sorted(counts.items(), key=lambda item: item[1])[:FEW]
        shown = ", ".join(f"{name} {count:,}" for name, count in rare)
        return f"{len(counts)} domains among {total:,} images; the rarest: {shown}."
    shown = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"{len(counts)} domains among {total:,} images: {shown}."


def _groups(exclusive: str, of_card: Sequence[Sequence[str]], names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of attributes that exclude each other. Raises I2IError for names that are no attributes."""
    if exclusive in ("", "none"):
        return ()
    if exclusive == "auto":
        groups = [tuple(group) for group in of_card] or [HAIR]
        return tuple(group for group in groups if sum(name in names for name in group) > 1)
    chosen = tuple(tuple(n.strip() for n in group.split(",") if n.strip()) for group in exclusive.split(";"))
    for name in (name for group in chosen for name in group):
        if name not in names:
            raise I2IError(f"exclusive names {name!r}, which is no attribute.", nearest(name, names))
    return chosen


def _clashes(rows: list[list[float]], domains: Domains) -> list[str]:
    """A sentence on images that have two attributes of one exclusive group."""
    count = 0
    for group in domains.exclusive:
        columns = [k for k, name in enumerate(domains.bits) if name in group]
        count += sum(sum(row[k] for k in columns) > 1 for row in rows)
    return [f"{count:,} images have several attributes that exclude each other."] if count else []


# ---- tables ----------------------------------------------------------------------------------------------------------


def read_table(path: Path, columns: Sequence[str] = ()) -> Table:
    """A table of attributes, or the named columns of it in that order.

    Raises I2IError naming the line or the column that does not fit."""
    try:
        text = read_bytes(path, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise I2IError(f"{path} is not in UTF-8 ({error.reason}).", "Save it in UTF-8.") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise I2IError(f"{path} is empty.", "The first line names the attributes; each other one an image.")
    names, rows = _celeba(path, lines) if lines[0].strip().isdecimal() else _csv(path, lines)
    if not names:
        raise I2IError(f"{path} names no attributes.", "Write them in its first line: file,Smiling,Young")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise I2IError(f"{path} has two columns {twice[0]!r}.", "Remove or rename one.")
    for name in columns:
        if name not in names:
            raise I2IError(f"{path} has no attribute {name!r}.", nearest(name, names))
    chosen = list(dict.fromkeys(columns)) or names
    if ALL in chosen:
        raise I2IError(f"{path} has an attribute {ALL}, which means every domain.", "Rename the column.")
    places = [names.index(name) for name in chosen]
    table: dict[str, list[float]] = {}
    for number, name, cells in rows:
        if len(cells) != len(names):
            raise I2IError(f"Line {number} of {path} has {len(cells)} values for {len(names)} attributes.")
        if name in table:
            raise I2IError(f"{path} names {name} twice, the second time in line {number}.", "Remove one line.")
        table[name] = [_value(path, number, names[k], cells[k]) for k in places]
    return Table(path, tuple(chosen), table)


_Row = tuple[int, str, list[str]]  # number of the line, file, cells


def _csv(path: Path, lines: list[str]) -> tuple[list[str], Iterable[_Row]]:
    separator = max(",;\t", key=lines[0].count)
    header = [cell.strip() for cell in next(csv.reader(lines[:1], delimiter=separator))]
    empty = [k for k, name in enumerate(header[1:], 2) if not name]
    if empty:
        raise I2IError(f"Column {empty[0]} of {path} has no name.", "Name it in the first line, or remove it.")
    read = csv.reader(lines[1:], delimiter=separator)
    rows = ((n, row[0].strip(), [cell.strip() for cell in row[1:]]) for n, row in enumerate(read, 2) if row)
    return header[1:], rows


def _celeba(path: Path, lines: list[str]) -> tuple[list[str], Iterable[_Row]]:
    count, names = int(lines[0]), lines[1].split() if len(lines) > 1 else []
    if count != len(lines) - 2:
        raise I2IError(
            f"{path} says that it lists {count:,} images, and it lists {max(0, len(lines) - 2):,}.",
            "It is cut short, or its first line is wrong.",
        )
    cells = ((n, line.split()) for n, line in enumerate(lines[2:], 3))
    return names, ((n, parts[0], parts[1:]) for n, parts in cells)


def _value(path: Path, number: int, name: str, cell: str) -> float:
    if cell not in VALUES:
        what = f"is {cell!r}" if cell else "is empty"
        raise I2IError(f"The attribute {name} in line {number} of {path} {what}.", "Allowed: 1, and 0 or -1.")
    return VALUES[cell]
