"""Methods and recipes by name or path."""

import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest

from i2i.core import resources
from i2i.core.errors import I2IError
from i2i.methods import _registry, load_method, method_name, method_names
from i2i.methods._method import Method
from i2i.training import recipes

FILE = '''
"""A method of one file."""
from dataclasses import dataclass

from i2i.methods import Method


class Mine(Method):
    @dataclass(frozen=True)
    class Config:
        width: int = 8  # channels
'''


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    yield path
    for name in [n for n, m in sys.modules.items() if hasattr(m, "__i2i_file__")]:
        del sys.modules[name]


def test_names_recipes_and_docstrings_cost_no_torch():
    code = """
    import sys
    from i2i.core.errors import I2IError
    from i2i.methods import method_names
    from i2i.training import recipes
    assert {"pix2pix", "cyclegan"} <= set(method_names()) <= set(recipes.recipes())
    for name in recipes.recipes():
        assert recipes.recipe(name)["method"] in method_names()
        assert recipes.about(name)
    try:
        recipes.recipe("pix2px")
    except I2IError as error:
        assert "pix2pix" in error.hint
    assert "torch" not in sys.modules, "torch was imported"
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_method_by_name():
    kind = load_method("pix2pix")
    assert issubclass(kind, Method)
    assert method_name(kind) == "pix2pix"
    assert recipes.recipe("wgan_gp")["method"] == "wgan_gp"


def test_an_unknown_method_or_recipe_names_the_nearest():
    with pytest.raises(I2IError, match=r"no method 'cyclgan'.*Did you mean cyclegan"):
        load_method("cyclgan")
    with pytest.raises(I2IError, match=r"no recipe 'cyclgan'.*Did you mean cyclegan"):
        recipes.recipe("cyclgan")


def test_the_name_of_a_method_without_a_file_of_its_own_is_a_recipe_of_defaults(monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "shipped", lambda kind: tmp_path)
    assert recipes.recipe("cyclegan") == {"method": "cyclegan"}
    assert recipes.about("cyclegan").startswith("CycleGAN")
    assert "cyclegan" in recipes.recipes()


def test_a_method_of_a_file(mine, monkeypatch):
    kind = load_method(str(mine))
    assert kind.__name__ == "Mine"
    assert load_method(str(mine)) is kind
    assert recipes.recipe(str(mine)) == {"method": str(mine)}
    assert recipes.about(str(mine)) == "A method of one file."
    monkeypatch.chdir(mine.parent)
    assert load_method("mine.py") is kind
    assert load_method("./mine.py") is kind
    assert method_name(kind) == str(mine)  # found again from another folder


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("", r"mine.py defines no method: no class in it derives from i2i.methods.Method"),
        (FILE + "\n\nclass Other(Mine):\n    pass\n", r"defines 2 methods, Mine \(line 8\) and Other \(line 14\)"),
        ("from i2i.methods.pix2pix import Pix2Pix", "no class in it derives from i2i.methods.Method"),
        ("from torch import nn\n\nclass Toy(nn.Module):\n    step = print\n", r"Toy \(.*, line 3\) does not derive"),
        ("from i2i.methods import Method\n\nclass Toy(Method):\n    pass\n", r"Toy \(.*, line 3\) has no Config. Add"),
    ],
)
def test_a_file_that_is_no_method_is_refused_with_the_reason(mine, text, reason):
    mine.write_text(text)
    with pytest.raises(I2IError, match=reason):
        load_method(str(mine))


def test_a_broken_file_can_be_mended_and_asked_for_again(mine):
    mine.write_text("1 / 0")
    with pytest.raises(I2IError):
        load_method(str(mine))
    mine.write_text(FILE)
    assert load_method(str(mine)).__name__ == "Mine"


def test_a_recipe_of_a_file_finds_the_method_beside_it_from_any_folder(mine, tmp_path, monkeypatch):
    folder = mine.parent
    recipe = folder / "wide.yaml"
    recipe.write_text("# Mine, but wide.\n#\n#   i2i train wide.yaml\n\nmethod: mine.py\nwidth: 99\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    values = recipes.recipe(str(recipe))
    assert values["width"] == 99
    assert load_method(values["method"]).__name__ == "Mine"
    assert recipes.about(str(recipe)) == "Mine, but wide.\n\n  i2i train wide.yaml"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("method: [", "not readable as YAML"),
        ("- 1", "is not a recipe"),
        ("", "is not a recipe"),
        ("width: 3", "is not a recipe"),
        ("method: 3", "is not a recipe"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, reason):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(I2IError, match=reason):
        recipes.recipe(str(path))


def test_files_that_are_not_there(tmp_path):
    for call in (recipes.recipe, recipes.about):
        for name in ("no.yaml", "no.py"):
            with pytest.raises(I2IError, match="There is no"):
                call(str(tmp_path / name))
    with pytest.raises(I2IError, match="There is no file"):
        load_method(str(tmp_path / "no.py"))


def test_an_entry_point_of_another_package_is_a_method(mine, monkeypatch):
    monkeypatch.syspath_prepend(str(mine.parent))
    point = EntryPoint("theirs", "mine:Mine", _registry.GROUP)
    monkeypatch.setattr(_registry, "entry_points", lambda group: [point])
    assert "theirs" in method_names()
    kind = load_method("theirs")
    assert kind.__name__ == "Mine"
    assert method_name(kind) == "theirs"
    assert recipes.recipe("theirs") == {"method": "theirs"}
    assert recipes.about("theirs") == "A method of one file."
    del sys.modules["mine"]


def test_a_class_that_no_name_leads_to():
    class Stray(Method):
        pass

    with pytest.raises(I2IError, match="Stray belongs to no registered method"):
        method_name(Stray)
