"""Scores of a set of images beside a set of real ones, by the features of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from i2i.inference import metric_choice
from i2i.media.images import levels
from i2i.metrics import features, intervals
from i2i.metrics.feature_networks import FeatureNetwork, SetFeatures

ENOUGH = {"fd": 2048, "kid": 100, "precision": 1000}  # images; below, a score says little
NEIGHBORS = 5  # k of precision, recall, density and coverage
DRAWS = 10  # resampled sets for an interval; a Frechet distance of 2,048 features takes seconds each
SUBSETS = 20  # of KID


@dataclass
class SetScores:
    """What was measured. scores and intervals: by metric; KID is multiplied by 1000."""

    scores: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)


def kid_1000(real: Tensor, fake: Tensor, seed: int = 0) -> float:
    """KID times 1000; over all rows if there are at most 1,000, else the mean over subsets of 1,000."""
    if max(len(real), len(fake)) <= 1000:
        return 1000 * features.mmd(real, fake)
    return 1000 * features.kid(real, fake, SUBSETS, 1000, seed)[0]


def score(
    real: Tensor, fake: SetFeatures, network: FeatureNetwork, metrics: Sequence[str], seed: int, spread: bool = True
) -> SetScores:
    """Scores the features of a set of images against those of real images [N, D].

    Metrics that the sets are too small for are left out. spread: with 95 % intervals."""
    found = SetScores()
    least = min(len(real), len(fake.features))
    ways: dict[str, Callable[[Tensor, Tensor], float]] = {}
    if least >= 2:
        ways = {"fd": features.fid, "kid": partial(kid_1000, seed=seed), "mind": partial(features.mind, seed=seed)}
    for metric, way in ways.items():
        if metric not in metrics:
            continue
        name = network.frechet_name if metric == "fd" else metric
        value = found.scores[name] = way(real, fake.features)
        if spread:
            found.intervals[name] = list(intervals.set_interval(way, (real, fake.features), value, DRAWS, seed))
    if least > NEIGHBORS and set(metrics) & set(metric_choice.OVERLAP):
        overlap = features.overlap(real, fake.features, NEIGHBORS)
        found.scores |= {name: getattr(overlap, name) for name in metric_choice.OVERLAP if name in metrics}
    if "is" in metrics and fake.logits is not None:
        splits = min(10, max(1, len(fake.logits) // 100))
        found.scores[network.inception_score_name] = features.inception_score(fake.logits, splits)[0]
    return found


def warnings_for(scores: Sequence[str], real: int, fake: int) -> list[str]:
    """Sentences about metrics that are computed on too few images to mean much."""
    least = min(real, fake)
    said = []
    if any(name == "fid" or name.startswith("fd_") for name in scores) and least < ENOUGH["fd"]:
        said.append(
            f"The Frechet distance of {least} images is too high, for it falls with their number. Compare it only "
            f"with that of the floor (real against real); {ENOUGH['fd']:,} images and more are usual."
        )
    if "kid" in scores and least < ENOUGH["kid"]:
        said.append(f"KID of {least} images is uncertain; see its interval. {ENOUGH['kid']} images and more are usual.")
    if "precision" in scores and least < ENOUGH["precision"]:
        said.append(
            f"Precision, recall, density and coverage of {least} images are rough; {ENOUGH['precision']:,} are usual."
        )
    return said


def facts_of(scores: Sequence[str], network: FeatureNetwork, fake: int, real: int, seed: int) -> dict[str, Any]:
    """What a result says of its scores of sets: the network, its resize, the numbers of images, seed and warnings."""
    return {
        "network": network.name,
        "resize": network.rule,
        "images": fake,
        "real images": real,
        "seed": seed,
        "warnings": warnings_for(scores, real, fake),
    }


def level_images(images: Sequence[Tensor]) -> list[Tensor]:
    """Images [C, H, W] in [-1, 1] as uint8, with one or three channels: as files would hold them, without alpha."""
    return [levels(image)[: 3 if len(image) >= 3 else 1] for image in images]
