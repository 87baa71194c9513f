"""Label maps as sources: exact colors through resizing, crops, flips and geometry; palettes; what does not fit."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from i2i import data
from i2i.core.errors import I2IError
from i2i.data.batch import Shape
from i2i.media import images
from i2i.media.palette import Palette

COLORS = np.array([[70, 130, 180], [128, 64, 128], [0, 0, 142]], np.uint8)
PALETTE = Palette(tuple(map(tuple, COLORS[[2, 0, 1]].tolist())), (0, 1, 2), ("", "", ""))


def label_map(i: int, side: int = 30) -> np.ndarray:
    rng = np.random.default_rng(i)
    return COLORS[rng.integers(0, 3, (5, 5)).repeat(side // 5, 0).repeat(side // 5, 1)]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for i in range(6):
        images.save(tmp_path / f"A/{i}.png", label_map(i))
        images.save(tmp_path / f"B/{i}.png", np.random.default_rng(i).integers(0, 256, (30, 30, 3), np.uint8))
    return tmp_path


def spec(**values: object) -> data.DataSettings:
    return data.DataSettings(**{"size": 16, "load": 20, "workers": 0, "palette": "auto", **values})  # type: ignore[arg-type]


def colors_of(x: Tensor) -> set[tuple[int, ...]]:
    levels = ((x + 1) * 127.5).round().to(torch.uint8)
    return set(map(tuple, levels.permute(0, 2, 3, 1).flatten(0, 2).tolist()))


@pytest.mark.parametrize("values", [{}, {"exact": True}, {"cache": "memory"}, {"augment": "affine+rotate90+vflip"}])
def test_no_new_color_appears(pairs: Path, values: dict[str, object]) -> None:
    opened = data.open(pairs, spec(**values))
    assert opened.palette == PALETTE
    for batch in [*itertools.islice(opened.batches(0, 3), 4), opened.fixed(4), opened.item(1)]:
        assert colors_of(batch.x) <= set(PALETTE.colors)
        assert batch.y is not None
        assert len(colors_of(batch.y)) > 100


def test_augmentation_moves_both_sides_alike(pairs: Path) -> None:
    for i in range(6):  # the target is the label map itself
        images.save(pairs / f"B/{i}.png", label_map(i))
    plain = data.open(pairs, spec(load=16, size=16, flip=False))
    varied = data.open(pairs, spec(load=16, size=16, flip=False, augment="rotate90+vflip"))
    assert not torch.equal(next(plain.batches(0, 6)).x, next(varied.batches(0, 6)).x)
    for batch in itertools.islice(varied.batches(0, 3), 4):
        assert batch.y is not None
        inside = slice(3, -3)  # the target is resized smoothly
        near = (batch.x - batch.y)[..., inside, inside].abs().mean()
        assert near < 0.12


def test_pairs_in_one_file_are_label_maps_on_one_side(tmp_path: Path) -> None:
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 256, (30, 30, 3), np.uint8)
        images.save(tmp_path / f"{i}.png", np.hstack([noise, label_map(i)]))
    opened = data.open(tmp_path, spec(direction="BtoA"))
    batch = next(opened.batches(0, 3))
    assert colors_of(batch.x) <= set(PALETTE.colors)
    assert opened.notes == []


def test_colors_that_the_file_lacks_are_counted(pairs: Path) -> None:
    (pairs / "colors.txt").write_text("sky #4682b4\nroad #804080\n")
    opened = data.open(pairs, spec(palette=str(pairs / "colors.txt")))
    total = sum(int((label_map(i) == COLORS[2]).all(-1).sum()) for i in range(6))
    assert [n for n in opened.notes if n.startswith(f"{total:,} of 5,400 pixels of 6 images")]


def test_gray_label_maps_have_one_channel(tmp_path: Path) -> None:
    for i in range(3):
        images.save(tmp_path / f"A/{i}.png", (label_map(i)[..., :1] // 60).astype(np.uint8))
        images.save(tmp_path / f"B/{i}.png", label_map(i))
    opened = data.open(tmp_path, spec())
    assert (opened.channels_in, opened.channels_out) == (1, 3)
    assert opened.palette is not None
    assert opened.palette.colors == ((0,), (1,), (2,))


def test_the_networks_see_a_channel_for_each_class() -> None:
    assert Shape(3, 3, 16, palette=PALETTE.text).channels_seen == 3
    assert Shape(3, 3, 16, palette=PALETTE.text, label_edges=True).channels_seen == 4
    assert Shape(1, 3, 16).channels_seen == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"palette": "", "label_edges": True}, "label_edges is on, but there is no palette"),
        ({"make": "grey"}, "palette is 'auto', and make is 'grey'"),
        ({"augment": "affine+color"}, "color would change the colors of label maps"),
        ({"augment": "affine", "augment_on": "device"}, "blends the colors"),
        ({"channels_in": 4}, "no transparency"),
        ({"palette": "nowhere.txt"}, "nowhere.txt does not exist"),
        ({"layout": "unpaired"}, "the images are no pairs"),
        ({"direction": "BtoA"}, "more than 256 colors"),
    ],
)
def test_what_does_not_fit_is_refused(pairs: Path, values: dict[str, object], message: str) -> None:
    with pytest.raises(I2IError, match=message):
        data.open(pairs, spec(**values))


def test_16_bit_numbers_of_things_become_colors_with_a_palette(tmp_path: Path) -> None:
    from i2i.data.instances import label_maps

    numbers = np.array([[7, 26001], [26002, 24003]], np.uint16).repeat(6, 0).repeat(6, 1)
    images.save(tmp_path / "ids/one/0.png", numbers)
    images.save(tmp_path / "ids/one/1.png", np.full((12, 12), 26033, np.uint16))
    assert label_maps(tmp_path / "ids", tmp_path / "labels") == (2, 3)
    palette = Palette.read(tmp_path / "labels/colors.txt")
    assert palette.names == ("class_7", "class_24", "class_26")
    assert palette.classes == (0, 1, 2, 2)  # 26033 has the color of 26001: 32 colors a class
    first = images.to_array(images.Image.open(tmp_path / "labels/one/0.png"))
    at = {
        tuple(first[y, x].tolist()): palette.classes[palette.colors.index(tuple(first[y, x].tolist()))]
        for y, x in ((0, 0), (0, 11), (11, 0), (11, 11))
    }
    assert sorted(at.values()) == [0, 1, 2, 2]
    assert palette.outside(first) == (0, "")
    with pytest.raises(I2IError, match="exists"):
        label_maps(tmp_path / "ids", tmp_path / "labels")
    with pytest.raises(I2IError, match="no map of numbers"):
        label_maps(tmp_path / "labels", tmp_path / "again")


def test_16_bit_label_maps_are_refused_with_the_command_that_helps(pairs: Path) -> None:
    images.save(pairs / "A/0.png", np.full((30, 30), 26001, np.uint16))
    with pytest.raises(I2IError, match="16-bit numbers") as error:
        data.open(pairs, spec())
    assert "i2i data labels" in str(error.value.hint)
