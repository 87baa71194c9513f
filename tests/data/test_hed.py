"""HED: the published network in both layouts of its weights, as made pairs, and without its weights."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as fn

from i2i import data
from i2i.core.errors import I2IError
from i2i.data import DataSettings, download, hed, make
from i2i.nets.hed import MEAN_BGR, load_hed

GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
WORDS = ("One", "Two", "Thr", "Fou", "Fiv")


@functools.cache
def seeded() -> dict[str, Tensor]:
    """Seeded weights by the names of the Caffe model, its fixed enlargements included."""
    generator = torch.Generator().manual_seed(0)
    state, before = {}, 3
    for group, widths in enumerate(GROUPS, 1):
        for i, width in enumerate(widths, 1):
            scale = (2 / (9 * before)) ** 0.5
            state[f"conv{group}_{i}.weight"] = scale * torch.randn(width, before, 3, 3, generator=generator)
            state[f"conv{group}_{i}.bias"] = 0.1 * torch.randn(width, generator=generator)
            before = width
        state[f"score-dsn{group}.weight"] = torch.randn(1, before, 1, 1, generator=generator) / before
        state[f"score-dsn{group}.bias"] = torch.zeros(1)
    state["new-score-weighting.weight"] = torch.full((1, 5, 1, 1), 0.02)
    state["new-score-weighting.bias"] = torch.tensor([-0.3])
    state["upsample_2.weight"] = torch.ones(1, 1, 4, 4)
    return state


def caffe() -> dict[str, Tensor]:
    return dict(seeded())


def converted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights by the names of the usual conversion."""
    names = {"new-score-weighting": "moduleCombine.0"}
    for group, (word, widths) in enumerate(zip(WORDS, GROUPS, strict=True), 1):
        names[f"score-dsn{group}"] = f"moduleScore{word}"
        for i in range(len(widths)):
            names[f"conv{group}_{i + 1}"] = f"moduleVgg{word}.{2 * i + (group > 1)}"
    parts = [(key.rpartition("."), value) for key, value in state.items() if not key.startswith("upsample")]
    return {f"{names[layer]}.{leaf}": value for (layer, _, leaf), value in parts}


def plain(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network written out: RGB levels [1, 3, H, W], 0 to 255 -> [1, 1, H, W]."""
    y = x.flip(1) - torch.tensor(MEAN_BGR)[:, None, None]
    sides = []
    for group, widths in enumerate(GROUPS, 1):
        y = fn.max_pool2d(y, 2) if group > 1 else y
        for i in range(1, len(widths) + 1):
            y = fn.conv2d(y, state[f"conv{group}_{i}.weight"], state[f"conv{group}_{i}.bias"], padding=1).relu()
        score = fn.conv2d(y, state[f"score-dsn{group}.weight"], state[f"score-dsn{group}.bias"])
        sides.append(fn.interpolate(score, x.shape[-2:], mode="bilinear", align_corners=False))
    weight, bias = state["new-score-weighting.weight"], state["new-score-weighting.bias"]
    return fn.conv2d(torch.cat(sides, 1), weight, bias).sigmoid()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "network-bsds500.pytorch"
    torch.save(converted(caffe()), path)
    return path


def test_both_layouts_give_the_published_network(weights: Path) -> None:
    state = caffe()
    levels = torch.randint(0, 256, (1, 3, 40, 52), generator=torch.Generator().manual_seed(1)).float()
    expected = plain(state, levels)
    assert expected.std() > 0.01
    read = torch.load(weights, weights_only=True)
    for names in (state, read, {k.replace("module", "net"): v for k, v in read.items()}):
        with torch.no_grad():
            found = load_hed(names, "a file")(levels / 127.5 - 1)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_are_refused() -> None:
    state = caffe()
    with pytest.raises(I2IError, match=r"a file does not hold the weights of HED: fc6.weight has no place"):
        load_hed({**state, "fc6.weight": torch.zeros(1)}, "a file")
    del state["conv3_2.bias"]
    with pytest.raises(I2IError, match="1 of 38 tensors are missing or differ"):
        load_hed(state, "a file")


def test_pairs_are_made_by_hed(weights: Path, tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for i in range(2):
        Image.fromarray(draws.integers(0, 256, (20, 24, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
    settings = DataSettings(layout="paired", make="hed", hed=str(weights), size=16, load=0, workers=0)
    sample = data.open(tmp_path, settings).item(1)
    assert sample.y is not None
    assert sample.x.shape == sample.y.shape
    expected = 1 - load_hed(caffe(), "")(sample.y)
    torch.testing.assert_close((sample.x + 1) / 2, expected.expand(-1, 3, -1, -1), rtol=0, atol=1 / 255)
    small = make.make_source(np.zeros((5, 7, 1), np.uint8), ("hed",), 0, 0, hed=hed.detector(str(weights)))
    assert small.shape == (5, 7, 1)


def test_missing_weights_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> Path:
        raise I2IError("The server does not answer.")

    monkeypatch.setattr(download, "fetch", no_network)
    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("I2I_CACHE", str(tmp_path))
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(I2IError, match=r"weights of HED for make=hed are missing. The server") as caught:
        data.open(tmp_path, DataSettings(layout="paired", make="hed", size=16))
    assert "make=edges" in caught.value.hint
    assert "network-bsds500.pytorch" in caught.value.hint
    with pytest.raises(I2IError, match=r"hed is 'nowhere.pth'. There is no such file"):
        hed.detector("nowhere.pth")
    (tmp_path / "hed.pth").write_bytes(b"no weights")
    with pytest.raises(I2IError, match=r"hed.pth is damaged"):
        hed.detector("")
    with pytest.raises(I2IError, match="its part 'head' is unknown") as caught:
        DataSettings(make="head").check()
    assert "hed" in caught.value.hint
