"""What can be said of a model that makes images from noise: its samples as a set, beside real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import data as datasets
from i2i.core.errors import I2IError
from i2i.core.progress import Progress
from i2i.data import layouts
from i2i.inference import metric_choice, set_evaluation
from i2i.inference.evaluate_data import Source, settings_of, sources_of
from i2i.inference.set_evaluation import FLOOR, SetEvaluation, side_features
from i2i.media import images
from i2i.metrics import neighbors
from i2i.metrics.study import wilson
from i2i.models import content
from i2i.models import format as model_file
from i2i.models.generator import LoadedGenerator, load_generator
from i2i.models.load import find

MOST = 2000  # samples, unless the user says more
KNOWN = 1000  # real images that tell the classes, at least (if there are so many)
BATCH = 32  # images in one pass of the feature network


@dataclass
class RealSets:
    """Real images in two sets that share no image.

    test: what the samples are compared with. known: compared with `test`, too (the floor), and it tells the classes."""

    test: datasets.Data
    known: datasets.Data
    note: str = ""


def as_generator(model: Any, device: str, method: str | Path | None) -> LoadedGenerator | None:
    """The generator of a model that makes images from noise; None for any other model.

    Raises I2IError if there is no such model."""
    if isinstance(model, LoadedGenerator):
        return model
    if not isinstance(model, str | Path):
        return None
    source = find(model)
    if content.kind_of(source.path) != content.SAFETENSORS:
        return None
    if model_file.read_header(source.path).get("kind") != "generate":
        return None
    return load_generator(source, device, method)


def evaluate_generator(
    generator: LoadedGenerator,
    data: datasets.Data | Source | None,
    split: str | None,
    metrics: Sequence[str] | str | None,
    features: str,
    *,
    samples: int | None,
    limit: int | None,
    size: int | None,
    seed: int,
    save: str | Path | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Finds the metrics, the feature network and the real images, and calls `evaluate_generated`.

    The arguments are those of `i2i.evaluate`. Raises I2IError as that does, and if no metric compares sets."""
    chosen = metric_choice.choose(metrics, features)
    chosen = (*chosen, *metric_choice.GENERATED) if metrics is None else chosen
    sets = set_evaluation.start(chosen, features, seed, generator.device, by_default=metrics is None)
    if sets is None:
        raise I2IError(
            f"{', '.join(chosen)}: such metrics compare an image with its true image, and images from noise have none.",
            f"Allowed: {', '.join((*metric_choice.SETS, *metric_choice.GENERATED))}.",
        )
    if isinstance(data, datasets.Data):
        raise I2IError("A model from noise is evaluated on folders or a named data set, not on opened data.")
    sources, split, note = sources_of(generator.header, data, split)
    real = real_sets(generator, sources, split, size, note)
    result = evaluate_generated(
        generator, real, sets, samples=samples, limit=limit, seed=seed, save=save, progress=progress
    )
    return {"split": split, **result}


def check_translator(metrics: Sequence[str], samples: int | None) -> None:
    """Raises I2IError if a model that translates images was given what belongs to models from noise."""
    if samples is not None or "labels" in metrics:
        what = "The number of samples" if samples is not None else "The metric labels"
        raise I2IError(
            f"{what} belongs to models that make images from noise, and this model translates images.",
            "Leave it out. --limit N scores the first N images.",
        )


def check_generator(direction: str) -> None:
    """Raises I2IError if a model from noise was given what belongs to models that translate images."""
    if direction != "AtoB":
        raise I2IError(
            f"The direction {direction!r} is for models that translate; this model makes images from noise.",
            "Leave it out.",
        )


