"""Names of folders that mean splits and sides, in any case; what is left out is said."""

import unicodedata

import pytest

from i2i import data
from i2i.core.errors import I2IError
from i2i.data import folder_names, layouts
from i2i.data.checks import check
from i2i.data.folder_names import SPLITS, split_of
from tests.cli import program


def _fill(*folders, count=4, width=16):
    for k, folder in enumerate(folders):
        for i in range(count):
            program.picture(folder / f"{i}.png", 10 * k + i, width=width)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("Train", ("train", "")),
        ("TRAINING", ("train", "")),
        ("dev", ("val", "")),
        ("Valid", ("val", "")),
        ("validation", ("val", "")),
        ("Testing", ("test", "")),
        ("TrainA", ("train", "A")),
        ("test_b", ("test", "B")),
        ("trainC", ("", "")),
        ("trains", ("", "")),
        ("valley", ("", "")),
        ("A", ("", "")),
    ],
)
def test_a_folder_name_means_a_split(name, meaning):
    assert split_of(name) == meaning


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"), ("Training", "dev")]
)
def test_test_images_are_never_trained_on(tmp_path, train, test):
    _fill(tmp_path / train, tmp_path / test, width=32)
    opened = data.open(tmp_path, data.DataSettings(layout="paired", size=16))
    assert opened.count == 4
    assert all(name.startswith(f"{train}/") for name in opened.names)
    assert len(opened.splits) == 2
    other = data.open(tmp_path, data.DataSettings(layout="paired", size=16), split=opened.splits[1])
    assert all(name.startswith(f"{test}/") for name in other.names)


@pytest.mark.parametrize(
    "names", [("trainA", "trainB"), ("TrainA", "TrainB"), ("train/A", "train/B"), ("A/Train", "B/Train"), ("a", "b")]
)
def test_sides_are_found_in_any_case(tmp_path, names):
    _fill(*(tmp_path / name for name in names))
    found = layouts.find([tmp_path], "unpaired")
    assert [len(found.a), len(found.b)] == [4, 4]
    assert found.a[0].path.is_relative_to(tmp_path / names[0])


def test_a_name_that_only_looks_like_a_split_is_warned_of(tmp_path):
    _fill(tmp_path / "train_set", tmp_path / "test_set")
    notes = folder_names.split_notes(tmp_path)
    assert len(notes) == 2
    assert "test_set" in notes[0]
    assert [f.severity for f in check(tmp_path) if f.text == notes[0]] == ["warning"]
    assert data.open(tmp_path, data.DataSettings(layout="images", size=16)).notes == notes
    _fill(tmp_path / "cats" / "dogs", tmp_path / "cats" / "valleys")
    assert not folder_names.split_notes(tmp_path / "cats")


def test_a_split_without_one_side_is_left_out_and_named(tmp_path):
    _fill(tmp_path / "trainA", tmp_path / "trainB", tmp_path / "testA")
    opened = data.open(tmp_path, data.DataSettings(layout="unpaired", size=16))
    assert opened.splits == ("train",)
    assert "testB" in opened.notes[0]
    with pytest.raises(I2IError, match="no split 'test'") as error:
        data.open(tmp_path, data.DataSettings(layout="unpaired", size=16), split="test")
    assert "testB" in error.value.hint


def test_a_training_split_without_one_side_names_the_missing_folder(tmp_path):
    _fill(tmp_path / "trainA")
    for layout in ("unpaired", "paired", "auto"):
        with pytest.raises(I2IError, match=r"no split 'train'|without trainB") as error:
            layouts.find([tmp_path], layout)
        assert "trainB" in str(error.value)


@pytest.mark.parametrize("empty", ["val", "Test"])
def test_an_empty_split_counts_as_none(tmp_path, empty):
    _fill(tmp_path / "train", width=32)
    (tmp_path / empty).mkdir()
    opened = data.open(tmp_path, data.DataSettings(layout="paired", size=16))
    assert opened.splits == ("train",)
    assert "holds no images" in opened.notes[0]
    with pytest.raises(I2IError, match="no split") as error:
        data.open(tmp_path, data.DataSettings(layout="paired", size=16), split=split_of(empty)[0])
    assert "holds no images" in error.value.hint


