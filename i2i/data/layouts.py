"""Layouts of data sets: paired, unpaired, images or labelled folders, with or without train/ val/ test/.

A `Layout` lists, for each sample, where its image x comes from and, where there is one, its image y or its class.
"""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from i2i.core.errors import I2IError
from i2i.data import folder_names
from i2i.media import formats, images, video
from i2i.nets.domains import Domains

# "joined" is paired, in files that hold A and B side by side, whatever their shape
LAYOUTS = ("auto", "paired", "unpaired", "images", "labelled", "joined", "attributes")  # the last: data.attributes
WHOLE, LEFT, RIGHT = -1, 0, 1  # part of a file that an image is


@dataclass(frozen=True)
class Source:
    """Where an image is: a file, one half of it, or the middle of that."""

    path: Path
    part: int = WHOLE
    center: int = 0  # pixels, side of the square that is cut out of the middle; 0: all of it


class NoClasses(I2IError):
    """Labelled images were asked for, and the folder holds no folders of images."""


@dataclass
class Layout:
    """The samples of one split. Sides are in the order A, B; `direction` is not applied yet."""

    name: str  # "paired", "unpaired", "images", "labelled" or "attributes"
    a: list[Source]
    b: list[Source] = field(default_factory=list)  # paired: as long as a, in the same order
    labels: list[int] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)  # attributes of a: for each image a 1 or 0 per attribute
    domains: Domains | None = None  # names of attributes and classes; layout attributes
    splits: tuple[str, ...] = ("train",)
    notes: list[str] = field(default_factory=list)  # sentences on what is left out


def find(sources: Sequence[Path], layout: str = "auto", split: str = "train") -> Layout:
    """Lists the images of one or two folders and decides their layout.

    Raises I2IError if a folder is missing or empty, if the split does not exist, or if the images do not lie as
    `layout` needs them."""
    if layout not in LAYOUTS:
        raise I2IError(f"The layout {layout!r} is unknown.", f"Allowed: {', '.join(LAYOUTS)}.")
    for source in sources:
        if not source.is_dir():
            raise I2IError(f"The folder {source} does not exist.", "Give a folder with images, or a data set's name.")
    if layout == "attributes":
        from i2i.data import attributes  # which lists the images of its folders by this function

        return attributes.find(sources, split)
    if len(sources) not in (1, 2):
        raise I2IError(f"{len(sources)} data folders were given.", "Give one folder, or two: A and B.")
    if len(sources) == 2:
        layout_found = _two(sources[0], sources[1], layout, split)
    else:
        layout_found = _one(sources[0], layout, split)
    if line := left_out([file for source in sources for file in images.find_others(source)]):
        layout_found.notes = [*layout_found.notes, line]
    return layout_found


def pair_key(path: Path, side: Path) -> str:
    """What two images of a pair have in common: the path below their side without suffix, its letters composed."""
    return unicodedata.normalize("NFC", path.relative_to(side).with_suffix("").as_posix())


def _one(source: Path, layout: str, split: str) -> Layout:
    splits, notes = folder_names.splits_and_notes(source)
    folder_names.need_split(str(source), splits, split, notes)
    layout_found = _in_split(source, layout, split, splits)
    layout_found.notes = notes
    return layout_found


def _in_split(source: Path, layout: str, split: str, splits: tuple[str, ...]) -> Layout:
    """The layout of one split of one folder."""
    pair = folder_names.sides_of(source, split)
    if pair:
        return _two_lists(_images_in(pair[0]), _images_in(pair[1]), pair, layout, splits)
    named = folder_names.split_folders(source)
    folder = named.get((split, ""), source)
    lone = named.get((split, "A"), named.get((split, "B"))) if folder == source else None
    if lone is not None:
        missing = lone.name[:-1] + ("B" if lone.name[-1:].upper() == "A" else "A")
        raise I2IError(f"{source} holds {lone.name} without {missing}.", f"Add the folder {source / missing}.")
    classes = class_folders(folder)
    if layout == "labelled" or (layout == "auto" and len(classes) > 1):
        if not classes:
            raise NoClasses(f"{folder} has no class folders.", "Labelled images lie in one folder a class.")
        return labelled({name: folder / name for name in classes}, splits)
    paths = _images_in(folder)
    if layout == "images":
        return Layout("images", [Source(p) for p in paths], splits=splits)
    joined = layout == "joined" or _side_by_side(paths)
    if layout == "auto" and not joined:
        return Layout("images", [Source(p) for p in paths], splits=splits)
    if not joined and len(classes) == 2:
        sides = tuple(folder / name for name in classes)
        raise I2IError(
            f"{folder} holds the folders {' and '.join(classes)}, but not by the names A and B, so their sides are not "
            "clear.",
            f"Give both, the inputs first: --data {shlex.join(map(str, sides))}",
        )
    if not joined:
        raise I2IError(
            f"{folder} holds single images, but {layout} images are needed.",
            f"Give a second folder (--data {shlex.quote(str(folder))} OTHER), or one with trainA/ and trainB/ or with "
            "A/ and B/"
            + (", or files twice as wide as high with A and B side by side." if layout == "paired" else "."),
        )
    a, b = [Source(p, LEFT) for p in paths], [Source(p, RIGHT) for p in paths]
    return Layout("unpaired" if layout == "unpaired" else "paired", a, b, splits=splits)