def evaluate_generated(
    generator: LoadedGenerator,
    real: RealSets,
    sets: SetEvaluation,
    *,
    samples: int | None,
    limit: int | None,
    seed: int,
    save: str | Path | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Compares `samples` images of the seeds seed, seed + 1, ... with the first `limit` real images (None: all).

    samples: None for as many as there are real images, at most 2,000. Classes follow each other: the image of seed s
    has class s modulo their number. Returns {"count", "size", "generated", "model", "real images", "intervals",
    "features"}; "generated" has samples, first seed, and the classifier of the metric `labels`, if there are classes.

    Raises I2IError if a set has fewer than two images, or if `samples` is too small."""
    # as many real images on both sides as there are samples, so that the floor is a floor
    available = min(len(real.test.sides[0]), len(real.known.sides[0]), limit or len(real.test.sides[0]))
    count = min(available, MOST) if samples is None else samples
    real_count = min(available, count)
    for what, number in (("samples", count), ("real images", real_count)):
        if number < 2:
            raise I2IError(
                f"Sets are compared from 2 images on, and there {'is' if number == 1 else 'are'} {number} of the "
                f"{what}.",
                "Give --data with more images, or a larger --samples.",
            )

    # the samples, and their features
    seeds = range(seed, seed + count)
    waiting: list[Tensor] = []
    for i, image in enumerate(generator.images(seeds, progress=progress)):
        if save is not None:
            images.save(Path(save) / f"seed{seeds[i]:06d}.png", images.to_uint8(image))
        waiting.append(image)
        if len(waiting) == BATCH or i == count - 1:
            sets.add("model", waiting)
            waiting = []

    # the real images: those that are compared, and those of the floor
    sets.real = side_features(sets.network, real.test, 0, real_count)
    labels = "labels" in sets.metrics and generator.conditional
    known = side_features(sets.network, real.known, 0, max(real_count, KNOWN if labels else 0))
    sets.add_features(FLOOR, known[_spread(len(known), real_count)])
    scores, intervals, facts = sets.compare()
    result: dict[str, Any] = {"count": count, "size": real.test.size, "generated": {"samples": count, "seed": seed}}
    if real.note:
        result["note"] = real.note
    if labels:
        _add_labels(result, scores, intervals, sets, generator, real, known, real_count, seeds)
    return {**result, **scores, "intervals": intervals, "features": facts}


def _add_labels(
    result: dict[str, Any],
    scores: dict[str, dict[str, float]],
    intervals: dict[str, dict[str, list[float]]],
    sets: SetEvaluation,
    generator: LoadedGenerator,
    real: RealSets,
    known: Tensor,
    real_count: int,
    seeds: Sequence[int],
) -> None:
    """Adds the share of images that a nearest-neighbor classifier gives the class that was asked for.

    The classifier knows features of real images; on other real images it shows how far it can be trusted."""
    names = generator.labels
    if sorted(real.known.class_names) != sorted(names):
        listed = ", ".join(real.known.class_names[:8]) or "none"
        result["generated"]["labels"] = f"not checked: the data has other classes ({listed}) than the model"
        return
    number = torch.tensor([names.index(name) for name in real.known.class_names])

    def labels_of(data: datasets.Data, count: int) -> Tensor:
        return number[torch.tensor(data.labels)[_spread(len(data.labels), count)]]

    asked = generator.classes(torch.tensor(list(seeds)), None)
    assert asked is not None
    assert sets.real is not None
    fake = torch.cat([part.features for part in sets.parts["model"]])
    for title, features, truth in (("model", fake, asked), (FLOOR, sets.real, labels_of(real.test, real_count))):
        right = int((neighbors.classify(known, labels_of(real.known, len(known)), features) == truth).sum())
        scores[title]["labels"], *edges = wilson(right, len(truth))
        if title == "model":
            intervals.setdefault(title, {})["labels"] = edges
    result["generated"]["labels"] = (
        f"classified by the {neighbors.NEIGHBORS} nearest of {len(known)} real images, by features of "
        f"{sets.network.name}; the column of real images shows how often this classifier is right"
    )


def real_sets(
    generator: LoadedGenerator, sources: Sequence[str | Path], split: str, size: int | None, note: str
) -> RealSets:
    """The real images of a split, and those of the training split; two halves if there is no other split.

    note: of the choice of the split. Raises I2IError if the data cannot be opened, or has no two images."""
    header = generator.header
    layout = "labelled" if generator.conditional else "images"
    outputs = {**header, "channels_in": header.get("channels_out")}  # the real images are like what it makes
    settings = settings_of(outputs, layout, size or max(generator.sizes))
    try:
        test = datasets.open(sources, settings, split=split)
    except I2IError:  # no folders of classes: the images alone can be compared
        settings = replace(settings, layout="images")
        test = datasets.open(sources, settings, split=split)
    if split != "train" and "train" in test.splits:
        return RealSets(test, datasets.open(sources, settings, split="train"), note)
    return RealSets(
        _part(test, 0), _part(test, 1), "The real images are compared in two halves, because there is no other split."
    )


def _part(data: datasets.Data, start: int) -> datasets.Data:
    """Every second image of the data, from number `start` on."""
    rows = slice(start, None, 2)
    if len(data.sides[0]) < 2:
        raise I2IError(f"The data has {len(data.sides[0])} image.", "Give --data with at least 4.")
    half = layouts.Layout(data.layout, data.sides[0][rows], labels=data.labels[rows], class_names=data.class_names)
    return datasets.Data(half, data.spec, data.roots)


def _spread(length: int, count: int) -> Tensor:
    """`count` row numbers, spread evenly over `length` rows."""
    return torch.arange(count) * length // count
