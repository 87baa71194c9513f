"""`i2i translate` says, in one line, if its images are unlike those of the training."""

import json

import numpy as np
import pytest
from PIL import Image

import i2i as package
from i2i.metrics.domain import IMAGES
from i2i.models.format import load, read_header, save
from tests.cli.program import TINY, i2i


def image(path, seed, low, high, width=16):
    path.parent.mkdir(parents=True, exist_ok=True)
    corners = np.random.default_rng(seed).integers(low, high, (3, 3, 3), np.uint8)
    Image.fromarray(corners).resize((width, 16), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A model of dark images (A) and bright ones (B), trained both ways, and folders of both."""
    folder = tmp_path_factory.mktemp("lab")
    for side, low, high in (("A", 0, 90), ("B", 160, 255)):
        for i in range(16):
            image(folder / "data" / f"train{side}" / f"{i}.png", [i, low], low, high)
        for i in range(9):
            image(folder / f"new{side}" / f"{i}.png", [100 + i, low], low, high)
    words = [w for i, w in enumerate(TINY) if "depth=3" not in TINY[i : i + 2] and w != "depth=3"]
    i2i("train", "cyclegan", folder / "data", "--images", 2, "--out", folder / "run", "--set", "blocks=1", *words)
    return folder


def note(*words):
    _, err = i2i("translate", *words)
    return [line for line in err.splitlines() if "unlike" in line]


def test_other_images_are_told_in_one_line_and_the_same_are_not(lab, tmp_path):
    run = ["--model", lab / "run", "--device", "cpu"]
    assert note(lab / "newA", "-o", tmp_path / "a", *run) == []
    (line,) = note(lab / "newB", "-o", tmp_path / "b", *run)
    assert "8 of 8 images looked at are unlike the 16 training images" in line
    assert note(lab / "newB", "-o", tmp_path / "c", *run, "--no-domain-check") == []
    assert note(lab / "newB", "-o", tmp_path / "d", *run, "--direction", "BtoA") == []
    assert len(note(lab / "newA", "-o", tmp_path / "e", *run, "--direction", "BtoA")) == 1
    (line,) = note(lab / "newB" / "0.png", "-o", tmp_path / "one.png", *run)
    assert "The image is unlike" in line


def test_images_far_larger_than_those_of_the_training_are_told_with_the_size_to_try(lab, tmp_path):
    size = read_header(lab / "run" / "model.safetensors")["size"]
    for name, times in (("large", 4), ("usual", 3)):
        with Image.open(lab / "newA" / "0.png") as small:
            small.resize((times * size, times * size), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    run = ["--model", lab / "run", "--device", "cpu"]

    def told(name, *words):
        _, err = i2i(
            "translate", tmp_path / f"{name}.png", "-o", tmp_path / f"{len(words)}{name}.out.png", *run, *words
        )
        return [line for line in err.splitlines() if line.startswith("note: ")]

    (line,) = told("large")
    assert f"4 times as large as the {size} pixels" in line
    assert f"--size {size}" in line
    assert told("large", "--size", size) == told("large", "--no-domain-check") == told("usual") == []


def test_machines_are_told_too_and_outputs_are_the_same(lab, tmp_path):
    words = ["translate", lab / "newB", "--model", lab / "run", "--device", "cpu", "--json"]
    last = json.loads(i2i(*words, "-o", tmp_path / "a")[0].splitlines()[-1])
    assert "unlike" in last["unlike"]
    last = json.loads(i2i(*words, "-o", tmp_path / "b", "--no-domain-check")[0].splitlines()[-1])
    assert "unlike" not in last
    for path in (tmp_path / "a").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    result = package.translate(lab / "newB", tmp_path / "c", lab / "run", device="cpu", resume=True)
    assert result.unlike
    again = package.translate(lab / "newB", tmp_path / "c", lab / "run", device="cpu", resume=True)
    assert (again.unlike, len(again.skipped)) == ("", 9)  # nothing was translated


def test_files_that_cannot_be_looked_at_are_passed_over(lab, tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"bad{i}.png").write_text("no image")
    image(tmp_path / "in" / "good.png", 0, 0, 90)
    _, err = i2i(
        "translate", tmp_path / "in", "-o", tmp_path / "out", "--model", lab / "run", "--device", "cpu", code=3
    )
    assert "unlike" not in err
    assert "bad0.png" in err


def test_the_model_remembers_both_sides_of_its_training(lab):
    domain = read_header(lab / "run" / "model.safetensors")["domain"]
    assert set(domain) == {"AtoB", "BtoA"}
    assert {facts["images"] for facts in domain.values()} == {16}
    assert "statistics of the training images" in i2i("models", "show", lab / "run")[0]
    assert IMAGES >= 64


def test_a_model_that_exists_is_told_its_training_inputs_by_packing_it(lab, tmp_path):
    old = load(lab / "run" / "model.safetensors")
    forgetful = save(tmp_path / "old.safetensors", old.networks, {k: v for k, v in old.header.items() if k != "domain"})
    words = ["models", "pack", forgetful, "--full", "-o", tmp_path / "new.safetensors", "--inputs"]
    i2i(*words, lab / "data")
    header = read_header(tmp_path / "new.safetensors")
    assert header["domain"] == old.header["domain"]  # as the training wrote it
    assert header["sha256"] == old.header["sha256"]
    model = ["--model", tmp_path / "new.safetensors", "--device", "cpu"]
    assert note(lab / "newA", "-o", tmp_path / "a", *model) == []
    assert len(note(lab / "newB", "-o", tmp_path / "b", *model)) == 1
    i2i(*words, lab / "data" / "trainA", "--overwrite")  # the inputs alone
    assert set(read_header(tmp_path / "new.safetensors")["domain"]) == {"AtoB"}
    for only, way in (("G", "AtoB"), ("F", "BtoA")):
        one, data = tmp_path / f"{only}.safetensors", lab / "data"
        i2i("models", "pack", lab / "run", "--only", only, "-o", one, "--measure", data, "--inputs", data)
        header = read_header(one)
        assert set(header["networks"]) == {only}
        assert set(header["domain"]) == set(header["bf16"]) == {way}


def test_models_without_facts_of_their_inputs_refuse_them(lab, tmp_path):
    words = ["-o", tmp_path / "new.safetensors", "--inputs", lab / "data"]
    for model, why in (("dcgan_digits", "reads no images"), ("sr_x4_small", "enlarges images")):
        assert why in i2i("models", "pack", model, *words, code=1)[1]
    asked = ["-o", tmp_path / "new.safetensors", "--measure", lab / "data"]
    assert "reads no images. Leave out --measure." in i2i("models", "pack", "dcgan_digits", *asked, code=1)[1]
    (tmp_path / "few").mkdir()
    image(tmp_path / "few" / "0.png", 0, 0, 90)
    _, err = i2i("models", "pack", lab / "run", *words[:-1], tmp_path / "few", code=1)
    assert "Give 8 or more images" in err
    assert not (tmp_path / "new.safetensors").exists()
