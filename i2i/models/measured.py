"""Measures how near a saved model in bf16 is to fp32, and writes it into the model's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i.models import format as model_file
from i2i.models.load import load
from i2i.models.precision import IMAGES, KEY, measure


def measure_file(path: Path, images: Mapping[str, Tensor]) -> dict[str, Any]:
    """The entry `bf16` of the header of the model at `path`; its weights stay as they are.

    images: by direction, AtoB or BtoA: inputs that the model was not trained on, [B, C, H, W] in [-1, 1]; the first
    IMAGES of them count. Raises I2IError for a model that does not translate in that direction."""
    facts: dict[str, Any] = {}
    for direction, x in images.items():
        translator = load(path, "cpu", "fp32", direction)
        facts[direction] = measure(translator, list(x[:IMAGES]))
    model_file.add_to_header(path, {KEY: facts})
    return facts
