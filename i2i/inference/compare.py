"""The use case "compare": models and folders of outputs on the same images, with paired significance, and a page."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.files import atomic_write
from i2i.core.progress import Progress
from i2i.inference import compare_page, compare_sets, metric_choice
from i2i.inference.compare_rows import difference_row
from i2i.inference.evaluate_data import Source
from i2i.inference.lineup import Lineup, open_lineup
from i2i.inference.pair_scores import PairMetrics, View, summary
from i2i.metrics import intervals

SHOWN = 24  # images on the page
DISTANCES = ("lpips", "l1")  # of two outputs of one input; LPIPS unless the images are too small for it


@dataclass
class Scores:
    """Scores of every image: values[name][metric] of a candidate beside the truth; and how far outputs lie apart."""

    values: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)
    apart: dict[str, list[float]] = field(default_factory=dict)  # by the names of two
    apart_by: str = ""
    shown: list[tuple[float, int, compare_page.Shown]] = field(default_factory=list)  # a heap of the farthest apart


def compare(
    candidates: Sequence[str | Path],
    data: Source | None = None,
    *,
    split: str | None = None,
    limit: int | None = None,
    size: int | None = None,
    metrics: Sequence[str] | str | None = None,
    features: str = "effnet",
    page: str | Path | None = None,
    show: int = SHOWN,
    seed: int = 0,
    device: str = "auto",
    method: str | Path | None = None,
    steps: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compares two or more models, run folders or folders of outputs on the same inputs, at one size.

    data: where the inputs (and the true images) lie; None: what the models were trained on. split, limit, metrics,
    features, seed: as of `i2i.evaluate`. size: in pixels; None: the largest that the models were trained at.
    page: an HTML file with up to `show` images side by side, those first on which the outputs differ most. steps: of
    the models that answer in several; None: their own numbers. progress(images done, images in all).

    Returns {"split", "count", "size", "layout", "candidates", "scores", "intervals", "differences", "apart", "page",
    "shown", "notes"} and, where sets are compared, "features". scores[name][metric]; intervals has the 95 % interval of
    each. differences: for two candidates "a" and "b" and each metric the "difference" a - b on the same images, its
    "interval", "clear" (0 lies outside of it) and "better": the name of the better one, if it is clear. apart: the mean
    distance of two outputs of one input, by the names of the two.

    Raises I2IError, before any model runs, if the candidates cannot be compared.
    """
    chosen = metric_choice.choose(metrics, features)
    if not 1 <= show <= compare_page.MOST:
        raise I2IError(f"{show} images cannot be shown on the page.", f"Allowed: 1 to {compare_page.MOST}.")
    lineup = open_lineup(
        candidates, data, split=split, limit=limit, size=size, device=device, method=method, steps=steps
    )
    chosen = metric_choice.choose(metrics, features, lineup.data.spec.scale)
    chosen = tuple(metric for metric in chosen if metric_choice.has_best(metric))
    sets = compare_sets.start(lineup, chosen, features, seed)
    scores = _score(lineup, chosen, sets, show if page is not None else 0, progress)

    result: dict[str, Any] = {"split": lineup.split, "count": lineup.count, "size": lineup.size}
    result["layout"] = lineup.data.layout
    result["candidates"] = {c.name: c.facts() for c in lineup.candidates}
    result["scores"] = {name: {} for name in lineup.names}
    result["intervals"] = {name: {} for name in lineup.names}
    for name, values in scores.values.items():
        result["scores"][name], result["intervals"][name] = summary(values, lineup.count, seed)
    result["differences"] = _differences(lineup, scores, result["scores"], seed)
    result["notes"] = list(lineup.notes)
    if sets is not None:
        sets.add_to(result)
    if not any(result["scores"].values()):
        result["notes"].append(_no_scores(lineup))
    if lineup.count == 1:
        result["notes"].append("One image says nothing about the difference: there are no intervals.")
    result["apart"] = {title: {scores.apart_by: sum(v) / len(v)} for title, v in scores.apart.items()}
    if page is not None:
        _write_page(Path(page), lineup, scores, result)
    return result


