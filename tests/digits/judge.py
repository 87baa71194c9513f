"""How good generators of digits are, as a classifier trained on real digits sees their samples.

python -m tests.digits.judge MODEL ...      # a model's file or a run's folder; one line of JSON each
"""

import functools
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from i2i.metrics import features
from i2i.models.generator import LoadedGenerator, load_generator
from tests.digits.classifier import Classifier

HERE = Path(__file__).parent
SIDE = 28
SAMPLES = 1000


def digits(split: str) -> tuple[Tensor, Tensor]:
    """The images [N, 1, 28, 28] in [-1, 1] and classes [N] of `train` or `test`."""
    sheet = np.asarray(Image.open(HERE / f"{split}.png"))
    rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
    tiles = sheet.reshape(rows, SIDE, columns, SIDE).transpose(0, 2, 1, 3).reshape(-1, 1, SIDE, SIDE)
    return torch.from_numpy(tiles / 127.5 - 1).float(), torch.arange(10).repeat_interleave(len(tiles) // 10)


@functools.cache
@torch.enable_grad()
def classifier(epochs: int = 8, batch: int = 50) -> Classifier:
    """Trained on the 4,000 digits, each moved by up to two pixels."""
    draw = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Classifier()
    x, c = digits("train")
    steps = epochs * len(x) // batch
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=draw).split(batch):
            dx, dy = torch.randint(-2, 3, (2,), generator=draw).tolist()
            moved = F.pad(x[rows], (2 + dx, 2 - dx, 2 + dy, 2 - dy), value=-1.0)[..., 2:-2, 2:-2]
            loss = F.cross_entropy(net(moved)[0], c[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            falling.step()
    return net.eval()


@torch.no_grad()
def seen(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The classes [N] that the classifier names, and its features [N, 64], of digits [N, 1, 28 or 32, 28 or 32]."""
    edge = (pictures.shape[-1] - SIDE) // 2  # training put digits on a ground of 32 pixels, so it is cut, not resized
    window = pictures[..., edge : edge + SIDE, edge : edge + SIDE]
    logits, inner = classifier()(window)
    return logits.argmax(1), inner


def accuracy() -> float:
    """Share of the 500 test digits that the classifier names."""
    x, c = digits("test")
    return float((seen(x)[0] == c).double().mean())


@dataclass(frozen=True)
class Verdict:
    """What is measured of one generator, on 1,000 samples."""

    images: int  # seen in training
    asked: float | None  # share of samples of the digit asked for, if one can be asked for
    shares: list[float]  # of the ten digits among samples of no given digit
    codes: int | None  # digits that are named most often for some code, if there are codes
    distance: float  # Frechet distance of the classifier's features to those of the training digits


def judge(made: LoadedGenerator) -> Verdict:
    """Generates and counts."""
    free = torch.stack(list(made.images(range(SAMPLES))))
    names, inner = seen(free)
    asked = codes = None
    if made.conditional:
        asked = float((names == torch.arange(SAMPLES) % 10).double().mean())
    elif made.labels:
        by_code = [
            seen(torch.stack(list(made.images(range(100), label=k))))[0].bincount(minlength=10)
            for k in range(len(made.labels))
        ]
        codes = len({int(counts.argmax()) for counts in by_code})
    shares = (names.bincount(minlength=10).double() / SAMPLES).tolist()
    distance = features.fid(seen(digits("train")[0])[1], inner)
    return Verdict(int(made.header.get("images", 0)), asked, shares, codes, round(distance, 2))


if __name__ == "__main__":
    print(json.dumps({"classifier": accuracy()}))
    for name in sys.argv[1:]:
        print(json.dumps({"model": name, **asdict(judge(load_generator(name, "cpu")))}), flush=True)
