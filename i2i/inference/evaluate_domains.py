"""One folder of images of many domains, as two sets for an evaluation: images to translate, and those of the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from i2i import data as datasets
from i2i.core.errors import I2IError
from i2i.data import attributes, folder_names, layouts, source
from i2i.inference.evaluate_data import Source, settings_of


def sets_of_domain(
    header: Mapping[str, Any], data: Source | None, split: str | None, size: int | None, to: Sequence[str]
) -> tuple[datasets.Data, str, str] | None:
    """The images of a split that are not in the domain `to`, and those that are: (data, split, note for the user).

    Without `split`: test, val, or all images if they are not divided. None if the data are several folders, or hold
    neither a table of attributes nor a folder for each domain. Raises I2IError if one of the sets is empty."""
    sources = [data] if isinstance(data, str | Path) else list(data or header.get("data") or [])
    if len(sources) != 1 or not to:
        return None
    folders = source.folders(sources)
    has_table = attributes.table_of(folders[0], "") is not None
    if not has_table and any(folder_names.sides_of(folders[0], one) for one in folder_names.SPLITS):
        return None  # two sides, which may be pairs
    try:
        first = attributes.find(folders, "train")
    except I2IError:
        if has_table:
            raise
        return None
    domains = first.domains
    if domains is None or not set(to) <= set(domains.names):
        return None
    split = split or next((name for name in ("test", "val") if name in first.splits), "train")
    note = "" if split != "train" else "The images are not divided into train and test: all of them were scored."
    found = first if split == "train" else attributes.find(folders, split)

    # Inside: images of the class, or with all of the attributes.
    if domains.bits:
        columns = [domains.bits.index(name) for name in to]
        inside = [all(row[k] for k in columns) for row in found.rows]
    else:
        inside = [found.class_names[label] in to for label in found.labels]
    a, b = ([one for one, is_in in zip(found.a, inside, strict=True) if is_in is side] for side in (False, True))
    if not a or not b:
        what = "no image" if not b else "nothing but images"
        raise I2IError(f"The split {split} of {sources[0]} has {what} of {','.join(to)}.", "Give another --split.")
    settings = replace(settings_of(header, "unpaired", size), direction="AtoB")
    return datasets.Data(layouts.Layout("unpaired", a, b, splits=found.splits), settings, folders), split, note
