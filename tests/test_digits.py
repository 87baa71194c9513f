"""Generators that the recipes made of the digits, judged by a classifier trained first on the real digits."""

from pathlib import Path

import pytest

from i2i.models import format as model_file
from i2i.models.generator import load_generator
from i2i.training import recipes
from tests.digits import judge

MODELS = Path(__file__).parent / "digits" / "models"
CONDITIONAL = ("acgan_digits", "biggan_small", "cgan_digits", "sagan_small")
FREE = (
    "dcgan_digits",
    "gan_small",
    "gngan_digits",
    "lsgan_digits",
    "progressive_small",
    "sngan_digits",
    "transgan_small",
    "wgan_digits",
    "wgan_gp_digits",
)
CODED = ("infogan_small",)

pytestmark = pytest.mark.slow


def made(recipe: str) -> judge.Verdict:
    return judge.judge(load_generator(MODELS / f"{recipe}.safetensors", "cpu"))


def test_the_classifier_knows_real_digits() -> None:
    """96.8 % of the 500 test digits when this was written."""
    assert judge.accuracy() >= 0.95


@pytest.mark.parametrize("recipe", CONDITIONAL)
def test_the_digit_that_was_asked_for(recipe: str) -> None:
    asked = made(recipe).asked
    assert asked is not None
    assert asked >= 0.9


@pytest.mark.parametrize("recipe", FREE)
def test_every_digit_is_made(recipe: str) -> None:
    assert min(made(recipe).shares) >= 0.03


@pytest.mark.parametrize("recipe", CODED)
def test_codes_are_digits_without_having_seen_a_label(recipe: str) -> None:
    found = made(recipe)
    assert found.codes is not None
    assert found.codes >= 7
    assert min(found.shares) >= 0.03


@pytest.mark.parametrize("recipe", [*CONDITIONAL, *FREE, *CODED])
def test_the_model_is_what_the_recipe_makes(recipe: str) -> None:
    header = model_file.read_header(MODELS / f"{recipe}.safetensors")
    settings = recipes.recipe(recipe)
    assert header["recipe"] == recipe
    assert header["method"] == settings["method"]
    images = settings.get("images") or 4000 * settings["epochs"]
    assert header["images"] == pytest.approx(images, abs=settings["batch"])
