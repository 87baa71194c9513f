"""What can be said of a model on images without pairs, where there is no true translation to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import data as datasets
from i2i.core.errors import I2IError, NoDirection
from i2i.core.progress import Progress
from i2i.inference.evaluate_data import opposite
from i2i.inference.set_evaluation import SetEvaluation, add_to
from i2i.losses.reconstruction import l1
from i2i.media import images
from i2i.models.load import load
from i2i.models.translator import Translator

BATCH = 8  # images in one pass of the network
NOTE = (
    "These images are no pairs, so there is no truth to score each image by. The numbers say how much the model "
    "changes an image, how well it finds the way back, and how far its outputs as a set are from real images of the "
    "other side. Look at the images too (--save DIR)."
)


def evaluate_unpaired(
    model: str | Path | Translator,
    translator: Translator,
    data: datasets.Data,
    limit: int | None,
    *,
    direction: str = "AtoB",
    device: str = "auto",
    save: str | Path | None = None,
    method: str | Path | None = None,
    sets: SetEvaluation | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measures a model on the first `limit` images of its input side (None: all); the images need no partners.

    sets: compares the outputs with the real images of the other side, by features. progress(images done, in all).
    Returns {"count", "size", "note", "unpaired": {"changed", "way back", "colors"}} and, with `sets`, the rows "model",
    "input copied", "real images" (training images of that side), "intervals" and "features", as `evaluate` does.
    changed: mean |G(x) - x| in [0, 2], if the channels agree. way back: mean |F(G(x)) - x|, if the model holds F.
    colors: mean difference, over the channels, of the mean values of all G(x) and of the real images of the other side,
    in [0, 2], if there is another side."""
    side = data.sides[0]
    count = len(side) if limit is None else min(limit, len(side))
    if count < 1:
        raise I2IError(f"There is no image to evaluate: the data has {len(side)}, the limit is {limit}.")
    back = _way_back(model, opposite(direction), device, method)
    values: dict[str, list[float]] = {"changed": [], "way back": []}
    sums: Tensor | None = None
    for start in range(0, count, BATCH):
        xs = [data.item(i).x[0] for i in range(start, min(start + BATCH, count))]
        translations = translator(xs, batch=BATCH)
        for i, (x, made) in enumerate(zip(xs, translations, strict=True), start):
            if save is not None:
                images.save((Path(save) / data.names[i]).with_suffix(".png"), images.to_uint8(made))
            if made.shape == x.shape:
                values["changed"].append(float(l1(made, x)))
            mean = made.double().mean((1, 2))
            sums = mean if sums is None else sums + mean
        if back is not None:
            returned = back(translations, batch=BATCH)
            values["way back"] += [float(l1(r, x)) for r, x in zip(returned, xs, strict=True) if r.shape == x.shape]
        if sets is not None:
            sets.add("model", translations)
            sets.add("input copied", xs)
        if progress is not None:
            progress(start + len(xs), count)
    scores = {name: sum(v) / count for name, v in values.items() if len(v) == count}
    if len(data.sides) == 2 and sums is not None:
        real = torch.stack([_target(data, i).double().mean((1, 2)) for i in range(min(count, len(data.sides[1])))])
        scores["colors"] = float((sums / count - real.mean(0)).abs().mean())
    result: dict[str, Any] = {"count": count, "size": data.size, "note": NOTE, "unpaired": scores}
    if sets is not None and len(data.sides) == 2:
        intervals: dict[str, dict[str, list[float]]] = {}
        add_to(result, intervals, sets, data, 1, len(data.sides[1]))
        result["intervals"] = intervals
    return result


def _way_back(
    model: str | Path | Translator, direction: str, device: str, method: str | Path | None
) -> Translator | None:
    """The model's network for the way back, in this direction; None if it has none, or is in memory."""
    if isinstance(model, Translator):
        return None
    try:
        return load(model, device, "fp32", direction=direction, method=method)
    except NoDirection:
        return None


def _target(data: datasets.Data, index: int) -> Tensor:
    y = data.item(index).y
    assert y is not None
    return y[0]
