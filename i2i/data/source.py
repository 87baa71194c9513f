"""Opens what a user names as data: one folder, two folders, or the name of a data card."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from i2i.core import files, resources
from i2i.core.errors import I2IError
from i2i.core.progress import Progress
from i2i.core.resources import cache_folder
from i2i.core.suggest import did_you_mean, neighbors, same_name
from i2i.data import archive, cards, download

if TYPE_CHECKING:
    from i2i.data.dataset import Data
    from i2i.data.spec import DataSettings


def open(
    sources: Sequence[str | Path] | str | Path,
    spec: DataSettings | None = None,
    split: str = "train",
    progress: Progress | None = None,
    cropped: bool = False,
) -> Data:
    """Opens a folder, two folders (A and B), or a data set by its name (fetched on first use; `progress` shows it).

    cropped: images that are too small for the crops of `spec` are left out, and the data's notes name them.
    Raises I2IError in one sentence if there is no such source or split, if the images do not fit the layout, or if all
    are too small."""
    from i2i.data import attributes, large, layouts  # torch comes with these: not for those who only list data sets
    from i2i.data.dataset import Data
    from i2i.data.spec import DataSettings

    spec = spec or DataSettings()
    spec.check()
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    chosen = [card if (card := _card(one)) is None else _twin(card, spec.layout) for one in given]
    folders = [get(card.name, progress) if card else Path(one) for one, card in zip(given, chosen, strict=True)]
    flip = all(card.flip for card in chosen if card)
    licence = next((card.licence for card in chosen if card and card.licence), "")
    if spec.degrades and not spec.makes and spec.layout in ("auto", "paired") and _single(folders, spec.scale, split):
        spec = replace(spec, make="+".join(spec.degrades))
        spec.check()
    if spec.layout == "attributes":
        groups = next((card.exclusive for card in chosen if card and card.exclusive), ())
        found = attributes.find(folders, split, spec.labels, spec.attributes, spec.exclusive, groups)
    else:
        found = layouts.find(folders, "images" if spec.makes else spec.layout, split)
    found.notes += [note for one in given if (note := _same_name_note(one))]
    if cropped:
        found = large.large_enough(found, spec)
    return Data(found, spec, folders, flip=flip, licence=licence, cache_folder=cache_folder() / "pictures")


def _single(folders: Sequence[Path], scale: int, split: str) -> bool:
    """True if the data is one folder of images that are no pairs. Two images side by side are pairs of one size."""
    if len(folders) != 1:
        return False
    from i2i.data import layouts

    found = layouts.find(folders, split=split)
    return found.name in ("images", "labelled") or (scale > 1 and found.a[0].part != layouts.WHOLE)


def folders(sources: Sequence[str | Path], progress: Progress | None = None) -> list[Path]:
    """The folder of each source: a folder, or a data set by its name, which is fetched on first use.

    Raises I2IError if there is neither."""
    cards_of = [_card(one) for one in sources]
    return [get(card.name, progress) if card else Path(one) for one, card in zip(sources, cards_of, strict=True)]


def _card(source: str | Path) -> cards.DataCard | None:
    """The card of a data set; None for a folder. Raises I2IError if `source` is neither."""
    kind = files.kind_of(source)
    if kind == "folder":
        return None
    if _is_path(source) or (kind and same_name(str(source), cards.names()) is None):
        what = f"{source} is a file." if kind == "file" else f"The folder {source} does not exist."
        near = "" if kind else did_you_mean(neighbors(source, folders_only=True))
        raise I2IError(what, near or "Give a folder with images, or a data set's name.")
    return cards.card(str(source))


def _same_name_note(source: str | Path) -> str:
    """A sentence if a plain name means a folder and is also the name of a data set; else empty."""
    if _is_path(source) or files.kind_of(source) != "folder" or source not in cards.names():
        return ""
    return (
        f"{source} is read from the folder {source} here, not from i2i's data set of that name: for the data set, "
        "rename the folder or start the command elsewhere."
    )


def _twin(card: cards.DataCard, layout: str) -> cards.DataCard:
    """The card with the same images in the layout that is asked for, if there is one; else `card`."""
    if layout not in ("auto", card.layout) and card.twin and cards.card(card.twin).layout == layout:
        return cards.card(card.twin)
    return card


def _is_path(source: str | Path) -> bool:
    text = str(source)
    return isinstance(source, Path) or os.sep in text or "/" in text or text.startswith((".", "~"))


def get(name: str, progress: Progress | None = None) -> Path:
    """The folder of a named data set: shipped, in the cache, or else downloaded, verified and unpacked into the cache.

    Raises I2IError if the name is unknown or the download fails."""
    card = cards.card(name)
    name = card.name
    folder = where(name)
    if folder.is_dir():
        return _inner(folder)
    if not card.urls:
        raise I2IError(f"The data set {name} cannot be downloaded.", card.note)
    packed = cache_folder() / "downloads" / f"{card.name}{''.join(PurePosixPath(card.urls[0]).suffixes[-2:])}"
    was_there = packed.is_file()
    try:
        _fetch_and_unpack(card, packed, folder, progress)
    except archive.DamagedArchive as error:  # without a known hash, only unpacking finds damage
        if not was_there:
            raise I2IError(error.what, f"The archive was removed. Try again: i2i data get {name}") from error
        _fetch_and_unpack(card, packed, folder, progress)  # what an earlier process left was damaged
    return _inner(folder)


def _fetch_and_unpack(card: cards.DataCard, packed: Path, folder: Path, progress: Progress | None) -> None:
    """Downloads the archive of a data set to `packed`, unpacks it into `folder`, and removes it.

    Raises I2IError: DamagedArchive after removing the archive, others (a full disk, ...) without."""
    record = folder.with_name(f".{card.name}.sha256")
    size = card.bytes or None
    download.fetch(card.urls, packed, card.sha256 or None, size, progress, card.max_bytes, record)
    with download.locked(folder):
        if not folder.is_dir():  # another process may have been here meanwhile
            try:
                archive.extract(packed, folder)
            except archive.DamagedArchive:
                packed.unlink(missing_ok=True)
                raise
            if not card.sha256:
                download.remember(record, packed, f"the data set {card.name}")
        packed.unlink(missing_ok=True)


def where(name: str) -> Path:
    """The folder of a named data set, which may not be there yet: beside its card if shipped, else in the cache."""
    shipped = resources.shipped("datasets") / name
    return shipped if shipped.is_dir() else cache_folder() / "datasets" / name


def _inner(folder: Path) -> Path:
    """The folder in which the images begin: archives hold one folder of the set's name."""
    from i2i.data import folder_names

    inside = [p for p in folder.iterdir() if not p.name.startswith((".", "__MACOSX"))]
    while len(inside) == 1 and inside[0].is_dir() and not folder_names.split_of(inside[0].name)[0]:
        folder = inside[0]
        inside = [p for p in folder.iterdir() if not p.name.startswith((".", "__MACOSX"))]
    return folder
