"""Pruning masks against stored ones."""

from __future__ import annotations

from torch import Tensor

from i2i.training.compress import masks
from tests.golden_gans.reading import case


def test_masks_by_layer_over_all_layers_and_by_filter() -> None:
    golden = case("pruning_masks")
    found: dict[str, Tensor] = {}
    for share in golden.options["fractions"]:
        for name, weight in golden.weights.items():
            found[f"layer.{share}.{name}"] = masks.by_magnitude(weight, share)
            if weight.dim() == 4:
                found[f"filter.{share}.{name}"] = masks.by_filter(weight, share)
        found |= {f"global.{share}.{k}": v for k, v in masks.over_all(golden.weights, share).items()}
    golden.check(found)
