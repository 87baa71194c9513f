"""Quality and cost of generators, compressed or not, side by side."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2i.core import fast_conv
from i2i.data import Data
from i2i.data.batch import Batch
from i2i.inference.evaluate import evaluate
from i2i.models.generator import LoadedGenerator
from i2i.models.load import translator_of
from i2i.nets.latent import Latent
from i2i.training.compress.student import latency, macs, nonzero_share

METRICS = {"lpips": "LPIPS", "l1": "L1", "kid": "KID x 1000", "fd_effnet": "FD (effnet)"}  # lower is better for all
COLUMNS = 6  # inputs that are shown


def quality(
    network: nn.Module, name: str, header: dict[str, Any], sources: list[str], direction: str, limit: int | None
) -> dict[str, float]:
    """Scores of a generator on held-out images, by the names in METRICS, as far as they exist for its data.

    limit: images that are scored; None: all."""
    network = fast_conv.slow_down(copy.deepcopy(network)).float().eval()
    model: Any
    if header.get("kind") == "generate":
        model = LoadedGenerator(network, header)
        result = evaluate(model, sources, None, samples=limit)
    else:
        model = translator_of({name: network}, header, direction=direction)
        result = evaluate(model, sources, limit)
    scores = {**result.get("model", {})}
    return {k: float(scores[k]) for k in METRICS if k in scores}


def cost(network: nn.Module, inputs: tuple[Tensor, ...], path: Path | None) -> dict[str, float]:
    """Parameters, non-zero weights, MACs, size of the file in bytes (0 without one), and images a second here."""
    count = sum(p.numel() for p in network.parameters())
    return {
        "parameters": count,
        "nonzero": count * nonzero_share(network),
        "macs": macs(network, inputs).work,
        "bytes": path.stat().st_size if path is not None and path.is_file() else 0,
        "images/s": 1 / max(1e-9, latency(network, inputs)),
    }


@torch.no_grad()
def images_of(network: nn.Module, header: dict[str, Any], data: Data) -> Tensor:
    """What a generator makes of the first held-out images, or of the first noise: [COLUMNS, C, H, W] in [-1, 1]."""
    batch = data.fixed(COLUMNS)
    network = copy.deepcopy(network).float().cpu().eval()
    if header.get("kind") == "generate":
        latent = Latent(tuple((str(kind), int(width)) for kind, width in header["latent"]))
        ids = torch.arange(COLUMNS)
        classes = header.get("class_names")
        inputs = (latent.draw(ids), ids % len(classes)) if classes else (latent.draw(ids),)
        images: Tensor = network(*inputs)
        return images.clamp(-1, 1)
    translator = translator_of({"G": network}, {**header, "generator": "G"})
    return torch.stack(translator([*batch.x]))


def inputs_of(header: dict[str, Any], data: Data) -> dict[str, Tensor]:
    """The columns in front of the generators' images: input and truth, where there are any."""
    if header.get("kind") == "generate":
        return {}
    batch: Batch = data.fixed(COLUMNS)
    paired = data.layout == "paired" and batch.y is not None
    return {"input": batch.x, **({"truth": batch.y} if paired and batch.y is not None else {})}
