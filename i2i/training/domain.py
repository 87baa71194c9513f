"""What the model file says of the training inputs, so that `i2i translate` can tell images that are unlike them."""

from __future__ import annotations

from typing import Any

from i2i.methods._bases import TwoWay
from i2i.metrics.domain import Domain, describe
from i2i.training.run import Run

IMAGES = 128  # training images that are described, at most
CHANNELS = (1, 3)  # of images; a map of labels has another number


def domain_facts(run: Run) -> dict[str, Any]:
    """The header's entry "domain": by direction of translation, what the inputs look like.

    {} for models from noise, for those that enlarge images, and for fewer images than can be learned from."""
    if run.method.needs not in ("paired", "unpaired") or run.shape.scale > 1:
        return {}
    batch = run.data.fixed(IMAGES)
    sides = {"AtoB": batch.x, "BtoA": batch.y if issubclass(run.method, TwoWay) else None}
    domains = {
        direction: Domain.of(describe(images))
        for direction, images in sides.items()
        if images is not None and images.shape[1] in CHANNELS
    }
    facts = {direction: domain.facts() for direction, domain in domains.items() if domain is not None}
    return {"domain": facts} if facts else {}
