"""Methods and recipes by name or path."""

import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest

from i2i import registry
from i2i.errors import I2IError
from i2i.method import Method

FILE = '''
"""A method of one file."""
from dataclasses import dataclass

from i2i.method import Method


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
    from i2i import registry
    assert {"pix2pix", "cyclegan"} <= set(registry.methods()) <= set(registry.recipes())
    for name in registry.recipes():
        assert registry.recipe(name)["method"] in registry.methods()
        assert registry.about(name)
    try:
        registry.recipe("pix2px")
    except registry.I2IError as error:
        assert "pix2pix" in error.hint
    assert "torch" not in sys.modules, "torch was imported"
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_method_by_name():
    kind = registry.method("pix2pix")
    assert issubclass(kind, Method)
    assert registry.name_of(kind) == "pix2pix"
    assert registry.recipe("wgan_gp")["method"] == "wgan_gp"


def test_an_unknown_method_or_recipe_names_the_nearest():
    with pytest.raises(I2IError, match=r"no method 'cyclgan'.*Did you mean cyclegan"):
        registry.method("cyclgan")
    with pytest.raises(I2IError, match=r"no recipe 'cyclgan'.*Did you mean cyclegan"):
        registry.recipe("cyclgan")


def test_the_name_of_a_method_without_a_file_of_its_own_is_a_recipe_of_defaults(monkeypatch, tmp_path):
    monkeypatch.setattr(registry.cards, "shipped", lambda kind: tmp_path)
    assert registry.recipe("cyclegan") == {"method": "cyclegan"}
    assert registry.about("cyclegan").startswith("CycleGAN")
    assert "cyclegan" in registry.recipes()


def test_a_method_of_a_file(mine, monkeypatch):
    kind = registry.method(str(mine))
    assert kind.__name__ == "Mine"
    assert registry.method(str(mine)) is kind
    assert registry.recipe(str(mine)) == {"method": str(mine)}
    assert registry.about(str(mine)) == "A method of one file."
    monkeypatch.chdir(mine.parent)
    assert registry.method("mine.py") is kind
    assert registry.method("./mine.py") is kind
    assert registry.name_of(kind) == str(mine)  # found again from another folder


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("", "no subclass of i2i.Method"),
        (FILE + "\n\nclass Other(Mine):\n    pass\n", "Mine, Other"),
        ("from i2i.methods.pix2pix import Pix2Pix", "no subclass of i2i.Method"),
    ],
)
def test_a_file_that_is_no_method_is_refused_with_the_reason(mine, text, reason):
    mine.write_text(text)
    with pytest.raises(I2IError, match=reason):
        registry.method(str(mine))


def test_a_broken_file_can_be_mended_and_asked_for_again(mine):
    mine.write_text("1 / 0")
    with pytest.raises(I2IError):
        registry.method(str(mine))
    mine.write_text(FILE)
    assert registry.method(str(mine)).__name__ == "Mine"


def test_a_recipe_of_a_file_finds_the_method_beside_it_from_any_folder(mine, tmp_path, monkeypatch):
    folder = mine.parent
    recipe = folder / "wide.yaml"
    recipe.write_text("# Mine, but wide.\n#\n#   i2i train wide.yaml\n\nmethod: mine.py\nwidth: 99\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    values = registry.recipe(str(recipe))
    assert values["width"] == 99
    assert registry.method(values["method"]).__name__ == "Mine"
    assert registry.about(str(recipe)) == "Mine, but wide.\n\n  i2i train wide.yaml"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("method: [", "no readable YAML"),
        ("- 1", "is no recipe"),
        ("", "is no recipe"),
        ("width: 3", "is no recipe"),
        ("method: 3", "is no recipe"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, reason):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(I2IError, match=reason):
        registry.recipe(str(path))


def test_files_that_are_not_there(tmp_path):
    for call in (registry.recipe, registry.about):
        for name in ("no.yaml", "no.py"):
            with pytest.raises(I2IError, match="There is no"):
                call(str(tmp_path / name))
    with pytest.raises(I2IError, match="There is no file"):
        registry.method(str(tmp_path / "no.py"))


def test_an_entry_point_of_another_package_is_a_method(mine, monkeypatch):
    monkeypatch.syspath_prepend(str(mine.parent))
    point = EntryPoint("theirs", "mine:Mine", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert "theirs" in registry.methods()
    kind = registry.method("theirs")
    assert kind.__name__ == "Mine"
    assert registry.name_of(kind) == "theirs"
    assert registry.recipe("theirs") == {"method": "theirs"}
    assert registry.about("theirs") == "A method of one file."
    del sys.modules["mine"]


def test_a_class_that_no_name_leads_to():
    class Stray(Method):
        pass

    with pytest.raises(I2IError, match="Stray belongs to no registered method"):
        registry.name_of(Stray)
