"""Edges by HED for `make=hed`: its weights, from a file or downloaded once, and how an image is looked at."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.files import open_regular
from i2i.data import weight_file
from i2i.nets.hed import HED, load_hed
from i2i.nets.valueless import with_values

URL = "https://content.sniklaus.com/github/pytorch-hed/network-bsds500.pytorch"
FILES = ("network-bsds500.pytorch", "hed.pth", "hed.safetensors")
MOST_BYTES = 100_000_000
LEAST = 16  # pixels a side

Detector = Callable[[np.ndarray], np.ndarray]


def detector(weights: str) -> Detector:
    """uint8 [H, W, C] -> its edges, black on white, in the same shape.

    weights: a file; empty: one of FILES in the folder I2I_WEIGHTS or the cache folder, or else downloaded. Raises
    I2IError if they are nowhere, or are those of another network."""
    return functools.partial(_edges, _network(weights_file(weights)))


def weights_file(weights: str) -> Path:
    """The file of the weights; see `detector`."""
    if weights:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise I2IError(f"hed is {weights!r}. There is no such file.", _where())
        return path
    try:
        return weight_file.get(FILES, URL, MOST_BYTES)
    except I2IError as error:
        raise I2IError(f"The weights of HED for make=hed are missing. {error.what}", _where()) from None


def _where() -> str:
    return (
        f"make=edges (Canny) needs no weights. Those of HED are at {URL}. Give the file with --set hed=FILE (i2i data "
        "make: --hed FILE), or put it into a folder and name that: I2I_WEIGHTS=FOLDER."
    )


@functools.lru_cache(maxsize=1)
def _network(path: Path) -> HED:
    with with_values():
        return load_hed(_read(path), str(path))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with open_regular(path) as file:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, SafetensorError) as error:
        raise I2IError(f"{path} is damaged, or it holds no weights.", "Copy or download the file again.") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    return {str(key): value for key, value in state.items() if isinstance(value, Tensor)}


@torch.no_grad()
def _edges(net: HED, y: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(np.ascontiguousarray(y[..., :3].transpose(2, 0, 1))).float().div_(127.5).sub_(1)
    height, width = y.shape[:2]
    x = x.expand(3, -1, -1)[None]
    if min(height, width) < LEAST:
        x = torch.nn.functional.pad(x, (0, max(0, LEAST - width), 0, max(0, LEAST - height)), mode="replicate")
    edges = net(x)[0, 0, :height, :width]
    levels = ((1 - edges) * 255).round().to(torch.uint8).numpy()
    return np.repeat(levels[..., None], min(3, y.shape[2]), -1)
