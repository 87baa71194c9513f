"""The use case "evaluate": a model against the true images of a paired test split, beside two trivial guesses.

A model is worth something if it beats both: the mean image of the training targets, given for every input, and the
input itself, handed back unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from i2i import data as datasets
from i2i.core import files
from i2i.core.errors import I2IError, nearest
from i2i.media import grids, images
from i2i.metrics.pixel import scores
from i2i.models.load import load
from i2i.models.translator import Translator

BATCH = 8  # images in one pass
SAMPLES = 1000  # training images behind the mean
SHOWN = 8  # images on the sheet of a finished run


def evaluate(
    model: str | Path | Translator,
    data: datasets.Data | str | Path | Sequence[str | Path] | None = None,
    limit: int | None = None,
    *,
    split: str = "test",
    device: str = "auto",
    save: str | Path | None = None,
) -> dict[str, Any]:
    """Scores of a model on the first `limit` pairs (all, if None) of a split.

    data: an opened split, or where the images are; None takes what the model was trained on, all as its header says
    (size, direction, pre-processing). Returns {"split", "count", "model", "mean image", "input copied"}, the last
    three each {"l1", "psnr", "ssim"} averaged over images (i2i.metrics.pixel: l1 in [0, 2], psnr in dB). A baseline
    is left out where it cannot exist: no training split, images of several sizes, other channels in than out; ssim
    where images are under 11 pixels. Raises I2IError if there are no pairs, or no such split.
    """
    translator = model if isinstance(model, Translator) else load(model, device)
    if data is None and isinstance(model, str | Path):
        data = _recorded(Path(model))
    found = data if isinstance(data, datasets.Data) else _open(translator.header, data, split)
    if len(found.sides) != 2 or found.layout != "paired":
        raise I2IError(
            f"Data of layout {found.layout} holds no true answers to compare with.", "Give pairs, or look at samples."
        )
    count = found.count if limit is None else min(limit, found.count)
    if count < 1:
        raise I2IError("There is no pair to evaluate on.", "Give a limit of at least 1.")
    mean = _mean(found)
    totals: dict[str, dict[str, list[Tensor]]] = {}
    for start in range(0, count, BATCH):
        pairs = list(_pairs(found, start, min(start + BATCH, count)))
        made = translator([x for x, _ in pairs], batch=BATCH)
        for i, ((x, y), picture) in enumerate(zip(pairs, made), start):
            if save is not None:
                images.save((Path(save) / found.names[i]).with_suffix(".png"), images.to_uint8(picture))
            guesses = {"model": picture, "mean image": mean, "input copied": _as(x, int(y.shape[0]))}
            for title, guess in guesses.items():
                if guess is None or guess.shape != y.shape:
                    continue
                for key, values in scores(guess[None], y[None]).items():
                    totals.setdefault(title, {}).setdefault(key, []).append(values)
    result: dict[str, Any] = {"split": split if not isinstance(data, datasets.Data) else "", "count": count}
    for title, metrics in totals.items():
        whole = {k: torch.cat(v) for k, v in metrics.items() if sum(map(len, v)) == count}
        if whole:  # over all images or not at all: else the rows could not be compared
            result[title] = {k: float(v.mean()) for k, v in whole.items()}
    return result


def conclude(folder: Path, held_out: datasets.Data, split: str, device: str = "auto") -> dict[str, Any]:
    """Judges the finished model of a run: `evaluate` on `held_out`, its images of `split`.

    Leaves metrics.json in the run's folder beside test.png, a sheet of some inputs, translations and true images."""
    model = load(folder / "model.safetensors", device)
    found = {**evaluate(model, held_out), "split": split}
    with files.replacing(folder / "metrics.json") as file:
        file.write(json.dumps(found, indent=1).encode())
    shown = held_out.fixed(SHOWN)
    columns = {"input": shown["x"], "translated": torch.stack(model([*shown["x"]])), "real": shown["y"]}
    images.save(folder / "test.png", grids.draw(columns))
    return found


def _recorded(model: Path) -> list[str] | None:
    """Where the folder of a run says its images lie, wherever it is called from; None for another model."""
    path = (model if model.is_dir() else model.parent) / "config.yaml"
    if not path.is_file():
        return None
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return list(values["data"]) if isinstance(values, dict) and values.get("data") else None


def _open(header: dict[str, Any], data: str | Path | Sequence[str | Path] | None, split: str) -> datasets.Data:
    sources = [data] if isinstance(data, str | Path) else list(data or header.get("data") or [])
    if not sources:
        raise I2IError("The model does not say what it was trained on.", "Name the data to evaluate on.")
    size = int(header.get("size") or 256)
    spec = datasets.DataSettings(
        layout="paired",
        size=size,
        load=size,
        preprocess=str(header.get("preprocess") or "resize_and_crop"),
        direction=str(header.get("direction") or "AtoB"),
        channels_in=int(header.get("channels_in") or 0),
        channels_out=int(header.get("channels_out") or 0),
        workers=0,
    )
    found = datasets.open(sources, spec, split=split)
    if split not in found.splits:
        raise I2IError(f"The data has no split called {split!r}.", nearest(split, found.splits))
    return found


def _pairs(data: datasets.Data, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
    for i in range(start, stop):
        sample = data.item(i)
        yield sample["x"][0], sample["y"][0]


def _mean(data: datasets.Data) -> Tensor | None:
    """The mean target [C, H, W] of the training split; None without one, or if its images differ in size."""
    if "train" not in data.splits:
        return None
    training = datasets.open(data.roots, data.spec, split="train")
    count = min(SAMPLES, training.count)
    total: Tensor | None = None
    for _, y in _pairs(training, 0, count):
        if total is not None and total.shape != y.shape:
            return None
        total = y.double() if total is None else total + y
    return None if total is None else (total / count).float()


def _as(x: Tensor, channels: int) -> Tensor | None:
    if x.shape[0] == channels:
        return x
    return x.repeat(channels, 1, 1) if x.shape[0] == 1 else None
