"""Finds the images that a model is evaluated on: its own training data or others, and the split."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from i2i import data as datasets
from i2i.core import files
from i2i.core.errors import I2IError
from i2i.core.reading import has_form, read_yaml
from i2i.data import cards, folder_names, layouts, source

Source = str | Path | Sequence[str | Path]  # where images lie: a folder, several folders, or the name of a data set


def data_of_run(model: Path) -> list[str] | None:
    """The absolute paths of the training data, from the config.yaml of a run's folder; None for any other model."""
    if not model.exists():  # the name of a model
        return None
    path = (model if model.is_dir() else model.parent) / "config.yaml"
    if not path.is_file():
        return None
    config = read_yaml(path)
    return list(config["data"]) if has_form(config, {"data": [str]}) and config["data"] else None


def open_split(
    header: dict[str, Any], data: Source | None, split: str | None, size: int | None
) -> tuple[datasets.Data, str, str]:
    """The split of the data, prepared as the model's header says; its name; and a note for the user, or "".

    size: in pixels; None: that of the header.

    Pairs if the images are pairs, else the layout unpaired."""
    sources, split, note = sources_of(header, data, split)
    settings = settings_of(header, "paired", size)
    names = [[Path(str(one)).name for one in some] for some in (sources, header.get("data") or [])]
    if settings.degrade and names[0] == names[1]:  # the training made its pairs of these images, whatever they hold
        settings = replace(settings, make=settings.degrade)
    try:
        return datasets.open(sources, settings, split=split), split, note
    except I2IError as error:
        try:
            found = layouts.find(source.folders(sources), split=split)
        except I2IError:
            raise error from None
        of_piles = header.get("layout") == "unpaired" or "F" in (header.get("networks") or {})
        stems = [{one.path.stem for one in side} for side in (found.a, found.b)]
        mostly_agree = 2 * len(stems[0] & stems[1]) >= min(map(len, stems))
        if found.name != "unpaired" or (mostly_agree and not of_piles):
            raise  # most names agree: these are pairs, and some lack a partner
        return datasets.open(sources, replace(settings, layout="unpaired"), split=split), split, ""


def header_for(header: Mapping[str, Any], direction: str) -> dict[str, Any]:
    """The header by which data are read for a direction of a model: for BtoA, the way back, with swapped sides."""
    if direction != "BtoA":
        return dict(header)
    trained = str(header.get("direction") or "AtoB")
    swapped = {"channels_in": header.get("channels_out"), "channels_out": header.get("channels_in")}
    return {**header, **swapped, "direction": "AtoB" if trained == "BtoA" else "BtoA"}


def opposite(direction: str) -> str:
    """The other direction."""
    return "AtoB" if direction == "BtoA" else "BtoA"


def settings_of(header: Mapping[str, Any], layout: str, size: int | None = None) -> datasets.DataSettings:
    """How images are prepared for a model, as its header says; in the layouts "images" and "labelled", its inputs.

    size: in pixels; None: that of the header."""
    size = size or int(header.get("size") or 256)
    return datasets.DataSettings(
        layout=layout,
        size=size,
        load=size,
        center=int(header.get("center") or 0),
        preprocess=str(header.get("preprocess") or "resize_and_crop"),
        direction=str(header.get("direction") or "AtoB"),
        palette=str(header.get("palette") or "") if layout == "paired" else "",
        channels_in=int(header.get("channels_in") or 0),
        channels_out=int(header.get("channels_out") or 0) if layout in ("paired", "unpaired") else 0,
        scale=int(header.get("scale") or 1) if layout == "paired" else 1,
        degrade=str(header.get("degrade") or "") if layout == "paired" else "",
        workers=0,
    )


def sources_of(header: dict[str, Any], data: Source | None, split: str | None) -> tuple[list[str | Path], str, str]:
    """Where the images lie, the split to score, and a note. Raises I2IError if the data or the split is not there."""
    sources = [data] if isinstance(data, str | Path) else list(data or header.get("data") or [])
    if not sources:
        raise I2IError("The model does not say which data it was trained on.", "Give the data with --data.")
    if not data and any(files.kind_of(one) != "folder" and str(one) not in cards.names() for one in sources):
        listed = ", ".join(Path(str(one)).name for one in sources)
        raise I2IError(f"The data that the model was trained on ({listed}) is not here.", "Name it: --data DIR")
    return sources, *choose_split(sources, split)


def choose_split(sources: Sequence[str | Path], split: str | None) -> tuple[str, str]:
    """The split to score, and a note if the images are not divided. Raises I2IError if there is no such split."""
    folders = source.folders(sources)
    splits = [s for s in folder_names.splits_of(folders[0]) if all(s in folder_names.splits_of(f) for f in folders)]
    if split is None:
        split = next((s for s in ("test", "val") if s in splits), next(iter(splits), "train"))
        if split == "train":
            return split, "The images are not divided into train and test: all of them were scored."
    if split not in splits:
        listed = " and ".join(map(str, sources))
        raise I2IError(
            f"{listed} {'have' if len(sources) > 1 else 'has'} no split {split!r}.",
            f"It has: {', '.join(splits)}. Without --split, test is scored, or all images if they are not divided.",
        )
    return split, ""


def one_side(data: datasets.Data, side: int) -> datasets.Data:
    """The images of a side of the data alone, as layout "images". side: 0 for inputs, 1 for targets."""
    return _images(data, side, data.sides[side])


def training_side(data: datasets.Data, side: int) -> datasets.Data | None:
    """The images of a side of the training split, which need no partners there; None if there is no such split."""
    if "train" not in data.splits:
        return None
    makes = bool(data.spec.makes)  # then inputs are made from the images of one folder
    for layout in ("images",) if makes else (data.layout, "unpaired"):
        with contextlib.suppress(I2IError):
            found = layouts.find(data.roots, layout, "train")
            sides = [found.a, found.a if makes else found.b] if data.spec.direction == "AtoB" else [found.b, found.a]
            return _images(data, side, sides[side]) if sides[side] else None
    return None


def _images(data: datasets.Data, side: int, sources: list[layouts.Source]) -> datasets.Data:
    spec = replace(data.spec, layout="images", direction="AtoB", channels_in=data.channels[side], channels_out=0)
    spec = replace(spec, palette="", label_edges=False)  # images by themselves, even if they are label maps
    spec = spec if side == 0 else replace(spec, make="")
    return datasets.Data(layouts.Layout("images", sources), spec, data.roots)
