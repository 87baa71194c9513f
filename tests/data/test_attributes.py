"""The layout "attributes": tables and class folders, what is counted and said, and what is refused."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import data
from i2i.core.errors import I2IError
from i2i.data import DataSettings, attributes
from i2i.data.check_sources import check_sources

NAMES = ("Black_Hair", "Blond_Hair", "Male")
ROWS = {"a.png": (1, 0, 1), "b.png": (0, 1, 1), "c.png": (0, 0, 0), "d.png": (1, 0, 0)}


def picture(path, number=0, size=(20, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def faces(tmp_path):
    for i, name in enumerate(ROWS):
        picture(tmp_path / "faces" / name, i)
    return tmp_path / "faces"


def csv(path, rows=ROWS, names=NAMES, separator=",", no="0"):
    lines = [separator.join(("file", *names))]
    lines += [separator.join((f, *(str(v) if v else no for v in row))) for f, row in rows.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return str(path)


def celeba(path, rows=ROWS, names=NAMES):
    lines = [
        str(len(rows)),
        " ".join(names),
        *(f"{f}  {'  '.join('1' if v else '-1' for v in r)}" for f, r in rows.items()),
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def opened(folder, table="", **spec):
    settings = DataSettings(layout="attributes", labels=table, size=8, **spec)
    return data.open(folder if isinstance(folder, list) else [folder], settings)


def test_a_csv_and_celebas_list_give_the_same_bits(faces, tmp_path):
    expected = torch.tensor([ROWS[f] for f in sorted(ROWS)]).float()
    for table in (
        csv(tmp_path / "a.csv"),
        csv(tmp_path / "b.csv", separator=";", no="-1"),
        csv(tmp_path / "c.tsv", separator="\t"),
        celeba(tmp_path / "list.txt"),
        csv(tmp_path / "shuffled.csv", dict(random.Random(0).sample([*ROWS.items()], 4))),
    ):
        found = opened(faces, table)
        assert torch.equal(found.fixed(4).c, expected)
        assert found.fixed(4).c.dtype == torch.float32
        assert found.domains.bits == NAMES
        assert found.domains.exclusive[0][:2] == ("Black_Hair", "Blond_Hair")
        assert "3 domains among 4 images: Black_Hair 2, Blond_Hair 1, Male 2." in found.notes
        batch = next(found.batches(0, 4))
        names = [found.names[i] for i in found_indices(found, batch)]
        assert torch.equal(batch.c, torch.tensor([ROWS[n] for n in names]).float())


def found_indices(found, batch):
    from i2i.data import sampler

    return [sampler.index_of(int(n), found.count, 0) for n in batch.ids]


def test_columns_may_be_chosen_and_are_in_that_order(faces, tmp_path):
    found = opened(faces, csv(tmp_path / "a.csv"), attributes="Male, Black_Hair", exclusive="none")
    assert found.domains.bits == ("Male", "Black_Hair")
    assert found.domains.exclusive == ()
    assert found.fixed(4).c[0].tolist() == [1, 1]
    assert opened(faces, csv(tmp_path / "a.csv"), exclusive="Male,Black_Hair").domains.exclusive == (
        ("Male", "Black_Hair"),
    )


def test_a_table_in_the_folder_is_found_and_a_suffix_may_differ(faces):
    csv(faces / "attributes.csv", {f.replace(".png", ".jpg"): r for f, r in ROWS.items()})
    assert opened(faces).fixed(4).c.shape == (4, 3)
    assert opened(faces, "attributes.csv").domains.bits == NAMES


def test_splits_share_one_table(faces, tmp_path):
    for i, (name, split) in enumerate(zip(ROWS, ("train", "train", "train", "test"), strict=True)):
        picture(tmp_path / "split" / split / name, i)
    table = csv(tmp_path / "a.csv")
    found = opened(tmp_path / "split", table)
    assert found.count == 3
    assert found.splits == ("train", "test")
    test = data.open([tmp_path / "split"], found.spec, split="test")
    assert test.fixed(1).c.tolist() == [[1, 0, 0]]
    named = csv(
        tmp_path / "b.csv", {f"{s}/{f}": ROWS[f] for f, s in zip(ROWS, ("train",) * 3 + ("test",), strict=True)}
    )
    assert opened(tmp_path / "split", named).count == 3


def test_images_without_a_line_are_left_out_and_said(faces, tmp_path):
    picture(faces / "extra.png")
    found = opened(faces, csv(tmp_path / "a.csv"))
    assert found.count == 4
    assert any(note.startswith("1 images in") and "left out" in note for note in found.notes)


def test_class_folders_are_classes_and_are_counted(tmp_path):
    for i, name in enumerate(("sad/1.png", "sad/2.png", "happy/1.png", "angry/1.png")):
        picture(tmp_path / "set/train" / name, i)
    found = opened(tmp_path / "set")
    assert found.domains.classes == ("angry", "happy", "sad")
    assert found.fixed(4).c.tolist() == [0, 1, 2, 2]
    assert found.fixed(4).c.dtype == torch.int64
    assert "3 domains among 4 images: angry 1, happy 1, sad 2." in found.notes


def test_folders_a_and_b_are_two_classes(tmp_path):
    for i, name in enumerate(("trainA/1.png", "trainB/1.png", "trainB/2.png")):
        picture(tmp_path / "set" / name, i)
    found = opened(tmp_path / "set")
    assert found.domains.classes == ("A", "B")
    assert found.fixed(3).c.tolist() == [0, 1, 1]


def test_two_data_sets_give_bits_of_x_and_classes_of_y(faces, tmp_path):
    for i, name in enumerate(("sad/1.png", "sad/2.png", "happy/1.png")):
        picture(tmp_path / "second" / name, 10 + i)
    found = opened([faces, tmp_path / "second"], csv(tmp_path / "a.csv"))
    assert found.domains.width == 3 + 2 + 2
    assert found.channels_out == found.channels_in
    for number, batch in zip(range(4), found.batches(0, 2)):
        assert batch.c.shape == (2, 5), number
        assert (batch.c[:, 3:].sum(1) == 1).all()
    item = found.fixed(4)
    assert item.c[:, :3].tolist() == [[float(v) for v in ROWS[f]] for f in sorted(ROWS)]
    assert item.c[:, 3:].tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("folders", "start", "hint"),
    [
        (("set/horse/1.png",), "set", "would make one class: horse"),
        (("top/set/horse/1.png", "top/set/zebra/1.png"), "top", "would make one class: set. .*give .*top/set"),
        (("k/x/1.png", "k/y/1.png", "l/x/1.png", "l/y/1.png"), "", "would make 2 classes: k, l. .*one level too high"),
    ],
)
def test_a_folder_one_level_too_high_is_refused(tmp_path, folders, start, hint):
    for name in folders:
        picture(tmp_path / "data" / name)
    with pytest.raises(I2IError, match=hint):
        opened(tmp_path / "data" / start)


# ---- CelebA's held-out list ------------------------------------------------------------------------------------------


def partition(folder, text):
    (folder / "list_eval_partition.txt").write_text(text)


def celeba_folder(tmp_path, rows=ROWS):
    """CelebA as it is unpacked: the table beside the one folder of images."""
    root = tmp_path / "celeba"
    for i, name in enumerate(rows):
        picture(root / "img_align_celeba" / name, i)
    celeba(root / "list_attr_celeba.txt", rows)
    return root


def test_celebas_own_list_tells_the_splits(tmp_path):
    rows = {**ROWS, "e.png": (0, 1, 1)}
    root = celeba_folder(tmp_path, rows)
    assert len(attributes.find([root]).a) == 5
    partition(root, "a.png 0\nb.png 0\nc.png 0\nd.png 1\ne.png 2\n")
    for split, names in (("train", ["a.png", "b.png", "c.png"]), ("val", ["d.png"]), ("test", ["e.png"])):
        layout = attributes.find([root], split)
        assert [source.path.name for source in layout.a] == names
        assert layout.rows == [list(rows[name]) for name in names]
        assert layout.splits == ("train", "val", "test")
        assert not any("left out" in note for note in layout.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png 0\nb.png 3\nc.png 1\nd.png 2\n", r"Line 2 of .*list_eval_partition\.txt is 'b\.png 3'"),
        ("a.png 0\nb.png 0\nc.png 1\nd.png 2\nx.png 2\n", r"names 1 images that .* does not: x\.png"),
        ("a.png 0\nb.png 0\nc.png 1\n", r"does not say the split of 1 images in .*: d\.png"),
    ],
)
def test_a_held_out_list_that_does_not_fit_is_refused(tmp_path, text, message):
    root = celeba_folder(tmp_path)
    partition(root, text)
    with pytest.raises(I2IError, match=message):
        attributes.find([root])


def test_images_without_folders_or_table_are_refused(faces):
    with pytest.raises(I2IError, match=r"has no class folders\. Put the images of each class into a folder, or give"):
        opened(faces)


BAD = {
    "are missing in": (lambda rows: {**rows, "e.png": (1, 1, 1), "f.png": (0, 1, 0)}, {}),
    "has no attribute 'Mal'. Did you mean Male": (lambda rows: rows, {"attributes": "Mal"}),
    "exclusive names 'Mal', which is no attribute": (lambda rows: rows, {"exclusive": "Mal,Male"}),
    "The attribute Male is 1 for all 4 images": (lambda rows: {f: (*r[:2], 1) for f, r in rows.items()}, {}),
    "The attribute Black_Hair is 0 for all 4": (lambda rows: {f: (0, *r[1:]) for f, r in rows.items()}, {}),
    "The attribute Male in line 3 of .* is '2'": (lambda rows: {**rows, "b.png": (0, 1, 2)}, {}),
    "Male in line 2 of .* is empty": (lambda rows: {**rows, "a.png": (1, 0, "  ")}, {}),
    "Line 4 of .* has 2 values for 3 attributes": (lambda rows: {**rows, "c.png": (0, 0)}, {}),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_wrong_with_a_table_is_said(faces, tmp_path, message):
    change, spec = BAD[message]
    with pytest.raises(I2IError, match=message):
        opened(faces, csv(tmp_path / "a.csv", change(dict(ROWS))), **spec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("file\na.png\n", "names no attributes"),
        ("file,A,A\na.png,1,0\n", "two columns 'A'"),
        ("file,A,\na.png,1,0\n", "Column 3 of .* has no name"),
        ("file,all\na.png,1\nb.png,0\n", "which means every domain"),
        ("file,A\na.png,1\na.png,0\n", "names a.png twice, the second time in line 3"),
        ("5\nA B\na.png 1 -1\n", "says that it lists 5 images, and it lists 1"),
        ("file,A\nz.png,1\n", "1 of the 1 images in .* are missing"),
    ],
)
def test_a_table_of_another_form_is_refused(faces, tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(I2IError, match=message):
        opened(faces, str(tmp_path / "a.csv"))


def test_a_table_that_is_not_there_is_refused(faces, tmp_path):
    csv(tmp_path / "attributes.csv")
    with pytest.raises(I2IError, match="There is no file"):
        opened(faces, str(tmp_path / "attribute.csv"))
    with pytest.raises(I2IError, match="labels is given with layout paired"):
        DataSettings(layout="paired", labels="a.csv").check()


def test_clashes_of_exclusive_attributes_are_counted(faces, tmp_path):
    found = opened(faces, csv(tmp_path / "a.csv", {**ROWS, "a.png": (1, 1, 1)}))
    assert "1 images have several attributes that exclude each other." in found.notes


def test_many_domains_are_said_by_their_rarest():
    text = attributes._counted({f"d{k}": k + 1 for k in range(20)}, 100)
    assert text == "20 domains among 100 images; the rarest: d0 1, d1 2, d2 3, d3 4, d4 5."


def test_the_middle_of_each_image_is_cut_out_first(tmp_path):
    for name in ("a/1.png", "c/1.png"):
        picture(tmp_path / "set" / name, 3, (30, 41))
    pixels = np.asarray(Image.open(tmp_path / "set/a/1.png"))
    settings = DataSettings(layout="attributes", size=8, load=0, center=8, flip=False)
    found = data.open([tmp_path / "set"], settings)
    expected = torch.from_numpy(pixels[16:24, 11:19].copy()).permute(2, 0, 1).float() / 127.5 - 1
    torch.testing.assert_close(found.fixed(1).x[0], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(next(found.batches(0, 1)).x[0], expected, rtol=0, atol=1e-6)


def test_the_fingerprint_knows_the_attributes(faces, tmp_path):
    first = opened(faces, csv(tmp_path / "a.csv")).fingerprint
    assert opened(faces, csv(tmp_path / "b.csv")).fingerprint == first
    assert opened(faces, csv(tmp_path / "c.csv", {**ROWS, "a.png": (0, 1, 1)})).fingerprint != first


def test_images_that_are_too_small_leave_with_their_attributes_and_classes(faces, tmp_path):
    picture(faces / "b.png", 1, size=(6, 6))
    for name, size in (("x", (20, 16)), ("y", (6, 6)), ("z", (20, 16))):
        picture(tmp_path / "styles" / name / "0.png", 7, (20, 16))
        picture(tmp_path / "styles" / name / "1.png", 8, size)
    spec = DataSettings(
        layout="attributes", labels=csv(tmp_path / "a.csv"), size=8, preprocess="crop", exclusive="none", flip=False
    )
    found = data.open([faces, tmp_path / "styles"], spec, cropped=True)
    assert found.names[:3] == ["a.png", "c.png", "d.png"]
    assert found.rows == [list(map(float, ROWS[name])) for name in found.names[:3]]
    assert [source.path.parent.name for source in found.sides[1]] == ["x", "x", "y", "z", "z"]
    assert found.labels == [0, 0, 1, 2, 2]
    assert found.notes[-1].startswith("Left out: 2 images are smaller than the crops of 8 pixels: b.png (6x6), 1.png")


def test_the_check_of_a_folder_reads_a_table(faces, tmp_path):
    result = check_sources([faces], labels=csv(tmp_path / "a.csv"))
    assert result.findings == []
    assert result.summary == "4 images of 20x16 pixels, layout attributes"
    more = csv(tmp_path / "more.csv", {**ROWS, "e.png": (1, 0, 0)})
    (fault,) = check_sources([faces], labels=more).findings
    assert (fault.kind, fault.serious) == ("labels", True)
    assert fault.text.startswith(f"1 of the 5 images in {more} are missing in {faces}: e.png.")
    fewer = csv(tmp_path / "fewer.csv", {name: ROWS[name] for name in ("a.png", "b.png", "c.png")})
    (fault,) = check_sources([faces], labels=fewer).findings
    assert (fault.kind, fault.serious) == ("labels", False)
    assert fault.text == f"1 images in {faces} are not in {fewer} and are left out."
    with pytest.raises(I2IError, match="is one image"):
        check_sources([faces / "a.png"], labels=fewer)