def _two(a: Path, b: Path, layout: str, split: str) -> Layout:
    if layout in ("images", "labelled", "joined"):
        raise I2IError(f"Two folders were given, but the layout {layout} takes one.", "Give one folder.")
    (in_a, notes_a), (in_b, notes_b) = folder_names.splits_and_notes(a), folder_names.splits_and_notes(b)
    splits, notes = tuple(s for s in in_a if s in in_b), [*notes_a, *notes_b]
    for lone in (set(in_a) ^ set(in_b)) - {"train"}:
        one, other = (a, b) if lone in in_a else (b, a)
        notes.append(f"{one} has the split {lone}, and {other} has not: the split {lone} is left out.")
    folder_names.need_split(f"{a} and {b}", splits, split, notes)
    sides = (folder_names.split_folders(a).get((split, ""), a), folder_names.split_folders(b).get((split, ""), b))
    layout_found = _two_lists(_images_in(sides[0]), _images_in(sides[1]), sides, layout, splits)
    layout_found.notes = notes
    return layout_found


def _two_lists(a: list[Path], b: list[Path], sides: tuple[Path, Path], layout: str, splits: tuple[str, ...]) -> Layout:
    if layout in ("images", "labelled", "joined"):
        raise I2IError(f"{sides[0].parent} holds A and B, but the layout {layout} takes one kind.", f"Give {sides[0]}.")
    if layout != "unpaired":
        by_name = match(a, b, sides)
        if isinstance(by_name, Layout):
            by_name.splits = splits
            return by_name
        if layout == "paired":
            raise by_name
    return Layout("unpaired", [Source(p) for p in a], [Source(p) for p in b], splits=splits)


def match(a: list[Path], b: list[Path], sides: tuple[Path, Path]) -> Layout | I2IError:
    """Pairs two lists by their names below `sides` without suffix; the error names what has no partner."""
    keyed: list[dict[str, Path]] = []
    for paths, side in zip((a, b), sides, strict=True):
        names: dict[str, Path] = {}
        for path in paths:
            key = pair_key(path, side)
            if key in names:
                return I2IError(
                    f"{names[key]} and {path} have the same name, so their partner is not clear.", "Rename one."
                )
            names[key] = path
        keyed.append(names)
    alone_a, alone_b = sorted(keyed[0].keys() - keyed[1].keys()), sorted(keyed[1].keys() - keyed[0].keys())
    if alone_a or alone_b:
        lists = [f"only in {s}: {_some(n)}" for s, n in zip(sides, (alone_a, alone_b), strict=True) if n]
        return I2IError(
            "Pairs are matched by file name, and some have no partner: " + "; ".join(lists) + ".",
            f"Rename or remove them. If they are no pairs, use a method that needs none: {_unpaired_command(sides)}",
        )
    keys = sorted(keyed[0])
    return Layout("paired", [Source(keyed[0][k]) for k in keys], [Source(keyed[1][k]) for k in keys])


def _unpaired_command(sides: tuple[Path, Path]) -> str:
    return shlex.join(["i2i", "train", "cyclegan", "--data", *map(str, sides)])


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _images_in(folder: Path) -> list[Path]:
    paths = images.find_images(folder)
    if not paths:
        line = left_out(images.find_others(folder))
        raise I2IError(f"{folder} holds no images. {line}".strip(), f"Known suffixes: {' '.join(formats.readable())}.")
    return paths


def left_out(others: Sequence[Path]) -> str:
    """A line that counts files that are no readable images, and says what helps; "" if there are none."""
    line = formats.left_out(others)
    suffixes = {file.suffix.lower() for file in others}
    if videos := [suffix for suffix in video.READABLE if suffix in suffixes]:
        line += f" Training reads no videos ({', '.join(videos)}): save their frames as images first."
    return line


def class_folders(folder: Path) -> list[str]:
    """Names of the folders in `folder` that hold images, if no image lies beside them."""
    names = []
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and images.holds_images(entry.path):
            names.append(entry.name)
        elif entry.is_file() and entry.name.lower().endswith(formats.readable()):
            return []
    return names


def labelled(classes: Mapping[str, Path], splits: tuple[str, ...]) -> Layout:
    """The images of the folder of each class, by the names of the classes."""
    layout = Layout("labelled", [], class_names=list(classes), splits=splits)
    for label, folder in enumerate(classes.values()):
        paths = images.find_images(folder)
        layout.a += [Source(p) for p in paths]
        layout.labels += [label] * len(paths)
    return layout


def _side_by_side(paths: list[Path], most: int = 16) -> bool:
    """True if files look like two images side by side: all sampled are twice as wide as high."""
    step = max(1, len(paths) // most)
    for path in paths[::step][:most]:
        width, height = header(path)[:2]
        if abs(width - 2 * height) > 1:
            return False
    return True


def header(path: Path) -> tuple[int, int, int]:
    """Width, height (upright) and natural channels of an image, without decoding it."""
    with images.open_image(path, load=False) as image:
        width, height = image.size
        if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):
            width, height = height, width
        return width, height, images.natural_channels(image)
