"""`i2i methods`: the list, a method's page, and a file to start from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from i2i.core import config
from i2i.methods import load_method, method_names
from tests.cli.program import ROOT, i2i


def test_the_list_has_every_method_with_its_paper_and_its_data():
    out, _ = i2i("methods", "list")
    lines = out.splitlines()
    assert lines[0].split() == ["method", "paper", "data", "about"]
    assert [line.split()[0] for line in lines[1:]] == method_names()
    assert "cyclegan     arXiv 1703.10593  two folders of images" in out
    assert i2i("methods") == (out, "")


def test_the_list_as_json():
    rows = json.loads(i2i("methods", "list", "--json")[0])
    assert [row["name"] for row in rows] == method_names()
    pix2pix = next(row for row in rows if row["name"] == "pix2pix")
    assert (pix2pix["paper"], pix2pix["needs"], pix2pix["source"]) == ("arXiv 1611.07004", "paired", "i2i")
    assert json.loads(i2i("methods", "--json")[0]) == rows


def test_a_method_is_shown_with_all_its_settings():
    out, _ = i2i("methods", "show", "wgan_gp")
    assert out.startswith("WGAN-GP: Improved Training of Wasserstein GANs.\n")
    assert "Data: a folder of images (layout images)\nNetworks in a saved model: G\n" in out
    for setting in config.settings(load_method("wgan_gp").Config):
        assert f"  {setting.name} " in out
        assert setting.comment in out
    shown = json.loads(i2i("methods", "show", "wgan_gp", "--json")[0])
    assert {s["name"] for s in shown["settings"]} >= {"gp", "critic_steps"}
    assert shown["saved"] == ["G"]


def test_an_unknown_method_is_refused():
    _, err = i2i("methods", "show", "zzz", code=1)
    assert err.startswith("Error: There is no method 'zzz'. Known: acgan, bicyclegan, ")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_new_method_is_two_files_that_pass_their_own_test(here):
    out, _ = i2i("methods", "new", "my_method")
    assert out.splitlines() == [
        "Wrote my_method.py and test_my_method.py.",
        "Check it:  i2i train my_method.py --data FOLDER --dry-run",
        "Train it:  i2i train my_method.py --data FOLDER",
        "Test it:   python -m pytest test_my_method.py",
    ]
    text = Path("my_method.py").read_text()
    assert "class MyMethod(Translate):" in text
    assert "emplate" not in text + Path("test_my_method.py").read_text()
    assert load_method("my_method.py").__name__ == "MyMethod"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_method.py"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert i2i("methods", "show", "my_method.py")[0].startswith("MyMethod: one sentence that says")


def test_nothing_is_overwritten(here):
    Path("test_mine.py").write_text("mine")
    _, err = i2i("methods", "new", "mine", code=1)
    assert err == "Error: test_mine.py exists already. Choose another name, or another folder with --output.\n"
    assert [p.name for p in here.iterdir()] == ["test_mine.py"]


def test_another_folder_with_a_space(here):
    out, _ = i2i("methods", "new", "mine", "--output", "my methods")
    assert out.startswith("Wrote 'my methods/mine.py' and 'my methods/test_mine.py'.\n")
    assert sorted(p.name for p in Path("my methods").iterdir()) == ["mine.py", "test_mine.py"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My-Method", "cannot be the name of a method: it must be a word of small letters, digits and _."),
        ("2nd", "cannot be the name of a method"),
        ("class", "cannot be the name of a method"),
        ("../mine", "cannot be the name of a method"),
        ("pix2pix", "A recipe or method of i2i is called 'pix2pix' already."),
        ("dcgan_digits", "A recipe or method of i2i is called 'dcgan_digits' already."),
        ("random", "An installed Python module is called 'random', which random.py would hide."),
        ("torch", "An installed Python module is called 'torch', which torch.py would hide."),
    ],
)
def test_a_name_that_no_method_can_have(name, reason, here):
    _, err = i2i("methods", "new", name, code=1)
    assert reason in err
    assert err.endswith("Choose a name such as my_method.\n")
    assert not list(here.iterdir())
