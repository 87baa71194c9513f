"""The use case "evaluate": a model against the true images of a paired test split, beside two trivial guesses.

A model is worth something if it beats both guesses: the mean image of the training targets, given for every input, and
the input itself, handed back unchanged. See `baselines` for the guesses beside models that enlarge or color.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import data as datasets
from i2i.core import files
from i2i.core.errors import I2IError
from i2i.core.progress import Progress
from i2i.inference import diversity, metric_choice, set_evaluation
from i2i.inference.baselines import Baselines, enlarged
from i2i.inference.evaluate_data import Source, data_of_run, header_for, open_split
from i2i.inference.evaluate_domains import sets_of_domain
from i2i.inference.evaluate_generated import as_generator, check_generator, check_translator, evaluate_generator
from i2i.inference.evaluate_unpaired import evaluate_unpaired
from i2i.inference.pair_scores import PairMetrics, Values, summary
from i2i.media import grids, images
from i2i.models.answers import AnswerSettings, names_of
from i2i.models.generator import LoadedGenerator
from i2i.models.load import load
from i2i.models.translator import Translator
from i2i.nets.choice import Choice

BATCH = 8  # images in one pass of the network
SHEET_ROWS = 8  # images on the sheet test.png of a finished run


def evaluate(
    model: str | Path | Translator | LoadedGenerator,
    data: datasets.Data | Source | None = None,
    limit: int | None = None,
    *,
    split: str | None = None,
    direction: str = "AtoB",
    device: str = "auto",
    save: str | Path | None = None,
    method: str | Path | None = None,
    metrics: Sequence[str] | str | None = None,
    features: str = "effnet",
    size: int | None = None,
    seed: int = 0,
    to: str | Sequence[str] = (),
    steps: int | None = None,
    samples: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores a model on the first `limit` pairs of a split (None: all pairs).

    split: train, val or test. None: test; without it val; and all pairs if the data is not divided at all, which the
    result's "note" says then. direction: AtoB, as trained, or BtoA: the way back of a CycleGAN, with swapped sides.

    data: an opened split, or where the images lie. None: the data that the model was trained on. Direction and
    pre-processing are those of the model's header, and so is the size in pixels unless `size` is given: two models are
    compared at one size. save: a folder that gets every translation as PNG. method: the user's own method file that
    defines the network; **its code is run**. metrics: names (see i2i.inference.metric_choice); None: all that fit and
    need no download. features: the network by which sets of images are compared (see i2i.models.feature_weights). seed:
    of intervals, of MIND's directions, of KID's subsets and of answers. to: the domain or the attributes that a model
    with many translates into; empty: the first. steps: of a model that answers in several; None: its own number.
    progress(images done, images in all).

    Returns {"split", "count", "size", "model", "mean image", "input copied" (or "bicubic", for a model that enlarges;
    "gray" and "mean color", for one that colors, and the colorfulness of the "true images"), "real images",
    "intervals", "features"}.
    The rows from "model" to "real images" hold scores by metric, averaged over images: l1 in [0, 2] (images lie in
    [-1, 1]), psnr in dB, ssim at most 1, lpips, ...; and of all images as a set: fd_effnet, kid (times 1000), mind,
    precision, recall, density, coverage. "real images" is the floor: real training images beside the real test images.
    "intervals" has the 95 % interval of scores, by row and metric. "features" names the network, its resize, the
    numbers of images, and "warnings". A row is left out if it does not exist for every pair: there is no training
    split, the images differ in size, or the input has other channels than the target. A metric is left out if an image,
    or a set, is too small for it. Of a model with several answers for one image, the row "model" has their "diversity",
    and "diversity" of the result says how it was measured. "steps" is the number that was asked for, if one was.

    Without pairs there is no truth to score by: the result has "note" and "unpaired" then, see
    `inference.evaluate_unpaired`. Of a model from noise, `samples` images are compared with real ones as a set, see
    `inference.evaluate_generated`. Raises I2IError if the data has no such split, only one kind of images, or a metric
    or feature network is unknown, or the model has no choice of domains or steps.
    """
    generator = as_generator(model, device, method)
    if data is None and isinstance(model, str | Path):
        data = data_of_run(Path(model))
    if generator is not None:
        check_generator(direction)
        if to:
            raise I2IError("A model from noise translates into no domain.", "Leave out --to.")
        if steps is not None:
            raise I2IError("A model from noise makes an image in one step.", "Leave out --steps.")
        return evaluate_generator(
            generator, data, split, metrics, features, samples=samples, limit=limit, size=size, seed=seed, save=save,
            progress=progress,
        )  # fmt: skip
    assert not isinstance(model, LoadedGenerator)
    translator = (
        model if isinstance(model, Translator) else load(model, device, "fp32", direction=direction, method=method)
    )
    wanted = names_of(to, getattr(translator.saved_network, "domains", ()))
    if to or steps is not None:
        steps = AnswerSettings(steps=steps).steps  # which checks it
        translator = translator.with_choice(Choice(to=wanted, steps=steps or 0))
    chosen = _metrics_of(translator, metrics, features, samples)
    sets = set_evaluation.start(chosen, features, seed, translator.device)
    note = ""
    if isinstance(data, datasets.Data):
        opened = data
    else:
        header = {**header_for(translator.header, direction), "scale": translator.scale}
        of_domain = sets_of_domain(header, data, split, size, wanted)
        opened, split, note = of_domain or open_split(header, data, split, size)
    if opened.layout == "unpaired":
        scores = evaluate_unpaired(
            model, translator, opened, limit, direction=direction, device=device, save=save, method=method, sets=sets,
            progress=progress,
        )  # fmt: skip
        scores = {"split": split or "", **scores}
    else:
        scores = _evaluate_pairs(translator, opened, limit, chosen, sets, seed, save, progress)
        told = {"split": "" if isinstance(data, datasets.Data) else split, **({"note": note} if note else {})}
        scores = {**told, **scores}
    _add_diversity(scores, translator, opened, chosen, seed, progress)
    return {**scores, **({"steps": steps} if steps is not None else {})}


