"""Pairs whose target is larger than its source: crops that show the same, made pairs, and images that are too small."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as fn

from i2i import data
from i2i.core.errors import I2IError
from i2i.data import make
from i2i.data.spec import MAKES, SCALES
from tests.data.test_make import photo

ENLARGING = SCALES[1:]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(5):
        Image.fromarray(photo(70 + i, 93, seed=i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A/ with small images and B/ with images three times as large, of a few pixels more; each pixel is its own."""
    folder = tmp_path_factory.mktemp("pairs")
    for side in "AB":
        (folder / side).mkdir()
    for i in range(4):
        y, x = np.mgrid[0:30, 0:40]
        small = np.stack([4 * y + i, 5 * x, np.full_like(x, 9 * i)], -1).astype(np.uint8)
        Image.fromarray(small).save(folder / "A" / f"{i}.png")
        large = small.repeat(3, 0).repeat(3, 1)
        Image.fromarray(np.pad(large, ((0, i % 3), (0, 2), (0, 0)))).save(folder / "B" / f"{i}.png")
    return folder


def settings(scale: int, **changes: object) -> data.DataSettings:
    return data.DataSettings(**{"layout": "paired", "preprocess": "crop", "size": 24, "scale": scale, **changes})  # type: ignore[arg-type]


def batches(opened: data.Data, count: int, start: int = 0, batch: int = 4) -> list[data.Batch]:
    return list(itertools.islice(opened.batches(start, batch, seed=3), count))


@pytest.mark.parametrize("workers", [0, 2])
def test_crops_and_flips_of_a_pair_show_the_same(pairs: Path, workers: int) -> None:
    opened = data.open([pairs], settings(3, workers=workers))
    seen = set()
    for part in batches(opened, 6):
        assert part.y is not None
        assert (part.x.shape[2:], part.y.shape[2:]) == ((8, 8), (24, 24))
        assert torch.equal(part.y[..., ::3, ::3], part.x)
        assert torch.equal(part.y[..., 2::3, 2::3], part.x)
        seen |= {tuple(x[:, 0, 0].tolist()) for x in part.x}
    assert len(seen) > 12, "the crops differ"


def test_whole_pairs_and_crops_in_the_middle_show_the_same(pairs: Path) -> None:
    opened = data.open([pairs], settings(3))
    for part in [opened.fixed(4), *(opened.item(i) for i in range(4))]:
        assert part.y is not None
        assert torch.equal(part.y[..., 1::3, 1::3], part.x)
    assert opened.item(1).x.shape[2:] == (30, 40)


def test_pairs_of_another_scale_are_refused(pairs: Path) -> None:
    opened = data.open([pairs], settings(2, workers=0))
    for read in (lambda: batches(opened, 1), lambda: opened.item(0)):
        with pytest.raises(I2IError, match=r"a pair of 40x30 and 122x90 pixels, but scale is 2"):
            read()


def small_version(y: Tensor, scale: int) -> Tensor:
    size = [side // scale for side in y.shape[2:]]
    return fn.interpolate(y, size, mode="bicubic", antialias=True).clamp(-1, 1)


@pytest.mark.parametrize("scale", ENLARGING)
def test_one_folder_is_enough(photos: Path, scale: int) -> None:
    opened = data.open([photos], settings(scale))
    assert opened.layout == "paired"
    for part in [*batches(opened, 3), opened.fixed(5), opened.item(2)]:
        assert part.y is not None
        torch.testing.assert_close(part.x, small_version(part.y, scale), atol=1.01 / 127.5, rtol=0)
    whole = opened.item(2)
    assert whole.y is not None
    assert whole.y.shape[2:] == (72 // scale * scale, 93 // scale * scale)


def test_made_pairs_do_not_depend_on_workers_and_the_start(photos: Path) -> None:
    spec = {"degrade": "real", "augment": "color+rotate90", "scale": 2}
    one, two = (batches(data.open([photos], settings(**spec, workers=w)), 4) for w in (0, 3))
    later = batches(data.open([photos], settings(**spec)), 2, start=8)
    for a, b in zip([*one, *one[2:]], [*two, *later], strict=True):
        assert a.y is not None
        assert b.y is not None
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", ENLARGING)
def test_every_chain_ends_at_the_size_of_the_source(scale: int, channels: int) -> None:
    y = photo(24, 48, channels)
    for chain in (*MAKES, "blur+jpeg", "x2+noise"):
        x = make.make_source(y, tuple(chain.split("+")), 0, 1, scale)
        assert (x.shape, x.dtype) == ((24 // scale, 48 // scale, channels), np.uint8), chain


def test_a_size_that_the_scale_does_not_divide_is_refused() -> None:
    with pytest.raises(I2IError, match=r"^size is 50 and scale is 4\. Give a multiple of it, such as 48"):
        settings(4, size=50).check()
    with pytest.raises(I2IError, match=r"^scale is 5\. Allowed: 1, 2, 3, 4, 8"):
        settings(5).check()


def test_geometry_of_small_and_large_images_is_refused(pairs: Path, photos: Path) -> None:
    with pytest.raises(I2IError, match="cannot move small and large images alike"):
        data.open([pairs], settings(3, augment="affine"))
    part = batches(data.open([photos], settings(3, augment="affine+vflip")), 1)[0]
    assert part.y is not None
    torch.testing.assert_close(part.x, small_version(part.y, 3), atol=1.01 / 127.5, rtol=0)


def test_images_whose_middle_is_too_small_for_a_crop_are_left_out(tmp_path: Path) -> None:
    Image.fromarray(photo(64, 64)).save(tmp_path / "a.png")
    assert data.open([tmp_path], settings(4, size=32, center=32), cropped=True).count == 1
    with pytest.raises(I2IError, match=r"1 image is smaller than the crops of 48 pixels: a.png \(32x32\)"):
        data.open([tmp_path], settings(4, size=48, center=32), cropped=True)


def test_small_images_are_counted_named_and_left_out(tmp_path: Path, photos: Path) -> None:
    for i in range(5):
        Image.fromarray(photo(64, 64, seed=i)).save(tmp_path / f"large{i}.png")
    for i in range(7):
        Image.fromarray(photo(64, 40 - i)).save(tmp_path / f"small{i}.png")
    opened = data.open([tmp_path], settings(4, size=64), cropped=True)
    assert opened.count == 5
    (note,) = opened.notes
    assert note.startswith("Left out: 7 images are smaller than the crops of 64 pixels: small0.png (40x64), small1")
    assert note.endswith(" and 2 more.")
    assert all("large" in name for name in opened.names)
    with pytest.raises(I2IError, match=r"^No image is large enough\. 12 images are smaller .* Choose a smaller --size"):
        data.open([tmp_path], settings(4, size=128), cropped=True)
    assert data.open([tmp_path], settings(4, size=128, preprocess="resize"), cropped=True).count == 12
    assert data.open([tmp_path], settings(4, size=128)).count == 12, "whole images are evaluated"
