"""Names of folders that mean a split (train, val, test) or a side (A, B) of a data set."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from i2i.core.errors import I2IError
from i2i.media import images
from i2i.media.formats import readable

SPLITS = ("train", "val", "test")
UNKNOWN = "is not known as a split"
_SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "test": "test",
    "testing": "test",
}
_SPLIT_NAME = re.compile(rf"({'|'.join(_SPLIT_OF)})(?:[ _-]?([ab]))?")
_LIKE_SPLIT = re.compile(r"(?<![a-z])(train|test|val|valid|eval|dev|holdout)(?![a-rt-z])|^(train|test|valid)")
_PLAIN_NAMES = {f"{split}{side}" for split in SPLITS for side in ("", "A", "B")}  # these go first


def split_of(folder: str) -> tuple[str, str]:
    """(split, side) that a folder's name means: Training -> train and "", testA or test_a -> test and A; else two "".

    Upper and lower case are the same."""
    match = _SPLIT_NAME.fullmatch(folder.lower())
    return (_SPLIT_OF[match[1]], (match[2] or "").upper()) if match else ("", "")


def splits_of(source: Path) -> tuple[str, ...]:
    """The splits that a folder has, ("train",) if it has none by name."""
    return splits_and_notes(source)[0]


def split_notes(source: Path) -> list[str]:
    """Sentences on what the names of folders hide: a split without images or without one side, or a name like one."""
    return splits_and_notes(source)[1]


def splits_and_notes(source: Path) -> tuple[tuple[str, ...], list[str]]:
    """The splits of a folder, and the notes about those that are left out."""
    named = split_folders(source)
    notes = []
    if not named and (sides := _a_and_b(source)):
        return _splits_inside(sides)
    splits = []
    for split in SPLITS:
        a, b = named.get((split, "A")), named.get((split, "B"))
        if (a is None) != (b is None) and (split, "") not in named:
            single, missing = (a, "B") if a else (b, "A")
            assert single is not None
            notes.append(f"{single} has no partner {single.name[:-1]}{missing}: the split {split} is left out.")
            continue
        folders = [f for f in (a, b) if f is not None] or [f for f in [named.get((split, ""))] if f is not None]
        empty = [f for f in folders if not images.holds_images(f)]
        if not empty and (split, "") in named and _a_and_b(named.get(("train", ""), source)):  # then all have both
            notes_of_sides = _notes_of_sides([_side(named[split, ""], name) for name in ("A", "B")], split)
            if notes_of_sides and split != "train":
                notes += notes_of_sides
                continue
        if empty and split != "train":
            notes.append(f"{empty[0]} holds no images: the split {split} is left out.")
        elif folders:
            splits.append(split)
            notes += [f"{folder} holds no images." for folder in empty]
    if named:
        notes += _notes_beside(source, named)
    if not named:
        notes += [
            f"The folder {name} in {source} {UNKNOWN}, and its images count like all others; "
            f"splits are called {', '.join(SPLITS)}."
            for name in _folder_names(source)
            if _LIKE_SPLIT.search(name.lower())
        ]
    return tuple(splits) or ("train",), notes


def _notes_beside(source: Path, named: dict[tuple[str, str], Path]) -> list[str]:
    """Sentences about images that lie beside the folders of splits, and belong to none."""
    used = set(named.values())
    notes = [
        f"The folder {name} in {source} {UNKNOWN}, and its images are left out; splits are called {', '.join(SPLITS)}."
        for name in _folder_names(source)
        if source / name not in used and images.holds_images(source / name)
    ]
    with os.scandir(source) as entries:
        beside = sum(e.name.lower().endswith(readable()) and e.name[0] != "." and e.is_file() for e in entries)
    if beside:
        folder = min(used).name
        images_lie = "1 image lies" if beside == 1 else f"{beside} images lie"
        notes.append(f"{images_lie} in {source} beside the folder {folder}, outside every split: left out.")
    return notes


def _splits_inside(sides: tuple[Path, Path]) -> tuple[tuple[str, ...], list[str]]:
    """The splits that both folders A and B have, and the notes about those that are left out."""
    inner = [{s: folder for (s, side), folder in split_folders(one).items() if not side} for one in sides]
    splits, notes = [], []
    for split in SPLITS:
        if not any(split in folders for folders in inner):
            continue
        other = next((folders[split].name for folders in inner if split in folders), split)
        notes_of_sides = _notes_of_sides([f.get(split, s / other) for f, s in zip(inner, sides)], split)
        if notes_of_sides and split != "train":
            notes += notes_of_sides
        elif split in inner[0] and split in inner[1]:
            splits.append(split)
    return tuple(splits) or ("train",), notes


def _notes_of_sides(sides: Sequence[Path], split: str) -> list[str]:
    """A sentence if one of the two folders of a split is missing, or holds no images."""
    for i, side in enumerate(sides):
        if not side.is_dir():
            return [f"{sides[1 - i]} has no partner {side}: the split {split} is left out."]
    empty = [side for side in sides if not images.holds_images(side)]
    return [f"{empty[0]} holds no images: the split {split} is left out."] if empty else []


def _side(folder: Path, name: str) -> Path:
    """The folder called `name`, A or B, or its small letter, in a folder; if there is none, where it would be."""
    return next((folder / n for n in _folder_names(folder) if n.upper() == name), folder / name)


def split_folders(source: Path) -> dict[tuple[str, str], Path]:
    """The folders of splits in a folder, by (split, side); of two with one meaning, the one with the shorter name."""
    folders: dict[tuple[str, str], Path] = {}
    for name in sorted(_folder_names(source), key=lambda n: (n not in _PLAIN_NAMES, len(n), n)):
        if (key := split_of(name))[0]:
            folders.setdefault(key, source / name)
    return folders


def _folder_names(source: Path) -> list[str]:
    with os.scandir(source) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())


def _a_and_b(source: Path) -> tuple[Path, Path] | None:
    """The folders A and B, or a and b, of a folder."""
    names = {name.upper(): name for name in reversed(_folder_names(source)) if name.upper() in ("A", "B")}
    return (source / names["A"], source / names["B"]) if len(names) == 2 else None


def need_split(source: str, splits: tuple[str, ...], split: str, notes: Sequence[str] = ()) -> None:
    if split not in splits:
        why = next((note for note in notes if f"the split {split} is left out" in note or UNKNOWN in note), "")
        raise I2IError(f"{source} has no split {split!r}.", why or f"It has: {', '.join(splits)}.")


def sides_of(source: Path, split: str) -> tuple[Path, Path] | None:
    """The folders of A and B inside one folder, if it has them."""
    named = split_folders(source)
    if (split, "A") in named and (split, "B") in named:
        return named[split, "A"], named[split, "B"]
    if (split, "") in named:
        return _a_and_b(named[split, ""])
    if named:
        return None
    sides = _a_and_b(source)
    if sides is None:
        return None
    a, b = (split_folders(side).get((split, "")) for side in sides)
    return (a, b) if a is not None and b is not None else sides
