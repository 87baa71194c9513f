"""From the words typed to what the parser gets."""

import pytest

from i2i.cli import expand_data_option, launch
from i2i.cli.train import pairs as settings
from tests.cli.program import i2i


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("train cyclegan --data a b --size 3", "train --data a --data b cyclegan --size 3"),
        ("train cyclegan --data a --data b -q", "train --data a --data b cyclegan -q"),
        ("train cyclegan --size 3 --data a b", "train --data a --data b cyclegan --size 3"),
        ("train --data a b cyclegan --json", "train cyclegan --data a --data b --json"),
        ("train --data a cyclegan", "train cyclegan --data a"),
        ("train --data=a b pix2pix", "train pix2pix --data a --data b"),
        ("train --data a b --dry-run cyclegan", "train --data a --data b --dry-run cyclegan"),
        ("train --data a b --set x=y cyclegan", "train --data a --data b --set x=y cyclegan"),
        ("train --data a b --seed -1 cyclegan", "train --data a --data b --seed -1 cyclegan"),
        ("train --seed=1 --data a b -- cyclegan", "train --data a --data b --seed=1 -- cyclegan"),
        ("train --resume r --data a b", "train --data a --data b --resume r"),
        ("train --resume=r --data a b", "train --data a --data b --resume=r"),
        ("train --data a", "train --data a"),
        ("evaluate --data a b --model m", "evaluate --data a --data b --model m"),
        ("translate --data a b", "translate --data a b"),
        ("data check a", "data check a"),
        ("", ""),
    ],
)
def test_two_words_after_data(typed, expected):
    assert " ".join(expand_data_option(typed.split())) == expected


def test_a_folder_is_no_recipe(tmp_path):
    assert expand_data_option(["train", "--data", "a", str(tmp_path)]) == [
        "train",
        "--data",
        "a",
        "--data",
        str(tmp_path),
    ]


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
