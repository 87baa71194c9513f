"""Collects the features of outputs and of real images during an evaluation, and scores them as sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from i2i import data as datasets
from i2i.core.files import atomic_write, sha256_of
from i2i.core.resources import cache_folder
from i2i.inference import metric_choice, set_scores
from i2i.inference.evaluate_data import one_side, training_side
from i2i.metrics.feature_networks import FeatureNetwork, SetFeatures
from i2i.models import feature_weights

FLOOR = "real images"  # the row of real training images beside the real test images


class SetEvaluation:
    """The features of several sets of images, by the set's name; `scores` compares each with the real images."""

    def __init__(self, network: FeatureNetwork, metrics: Sequence[str], seed: int) -> None:
        self.network, self.metrics, self.seed = network, metrics, seed
        self.parts: dict[str, list[SetFeatures]] = {}
        self.real: Tensor | None = None

    def add(self, name: str, images: Sequence[Tensor]) -> None:
        """Adds images [C, H, W] in [-1, 1] to the set `name`."""
        self.parts.setdefault(name, []).append(self.network(set_scores.level_images(images)))

    def add_features(self, name: str, features: Tensor) -> None:
        """Adds features [N, D] to the set `name`."""
        self.parts.setdefault(name, []).append(SetFeatures(features, None))

    def compare(self) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, list[float]]], dict[str, Any]]:
        """(scores, 95 % intervals, facts) of each set beside the real images. Intervals: of the first set only."""
        assert self.real is not None
        scores: dict[str, dict[str, float]] = {}
        spread: dict[str, dict[str, list[float]]] = {}
        count = 0
        for i, (name, parts) in enumerate(self.parts.items()):
            joined = SetFeatures.joined(parts)
            wanted = self.metrics if name == next(iter(self.parts)) else [m for m in self.metrics if m != "is"]
            found = set_scores.score(self.real, joined, self.network, wanted, self.seed, spread=i == 0)
            scores[name], count = found.scores, count or len(joined.features)
            if found.intervals:
                spread[name] = found.intervals
        first = list(scores[next(iter(scores))]) if scores else []
        return scores, spread, set_scores.facts_of(first, self.network, count, len(self.real), self.seed)


def start(
    metrics: Sequence[str], features: str, seed: int, device: torch.device, by_default: bool = False
) -> SetEvaluation | None:
    """A new collection, if any of the metrics compares sets. by_default: nobody asked for these metrics.

    Raises I2IError if the network cannot be had, or cannot give a metric that was asked for."""
    if not set(metrics) & {*metric_choice.SETS, *metric_choice.GENERATED}:
        return None
    network = feature_weights.find(features, device)
    metric_choice.check_network([m for m in metrics if m != "is" or not by_default], network)
    return SetEvaluation(network, metrics, seed)


def add_to(
    result: dict[str, Any],
    intervals: dict[str, dict[str, list[float]]],
    sets: SetEvaluation,
    data: datasets.Data,
    side: int,
    count: int,
) -> None:
    """Adds the scores of all sets to the rows of a result, and the floor: real training images of that side.

    The real images are the first `count` of the split's, or all if its sides differ; the floor has as many."""
    real = side_features(sets.network, data, side, count, spread=False)
    sets.real = real
    training = training_side(data, side)
    scored = {source.path for source in data.sides[side]}
    if training is not None and not any(source.path in scored for source in training.sides[0]):
        sets.add_features(FLOOR, side_features(sets.network, training, 0, len(real)))
    scores, spread, facts = sets.compare()
    for title, values in scores.items():
        result[title] = {**result.get(title, {}), **values}
    for title, edges in spread.items():
        intervals[title] = {**intervals.get(title, {}), **edges}
    result["features"] = facts


def side_features(network: FeatureNetwork, data: datasets.Data, side: int, count: int, spread: bool = True) -> Tensor:
    """The features [n, D] of up to `count` images of a side of the data: the first ones, or spread evenly over all.

    side: 0 for inputs, 1 for targets. The features are kept in the cache folder, by the contents of the files, the
    pre-processing and the network."""
    sources = data.sides[side]
    n = min(count, len(sources))
    rows = [i * len(sources) // n if spread else i for i in range(n)]
    digest = hashlib.sha256(_identity(network).encode())
    spec = {k: v for k, v in asdict(data.spec).items() if k not in ("workers", "cache", "cache_gb")}
    digest.update(repr((side, sorted(spec.items()), data.channels)).encode())
    for i in rows:
        digest.update(f"{sha256_of(sources[i].path)}{sources[i]!r}".replace(str(sources[i].path), "").encode())
    kept = cache_folder() / "features" / f"{digest.hexdigest()}.safetensors"
    if kept.is_file():
        try:
            return load_file(kept)["features"]
        except (OSError, KeyError, SafetensorError):  # damaged: it is made again
            kept.unlink(missing_ok=True)
    images = one_side(data, side)
    features = network(set_scores.level_images([images.item(i).x[0]])[0] for i in rows).features
    kept.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(kept) as file:
        file.write(save({"features": features.contiguous()}))
    return features


@cache
def _identity(network: FeatureNetwork) -> str:
    """Tells feature networks apart: name, resize rule, and what the network says of one fixed image."""
    ramp = torch.arange(64 * 48 * 3, dtype=torch.int64).remainder(251).to(torch.uint8).reshape(3, 64, 48)
    features = network([ramp]).features
    rounded = (features / features.abs().max().clamp_min(1e-9) * 1000).round().to(torch.int32)
    return f"{network.name} {network.size} {network.rule} {hashlib.sha256(rounded.numpy().tobytes()).hexdigest()}"
