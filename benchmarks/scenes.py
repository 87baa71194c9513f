"""What benchmarks translate: smooth random images and a generator with random weights; and one line for each result."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from i2i import nets
from i2i.models import format as model_file


def scene(seed: int, size: int) -> Image.Image:
    """A smooth random image, as compressible as a photograph."""
    small = np.random.default_rng(seed).integers(0, 256, (max(2, size // 8), max(2, size // 8), 3), np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def model(folder: Path, width: int, blocks: int = 9) -> Path:
    """A generator with random weights, saved."""
    torch.manual_seed(0)
    net = nets.init_weights(nets.build("resnet", blocks=blocks, width=width))
    return model_file.save(folder / f"width{width}.safetensors", {"G": net})


def photos(folder: Path, count: int, size: int) -> Path:
    """JPEGs in a folder."""
    folder.mkdir(parents=True)
    for i in range(count):
        scene(i, size).save(folder / f"{i:05}.jpg", quality=90)
    return folder


def said(case: str, **facts: Any) -> None:
    """One line."""
    print(json.dumps({"case": case, **facts, "torch": torch.__version__, "cpus": os.cpu_count()}), flush=True)
