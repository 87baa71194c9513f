"""Order, split over processes, layouts, pairs, previews, caches."""

import itertools
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import data
from i2i.core.errors import I2IError
from i2i.data import decode, layouts, preprocess
from i2i.media import images, pixels
from tests.golden.reading import to_tensor

RNG = np.random.default_rng(0)


def picture(width=24, height=24, channels=3):
    return RNG.integers(0, 256, (height, width, channels), np.uint8)


def fill(folder: Path, names, width=24, height=24, channels=3) -> Path:
    for name in names:
        images.save(folder / name, picture(width, height, channels))
    return folder


@pytest.fixture
def pairs(tmp_path):
    """11 pairs side by side; B is A with its colours turned over, so that equal geometry can be seen."""
    for i in range(11):
        a = np.asarray(Image.fromarray(picture(8, 8)).resize((24, 24), Image.Resampling.BICUBIC))
        images.save(tmp_path / "pairs" / f"{i:02d}.png", np.hstack([a, 255 - a]))
    return tmp_path / "pairs"


def spec(**values):
    return data.DataSettings(**{"size": 16, "load": 20, "workers": 0, **values})


def take(opened, n, *args, **kwargs):
    return list(itertools.islice(opened.batches(*args, **kwargs), n))


def same(a, b):
    pairs_of_tensors = ((a.x, b.x), (a.y, b.y), (a.c, b.c), (a.ids, b.ids))
    return all((p is None and q is None) or torch.equal(p, q) for p, q in pairs_of_tensors)


@pytest.mark.parametrize("augment", ["", "color+affine+cutout+noise"])
def test_order_and_variation_do_not_depend_on_workers(pairs, augment):
    runs = [take(data.open(pairs, spec(workers=w, augment=augment)), 9, 0, 3, seed=4) for w in (0, 1, 3)]
    for batches in zip(*runs, strict=True):
        assert same(batches[0], batches[1])
        assert same(batches[0], batches[2])
    other = take(data.open(pairs, spec(augment=augment)), 1, 0, 3, seed=5)[0]
    assert not same(other, runs[0][0])


def test_processes_share_out_what_one_process_sees(pairs):
    one = take(data.open(pairs, spec()), 6, 0, 4, seed=1)
    ranks = [take(data.open(pairs, spec(workers=r)), 6, 0, 2, rank=r, world=2, seed=1) for r in (0, 1)]
    for whole, a, b in zip(one, *ranks, strict=True):
        joined = (torch.cat([a.x, b.x]), torch.cat([a.y, b.y]), None, torch.cat([a.ids, b.ids]))
        assert same(whole, data.Batch(*joined))
        assert not set(a.ids.tolist()) & set(b.ids.tolist())


def test_resumed_in_the_middle_of_an_epoch(pairs):
    opened = data.open(pairs, spec(augment="color"))
    whole = take(opened, 8, 0, 2, seed=3)
    rest = take(data.open(pairs, spec(augment="color", workers=2)), 3, 10, 2, seed=3)
    for a, b in zip(whole[5:], rest, strict=True):
        assert same(a, b)


