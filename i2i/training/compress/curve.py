"""Quality against cost: a model and its compressed forms, scored and measured alike, as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import data as datasets
from i2i.core.errors import I2IError
from i2i.core.files import atomic_path
from i2i.inference.evaluate_data import data_of_run, settings_of, sources_of
from i2i.models import format as model_file
from i2i.models.load import display_name, find
from i2i.training.compress import measures
from i2i.training.compress.page import Curve, write_page
from i2i.training.compress.table import TableResult

TEXT = (
    "The same held-out images through all models. Lower is better in all scores. MACs are multiply-accumulates for one "
    "image of that size; images/s are those of the network alone, one image at a time, on this machine."
)
AXES = {"macs": "M MACs", "parameters": "parameters", "bytes": "file, MB", "images/s": "images/s"}
UNITS = {"macs": 1e6, "bytes": 1e6}


def run_curve(
    models: Sequence[str],
    folder: Path,
    data: list[str] | None = None,
    *,
    size: int | None = None,
    limit: int | None = 200,
    tell: Callable[[str], None] | None = None,
) -> TableResult:
    """Scores and measures `models`, of which the first is the original, into `folder`.

    data: default: that of the first model's run. size: side in pixels of the images, for all models; default: that of
    the first one. limit: images that are scored. Raises I2IError for a model that cannot be loaded, models that make
    images from noise, and without data."""
    tell = tell or (lambda sentence: None)
    first = model_file.read_header(find(models[0]).path)
    sources, split, _ = sources_of(first, data or data_of_run(Path(models[0])), None)
    side = size or int(first.get("size") or 256)
    values: dict[str, Any] = {}
    images: dict[str, Tensor] = {}
    for model in models:
        path, name = find(model).path, display_name(model)
        saved = model_file.load(path)
        network_name, network = next(iter(saved.networks.items()))
        own = int(saved.header.get("size") or 256)
        elsewhere = "" if own == side or size else f" It is for images of {own}: --size {own} compares all there."
        tell(f"Scoring {model} on images of {side} pixels.{elsewhere}")
        header = {**saved.header, "size": side}
        if header.get("kind") == "generate":
            raise I2IError(f"{model} makes images from noise.", "The curve is for models that translate images.")
        read = side // int(header.get("scale") or 1)
        inputs = (torch.zeros(1, header["channels_in"], read, read),)
        scores = measures.quality(network, network_name, header, [str(s) for s in sources], "AtoB", limit)
        values[name] = {"title": "", **scores, **measures.Size.of(network, inputs, path).row()}
        if not images:
            held_out = datasets.open(sources, settings_of(header, "paired"), split=split)
            images |= measures.inputs_of(header, held_out)
        images[name] = measures.images_of(network, header, held_out)
    return _write(folder, values, images)


def _write(folder: Path, values: dict[str, Any], images: dict[str, Tensor]) -> TableResult:
    """Writes curve.json and index.html."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = [m for m in measures.METRICS if all(m in v for v in values.values())]
    titles = ["model", *(measures.METRICS[m] for m in metrics), *AXES.values()]
    rows = [
        [name, *(f"{v[m]:.4g}" for m in metrics), *(f"{v[key] / UNITS.get(key, 1):,.4g}" for key in AXES)]
        for name, v in values.items()
    ]
    with atomic_path(folder / "curve.json") as temporary:
        temporary.write_text(json.dumps(values, indent=1), encoding="utf-8")
    y = measures.METRICS[metrics[0]] if metrics else ""
    curves = [
        Curve(title, y, {n: (v[key] / UNITS.get(key, 1), v[metrics[0]]) for n, v in values.items()})
        for key, title in AXES.items()
        if metrics
    ]
    write_page(folder / "index.html", "Quality against cost", TEXT, titles, rows, images, curves)
    return TableResult(titles, rows, values, folder / "index.html")
