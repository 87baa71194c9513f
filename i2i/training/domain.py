"""What the model file says of the training inputs, so that `i2i translate` can tell images that are unlike them."""

from __future__ import annotations

from typing import Any

from i2i.methods._bases import TwoWay
from i2i.metrics.domain import IMAGES, facts_of
from i2i.training.run import Run


def domain_facts(run: Run) -> dict[str, Any]:
    """The header's entry "domain": by direction of translation, what the inputs look like.

    {} for models from noise, for those that enlarge images, and for fewer images than can be learned from."""
    if run.method.needs not in ("paired", "unpaired") or run.shape.scale > 1:
        return {}
    batch = run.data.fixed(IMAGES)
    return facts_of({"AtoB": batch.x, "BtoA": batch.y if issubclass(run.method, TwoWay) else None})