# ---- steps of the above --------------------------------------------------------------------------------------------


def _score(
    lineup: Lineup,
    metrics: Sequence[str],
    sets: compare_sets.ComparedSets | None,
    show: int,
    progress: Progress | None,
) -> Scores:
    """Runs all candidates on all inputs, and keeps what the page shows: memory does not grow with the images."""
    device = next((c.translator.device for c in lineup.candidates if c.translator is not None), torch.device("cpu"))
    pair_metrics = PairMetrics((*metrics, *DISTANCES), device, progress, lineup.data.spec.scale)
    scores = Scores()
    for item in lineup.items():
        own: dict[str, dict[str, float]] = {}
        views = [pair_metrics.view(output) for output in item.outputs]
        truth = None if item.truth is None else pair_metrics.view(item.truth)
        for name, view in zip(lineup.names, views, strict=True):
            if truth is not None and truth.image.shape == view.image.shape:
                found = pair_metrics(view, truth, metrics)
                own[name] = {metric: float(score) for metric, score in found.items()}
                for metric, score in found.items():
                    scores.values.setdefault(name, {}).setdefault(metric, []).append(score)
        farthest = _add_distances(lineup, views, pair_metrics, scores)
        if show and (len(scores.shown) < show or farthest > scores.shown[0][0]):
            entry = (farthest, -item.index, compare_page.shown(item, farthest, own))
            (heapq.heappush if len(scores.shown) < show else heapq.heapreplace)(scores.shown, entry)
        if sets is not None:
            sets.add(item.outputs)
        if progress is not None:
            progress(item.index + 1, lineup.count)
    return scores


def _add_distances(lineup: Lineup, views: Sequence[View], pair_metrics: PairMetrics, scores: Scores) -> float:
    """Adds how far each two outputs of one input lie apart (LPIPS, or L1 of images too small); returns the largest."""
    farthest = 0.0
    for (a, x), (b, y) in itertools.combinations(zip(lineup.names, views, strict=True), 2):
        values = pair_metrics(x, y, DISTANCES)
        scores.apart_by = scores.apart_by or ("lpips" if "lpips" in values else "l1")
        apart = float(values.get(scores.apart_by, values["l1"]))
        scores.apart.setdefault(f"{a} | {b}", []).append(apart)
        farthest = max(farthest, apart)
    return farthest


def _differences(lineup: Lineup, scores: Scores, means: dict[str, dict[str, float]], seed: int) -> list[dict[str, Any]]:
    """The difference of each two candidates by each metric that both have for every image."""
    rows = []
    for a, b in itertools.combinations(lineup.names, 2):
        for metric in means[a]:
            x, y = (torch.cat(scores.values[name][metric]) for name in (a, b))
            if len(x) < 2 or metric not in means[b] or not (x.isfinite().all() and y.isfinite().all()):
                continue
            interval = list(intervals.difference_interval(x, y, seed=seed))
            rows.append(difference_row(a, b, metric, float((x.double() - y.double()).mean()), interval))
    return rows


def _no_scores(lineup: Lineup) -> str:
    if lineup.data.layout == "paired":
        return "No metric fits these images. Leave out --metrics, or name others."
    if len(lineup.data.sides) == 2:
        return "These images are no pairs, and sets of fewer than 2 images have no score."
    return "There are no true images in the data, so nothing can be scored; look at the page (-o compare.html)."


def _write_page(path: Path, lineup: Lineup, scores: Scores, result: dict[str, Any]) -> None:
    rows = [entry[2] for entry in sorted(scores.shown, key=lambda entry: (-entry[0], -entry[1]))]
    text, shown = compare_page.render(lineup, rows, scores.apart_by, result)
    if shown < len(rows):
        result["notes"].append(
            f"The page shows {shown} images instead of {len(rows)}: it would have more than "
            f"{compare_page.LARGEST >> 20} MB."
        )
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))
    result["page"], result["shown"] = str(path), shown
