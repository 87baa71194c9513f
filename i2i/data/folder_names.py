"""Names of folders that mean a split (train, val, test) or a side (A, B) of a data set."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from i2i.core.errors import I2IError
from i2i.media import images

SPLITS = ("train", "val", "test")
_SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
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
        inner = [{s for s, side in split_folders(one) if not side} for one in sides]
        return tuple(s for s in SPLITS if s in inner[0] & inner[1]) or ("train",), []
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
        if empty and split != "train":
            notes.append(f"{empty[0]} holds no images: the split {split} is left out.")
        elif folders:
            splits.append(split)
    if not named:
        notes += [
            f"The folder {name} in {source} is not known as a split, and its images count like all others; "
            f"splits are called {', '.join(SPLITS)}."
            for name in _folder_names(source)
            if _LIKE_SPLIT.search(name.lower())
        ]
    return tuple(splits) or ("train",), notes


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
        why = next((note for note in notes if f"the split {split} is left out" in note), "")
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