def _metrics_of(
    translator: Translator, metrics: Sequence[str] | str | None, features: str, samples: int | None
) -> Sequence[str]:
    """The metrics of a model that translates. Raises I2IError for one that does not fit it."""
    chosen = metric_choice.choose(metrics, features, translator.scale, bool(translator.header.get("colorizes")))
    check_translator(chosen, samples)
    if metrics is not None and "diversity" in chosen:
        diversity.check_answers(translator)
    return chosen


def _add_diversity(
    result: dict[str, Any],
    translator: Translator,
    data: datasets.Data,
    chosen: Sequence[str],
    seed: int,
    progress: Progress | None,
) -> None:
    """Adds how much the answers for one image differ, if it was chosen and the model has several."""
    if "diversity" in chosen and diversity.has_answers(translator):
        diversity.add_to(result, diversity.score(translator, data, result["count"], seed, progress))


def _evaluate_pairs(
    translator: Translator,
    data: datasets.Data,
    limit: int | None,
    metrics: Sequence[str],
    sets: set_evaluation.SetEvaluation | None,
    seed: int,
    save: str | Path | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """The result for the first `limit` pairs (None: all). Raises I2IError if the data has none."""
    if len(data.sides) != 2 or data.layout != "paired":
        raise I2IError(
            f"Data of layout {data.layout!r} has no true images to compare with.",
            "Give pairs: a folder of A|B images, or two folders with equal names.",
        )
    count = data.count if limit is None else min(limit, data.count)
    if count < 1:
        raise I2IError(f"There is no pair to evaluate: the data has {data.count}, the limit is {limit}.")
    values = _score_pairs(
        translator, data, count, save, PairMetrics(metrics, translator.device, scale=data.spec.scale), sets, progress
    )
    return {"count": count, "size": data.size, **_rows(values, data, count, sets, seed)}


def _rows(
    values: dict[str, Values],
    data: datasets.Data,
    count: int,
    sets: set_evaluation.SetEvaluation | None,
    seed: int,
) -> dict[str, Any]:
    """The rows of the result with their intervals, and facts about the sets."""
    result: dict[str, Any] = {}
    intervals: dict[str, dict[str, list[float]]] = {}
    for title, by_metric in values.items():
        # over all images or not at all: rows over different images could not be compared
        means, spread = summary(by_metric, count, seed)
        if means:
            result[title], intervals[title] = means, spread
    if sets is not None:
        set_evaluation.add_to(result, intervals, sets, data, 1, count)
    if intervals:
        result["intervals"] = intervals
    return result


def _score_pairs(
    translator: Translator,
    data: datasets.Data,
    count: int,
    save: str | Path | None,
    metrics: PairMetrics,
    sets: set_evaluation.SetEvaluation | None,
    progress: Progress | None,
) -> dict[str, Values]:
    """Per guess and metric: the values of all of the first `count` images that the guess exists for."""
    values: dict[str, Values] = {}
    colorizes = bool(translator.header.get("colorizes"))
    baselines = Baselines(data, colorizes)
    for start in range(0, count, BATCH):
        pairs = list(_pairs(data, start, min(start + BATCH, count)))
        translations = translator([x for x, _ in pairs], batch=BATCH)
        for i, ((x, y), translation) in enumerate(zip(pairs, translations, strict=True), start):
            if save is not None:
                images.save((Path(save) / data.names[i]).with_suffix(".png"), images.to_uint8(translation))
            real = metrics.view(y)
            for title, guess in {"model": translation, **baselines(x, int(y.shape[0]))}.items():
                if guess is not None and guess.shape == y.shape:
                    for metric, score in metrics(metrics.view(guess), real).items():
                        values.setdefault(title, {}).setdefault(metric, []).append(score)
            if colorizes:  # how colorful the images should be
                for metric, score in metrics(real, real, ("colorfulness",)).items():
                    values.setdefault("true images", {}).setdefault(metric, []).append(score)
        if sets is not None:
            sets.add("model", translations)
            copies = [baselines.of_input(x, int(y.shape[0])) for x, y in pairs]
            if all(copied is not None for copied in copies):
                sets.add(baselines.title_of_input, [copied for copied in copies if copied is not None])
        if progress is not None:
            progress(start + len(pairs), count)
    return values


def conclude(
    model: str | Path | Translator, held_out: datasets.Data, split: str, folder: Path, device: str = "auto"
) -> dict[str, Any]:
    """Evaluates the finished model of a run on `held_out`, the images of its `split`, and returns the scores.

    model: the model in memory, or its file, which is loaded on `device`. Writes two files into the run's `folder`:
    metrics.json with the scores, and test.png, a sheet of some inputs, translations and true images."""
    translator = model if isinstance(model, Translator) else load(model, device, "fp32")
    more = ["y"] if translator.scale > 1 else ["color"] if translator.header.get("colorizes") else []
    result = evaluate(translator, held_out, metrics=("pixel", *more, "lpips"))
    result["split"] = split
    with files.atomic_write(folder / "metrics.json") as file:
        file.write(json.dumps(result, indent=1).encode())
    samples = held_out.fixed(SHEET_ROWS)
    assert samples.y is not None
    columns = {"input": samples.x}
    if translator.scale > 1:
        columns["bicubic"] = enlarged(samples.x, translator.scale)
    columns |= {"translated": torch.stack(translator([*samples.x])), "real": samples.y}
    images.save(folder / "test.png", grids.draw_grid(columns))
    return result


def _pairs(data: datasets.Data, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(input, target) of the pairs number `start` to `stop` - 1, each [C, H, W] in [-1, 1]."""
    for i in range(start, stop):
        sample = data.item(i)
        assert sample.y is not None
        yield sample.x[0], sample.y[0]
