"""How much the answers of a model for one image differ: the diversity score of `i2i evaluate`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from i2i import data as datasets
from i2i.core.errors import I2IError
from i2i.core.progress import Progress
from i2i.metrics import diversity, intervals
from i2i.models import feature_weights
from i2i.models.translator import Translator
from i2i.nets.choice import Choice, Choosing, networks_that_choose

BATCH = 8  # inputs whose answers are made together


def has_answers(translator: Translator) -> bool:
    """Whether the model has several answers for one image, by noise."""
    network = translator.saved_network
    return isinstance(network, Choosing) and "answers" in network.choices


def check_answers(translator: Translator) -> None:
    """Raises I2IError if the diversity was asked for, and the model has one answer for each image."""
    if not has_answers(translator):
        raise I2IError(
            f"The model {translator.name} has one answer for each image, so it has no diversity.",
            f"Models with these networks have several: {', '.join(networks_that_choose('answers'))}.",
        )


def score(
    translator: Translator, data: datasets.Data, count: int, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """The diversity of the answers for the first `count` inputs, at most 100, by the published protocol.

    The answers have the domains and the steps that the translator has chosen.

    Returns {"value", "interval", "inputs", "answers", "pairs", "network"}; the interval is that over inputs. Empty if
    the images are too small for LPIPS, or neither gray nor in color. progress(inputs done, inputs in all)."""
    metric = feature_weights.lpips("alex", translator.device)
    inputs = min(count, diversity.INPUTS)
    to, steps = translator.choice.to, translator.choice.steps
    answers = [Choice(to, seed, answer=k, steps=steps) for k in range(diversity.ANSWERS)]
    chosen = [translator.with_choice(answer) for answer in answers]
    rows: list[Tensor] = []
    for start in range(0, inputs, BATCH):
        numbers = range(start, min(start + BATCH, inputs))
        sources = [data.item(i).x[0] for i in numbers]
        made = [one(sources, batch=BATCH) for one in chosen]
        for number, outputs in zip(numbers, zip(*made, strict=True), strict=True):
            if outputs[0].shape[0] not in (1, 3) or min(outputs[0].shape[1:]) < metric.trunk.least:
                return {}
            pairs = diversity.random_pairs(len(outputs), diversity.PAIRS, seed, number)
            images = torch.stack([a.expand(3, -1, -1) for a in outputs]).to(translator.device)
            with torch.inference_mode():
                rows.append(diversity.distances(images, pairs, metric).mean().float().cpu())
        if progress is not None:
            progress(len(rows), inputs)
    per_input = torch.stack(rows)
    spread = {"interval": list(intervals.mean_interval(per_input, seed=seed))} if len(rows) > 1 else {}
    facts = {"inputs": len(rows), "answers": diversity.ANSWERS, "pairs": diversity.PAIRS, "network": metric.name}
    return {"value": float(per_input.mean()), **spread, **facts}


def add_to(result: dict[str, Any], found: dict[str, Any]) -> None:
    """Adds a diversity to the row of the model, its interval, and how it was measured."""
    if not found:
        return
    result.setdefault("model", {})["diversity"] = found["value"]
    if "interval" in found:
        result.setdefault("intervals", {}).setdefault("model", {})["diversity"] = found["interval"]
    result["diversity"] = {k: found[k] for k in ("inputs", "answers", "pairs", "network")}
