"""`i2i runs`: list, show, compare and remove."""

import io
import json
import shutil

import pytest

from tests.cli.program import TINY, i2i


@pytest.fixture
def here(trained, pairs, tmp_path, monkeypatch):
    """A current folder with runs/first and runs/a second, which differ in the learning rate."""
    shutil.copytree(trained[0], tmp_path / "runs" / "first")
    monkeypatch.chdir(tmp_path)
    i2i("train", "pix2pix", pairs, "--images", 4, "--out", "runs/a second", "--set", "lr=0.5e-3", *TINY)
    return tmp_path


def test_runs_are_listed_shown_and_compared(here):
    for words in (["runs"], ["runs", "list"]):
        rows = i2i(*words)[0].splitlines()
        assert rows[0].split() == ["run", "recipe", "data", "state", "images", "time", "score", "disk"]
        assert [row.split("  ")[0] for row in rows[1:]] == ["runs/a second", "runs/first"]  # the newest first
        assert rows[2].split()[1] == "pix2pix"
        assert rows[2].split()[3:5] == ["finished", "8"]
        assert "L1 " in rows[1]
    found = json.loads(i2i("runs", "--json")[0])
    assert [run["images"] for run in found] == [4, 8]
    out, _ = i2i("runs", "runs/first")
    assert out == i2i("runs", "show", "runs/first")[0]
    assert "i2i translate photo.jpg --model runs/first" in out
    assert "  width" in out
    out, _ = i2i("runs", "compare", "runs/first", "runs/a second")
    rows = {line.split("  ")[0].strip(): line.split()[-2:] for line in out.splitlines()[1:]}
    assert rows["lr"] == ["0.0002", "0.0005"]
    assert rows["images"][0] == "8"
    assert "width" not in rows
    compared = json.loads(i2i("runs", "compare", "runs/first", "runs/a second", "--json")[0])
    assert compared["rows"]["lr"] == [0.0002, 0.0005]
    assert all(isinstance(value, float) for value in compared["rows"]["l1"])


def test_runs_are_removed_only_if_they_are_runs_and_it_is_wanted(here, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))  # nobody answers
    assert "--yes" in i2i("runs", "rm", "runs/first", code=1)[1]
    assert (here / "runs" / "first").is_dir()
    (here / "photos").mkdir()
    i2i("runs", "rm", "runs/first", "photos", "--yes", code=1)
    assert (here / "runs" / "first").is_dir()
    monkeypatch.chdir(here / "runs" / "first")
    assert "current folder" in i2i("runs", "rm", ".", "--yes", code=1)[1]
    monkeypatch.chdir(here)
    found = json.loads(i2i("runs", "rm", "runs/first", "--yes", "--json")[0])
    assert found["removed"] == ["runs/first"]
    assert found["bytes"] > 1000
    assert not (here / "runs" / "first").exists()
    assert (here / "photos").is_dir()


def test_what_is_no_run_is_said(here):
    assert "There is no folder nowhere." in i2i("runs", "--in", "nowhere", code=1)[1]
    assert "Did you mean runs/first?" in i2i("runs", "show", "runs/frist", code=1)[1]  # codespell:ignore
    (here / "runs" / "broken").mkdir()
    (here / "runs" / "broken" / "config.yaml").write_text("a: [")
    out, err = i2i("runs")
    assert "Left out: runs/broken/config.yaml is not readable as YAML" in err
    assert [row.split("  ")[0] for row in out.splitlines()[1:]] == ["runs/a second", "runs/first"]
    assert "not readable as YAML" in i2i("runs", "show", "runs/broken", code=1)[1]
    (here / "runs" / "broken" / "config.yaml").write_text("recipe: pix2pix\nmethod: pix2pix\ndata: [a]\n")
    (here / "runs" / "broken" / "log.jsonl").write_text('{"kind": "losses", "images": 3, "terms": {}}\n{"torn')
    found = {run["folder"]: run for run in json.loads(i2i("runs", "--json")[0])}
    assert (found["runs/broken"]["state"], found["runs/broken"]["images"]) == ("stopped", 3)


ODD = [
    "[]",
    "3",
    "null",
    "'a text'",
    "recipe: pix2pix",
    "recipe: pix2pix\nmethod: pix2pix\ndata: photos",
    "recipe: pix2pix\nmethod: pix2pix\ndata: [1, 2]",
    "recipe: pix2pix\nmethod: [pix2pix]\ndata: [a]",
    "recipe: {}\nmethod: pix2pix\ndata: [a]",
    "recipe: pix2pix\nmethod: pix2pix\ndata: [a]\ndata_named: b",
    "1: 2\nrecipe: pix2pix\nmethod: pix2pix\ndata: [a]",
    "a: &a [*a]",
    "\x00",
]


@pytest.mark.parametrize("content", ODD)
def test_an_odd_config_is_left_out_of_the_list_and_named(here, content):
    (here / "runs" / "odd").mkdir()
    (here / "runs" / "odd" / "config.yaml").write_text(content)
    out, err = i2i("runs")
    assert [row.split("  ")[0] for row in out.splitlines()[1:]] == ["runs/a second", "runs/first"]
    assert err.startswith("Left out: runs/odd/config.yaml is not ")
    assert len(json.loads(i2i("runs", "--json")[0])) == 2
    for words in (["show", "runs/odd"], ["compare", "runs/odd", "runs/first"], ["rm", "runs/odd", "--yes"]):
        assert "runs/odd/config.yaml is not " in i2i("runs", *words, code=1)[1]
    assert (here / "runs" / "odd").is_dir()


@pytest.mark.parametrize(
    "content", ["", "[]", "3", "{}", '{"model": 3}', '{"model": {"l1": null}}', '{"model": {"l1": "a"}}']
)
def test_odd_scores_are_no_scores(here, content):
    for name in ("metrics.json", "checkpoints/best.json"):
        (here / "runs" / "first" / name).write_text(content)
    lines = ['{"kind": "losses", "images": 8, "terms": {"G/l1": null}}', "[]", '{"kind": 3}', "{}", "\x00", "3"]
    (here / "runs" / "first" / "log.jsonl").write_text("\n".join(lines))
    assert "images  8" in i2i("runs", "show", "runs/first")[0]
    assert len(i2i("runs")[0].splitlines()) == 3
    i2i("runs", "compare", "runs/first", "runs/a second")
