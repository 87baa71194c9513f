"""Several answers for one image: how their files are called, the sheet, the record, and that they repeat."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.core.errors import I2IError
from i2i.inference import manifest
from i2i.inference.settings import TranslateSettings
from i2i.inference.translate import translate
from i2i.models.load import translator_of
from i2i.nets import Choice, Choosing


class Tint(Choosing):
    """Sets the red channel to that of the domain, and the green one to noise of (seed, answer)."""

    choices = ("to", "answers")

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1)

    @property
    def domains(self):
        return ("dark", "light/../x")

    def chosen(self, choice):
        for name in choice.to:
            if name not in self.domains:
                raise I2IError(f"There is no domain {name!r}.")
        return Tinted(self.conv, choice)


class Tinted(torch.nn.Module):
    def __init__(self, conv, choice):
        super().__init__()
        self.conv, self.choice = conv, choice

    def forward(self, x):
        y = x.clone()
        y[:, 0] = 0.9 if choice_is(self.choice, "light/../x") else -0.9
        y[:, 1] = torch.rand((), generator=torch.Generator().manual_seed(50 * self.choice.seed + self.choice.answer))
        return y


def choice_is(choice, name):
    return name in choice.to


@pytest.fixture(scope="module")
def tint():
    torch.manual_seed(0)
    return translator_of({"G": Tint()}, {}, "tint")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in/a").mkdir(parents=True)
    for i, name in enumerate(("1.png", "a/2.jpg", "3.gif")):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 24 + 8 * i, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    return tmp_path / "in"


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_all_domains_of_a_folder_with_a_sheet_of_each_image(folder, tint):
    out = folder.parent / "out"
    result = translate(folder, out, tint, to="all")
    assert not result.failed
    names = {*files(out)} - {manifest.NAME}
    assert names == {
        *("1_dark.png", "1_light-..-x.png", "1_all.png"),
        *("3_dark.png", "3_light-..-x.png", "3_all.png"),
        *("a/2_dark.jpg", "a/2_light-..-x.jpg", "a/2_all.png"),
    }
    assert np.asarray(Image.open(out / "1_light-..-x.png"))[..., 0].min() > 200
    with Image.open(out / "1_all.png") as sheet:
        assert sheet.width > 3 * 24


def test_what_is_done_stays_and_what_is_missing_is_made_again(folder, tint):
    out = folder.parent / "out"
    translate(folder, out, tint, to="all")
    before = files(out)
    (out / "1_dark.png").unlink()
    (out / "3_all.png").unlink()
    result = translate(folder, out, tint, to="all", resume=True)
    assert sorted(p.name for p in result.done) == ["1_dark.png", "3_all.png"]
    assert {k: v for k, v in files(out).items() if k != manifest.NAME} == {
        k: v for k, v in before.items() if k != manifest.NAME
    }


def test_answers_repeat_whatever_their_number_and_the_batch(folder, tint):
    three, eight = folder.parent / "three", folder.parent / "eight"
    translate(folder, three, tint, answers=3, seed=1)
    translate(folder, eight, tint, answers=8, seed=1, batch=4)
    small, large = files(three), files(eight)
    assert "a/2_3.jpg" in small
    assert {k: large[k] for k in small if k != manifest.NAME} == {k: v for k, v in small.items() if k != manifest.NAME}
    assert len({large[f"1_{i}.png"] for i in range(1, 9)}) == 8
    more = translate(folder, three, tint, answers=8, seed=1, resume=True)
    assert len(more.skipped) == 9
    assert len(more.done) == 15
    with pytest.raises(I2IError, match="other settings"):
        translate(folder, three, tint, answers=3, seed=2, resume=True)


def test_one_choice_keeps_the_name_and_is_the_same_as_a_call(folder, tint):
    out = folder.parent / "out.png"
    result = translate(folder / "1.png", out, tint, to="light/../x")
    assert result.outcomes[0].note == ""
    with Image.open(folder / "1.png") as image, Image.open(out) as made:
        assert np.array_equal(np.asarray(tint(image, to="light/../x")), np.asarray(made))
        answers = tint.answers(image, to="all", answers=2)
    assert list(answers) == ["dark_1", "dark_2", "light-..-x_1", "light-..-x_2"]
    assert (
        "Translated into dark, the first of 2 domains"
        in translate(folder / "1.png", out, tint, overwrite=True).outcomes[0].note
    )


def test_two_outputs_never_share_a_name_and_none_replaces_an_input(folder, tint):
    Image.new("RGB", (9, 9)).save(folder / "1_1.png")
    with pytest.raises(I2IError, match="would replace an input"):
        translate([folder / "1.png", folder / "1_1.png"], folder, tint, answers=2)
    Image.new("RGB", (9, 9)).save(folder / "1_dark.png")
    with pytest.raises(I2IError, match="would replace an input"):
        translate([folder / "1.png", folder / "1_dark.png"], str(folder) + "/", tint, to="all")


def test_outputs_beside_their_inputs_are_no_inputs_of_the_next_run(folder, tint):
    pattern = str(folder / "*.png")
    first = translate(pattern, None, tint, to="all")
    assert sorted(p.name for p in first.done) == ["1.tint_all.png", "1.tint_dark.png", "1.tint_light-..-x.png"]
    assert len(translate(pattern, None, tint, to="all", overwrite=True).done) == 3


def test_a_bad_choice_is_said_before_anything_is_written(folder, tint):
    out = folder.parent / "out"
    for options, message in (
        ({"to": "dusk"}, "There is no domain 'dusk'"),
        ({"steps": 3}, "has no choice of --steps"),
        ({"steps": 0}, "number of steps is 0"),
        ({"answers": 0}, "number of answers is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"like": folder / "1.png"}, "has no choice of --like"),
    ):
        with pytest.raises(I2IError, match=message):
            translate(folder, out, tint, **options)
    assert not out.exists()


def test_every_option_has_its_place_in_the_settings():
    settings = TranslateSettings().with_options(to="A,B", answers=3, seed=2, steps=5)
    assert settings.answer.to == "A,B"
    assert Choice(("A", "B"), 2, 0, None, 5).facts() == settings.answer.facts()
    assert TranslateSettings().answer.facts() == {}


def test_an_example_may_be_a_file_or_its_image(tmp_path):
    Image.new("RGB", (9, 9), (200, 10, 10)).save(tmp_path / "red.png")
    data = io.BytesIO((tmp_path / "red.png").read_bytes())
    facts = [TranslateSettings().with_options(like=one).answer.facts() for one in (tmp_path / "red.png", data)]
    assert facts[0] == facts[1]
    assert len(facts[0]["like"]) == 32
