"""The outputs of several candidates as sets, each beside the same real images, and their differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from i2i.inference import metric_choice, set_scores
from i2i.inference.compare_rows import difference_row
from i2i.inference.lineup import Lineup
from i2i.inference.set_evaluation import side_features
from i2i.metrics import features
from i2i.metrics.feature_networks import FeatureNetwork, SetFeatures
from i2i.models import feature_weights

BATCH = 8  # images in one pass of the feature network


class ComparedSets:
    """The features of all outputs of each candidate; images are dropped once their features are known."""

    def __init__(self, lineup: Lineup, network: FeatureNetwork, metrics: Sequence[str], seed: int) -> None:
        self.lineup, self.network, self.metrics, self.seed = lineup, network, metrics, seed
        self.waiting: list[list[Tensor]] = []
        self.parts: list[list[SetFeatures]] = [[] for _ in lineup.candidates]

    def add(self, outputs: list[Tensor]) -> None:
        """Adds the outputs of one input, one of each candidate."""
        self.waiting.append(outputs)
        if len(self.waiting) == BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self.waiting:
            return
        for parts, images in zip(self.parts, zip(*self.waiting, strict=True), strict=False):
            parts.append(self.network(set_scores.level_images(images)))
        self.waiting = []

    def add_to(self, result: dict[str, Any]) -> None:
        """Adds scores, intervals, differences and the facts "features" to a result of `compare`."""
        self._flush()
        paired = self.lineup.data.layout == "paired"
        count = self.lineup.count if paired else len(self.lineup.data.sides[1])
        real = side_features(self.network, self.lineup.data, 1, count, spread=False)
        sets = [SetFeatures.joined(parts) for parts in self.parts]
        for name, joined in zip(self.lineup.names, sets, strict=True):
            scored = set_scores.score(real, joined, self.network, self.metrics, self.seed)
            result["scores"][name].update(scored.scores)
            result["intervals"][name].update(scored.intervals)
        pairs = itertools.combinations(zip(self.lineup.names, sets, strict=True), 2)
        for (a, x), (b, y) in pairs if len(sets[0].features) > 1 and len(real) > 1 else ():
            for metric, way in self._ways().items():
                difference = result["scores"][a][metric] - result["scores"][b][metric]
                spread = self._spread(way, real, x.features, y.features)
                interval = [difference - spread, difference + spread]
                result["differences"].append(difference_row(a, b, metric, difference, interval))
        first = list(result["scores"][self.lineup.names[0]])
        result["features"] = set_scores.facts_of(first, self.network, self.lineup.count, len(real), self.seed)

    def _ways(self) -> dict[str, Callable[[Tensor, Tensor], float]]:
        """The set scores that are compared, by the name that they have in results."""
        ways: dict[str, tuple[str, Callable[[Tensor, Tensor], float]]] = {
            "fd": (self.network.frechet_name, features.fid),
            "kid": ("kid", partial(set_scores.kid_1000, seed=self.seed)),
            "mind": ("mind", partial(features.mind, seed=self.seed)),
        }
        return dict(ways[metric] for metric in ways if metric in self.metrics)

    def _spread(self, way: Callable[[Tensor, Tensor], float], real: Tensor, x: Tensor, y: Tensor) -> float:
        """1.96 standard deviations of score(x) - score(y), with the same inputs and real images drawn for both."""
        generator = torch.Generator().manual_seed(self.seed)
        differences = []
        for _ in range(set_scores.DRAWS):
            some = real[torch.randint(len(real), (len(real),), generator=generator)]
            rows = torch.randint(len(x), (len(x),), generator=generator)
            differences.append(way(some, x[rows]) - way(some, y[rows]))
        return 1.96 * float(torch.tensor(differences, dtype=torch.float64).std())


def start(lineup: Lineup, metrics: Sequence[str], network: str, seed: int) -> ComparedSets | None:
    """A new collection, if any of the metrics compares sets and the data has real images of the target side."""
    wanted = set(metrics) & {*metric_choice.SETS, *metric_choice.GENERATED}
    if not wanted or len(lineup.data.sides) != 2:
        return None
    where = next((c.translator.device for c in lineup.candidates if c.translator is not None), torch.device("cpu"))
    found = feature_weights.find(network, where)
    metric_choice.check_network(metrics, found)
    return ComparedSets(lineup, found, metrics, seed)
