"""What strangers write in headers, recipes and names of files does nothing to a terminal."""

import json
import unicodedata

import pytest
import torch

from i2i import nets
from i2i.models import format as model_file
from tests.cli.program import i2i, picture

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnp\x9b31m\r\nError: [red]forged[/red]"


def harmless(*words, code=0):
    """The output, which holds no character that a terminal obeys."""
    texts = i2i(*words, code=code)
    for text in texts:
        odd = [
            c
            for c in text
            if (unicodedata.category(c) == "Cc" and c != "\n")
            or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        ]
        assert odd == []
        assert not any(line.startswith("Error: [red]") for line in text.split("\n"))
    return texts[0] + texts[1]


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    header = {"method": EVIL, "data": [EVIL], "licence": EVIL, "recipe": EVIL, "version": EVIL, "source": EVIL}
    return model_file.save(tmp_path / "m.safetensors", {"G": nets.build("resnet", blocks=1, width=2)}, header)


def test_headers(model, tmp_path):
    assert "owned" in harmless("models", "show", model)
    out = harmless("models", "show", model, "--json")
    assert json.loads(out)["licence"] == EVIL
    picture(tmp_path / "in" / "a.png", 1)
    harmless("translate", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--device", "cpu")


def test_recipes(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("# \u202e words\nmethod: pix2pix\ndata: 'x\u202ey'\n", encoding="utf-8")
    assert "words" in harmless("recipes", "show", path)
    harmless("recipes", "show", path, "--json")
    path.write_text('method: "pix2pix\\e[2J\\u202e"\n')
    assert "There is no method" in harmless("recipes", "show", path, code=1)


def test_runs(tmp_path):
    run = tmp_path / "runs" / "a\u202eb"
    run.mkdir(parents=True)
    values = {"recipe": EVIL, "method": "pix2pix", "data": [EVIL], "note": EVIL}
    (run / "config.yaml").write_text(json.dumps(values))
    harmless("runs", "--in", tmp_path / "runs")
    harmless("runs", "show", run)
    harmless("runs", "compare", run, run)
    harmless("runs", "--in", tmp_path / "runs", "--json")


def test_names_of_images(tmp_path):
    folder = tmp_path / "x"
    for name in ("a\x1b[2J.png", "b\u202e.png"):
        picture(folder / name, 1)
        (folder / name).write_bytes(b"no image")
    harmless("data", "check", folder, code=1)
    harmless("data", "check", folder, "--json", code=1)
    harmless("translate", folder, "-o", tmp_path / "out", "--model", "cyclegan_daynight", "--device", "cpu", code=3)
