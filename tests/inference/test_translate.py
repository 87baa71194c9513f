"""Translation: kinds of images, any size, folders, and what goes wrong with single files."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import nn

from i2i import nets
from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.inference import manifest
from i2i.inference.translate import translate
from i2i.media import images
from i2i.media.adapt import pad_reflect
from i2i.models import format as model_file
from i2i.models.load import load
from i2i.models.translator import Translator


class Same(nn.Module):
    """Gives back what it gets: every loss on the way shows. With other channels out: the mean, repeated."""

    def __init__(self, channels_in=3, channels_out=3, multiple=4):
        super().__init__()
        self.arguments = {"channels_in": channels_in, "channels_out": channels_out}
        self.multiple = multiple
        self.one = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, x):
        assert x.shape[-1] % self.multiple == 0
        assert x.shape[-2] % self.multiple == 0
        self.seen.append(tuple(x.shape))
        same = self.arguments["channels_in"] == self.arguments["channels_out"]
        return x * self.one if same else x.mean(1, keepdim=True).repeat(1, self.arguments["channels_out"], 1, 1)


def same(*arguments):
    return Translator(Same(*arguments), {}, "same")


def noise(*shape, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, shape, dtype=dtype, endpoint=True)


# ---- kinds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pil_images_come_back_exactly(mode):
    array = noise(13, 18, len(mode))
    if mode == "RGBA":
        array[..., 3] = 255
        array[0] = (255, 255, 255, 0)
    picture = Image.fromarray(array)
    made = same()(picture)
    assert isinstance(made, Image.Image)
    assert made.mode == mode
    assert np.array_equal(made, picture)


@pytest.mark.parametrize(
    ("mode", "channels", "out"),
    [
        ("L", 3, "RGB"),
        ("1", 3, "RGB"),
        ("P", 3, "RGB"),
        ("CMYK", 3, "RGB"),
        ("LA", 3, "RGBA"),
        ("L", 1, "L"),
        ("LA", 1, "LA"),
        ("RGB", 1, "L"),
        ("RGBA", 1, "LA"),
    ],
)
def test_every_mode_is_understood(mode, channels, out):
    picture = Image.fromarray(noise(9, 10, 3)).convert("RGBA" if mode == "LA" else "RGB").convert(mode)
    made = same(channels, channels)(picture)
    assert made.mode == out
    expected = picture.convert("RGB").convert(out) if mode != "LA" else picture.convert(out)
    assert np.array_equal(made, expected)


def test_alpha_is_put_back_untouched_and_follows_a_new_size():
    array = noise(12, 16, 4)
    array[..., 3] = 0
    array[:, 8:, 3] = 255
    made = same()(Image.fromarray(array))
    expected = array.copy()
    expected[:, :8, :3] = 255  # the network sees white there
    assert np.array_equal(made, expected)
    large = np.asarray(same()(Image.fromarray(array), size=(32, 24)))
    assert large.shape == (24, 32, 4)
    assert set(np.unique(large[:, :10, 3])) == {0}
    assert set(np.unique(large[:, 22:, 3])) == {255}


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "gray", "PIL", "PIL LA", "palette"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_memory_are_laid_on_white(kind, channels):
    """Whatever colours lie under the transparency, the network sees white there, and the opaque pixels as ever."""
    outputs = []
    for hidden in (0, 200):
        array = noise(12, 16, 4) // 2
        array[:, :8] = (hidden, hidden, hidden, 0)
        array[:, 8:, 3] = 255
        image = {
            "uint8": array,
            "uint16": array.astype(np.uint16) * 257,
            "float32": array.astype(np.float32) / 255,
            "gray": array[..., [0, 3]],
            "PIL": Image.fromarray(array),
            "PIL LA": Image.fromarray(array).convert("LA"),
            "palette": Image.fromarray(array).quantize(200),
        }[kind]
        model = same(channels, channels)
        made = np.asarray(model(image))
        top = {"uint16": 65535, "float32": 1}.get(kind, 255)
        assert (made[:, :8, :-1] == top).all()
        assert (made[:, :8, -1] == 0).all()
        assert (made[:, 8:, -1] == top).all()
        outputs.append(made)
    assert np.array_equal(*outputs) or kind == "palette"


def test_sixteen_bits_stay():
    array = noise(10, 12, dtype=np.uint16)
    made = same(1, 1)(Image.fromarray(array))
    assert made.mode == "I;16"
    assert np.abs(np.asarray(made).astype(int) - array).max() <= 1
    colour = noise(10, 12, 3, dtype=np.uint16)
    made = same()(colour)
    assert made.dtype == np.uint16
    assert np.abs(made.astype(int) - colour).max() <= 1
    assert same()(Image.fromarray(array)).mode == "RGB"  # Pillow has no 16-bit colour


def test_arrays_keep_dtype_and_shape():
    grey = noise(7, 5)
    assert np.array_equal(same(1, 1)(grey), grey)
    assert np.array_equal(same(1, 1)(grey[..., None]), grey[..., None])
    assert same()(grey).shape == (7, 5, 3)
    for dtype in (np.float32, np.float64, np.float16):
        array = np.linspace(0, 1, 8 * 8 * 3).reshape(8, 8, 3).astype(dtype)
        made = same()(array)
        assert made.dtype == dtype
        assert np.abs(made - array).max() < 1e-3


def test_tensors_keep_dtype_and_shape():
    one = torch.rand(3, 6, 11) * 2 - 1
    assert torch.allclose(same()(one), one, atol=1e-6)
    batch = torch.rand(5, 3, 6, 11, dtype=torch.float64) * 2 - 1
    made = same()(batch, batch=2)
    assert made.dtype == torch.float64
    assert torch.allclose(made, batch, atol=1e-6)
    levels = torch.randint(0, 256, (3, 9, 9), dtype=torch.uint8)
    assert torch.equal(same()(levels), levels)


def test_channels_may_differ():
    assert same(3, 1)(Image.fromarray(noise(8, 8, 3))).mode == "L"
    assert same(1, 3)(Image.fromarray(noise(8, 8, 3))).mode == "RGB"
    assert same(5, 2)(noise(8, 8, 5)).shape == (8, 8, 2)
    assert np.array_equal(same(4, 4)(noise(8, 8, 4)), noise(8, 8, 4))  # alpha is the model's business


def test_paths_and_lists(tmp_path):
    picture = Image.fromarray(noise(8, 10, 3))
    picture.save(tmp_path / "a.png")
    made = same()([tmp_path / "a.png", str(tmp_path / "a.png"), np.asarray(picture), picture])
    assert [type(m).__name__ for m in made] == ["Image", "Image", "ndarray", "Image"]
    assert all(np.array_equal(m, picture) for m in made)
    assert same()([]) == []


@pytest.mark.parametrize(
    ("picture", "match"),
    [
        (3, "An object of the type int is no image"),
        (b"xx", "the file in memory is not an image"),
        (np.zeros((4, 4, 3), np.int64), "int64 is no image"),
        (np.zeros((4, 4, 5), np.uint8), "5 channels does not fit"),
        (np.zeros((0, 4, 3), np.uint8), "no image"),
        (np.zeros(4, np.uint8), "no image"),
        (torch.zeros(1, 4, 4), "does not fit"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "int32 is no image"),
    ],
)
def test_what_is_no_image_is_said(picture, match):
    with pytest.raises(I2IError, match=match):
        same()(picture)


# ---- sizes and batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 4), (8, 8), (17, 30), (40, 3)])
def test_any_size_comes_back_as_it_went_in(size):
    array = noise(*size, 3)
    assert np.array_equal(same(3, 3, 16)(array), array)


@pytest.mark.parametrize(
    "net",
    [
        {"name": "resnet", "blocks": 1, "width": 2},
        {"name": "resnet", "blocks": 1, "width": 2, "upsample": "blur", "antialias": True},
        {"name": "unet", "depth": 3, "width": 2},
        {"name": "unet", "depth": 5, "width": 2, "norm": "instance", "upsample": "resize"},
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_real_networks_take_any_size(net, own):
    torch.manual_seed(0)
    translator = Translator(nets.build(**net), {"train_mode_norm": own})
    for height, width in ((1, 1), (1, 3), (3, 2), (9, 33), (32, 32)):
        made = translator(noise(height, width, 3))
        assert made.shape == (height, width, 3)


def test_reflection_repeats():
    row = torch.arange(3.0).reshape(1, 1, 3)
    assert pad_reflect(row, 2, 9)[0].tolist() == [[0, 1, 2, 1, 0, 1, 2, 1, 0]] * 2
    picture = torch.rand(2, 6, 7)
    expected = torch.nn.functional.pad(picture[None], (0, 5, 0, 2), mode="reflect")[0]
    assert torch.equal(pad_reflect(picture, 8, 12), expected)


def test_sizes_asked_for():
    array = noise(20, 40, 3)
    assert same()(array, size=10).shape == (10, 20, 3)
    assert same()(array, size=(15, 33)).shape == (33, 15, 3)
    small = np.asarray(Image.fromarray(array).resize((20, 10), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(same()(array, size=10) - small).max() <= 2  # bicubic as Pillow's, but for its rounding
    for bad in (0, -3, (0, 4)):
        with pytest.raises(I2IError, match="at least 1 pixel"):
            same()(array, size=bad)


def test_only_images_of_one_padded_size_share_a_batch_and_order_is_kept():
    """In fp16, as on a GPU; otherwise a CPU takes one at a time, so that no bit depends on the batch."""
    translator = Translator(Same(3, 3, 8), {}, dtype=torch.float16)
    given = [noise(h, w, 3) for h, w in ((8, 8), (9, 9), (7, 8), (16, 16), (5, 6), (8, 7))]
    made = translator(given, batch=3)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(made, given))
    assert sorted(translator.network.seen) == [(1, 3, 8, 8), (2, 3, 16, 16), (3, 3, 8, 8)]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("dropout", [False, True])
def test_results_do_not_depend_on_the_batch_and_repeat(own, dropout):
    torch.manual_seed(1)
    net = nets.build("unet", depth=4, width=4, max_width=4, norm="batch", dropout=dropout)
    translator = Translator(net, {"train_mode_norm": own, "dropout_at_test": dropout})
    batch = torch.rand(4, 3, 16, 16) * 2 - 1
    together = translator(batch, batch=4)
    alone = torch.stack([translator(one) for one in batch])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.equal(together, translator(batch, batch=4))


def test_own_statistics_are_those_of_a_batch_of_one_in_training():
    torch.manual_seed(1)
    net = nets.build("unet", depth=3, width=4, norm="batch")
    x = torch.rand(1, 3, 16, 24) * 2 - 1
    expected = net.train()(x.clone()).detach()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert torch.allclose(Translator(net, {"train_mode_norm": True})(x), expected, atol=1e-5)
    assert not torch.allclose(Translator(net, {"train_mode_norm": False})(x), expected, atol=1e-2)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_bf16_is_near_fp32():
    torch.manual_seed(1)
    net = nets.build("resnet", blocks=1, width=4)
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    exact, rough = Translator(net, {})(x), Translator(net, {}, dtype=torch.bfloat16)(x)
    assert rough.dtype == torch.float32
    assert 0 < float((exact - rough).abs().max()) < 0.1


# ---- loading -------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    networks = {
        "G": nets.build("resnet", channels_in=3, channels_out=1, blocks=1, width=2),
        "F": nets.build("resnet", channels_in=1, channels_out=3, blocks=1, width=2),
    }
    return model_file.save(tmp_path / "run" / "model.safetensors", networks, {"method": "cyclegan"})


def test_load_by_file_and_by_run_folder(model):
    picture = Image.fromarray(noise(12, 12, 3))
    made = load(model, "cpu")(picture)
    again = load(str(model.parent), "cpu")(picture)
    assert made.mode == "L"
    assert np.array_equal(made, again)
    assert load(model, "cpu").name == load(model.parent, "cpu").name == "run"
    assert load(model, "cpu", direction="BtoA")(picture).mode == "RGB"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"model": "cyclegan_horse2zebr"}, "Did you mean cyclegan_horse2zebra"),
        ({"model": "runs/none"}, "no model at runs"),
        ({"model": "none.safetensors"}, "no model at none"),
        ({"precision": "fp8"}, "precision 'fp8'"),
        ({"precision": "fp16", "device": "cpu"}, "fp16 works on GPUs only"),
        ({"device": "tpu9"}, "device 'tpu9'"),
        ({"direction": "AtoC"}, "Did you mean AtoB"),
        ({"statistics": "none"}, "statistics 'none'"),
    ],
)
def test_what_cannot_be_loaded_is_said(model, arguments, match):
    with pytest.raises(I2IError, match=match):
        load(**{"model": model, **arguments})


def test_models_without_what_is_asked(model, tmp_path):
    with pytest.raises(I2IError, match=r"holds 1 run"):
        load(tmp_path)
    one = model_file.save(tmp_path / "one.safetensors", {"G": nets.build("resnet", blocks=1, width=2)})
    with pytest.raises(I2IError, match=r"cannot translate BtoA\. It can translate AtoB"):
        load(one, "cpu", direction="BtoA")
    other = model_file.save(tmp_path / "d.safetensors", {"D": nets.build("patchgan", channels=3, width=2)})
    with pytest.raises(I2IError, match="no generator"):
        load(other, "cpu")


# ---- folders -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    """A small folder of images of several formats."""
    folder = tmp_path / "in"
    (folder / "sub" / "deep").mkdir(parents=True)
    picture = Image.fromarray(noise(10, 14, 3))
    picture.save(folder / "a.jpg", quality=95)
    picture.save(folder / "b.png")
    picture.save(folder / "sub" / "c.webp", lossless=True)
    picture.save(folder / "sub" / "deep" / "d ü.tif")
    picture.quantize(16).save(folder / "e.gif")
    (folder / "notes.txt").write_text("no image")
    return folder


def listed(folder):
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != manifest.NAME)
    return sorted(p.relative_to(folder).as_posix() for p in files)


def test_a_folder_keeps_its_tree(tree, tmp_path):
    told = []
    out = tmp_path / "out"
    result = translate(tree, out, same(), batch=2, progress=lambda *a: told.append(a))
    assert listed(out) == ["a.jpg", "b.png", "e.png", "sub/c.webp", "sub/deep/d ü.tif"]
    assert len(result.done) == 5
    assert result.failed == []
    assert result.skipped == []
    assert [t[:2] for t in told] == [(i, 5) for i in range(1, 6)]
    assert np.array_equal(Image.open(out / "b.png"), Image.open(tree / "b.png"))
    assert np.array_equal(Image.open(out / "e.png"), Image.open(tree / "e.gif").convert("RGB"))
    assert all(Image.open(p).size == (14, 10) for p in result.done)


def test_nothing_is_overwritten_unless_asked(tree, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").write_bytes(b"mine")
    result = translate(tree, out, same())
    assert (out / "a.jpg").read_bytes() == b"mine"
    assert result.skipped == [out / "a.jpg"]
    assert len(result.done) == 4
    again = translate(tree, out, same(), overwrite=True)
    assert len(again.done) == 5
    assert Image.open(out / "a.jpg").size == (14, 10)


def test_bad_files_never_stop_the_rest(tree, tmp_path):
    whole = (tree / "a.jpg").read_bytes()
    (tree / "aa-cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tree / "aa-empty.png").write_bytes(b"")
    (tree / "aa-text.png").write_text("hello")
    (tree / "sub" / "aa-link.png").symlink_to("nowhere.png")
    out = tmp_path / "out"
    (out / "b.png").mkdir(parents=True)  # where an output should go
    result = translate(tree, out, same(), batch=3, overwrite=True)
    assert [p.name for p, _ in result.failed][:3] == ["aa-cut.jpg", "aa-empty.png", "aa-text.png"]
    assert "b.png" in [p.name for p, _ in result.failed]
    assert all(reason for _, reason in result.failed)
    assert [p.name for p in result.done] == ["a.jpg", "e.png", "c.webp", "d ü.tif"]
    assert not [p for p in listed(out) if "tmp" in p or "part" in p]


def test_a_network_that_fails_on_one_image_fails_that_image(tree, tmp_path):
    class Sensitive(Same):
        def forward(self, x):
            if bool((x[..., 0, 0] == -1).all(1).any()):
                raise RuntimeError("out of order\nand more")
            return super().forward(x)

    Image.new("RGB", (14, 10)).save(tree / "black.png")
    result = translate(tree, tmp_path / "out", Translator(Sensitive(), {}), batch=6)
    assert [(p.name, r) for p, r in result.failed] == [("black.png", "RuntimeError: out of order")]
    assert len(result.done) == 5


def test_batches_do_not_change_the_files(tree, tmp_path):
    for i in range(5):
        Image.fromarray(noise(10 + i % 2 * 8, 14, 3)).save(tree / f"more{i}.png")
    one = translate(tree, tmp_path / "one", same(), batch=1)
    many = translate(tree, tmp_path / "many", same(), batch=4)
    assert [p.read_bytes() for p in one.done] == [p.read_bytes() for p in many.done]


def test_outputs_inside_the_input_are_never_read_again(tree):
    first = translate(tree, tree / "out", same())
    second = translate(tree, tree / "out", same())
    assert len(first.done) == len(second.skipped) == 5
    assert second.done == []


def test_inputs_are_never_replaced(tree):
    before = (tree / "b.png").read_bytes()
    with pytest.raises(I2IError, match="would replace an input"):
        translate(tree, tree, same(), overwrite=True)
    with pytest.raises(I2IError, match="would replace an input"):
        translate(tree / "b.png", tree / "b.png", same(), overwrite=True)
    assert (tree / "b.png").read_bytes() == before


def test_names_that_would_meet(tree, tmp_path):
    Image.new("RGB", (8, 8)).save(tree / "b.gif")
    Image.new("RGB", (8, 8)).save(tree / "b.ppm")
    result = translate(tree, tmp_path / "out", same())
    assert {"b.png", "b.gif.png", "b.ppm.png"} <= set(listed(tmp_path / "out"))
    assert len(result.done) == 7
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (8, 8)).save(other / "a.jpg")
    with pytest.raises(I2IError, match="would both become"):
        translate([tree, other], tmp_path / "out2", same())
    assert not (tmp_path / "out2").exists()


@pytest.mark.parametrize("minds", [True, False])
def test_names_that_differ_in_case_meet_unless_the_file_system_is_known_to_mind(tmp_path, monkeypatch, minds):
    for name in ("in/A.png", "in/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    monkeypatch.setattr(storage, "is_case_sensitive", lambda folder: minds)
    if minds:
        translate(tmp_path / "in", tmp_path / "out", same())
        assert {"A.png", "a.png"} <= set(listed(tmp_path / "out"))
    else:
        with pytest.raises(I2IError, match="would both become"):
            translate(tmp_path / "in", tmp_path / "out", same())


def test_names_that_are_composed_differently_always_meet(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("\u00e9.png", "e\u0301.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / name)
    if len(listed(tmp_path / "in")) == 2:
        with pytest.raises(I2IError, match="would both become"):
            translate(tmp_path / "in", tmp_path / "out", same())


def test_whether_a_file_system_minds_case_is_seen_inside_of_it(tmp_path, monkeypatch):
    (tmp_path / "Some").mkdir()
    (tmp_path / "upper").touch()
    (tmp_path / "UPPER").touch()
    minds = len(list(tmp_path.iterdir())) == 3
    assert storage.is_case_sensitive(tmp_path / "not" / "there" / "yet") == minds
    assert storage.is_case_sensitive(tmp_path / "Some") == minds  # empty: what lies beside it says so
    here = (tmp_path / "Some").stat().st_dev
    real = Path.stat

    def mounted(self, **how):  # as if each folder above were another file system
        found = real(self, **how)
        return found if self == tmp_path / "Some" else type("", (), {"st_dev": here + 1, "st_mode": found.st_mode})()

    monkeypatch.setattr(Path, "stat", mounted)
    assert not storage.is_case_sensitive(tmp_path / "Some")


@pytest.mark.parametrize("call", ["write", "fsync", "close"])
def test_a_disk_that_fills_up_loses_no_report(tree, tmp_path, monkeypatch, call):
    real = getattr(os, call)
    record = []

    def full(file, *rest):
        if file in record:
            if call == "close":
                real(file)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, *rest)

    opened = manifest.Manifest._descriptor
    monkeypatch.setattr(manifest.Manifest, "_descriptor", lambda self: record.append(opened(self)) or record[-1])
    monkeypatch.setattr(os, call, full)
    result = translate(tree, tmp_path / "out", same())
    assert len(result.outcomes) == 5
    assert len(result.failed) == (5 if call == "write" else 0)
    assert result.record.endswith(".i2i-manifest.jsonl cannot be written: No space left on device.")


def test_a_shard_that_is_none_is_said(tree, tmp_path):
    with pytest.raises(I2IError, match="The shard is 5 of 2"):
        translate(tree, tmp_path / "out", same(), shard=(5, 2))


def test_single_files(tree, tmp_path):
    made = translate(tree / "a.jpg", None, same())
    assert made.done == [tree / "a.same.jpg"]
    made = translate([tree / "a.jpg"], tmp_path / "x" / "new.png", same())
    assert made.done == [tmp_path / "x" / "new.png"]
    made = translate([tree / "a.jpg", tree / "b.png"], tmp_path / "y", same())
    assert listed(tmp_path / "y") == ["a.jpg", "b.png"]
    made = translate(tree, None, same(), recursive=False)
    assert listed(tmp_path / "in.same") == ["a.jpg", "a.same.jpg", "b.png", "e.png"]
    for name, format in (("c.jpg", "jpeg"), ("c.jpeg", "jpg"), ("c.tiff", "tif"), ("c.webp", "webp")):
        made = translate(tree / "a.jpg", tmp_path / "z" / name, same(), format=format)
        assert made.done == [tmp_path / "z" / name]
    with pytest.raises(I2IError, match=r"cannot be written as \.jp2"):
        translate(tree / "a.jpg", tmp_path / "a.jp2", same())
    with pytest.raises(I2IError, match="no file or folder"):
        translate(tree / "none.jpg", None, same())
    with pytest.raises(I2IError, match="no image in"):
        translate([], None, same())


def test_sizes_reach_the_files(tree, tmp_path):
    result = translate(tree, tmp_path / "out", same(), size=5)
    assert {Image.open(p).size for p in result.done} == {(7, 5)}


# ---- what is kept around the pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_orientation_is_applied_and_other_metadata_kept(tmp_path, suffix):
    picture = Image.fromarray(noise(8, 16, 3)).resize((64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = tmp_path / f"a{'.jpg' if suffix == '.tif' else suffix}"
    picture.save(source, exif=exif, icc_profile=profile, dpi=(300, 300), quality=95)
    target = tmp_path / f"b{suffix}"
    assert translate(source, target, same()).failed == []
    made = Image.open(target)
    assert made.size == (32, 64)
    assert made.getexif().get(0x0112, 1) == 1
    assert made.getexif()[0x010F] == "a camera"
    assert made.getexif().get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert made.info["icc_profile"] == profile
    if suffix != ".webp":  # has no field for it
        assert [round(float(v)) for v in made.info["dpi"]] == [300, 300]
    turned = np.asarray(images.upright(Image.open(source)).convert("RGB")).astype(int)
    assert np.abs(np.asarray(made).astype(int) - turned).mean() < 6


def test_a_profile_that_does_not_fit_is_left_out(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.png", icc_profile=profile)
    translate(tmp_path / "a.png", tmp_path / "b.png", same(3, 1))
    assert "icc_profile" not in Image.open(tmp_path / "b.png").info


def test_transparency_and_sixteen_bits_in_files(tmp_path):
    array = noise(8, 8, 4)
    Image.fromarray(array).save(tmp_path / "a.png")
    deep = noise(8, 8, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for suffix in (".png", ".webp", ".tif"):
        translate(tmp_path / "a.png", tmp_path / f"b{suffix}", same())
        assert Image.open(tmp_path / f"b{suffix}").mode == "RGBA"
    for suffix in (".jpg", ".bmp"):
        translate(tmp_path / "a.png", tmp_path / f"b{suffix}", same())
        assert Image.open(tmp_path / f"b{suffix}").mode == "RGB"
    for suffix, mode in ((".png", "I;16"), (".tif", "I;16"), (".jpg", "L"), (".webp", "RGB"), (".bmp", "L")):
        target = tmp_path / f"deep2{suffix}"
        assert translate(tmp_path / "deep.png", target, same(1, 1)).failed == []
        assert Image.open(target).mode == mode
    assert np.abs(np.asarray(Image.open(tmp_path / "deep2.png")).astype(int) - deep).max() <= 1


@pytest.mark.parametrize("loss", ["folder", "content", "moved", "replaced"])
def test_an_output_folder_that_goes_away_is_a_failure(tmp_path, loss):
    for i in range(12):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(noise(8, 8, 3)).save(tmp_path / "in" / f"{i:02}.png")
    out = tmp_path / "out"

    def lose(done, total, source):
        if done != 4:
            return
        if loss == "moved":
            out.rename(tmp_path / "moved")
            return
        while (out / manifest.NAME).exists():  # others write into it meanwhile
            shutil.rmtree(out, ignore_errors=True)
        if loss in ("content", "replaced"):
            out.mkdir(exist_ok=True)

    with pytest.raises(I2IError, match=r"The output folder .*out .* removed or moved during the work, after 4 of 12"):
        translate(tmp_path / "in", out, same(), progress=lose)
    assert len(list(out.glob("*.png"))) < 12
    if loss == "moved":
        shutil.rmtree(out, ignore_errors=True)
        (tmp_path / "moved").rename(out)
        assert len(translate(tmp_path / "in", out, same(), resume=True).skipped) >= 4
    assert len(translate(tmp_path / "in", out, same(), resume=True, overwrite=True).failed) == 0


def test_a_record_that_is_removed_alone_is_named(tmp_path):
    for i in range(6):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(noise(8, 8, 3)).save(tmp_path / "in" / f"{i}.png")
    with pytest.raises(I2IError, match="has lost its record"):
        translate(
            tmp_path / "in",
            tmp_path / "out",
            same(),
            progress=lambda done, total, source: done == 2 and (tmp_path / "out" / manifest.NAME).unlink(),
        )


@pytest.mark.parametrize(
    ("suffix", "kind", "expected"), [(".jfif", "JPEG", ".jpg"), (".JPE", "JPEG", ".jpg"), (".dib", "DIB", ".bmp")]
)
def test_rarer_names_of_a_format_keep_the_format(tmp_path, suffix, kind, expected):
    (tmp_path / "in").mkdir()
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "in" / f"a{suffix}", kind)
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "in" / "a.jpg")
    result = translate(tmp_path / "in", tmp_path / "out", same())
    assert (result.failed, {o.note for o in result.outcomes}) == ([], {""})
    names = {path.name for path in result.done}
    assert names == {"a.jpg", f"a{suffix}.jpg" if expected == ".jpg" else "a.bmp"}
