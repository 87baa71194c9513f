"""Showing a recipe, a plan or a run runs no Python file that somebody else's recipe or run names."""

import json
import shlex
from pathlib import Path

import pytest
import torch

from i2i import nets
from i2i.core import user_code
from i2i.core.errors import TrustNeeded
from i2i.models import format as model_file
from tests.cli.program import i2i
from tests.methods.own_files import RIGHT

SMALL = ["--size", 16, "--device", "cpu", "--workers", 0]


@pytest.fixture
def strange(tmp_path, monkeypatch, pairs):
    """A folder of somebody else's: a recipe and a run whose method is a file. Gives the times that the file ran."""
    monkeypatch.chdir(tmp_path)
    code = RIGHT + f"\nwith open({str(tmp_path / 'ran')!r}, 'a') as _file:\n    _file.write('x')\n# {tmp_path}\n"
    Path("evil.py").write_text(code)
    Path("r.yaml").write_text(f"# a recipe\nmethod: ./evil.py\ndata: {pairs}\nwidth: 2\n")
    run = Path("run")
    run.mkdir()
    (run / "method.py").write_text(code.replace("# ", "#  "))
    (run / "config.yaml").write_text(
        f"recipe: evil.py\nmethod: {run.resolve()}/method.py\ndata: ['{pairs}']\nsize: 16\n"
    )
    torch.manual_seed(0)
    model_file.save(
        run / "model.safetensors", {"G": nets.build("resnet", blocks=1, width=2)}, {"method": "run/method.py"}
    )
    return lambda: len(Path("ran").read_text()) if Path("ran").exists() else 0


def refused(words):
    _, err = i2i(*words, code=1)
    assert "is the Python file" in err or "A Python file" in err
    again = f"If you trust that file, allow it: {shlex.join(['i2i', *map(str, words), '--trust'])}"
    assert again in err
    return again.partition(": ")[2]


SHOWN = [
    ["recipes", "show", "r.yaml"],
    ["recipes", "show", "r.yaml", "--json"],
    ["recipes", "show", "run/config.yaml"],
    ["train", "r.yaml", "--dry-run"],
    ["train", "r.yaml", "--dry-run", "--json"],
    ["train", "r.yaml", "--dry-run", "--width", 4],
    ["train", "r.yaml", "width=4", "--dry-run"],
    ["train", "run/config.yaml", "--dry-run", "--out", "new"],
    ["train", "--resume", "run", "--dry-run"],
]


@pytest.mark.parametrize("words", SHOWN, ids=lambda words: " ".join(map(str, words)))
def test_showing_runs_nothing_but_says_what_would_run(strange, words):
    refused(words)
    assert strange() == 0


@pytest.mark.parametrize(
    "words", [SHOWN[0], SHOWN[1], SHOWN[3], SHOWN[5], SHOWN[6], SHOWN[8]], ids=lambda w: " ".join(map(str, w))
)
def test_the_command_that_it_names_works(strange, words):
    i2i(*shlex.split(refused(words))[1:])
    assert strange() == 1


def test_files_that_the_user_names_may_run(strange, pairs):
    i2i("train", "evil.py", "--data", pairs, "--dry-run", *SMALL)
    assert strange() == 1
    i2i("recipes", "show", "./evil.py")
    i2i("methods", "show", "evil.py")
    i2i("train", "--resume", "run", "--dry-run", "--set", "method=run/method.py")
    assert strange() == 2  # each content once
    i2i("train", "r.yaml", "--images", 2, "--out", "mine", "--quiet", *SMALL)  # training is what the file is for


def test_what_else_shows_and_reads_runs_nothing(strange, pairs, tmp_path):
    i2i("runs", "--in", ".")
    i2i("runs", "show", "run")
    i2i("models", "show", "run")
    i2i("models", "pack", "run", "-o", "packed.safetensors")
    i2i("train", "r.yaml", "--help")
    i2i("data", "check", pairs)
    i2i("translate", pairs / "test", "-o", "out", "--model", "run", "--device", "cpu", "--quiet")
    i2i("evaluate", "--model", "run", "--data", pairs, "--device", "cpu")
    assert strange() == 0


def test_only_what_is_named_is_imported(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(f"value = {str(tmp_path / name)!r}")
    (tmp_path / "link.py").symlink_to(tmp_path / "b.py")
    with user_code.only_showing([tmp_path / "a.py", "c.py"]):
        assert user_code.import_file(tmp_path / "a.py").value.endswith("a")
        for other in ("b.py", "link.py"):
            with pytest.raises(TrustNeeded, match=r"b\.py"):
                user_code.import_file(tmp_path / other)
        with user_code.only_showing([tmp_path / "link.py"]):
            user_code.import_file(tmp_path / "b.py")
    (tmp_path / "b.py").write_text("value = 3")
    assert user_code.import_file(tmp_path / "b.py").value == 3


def test_json_of_the_refusal(strange):
    out, _ = i2i("train", "r.yaml", "--dry-run", "--json", code=1)
    assert json.loads(out)["hint"].endswith("--trust")
