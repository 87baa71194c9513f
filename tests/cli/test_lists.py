"""The commands that list, explain, fetch and check."""

import json
import shutil

import pytest

from i2i.core import resources
from i2i.data import cards
from i2i.models import zoo
from i2i.training import recipes
from tests.cli.program import i2i, make_pairs, picture


def test_recipes_are_listed():
    out, _ = i2i("recipes")
    lines = out.splitlines()
    assert lines[0].split() == ["recipe", "method", "paper", "about"]
    assert [line.split()[0] for line in lines[1:]] == recipes.recipes()
    row = next(line for line in lines if line.startswith("pix2pix_earth_demo "))
    assert "arXiv 1611.07004  pix2pix from satellite image to map" in row
    found = json.loads(i2i("recipes", "--json")[0])
    assert [f["name"] for f in found] == recipes.recipes()
    assert {f["method"] for f in found if not f["paper"].startswith("arXiv")} == {"colorize"}  # it has no paper


def test_a_recipe_is_explained():
    recipe = recipes.recipe("pix2pix_earth_demo")
    out, _ = i2i("recipes", "show", "pix2pix_earth_demo")
    assert out.startswith("pix2pix from satellite image to map")
    assert "i2i train pix2pix_earth_demo" in out
    assert "min_G max_D" in out  # the method's docstring
    assert "default: earth" in out
    rows = {line[2:].split()[0]: line for line in out.splitlines() if line[:2] in ("* ", "  ") and line[2:].split()}
    assert rows["width"].startswith("* width")
    assert f" {recipe['width']} " in rows["width"]
    assert "channels of the generator's first layer" in rows["width"]
    assert rows["l1"].startswith("* l1")
    assert f" {recipe['l1']} " in rows["l1"]
    assert rows["beta1"].startswith("  beta1")
    for name in ("size", "batch", "accumulate", "diffaugment"):  # of the data, of training, of the tricks
        assert name in rows


def test_a_recipe_for_machines():
    found = json.loads(i2i("recipes", "show", "pix2pix_earth_demo", "--json")[0])
    width = next(s for s in found["settings"] if s["name"] == "width")
    assert (width["value"], width["default"], width["part"]) == (24, 64, "method")
    assert found["method"] == "pix2pix"


def test_a_file_of_ones_own_is_explained(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("# Mine.\nmethod: pix2pix\nwidth: 7\n")
    out, _ = i2i("recipes", "show", mine)
    assert out.startswith("Mine.\n")
    assert "* width" in out
    mine.write_text("method: pix2pix\nwidht: 7\n")
    assert "Error: There is no setting 'widht'. Did you mean width" in i2i("recipes", "show", mine, code=1)[1]


def test_a_shipped_model_names_no_host():
    assert "https" not in i2i("models", "show", "pix2pix_earth")[0]
    assert json.loads(i2i("models", "show", "pix2pix_earth", "--json")[0])["base"] == ""
    assert "berkeley.edu" in i2i("models", "show", "cyclegan_horse2zebra")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["recipes", "show", "pix2pixx"], "There is no recipe 'pix2pixx'. Did you mean pix2pix"),
        (["recipes", "show", "no/such.yaml"], "There is no file no/such.yaml."),
        (["data", "show", "erth"], "Did you mean earth?"),
        (["data", "get", "map"], "Did you mean maps"),
        (["data", "check", "no/such/folder"], "no/such/folder"),
        (["models", "show", "cyclegan_horse2zebr"], "cyclegan_horse2zebra"),
    ],
)
def test_unknown_names_are_told_with_the_nearest(words, said):
    out, err = i2i(*words, code=1)
    assert err.startswith("Error: ")
    assert said in err
    assert out == ""
    out, err = i2i(*words, "--json", code=1)
    assert said in "{error} {hint}".format(**json.loads(out))


def test_data_sets_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path))
    rows = {line.split()[0]: line for line in i2i("data")[0].splitlines()[1:]}
    assert list(rows) == cards.names()
    assert rows["earth"].split()[1:4] == ["paired", "shipped", "yes"]
    assert rows["horse2zebra"].split()[1:5] == ["unpaired", "111", "MiB", "no"]
    assert "ImageNet terms" in rows["horse2zebra"]
    (tmp_path / "datasets" / "horse2zebra").mkdir(parents=True)
    found = {f["name"]: f for f in json.loads(i2i("data", "--json")[0])}
    assert found["horse2zebra"]["here"]
    assert not found["maps"]["here"]
    assert "licence" in i2i("data", "show", "maps")[0]


def test_a_data_set_that_is_here():
    out, err = i2i("data", "get", "earth")
    assert (out.strip(), err) == (str(resources.shipped("datasets") / "earth"), "")
    assert json.loads(i2i("data", "get", "earth", "--json")[0])["name"] == "earth"


def test_models_are_listed_and_explained(trained):
    rows = {line.split()[0]: line for line in i2i("models")[0].splitlines()[1:]}
    assert list(rows) == zoo.names()
    assert "horses -> zebras" in rows["cyclegan_horse2zebra"]
    assert "https://" in i2i("models", "show", "cyclegan_horse2zebra")[0]
    of_run = json.loads(i2i("models", "show", trained[0], "--json")[0])
    assert (of_run["method"], of_run["images"]) == ("pix2pix", 8)


def test_check_tells_by_its_exit_code(tmp_path):
    folder = make_pairs(tmp_path / "pairs", (("train", 3), ("test", 1)))
    out, _ = i2i("data", "check", folder)
    assert out == "4 images of 32x16 pixels, layout paired: train 3, test 1 pairs. Nothing is wrong.\n"
    (folder / "train" / "broken.png").write_bytes(b"no image")
    shutil.copy(folder / "train" / "0.png", folder / "test" / "leaked.png")
    out, _ = i2i("data", "check", folder, code=1)
    serious = [line for line in out.splitlines() if line.startswith("error ")]
    assert any("broken.png" in line for line in serious)
    assert any("leaked.png" in line or "0.png" in line for line in serious)
    found = json.loads(i2i("data", "check", folder, "--json", code=1)[0])
    assert sum(f["serious"] for f in found) == len(serious)


def test_check_of_two_folders_a_name_and_a_file(tmp_path, sides):
    out, _ = i2i("data", "check", *sides)
    assert out.splitlines()[-1] == "23 images of 16x16 pixels, layout unpaired: A 11 and B 12 images. Nothing is wrong."
    for number in range(3):
        for side in "AB":
            picture(tmp_path / side / f"{number}.png", number + 10 * (side == "B"), 20 + number)
    picture(tmp_path / "A" / "alone.png", 9, 20)
    out, _ = i2i("data", "check", tmp_path / "A", tmp_path / "B", code=1)
    assert any(line.startswith("error    partner:") and "alone" in line for line in out.splitlines())
    assert "7 images of 20x16 to 22x16 pixels" in out
    out, _ = i2i("data", "check", tmp_path / "A" / "0.png")
    assert out == "1 image of 20x16 pixels. Nothing is wrong.\n"
    (tmp_path / "text.png").write_text("no image")
    assert i2i("data", "check", tmp_path / "text.png", code=1)[0].startswith("error    unreadable:")
    assert "layout paired: train 683, val 56, test 70 pairs" in i2i("data", "check", "earth")[0]