def test_every_epoch_is_another_permutation(pairs):
    from i2i.data.sampler import index_of

    epochs = [[index_of(n, 11, 0) for n in range(e * 11, e * 11 + 11)] for e in range(3)]
    assert all(sorted(e) == list(range(11)) for e in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("augment", ["", "affine+rotate90+vflip+cutout"])
def test_pairs_get_the_same_geometry(pairs, augment):
    opened = data.open(pairs, spec(augment=augment, load=24, size=24 if augment else 16, exact=True))
    for batch in take(opened, 6, 0, 4):
        cut = (batch.x == -1) & (batch.y == -1)  # holes are black in both
        assert torch.where(cut, 0.0, batch.x + batch.y).abs().max() < 0.02  # one or two levels of rounding
    assert len({float(b.x.sum()) for b in take(opened, 6, 0, 1)}) == 6


def test_colour_leaves_the_target_alone(pairs):
    plain = take(data.open(pairs, spec()), 4, 0, 2)
    coloured = take(data.open(pairs, spec(augment="color+blur+jpeg+noise")), 4, 0, 2)
    assert all(torch.equal(a.y, b.y) for a, b in zip(plain, coloured, strict=True))
    assert sum(not torch.equal(a.x, b.x) for a, b in zip(plain, coloured, strict=True)) >= 3


def test_direction_and_halves(pairs):
    ab, ba = data.open(pairs, spec()), data.open(pairs, spec(direction="BtoA"))
    a, b = ab.item(3), ba.item(3)
    assert torch.equal(a.x, b.y)
    assert torch.equal(a.y, b.x)
    assert (ab.layout, ab.count, ab.channels_in, ab.channels_out, ab.size) == ("paired", 11, 3, 3, 16)
    first, second = take(ab, 1, 0, 4)[0], take(ba, 1, 0, 4)[0]
    assert torch.equal(first.x, second.y)


def test_item_is_the_papers_pre_processing(pairs):
    opened = data.open(pairs, spec())
    with Image.open(pairs / opened.names[2]) as both:
        a = preprocess.fit(both.crop((0, 0, 24, 24)), "resize_and_crop", 16, 16)
    assert torch.equal(opened.item(2).x[0], to_tensor(np.asarray(a)))
    fixed = opened.fixed(50)
    assert fixed.x.shape == (11, 3, 16, 16)
    assert torch.equal(fixed.x[2], opened.item(2).x[0])


def test_batches_are_resize_crop_flip_of_the_picture(pairs):
    """With `exact`, a training image is one of the windows of Pillow's resized image, mirrored or not."""
    opened = data.open(pairs, spec(exact=True, load=18))
    batch = take(opened, 1, 0, 1, seed=8)[0]
    from i2i.data.sampler import index_of

    with Image.open(pairs / opened.names[index_of(0, 11, 8)]) as both:
        a = both.crop((0, 0, 24, 24))
    made = [
        to_tensor(np.asarray(preprocess.fit(a, "resize_and_crop", 18, 16, (i, j), flip)))
        for i in range(3)
        for j in range(3)
        for flip in (False, True)
    ]
    assert sum(torch.equal(batch.x[0], m) for m in made) == 1


def test_fast_road_is_close_to_pillow(tmp_path):
    with Image.open(next((data.get("earth") / "test").glob("*.jpg"))) as image:
        image.crop((0, 0, 128, 128)).save(tmp_path / "a.jpg", quality=95)
    place = layouts.Source(tmp_path / "a.jpg")
    for size in (143, 64):
        difference = np.abs(
            decode.fast(place, 3, lambda w, h, s=size: (s, s)).astype(int)
            - decode.exact(place, 3, lambda w, h, s=size: (s, s)).astype(int)
        )
        assert difference.max() <= 2
        assert (difference > 0).mean() < 0.01
    assert np.array_equal(decode.whole(tmp_path / "a.jpg", 3), pixels.read(tmp_path / "a.jpg"))
    assert decode.jpeg_frame((tmp_path / "a.jpg").read_bytes()[:1000]) == (128, 128, 3)


def test_fast_road_minds_exif_cmyk_and_grey(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    colour = Image.fromarray(picture(32, 16))
    colour.save(tmp_path / "turned.jpg", exif=exif)
    colour.convert("CMYK").save(tmp_path / "cmyk.jpg")
    colour.convert("L").save(tmp_path / "grey.jpg")
    for name in ("turned.jpg", "cmyk.jpg", "grey.jpg"):
        for channels in (1, 3):
            assert np.array_equal(decode.whole(tmp_path / name, channels), pixels.read(tmp_path / name, channels))
    assert decode.whole(tmp_path / "turned.jpg", 3).shape == (32, 16, 3)


def test_two_folders_are_matched_by_name(tmp_path):
    a = fill(tmp_path / "a", ["x.png", "sub/y.jpg"], channels=1)
    b = fill(tmp_path / "b", ["sub/y.png", "x.jpg"])
    opened = data.open([a, b], spec(layout="paired"))
    assert (opened.count, opened.channels_in, opened.channels_out) == (2, 1, 3)
    assert [p.path.stem for p in opened.sides[0]] == [p.path.stem for p in opened.sides[1]]
    batch = next(opened.batches(0, 2))
    assert batch.x.shape == (2, 1, 16, 16)
    fill(a, ["alone.png"])
    fill(b, ["other.png"])
    with pytest.raises(I2IError, match=r"only in .*a: alone; only in .*b: other"):
        data.open([a, b], spec(layout="paired"))
    assert data.open([a, b], spec()).layout == "unpaired"


@pytest.mark.parametrize("names", ["trainA trainB", "train/A train/B", "A/train B/train", "A B"])
def test_sides_inside_one_folder(tmp_path, names):
    a, b = names.split()
    fill(tmp_path / a, ["1.png", "2.png"])
    fill(tmp_path / b, ["1.jpg", "2.jpg"])
    assert data.open(tmp_path, spec()).layout == "paired"
    opened = data.open(tmp_path, spec(layout="unpaired"))
    assert (opened.layout, opened.count, opened.splits) == ("unpaired", 2, ("train",))


def test_unpaired_partners_are_drawn_by_the_seed(tmp_path):
    fill(tmp_path / "trainA", [f"{i}.png" for i in range(3)])
    fill(tmp_path / "trainB", [f"other{i}.png" for i in range(7)])
    opened = data.open(tmp_path, spec(layout="auto", preprocess="resize", flip=False))
    assert (opened.layout, opened.count) == ("unpaired", 7)
    ys = {float(b.y.sum()) for b in take(opened, 60, 0, 1)}
    xs = {float(b.x.sum()) for b in take(opened, 60, 0, 1)}
    assert (len(xs), len(ys)) == (3, 7)


def test_pairs_serve_unpaired_methods(pairs):
    opened = data.open(pairs, spec(layout="unpaired", preprocess="resize", flip=False))
    found = [torch.allclose(b.x, -b.y, atol=0.03) for b in take(opened, 20, 0, 1)]
    assert not all(found)


def test_class_folders(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / "train" / name, ["1.png", "2.png"])
    opened = data.open(tmp_path, spec())
    assert (opened.layout, opened.classes, opened.class_names) == ("labelled", 2, ["cat", "dog"])
    batch = next(opened.batches(0, 4))
    assert sorted(batch.c.tolist()) == [0, 0, 1, 1]
    assert batch.c.dtype == torch.int64
    assert data.open(tmp_path, spec(layout="images")).count == 4


def test_plain_pictures_of_any_mode(tmp_path):
    fill(tmp_path, ["a.png", "b.jpg"])
    fill(tmp_path, ["c.png"], channels=1)
    fill(tmp_path, ["d.png"], channels=4)
    opened = data.open(tmp_path, spec())
    assert (opened.layout, opened.channels_in) == ("images", 3)
    assert next(opened.batches(0, 4)).x.shape == (4, 3, 16, 16)
    assert next(data.open(tmp_path, spec(channels_in=1)).batches(0, 4)).x.shape == (4, 1, 16, 16)
    assert next(data.open(tmp_path, spec(channels_in=4, augment="color")).batches(0, 4)).x.shape == (4, 4, 16, 16)


@pytest.mark.parametrize(
    ("layout", "says"),
    [("paired", "holds single images"), ("unpaired", "holds single images"), ("labelled", "no class folders")],
)
def test_a_wrong_layout_is_one_clear_sentence(tmp_path, layout, says):
    fill(tmp_path, ["a.png"])
    with pytest.raises(I2IError, match=says):
        data.open(tmp_path, spec(layout=layout))
    assert data.open(tmp_path, spec(layout="joined")).layout == "paired"


def test_missing_things_are_named(tmp_path, pairs):
    with pytest.raises(I2IError, match="no images"):
        data.open(_empty(tmp_path), spec())
    with pytest.raises(I2IError, match="no split 'test'"):
        data.open(pairs, spec(), split="test")
    with pytest.raises(I2IError, match=r"Did you mean .*horse2zebra"):
        data.open("horse2zebr", spec())
    with pytest.raises(I2IError, match="load is 8"):
        data.open(pairs, spec(load=8))
    with pytest.raises(I2IError, match="Did you mean color"):
        data.open(pairs, spec(augment="colour"))


def _empty(tmp_path):
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_file_is_named(tmp_path, workers):
    fill(tmp_path, ["a.jpg"], 64, 64)
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(I2IError, match=r"a\.jpg"):
        next(data.open(tmp_path, spec(layout="images", workers=workers)).batches())


def test_threads_end_with_the_iteration(pairs):
    before = threading.active_count()
    batches = data.open(pairs, spec(workers=3)).batches(0, 2)
    next(batches)
    batches.close()
    for thread in threading.enumerate():
        if thread.name.startswith("i2i-data"):
            thread.join(5)
    assert threading.active_count() <= before


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_caches_change_nothing_but_the_time(pairs, tmp_path, monkeypatch, where):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    plain = take(data.open(pairs, spec()), 12, 0, 2)
    kept = data.open(pairs, spec(cache=where, workers=2))
    for _ in range(2):
        assert all(same(a, b) for a, b in zip(plain, take(kept, 12, 0, 2), strict=True))
    monkeypatch.setattr(decode, "fast", None)  # every image comes from the cache now
    again = kept if where == "memory" else data.open(pairs, spec(cache=where))
    assert all(same(a, b) for a, b in zip(plain, take(again, 12, 0, 2), strict=True))


def test_a_changed_picture_is_not_served_from_the_cache(pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    take(data.open(pairs, spec(cache="disk")), 6, 0, 2)
    images.save(pairs / "03.png", np.zeros((24, 48, 3), np.uint8))
    fresh = take(data.open(pairs, spec()), 12, 0, 1)
    assert all(same(a, b) for a, b in zip(fresh, take(data.open(pairs, spec(cache="disk")), 12, 0, 1), strict=True))


def test_a_damaged_cache_is_not_believed(pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    plain = take(data.open(pairs, spec(cache="disk")), 12, 0, 1)
    for path in (tmp_path / "cache" / "pictures").glob("*.pictures"):
        content = bytearray(path.read_bytes())
        content[200:] = bytes(b ^ 1 for b in content[200:])
        path.write_bytes(content)
    assert all(same(a, b) for a, b in zip(plain, take(data.open(pairs, spec(cache="disk")), 12, 0, 1), strict=True))


def test_caches_are_bounded(pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    picture_bytes = 20 * 20 * 3
    limited = data.open(pairs, spec(cache="disk", cache_gb=2 * 4 * (picture_bytes + 4) / 1e9))
    assert [c.count for c in limited.caches] == [4, 4]
    plain = take(data.open(pairs, spec()), 12, 0, 2)
    assert all(same(a, b) for a, b in zip(plain, take(limited, 12, 0, 2), strict=True))
    with pytest.raises(I2IError, match="one size"):
        data.open(pairs, spec(cache="memory", preprocess="crop"))


def test_fingerprint_follows_content_not_place(pairs, tmp_path):
    before = data.open(pairs, spec()).fingerprint
    shutil.copytree(pairs, tmp_path / "moved")
    assert data.open(tmp_path / "moved", spec()).fingerprint == before
    os.rename(tmp_path / "moved" / "00.png", tmp_path / "moved" / "zz.png")
    assert data.open(tmp_path / "moved", spec()).fingerprint != before
    images.save(pairs / "05.png", picture(48, 24))
    assert data.open(pairs, spec()).fingerprint != before


def test_the_shipped_set():
    opened = data.open("earth", data.DataSettings(size=128, load=143, workers=0))
    assert (opened.layout, opened.count, opened.splits) == ("paired", 683, ("train", "val", "test"))
    assert not opened.flip  # mirrored hills would be lit from the wrong side
    assert "NASA" in opened.licence
    assert data.open("earth", spec(flip=True)).flip
    assert [data.open("earth", split=s).count for s in ("val", "test")] == [56, 70]
    total = sum(p.stat().st_size for p in data.get("earth").rglob("*") if p.is_file())
    assert total < 6e6


DEVICE = "color+affine+rotate90+noise+cutout"


def test_variation_on_the_device_depends_on_the_ids_alone(pairs):
    opened = data.open(pairs, spec(augment=DEVICE, augment_on="device"))
    batch = next(opened.batches(0, 6))
    whole = opened.augment_on_device(batch, 3)
    rows = [batch.split(6)[i] for i in (4, 1)]
    for i, row in zip((4, 1), rows, strict=True):
        made = opened.augment_on_device(row, 3)
        assert torch.allclose(made.x[0], whole.x[i], atol=1e-5)
        assert torch.allclose(made.y[0], whole.y[i], atol=1e-5)
    assert not torch.allclose(opened.augment_on_device(batch, 4).x, whole.x)
    assert whole.x.min() >= -1
    assert whole.x.max() <= 1
    assert data.open(pairs, spec(augment="color")).augment_on_device(batch) is batch


def test_geometry_on_the_device_is_the_same_for_a_pair(pairs):
    opened = data.open(pairs, spec(augment="affine+rotate90", augment_on="device", load=0))
    made = opened.augment_on_device(next(opened.batches(0, 8)), 1)
    assert (made.x + made.y).abs().max() < 0.05  # B is A with its colours turned over
    opened = data.open(pairs, spec(augment="color+noise", augment_on="device"))
    batch = next(opened.batches(0, 8))
    made = opened.augment_on_device(batch, 1)
    assert torch.equal(made.y, batch.y)
    assert not torch.equal(made.x, batch.x)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_variation_on_the_device_takes_any_channels(pairs, channels):
    settings = spec(augment=DEVICE, augment_on="device", layout="unpaired", channels_in=channels)
    opened = data.open(pairs, settings)
    batch = next(opened.batches(0, 2))
    assert opened.augment_on_device(batch).x.shape == batch.x.shape
    with pytest.raises(I2IError, match="run on the CPU only"):
        data.open(pairs, spec(augment="jpeg", augment_on="device"))


def test_fixed_samples_are_spread_over_the_whole_set(pairs):
    opened = data.open(pairs, spec())
    few = opened.fixed(3)
    assert few.ids.tolist() == [i * opened.count // 3 for i in range(3)]
    whole = opened.fixed(opened.count)
    assert whole.ids.tolist() == list(range(opened.count))
    assert torch.equal(few.x, whole.x[few.ids])
