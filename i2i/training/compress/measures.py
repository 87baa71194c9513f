"""Quality and cost of generators, compressed or not, side by side."""

from __future__ import annotations

import copy
from dataclasses import dataclass
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
from i2i.training.compress.student import macs, nonzero_share, timed

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


@dataclass(frozen=True)
class Size:
    """What a generator costs."""

    parameters: int
    nonzero: float  # share of the weights that are not zero
    macs: int  # multiply-accumulates of one image of `side` pixels that a device computes
    bytes: int  # of the file
    seconds: float  # for one image on this device
    disturbed: bool = False  # other programs kept the processor busy: `seconds` is processor time of one thread

    @classmethod
    def of(cls, network: nn.Module, inputs: tuple[Tensor, ...], path: Path | None) -> Size:
        """Measures a network."""
        count = sum(p.numel() for p in network.parameters())
        size = path.stat().st_size if path is not None and path.is_file() else 0
        work = macs(network, inputs).work
        return cls(count, nonzero_share(network), work, size, *timed(network, inputs))

    def row(self) -> dict[str, float]:
        """The same as a row of a table: non-zero weights as a number, and images a second."""
        return {
            "parameters": self.parameters,
            "nonzero": self.parameters * self.nonzero,
            "macs": self.macs,
            "bytes": self.bytes,
            "images/s": 1 / max(1e-9, self.seconds),
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
