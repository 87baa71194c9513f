"""The folders, models and videos of tests/cases, as the program takes them: checked, trained on, translated."""

import re
import unicodedata
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.media import video
from tests.cli import program

CASES = Path(__file__).parent / "cases"
TINY = ["--size", "16", "--set", "width=4", "--set", "d_width=4", "--device", "cpu", "--workers", "0", "--epochs", "1"]


@pytest.fixture
def folders(tmp_path):
    """Copies of the folders, with what a repository cannot hold: an empty folder, and one name in two spellings."""
    for source in (CASES / "data").rglob("*.*"):
        path = tmp_path / source.relative_to(CASES / "data")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read_bytes())
    (tmp_path / "empty_val" / "val").mkdir()
    for side, form in (("A", "NFC"), ("B", "NFD")):
        program.picture(tmp_path / "nfd" / side / "0.png", 1)
        program.picture(tmp_path / "nfd" / side / unicodedata.normalize(form, "café.png"), 2)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("capital", "train 4, test 4 pairs. Nothing is wrong."),
        ("nfd", "2 pairs."),
        ("empty_val", "val holds no images: the split val is left out."),
        ("jfif", "6 images of 16x16 pixels, layout paired: 3 pairs. Nothing is wrong."),
        ("phone", "1 .psd"),
        ("test_a", "testA has no partner testB"),
    ],
)
def test_a_folder_is_checked(folders, folder, says):
    out, errors = program.i2i("data", "check", folders / folder)
    assert says in out + errors
    assert "partner:" not in out


@pytest.mark.parametrize(
    ("recipe", "folder", "count", "says"),
    [
        ("pix2pix", "capital", 4, ""),
        ("pix2pix", "nfd", 2, ""),
        ("pix2pix", "empty_val", 4, "val holds no images"),
        ("pix2pix", "jfif", 3, ""),
        ("cyclegan", "test_a", 3, "testA has no partner testB"),
        ("dcgan", "phone", 3, "1 .psd"),  # and up to 5 by the extra `formats`
    ],
)
def test_a_folder_is_trained_on(folders, recipe, folder, count, says):
    more = {"pix2pix": ["depth=3", "layers=1"], "cyclegan": ["blocks=1", "layers=1"], "dcgan": ["z=4"]}[recipe]
    words = [word for setting in more for word in ("--set", setting)]
    run = folders / "run"
    out, errors = program.i2i("train", recipe, "--data", folders / folder, *TINY, *words, "--out", run)
    assert says in out + errors
    trained_on = re.search(rf"^{recipe}: (\d+) ", errors, re.MULTILINE)
    assert trained_on
    assert int(trained_on[1]) in ({3, 4, 5} if folder == "phone" else {count})


@pytest.mark.parametrize(
    ("folder", "written"),
    [("jfif", {"A/0.jpg", "A/1.jpg", "A/2.jpg", "B/0.png", "B/1.png", "B/2.png"}), ("phone", {"0.png", "e.jpg"})],
)
def test_a_folder_is_translated(folders, folder, written):
    pytest.importorskip("onnxruntime")
    words = ["translate", folders / folder, "-o", folders / "out", "--model", CASES / "same.onnx"]
    _, errors = program.i2i(*words)
    outputs = {p.relative_to(folders / "out").as_posix() for p in (folders / "out").rglob("*.*")}
    assert written <= outputs
    assert folder != "phone" or "1 .psd" in errors
    name = "0.png" if folder == "phone" else "B/0.png"
    with Image.open(folders / "out" / name) as new, Image.open(folders / folder / name) as old:
        assert np.array_equal(np.asarray(new), np.asarray(old.convert("RGB")))


@pytest.mark.parametrize(("name", "says"), [("nan.pth", "NaN or infinite"), ("pointer.pth", "Git LFS pointer")])
def test_a_model_is_refused(tmp_path, name, says):
    model = CASES / "models" / name
    for words in (
        ["translate", CASES / "face.png", "-o", tmp_path / "a.png", "--model", model],
        ["translate", CASES / "video" / "anamorphic.mp4", "-o", tmp_path / "a.mp4", "--model", model],
        ["evaluate", "--model", model, "--data", CASES / "data" / "jfif"],
        ["export", "--model", model, "-o", tmp_path / "a.onnx"],
    ):
        _, errors = program.i2i(*words, code=1)
        assert says in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "kind"), [("models/plain.pth.tar", "weights file of PyTorch"), ("same.onnx", "ONNX")])
def test_what_needs_a_saved_model_says_what_it_was_given(tmp_path, name, kind):
    _, errors = program.i2i("models", "pack", CASES / name, "-o", tmp_path / "a.safetensors", code=1)
    assert kind in errors
    assert "cut short" not in errors
    assert not list(tmp_path.iterdir())


def test_a_model_is_read_whatever_its_suffix(tmp_path):
    model = CASES / "models" / "plain.pth.tar"
    program.i2i("translate", CASES / "face_white.png", "-o", tmp_path / "a.png", "--model", model)
    with Image.open(tmp_path / "a.png") as new, Image.open(CASES / "face_white.png") as old:
        assert new.size == old.size


@pytest.mark.parametrize("name", ["anamorphic.mp4", "pq.mp4", "sound_longer.mkv", "sound_longer.mp4"])
def test_a_video_is_translated(tmp_path, name):
    av = pytest.importorskip("av")
    source, output = CASES / "video" / name, tmp_path / name
    notes: list[str] = []
    video.translate(source, output, lambda frames: frames, notes=notes)
    with av.open(str(source)) as before, av.open(str(output)) as after:
        old, new = before.streams.video[0], after.streams.video[0]
        assert (old.sample_aspect_ratio or 1) == (new.sample_aspect_ratio or 1)
        assert name != "anamorphic.mp4" or new.sample_aspect_ratio == Fraction(64, 45)
        assert len(before.streams) == len(after.streams)
        for number in range(len(before.streams.audio)):
            sound = [[bytes(p) for p in c.demux(audio=number) if p.size] for c in (before, after)]
            assert sound[0] == sound[1]
    assert [n for n in notes if "HDR" in n] == (
        ["HDR (PQ) was converted to the colors of BT.709."] * (name == "pq.mp4")
    )
