"""The README says what is so: its map names every module, and no file that is not there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="an installed package has no README beside its tests")


def mapped() -> set[str]:
    text = README.read_text(encoding="utf-8").split("## Map of the files")[1].split("\n## ")[0]
    return {name for name in re.findall(r"`([\w/.*-]+)`", text) if "/" in name}


def test_the_map_names_every_room():
    rooms = {f"i2i/{p.parent.name}/" for p in (ROOT / "i2i").glob("*/__init__.py")}
    assert rooms - mapped() == set()


def test_what_the_map_and_the_pictures_name_is_there():
    assert {name for name in mapped() if not list(ROOT.glob(name))} == set()
    text = README.read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert shown
    assert [p for p in shown if not (ROOT / p).is_file()] == []


def test_every_recipe_it_names_exists():
    from i2i.training import recipes

    named = set(re.findall(r"i2i train ([a-z]\w+)", README.read_text(encoding="utf-8")))
    assert named <= set(recipes.recipes())
