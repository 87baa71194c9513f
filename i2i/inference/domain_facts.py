"""What a model file says of images, for one that does not say so yet: training inputs, and bf16 on held-out ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i import data as datasets
from i2i.core.errors import I2IError
from i2i.data import folder_names, source
from i2i.inference.evaluate_data import Source, open_split, settings_of
from i2i.media import luma
from i2i.metrics.domain import CHANNELS, FEWEST, IMAGES, facts_of
from i2i.models.header import NETWORK_OF
from i2i.models.precision import IMAGES as MEASURED


def facts_from(header: Mapping[str, Any], data: Source) -> dict[str, Any]:
    """The header's entry "domain", as the training would have written it, from the training images of the model.

    data: pairs, two sides without pairs, or the inputs alone; of divided data the split train. Raises I2IError for a
    model that keeps no such facts: one from noise, one that enlarges, one that reads maps of labels; and for fewer than
    FEWEST images."""
    ways = _ways(header)
    if not ways:
        raise I2IError("The model reads no images.", "Leave out --inputs.")
    if int(header.get("scale") or 1) > 1:
        raise I2IError("The model enlarges images of any kind: it keeps nothing of its inputs.", "Leave out --inputs.")
    splits = folder_names.splits_of(source.folders([data] if isinstance(data, str | Path) else data)[0])
    split = "train" if "train" in splits else splits[0]
    opened = datasets.open(data, settings_of(header, "auto"), split=split)
    # the sides in the model's direction: inputs, and what they become
    batch = opened.fixed(IMAGES)
    x = luma.gray(batch.x) if header.get("colorizes") else batch.x
    sides = {"AtoB": x, "BtoA": batch.y}
    facts = facts_of({way: side if way in ways else None for way, side in sides.items()})
    if not facts:
        raise I2IError(
            f"The images say too little about the model's inputs (found: {len(batch.x)}, channels: {x.shape[1]}).",
            f"Give {FEWEST} or more images of {' or '.join(map(str, CHANNELS))} channels.",
        )
    return facts


def held_out_inputs(header: Mapping[str, Any], data: Source) -> dict[str, Tensor]:
    """Images that the model was not trained on, [B, C, H, W] in [-1, 1], by the directions that it translates.

    data: as of `i2i evaluate`, which chooses the split test, val, or all images. Raises I2IError as `open_split`, and
    for a model from noise."""
    ways = _ways(header)
    if not ways:
        raise I2IError("The model reads no images.", "Leave out --measure.")
    sides = open_split(dict(header), data, None, None)[0].fixed(MEASURED)
    return {way: side for way, side in (("AtoB", sides.x), ("BtoA", sides.y)) if way in ways and side is not None}


def _ways(header: Mapping[str, Any]) -> list[str]:
    """The directions in which a model translates; none for one from noise."""
    networks = {**NETWORK_OF, "AtoB": header.get("generator", NETWORK_OF["AtoB"])}
    return [] if header.get("kind") == "generate" else [w for w, name in networks.items() if name in header["networks"]]
