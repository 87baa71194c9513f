"""From the words typed to what the parser gets."""

import pytest

from i2i.cli import launch
from i2i.cli.train import pairs as settings
from i2i.core.errors import I2IError
from tests.cli.program import i2i


@pytest.fixture
def asked(monkeypatch):
    """What `i2i train` asks of the library for the words typed: (recipe, data), or the data of a resumed run."""
    from i2i.training import train

    calls = []

    def resolve_run(recipe, data, out, overrides, progress):
        calls.append((recipe, data))
        raise I2IError("stop")

    def resolve_resume(folder, overrides, data):
        calls.append((None, data))
        raise I2IError("stop")

    monkeypatch.setattr(train, "resolve_run", resolve_run)
    monkeypatch.setattr(train, "resolve_resume", resolve_resume)

    def ask(*words):
        i2i("train", *words, code=1)
        return calls.pop()

    return ask


@pytest.mark.parametrize(
    ("typed", "recipe", "data"),
    [
        ("cyclegan photos/ paintings/", "cyclegan", "photos/ paintings/"),
        ("pix2pix maps --size 16 -q", "pix2pix", "maps"),
        ("cyclegan --data a b --size 3", "cyclegan", "a b"),
        ("cyclegan --data a --data b -q", "cyclegan", "a b"),
        ("cyclegan --size 3 --data a b", "cyclegan", "a b"),
        ("--data a b cyclegan --json", "cyclegan", "a b"),
        ("--data a cyclegan", "cyclegan", "a"),
        ("--data=a b pix2pix", "pix2pix", "a b"),
        ("--data a b --dry-run cyclegan", "cyclegan", "a b"),
        ("--data a b --set x=y cyclegan", "cyclegan", "a b"),
        ("--data a b --seed -1 cyclegan", "cyclegan", "a b"),
        ("--seed=1 --data a b -- cyclegan", "cyclegan", "a b"),
        ("--data a b mine.py", "mine.py", "a b"),
        ("cyclegn --data a b", "cyclegn", "a b"),
        ("--resume r --data a b", None, "a b"),
        ("--resume=r --data a b", None, "a b"),
        ("--resume r", None, ""),
    ],
)
def test_where_the_recipe_and_the_data_may_stand(asked, typed, recipe, data):
    assert asked(*typed.split()) == (recipe, data.split())


def test_a_folder_is_no_recipe(asked, tmp_path):
    (tmp_path / "b").mkdir()
    assert asked("--data", "a", tmp_path / "b", "cyclegn") == ("cyclegn", ["a", str(tmp_path / "b")])
    _, err = i2i("train", "--data", "a", tmp_path / "b", code=2)
    assert "Name a recipe" in err
    _, err = i2i("train", "cyclegan", "--resume", tmp_path, code=2)
    assert "give --resume alone" in err


def test_the_data_of_evaluate(monkeypatch):
    from i2i.inference import evaluate

    def stop(model, data, *args, **options):
        raise I2IError(f"data: {data}")

    monkeypatch.setattr(evaluate, "evaluate", stop)
    monkeypatch.setattr("i2i.models.load.find", lambda *args: None)
    for typed in ("--data a b --model m", "--model m --data a --data b", "--model m a b", "a --model m b"):
        _, err = i2i("evaluate", *typed.split(), code=1)
        assert "data: ['a', 'b']" in err
    assert "data: None" in i2i("evaluate", "--model", "m", code=1)[1]


def test_data_without_a_value():
    _, err = i2i("train", "pix2pix", "--data", "--size", 16, code=2)
    assert err.startswith("Error: Option '--data' requires an argument.")


def test_settings_stay_text():
    assert settings(["lr=1e-4", " norm = batch ", "augment=", "a=b=c"]) == {
        "lr": "1e-4",
        "norm": "batch",
        "augment": "",
        "a": "b=c",
    }


@pytest.mark.parametrize("word", ["lr", "=3", "lr 3"])
def test_settings_without_a_sign(word):
    _, err = i2i("train", "pix2pix", "--data", "x", "--set", word, code=2)
    assert f"--set takes KEY=VALUE, not {word!r}" in err


@pytest.mark.parametrize("typed", ["train x --processes 2 -q", "train x --processes=2 -q", "train --processes 2 x -q"])
def test_each_process_is_told_nothing_of_the_others(typed):
    assert sorted(launch.without_processes(typed.split())) == ["-q", "train", "x"]
