"""What the translations of a CycleGAN hide: a sheet of images, and numbers (metrics.steganography)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.inference.evaluate_data import data_of_run, header_for, open_split, opposite
from i2i.media import grids, images
from i2i.metrics.steganography import equalized, error_maps, reveal
from i2i.models.load import load

ROWS = 8  # images on the sheet
LIMIT = 32  # images that are measured, at most, unless the caller says otherwise


def reveal_hidden(
    model: str | Path,
    folder: str | Path,
    data: list[str] | None = None,
    *,
    split: str | None = None,
    size: int | None = None,
    limit: int = LIMIT,
    direction: str = "AtoB",
    device: str = "auto",
    method: str | Path | None = None,
) -> dict[str, Any]:
    """Writes `folder`/reveal.png, and returns {"count", "psnr", "score", "hides", "file"}.

    data, split, size, direction: as of `i2i.evaluate`, with the same defaults. limit: most images that are measured.
    The sheet has, for each of some images: x, G(x), F(G(x)), the error of each pixel, G(x) after adaptive histogram
    equalization, and a true image of that side after it. psnr: of F(G(x) + noise) by the noise in levels of 255.
    Raises I2IError if the model holds no way back, or there are no images of two sides."""
    forth = load(model, device, "fp32", direction=direction, method=method)
    try:
        back = load(model, device, "fp32", direction=opposite(direction), method=method)
    except I2IError as error:
        raise I2IError(
            f"{model} holds no way back, so nothing can be revealed.",
            "Give the folder of a cyclegan run, or its model.safetensors.",
        ) from error
    opened, _, _ = open_split(header_for(forth.header, direction), data or data_of_run(Path(model)), split, size)
    batch = opened.fixed(limit)
    x, true = batch.x, batch.y
    assert true is not None

    def batched(network: Any, inputs: Tensor) -> Tensor:
        return torch.stack(network([*inputs], batch=8)).float()

    fake = batched(forth, x)
    measured = reveal(lambda inputs: batched(back, inputs), x, fake, true)
    returned = batched(back, fake[:ROWS])
    columns = {
        "x": x[:ROWS],
        "G(x)": fake[:ROWS],
        "F(G(x))": returned,
        "error": error_maps(returned, x[:ROWS]),
        "G(x) equalized": equalized(fake[:ROWS]),
        "true": true[:ROWS],
        "true equalized": equalized(true[:ROWS]),
    }
    path = images.save(Path(folder) / "reveal.png", grids.draw_grid(columns))
    psnr = {str(level): round(value, 2) for level, value in measured.psnr.items()}
    return {
        "count": len(x),
        "psnr": psnr,
        "score": round(measured.score, 3),
        "hides": measured.hides,
        "file": str(path),
    }