def test_names_are_one_whether_their_letters_are_composed_or_not(tmp_path):
    for side, form in (("A", "NFC"), ("B", "NFD")):
        program.picture(tmp_path / side / unicodedata.normalize(form, "é") / unicodedata.normalize(form, "café.png"), 1)
        program.picture(tmp_path / side / "0.png", 2)
    found = layouts.find([tmp_path], "paired")
    assert len(found.a) == 2
    assert [s.path.stem[:3] for s in found.a] == [s.path.stem[:3] for s in found.b]
    assert not [f for f in check(tmp_path) if f.kind == "partner"]


def test_training_goes_on_beside_an_empty_val_and_says_so(tmp_path):
    _fill(tmp_path / "data" / "Train", width=32)
    (tmp_path / "data" / "val").mkdir()
    words = ["train", "pix2pix", "--data", tmp_path / "data", "--out", tmp_path / "run", "--epochs", 1, *program.TINY]
    out, errors = program.i2i(*words)
    assert "holds no images" in out + errors


def test_a_folder_with_the_name_of_a_data_set_is_read_with_a_note(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _fill(tmp_path / "earth")
    for source, notes in (("earth", 1), ("./earth", 0), (str(tmp_path / "earth"), 0), (tmp_path / "earth", 0)):
        opened = data.open([source])
        assert opened.count == 4
        assert len(opened.notes) == notes
    assert data.open(["earth"]).notes[0].startswith("earth is read from the folder earth here, not from i2i's data set")


def test_left_out_videos_and_raw_photos_get_advice(tmp_path):
    _fill(tmp_path)
    for name in ("a.mov", "b.CR2"):
        (tmp_path / name).write_bytes(b"x")
    line = "2 files were left out: 1 .cr2, 1 .mov. Raw photos (.cr2) are not read: convert them to TIFF or JPEG. "
    line += "Training reads no videos (.mov): save their frames as images first."
    assert [f.text for f in check(tmp_path) if f.kind == "left out"] == [line]
    assert data.open([tmp_path]).notes == [line]


@pytest.mark.parametrize(
    ("lone", "note"),
    [
        ("extra", "The folder extra in {} is not known as a split, and its images are left out"),
        ("valid", "The folder valid in {} is not known as a split, and its images are left out"),
        (".", "4 images lie in {} beside the folder train, outside every split: left out."),
    ],
)
def test_images_beside_the_splits_are_named(tmp_path, lone, note):
    _fill(tmp_path / "train", tmp_path / "val", tmp_path / lone, width=32)
    assert note.format(tmp_path) in " ".join(layouts.find([tmp_path]).notes)
    assert [f.kind for f in check(tmp_path)] == ["split"]


@pytest.mark.parametrize("form", ["{split}/{side}", "{side}/{split}"])
def test_splits_without_one_side_are_left_out_with_a_note(tmp_path, form):
    folders = {(split, side): tmp_path / form.format(split=split, side=side) for split in SPLITS for side in "AB"}
    _fill(*(folders["train", side] for side in "AB"), folders["val", "A"], folders["test", "A"])
    folders["val", "B"].mkdir(parents=True)  # empty
    found = layouts.find([tmp_path], "paired")
    assert (found.splits, len(found.a)) == (("train",), 4)
    assert found.notes == [
        f"{folders['val', 'B']} holds no images: the split val is left out.",
        f"{folders['test', 'A']} has no partner {folders['test', 'B']}: the split test is left out.",
    ]


def test_a_split_of_one_of_two_folders_is_left_out_with_a_note(tmp_path):
    _fill(tmp_path / "a/train", tmp_path / "b/train", tmp_path / "a/Test")
    found = layouts.find([tmp_path / "a", tmp_path / "b"])
    assert (found.name, found.splits) == ("paired", ("train",))
    assert found.notes == [
        f"{tmp_path / 'a'} has the split test, and {tmp_path / 'b'} has not: the split test is left out."
    ]


def test_two_folders_of_other_names_get_the_command_for_pairs(tmp_path):
    _fill(tmp_path / "input", tmp_path / "target")
    with pytest.raises(I2IError, match="the folders input and target") as error:
        layouts.find([tmp_path], "paired")
    assert error.value.hint.endswith(f"--data {tmp_path / 'input'} {tmp_path / 'target'}")
