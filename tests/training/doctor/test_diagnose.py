"""`i2i doctor` on shipped models, on a run and on what is neither."""

from __future__ import annotations

import json

import pytest
from PIL import Image

import i2i as package
from i2i.training.doctor import diagnose
from i2i.training.doctor.table import SIGNS
from tests.cli.program import i2i, make_pairs, picture
from tests.training.doctor.test_monitor import TINY


def signs(diagnosis):
    return [finding.sign for finding in diagnosis.found]


def test_the_shipped_earth_model_is_well():
    diagnosis = diagnose("pix2pix_earth", device="cpu")
    assert signs(diagnosis) == []
    assert [f.sign for f in diagnosis.findings] == list(SIGNS)
    assert diagnosis.count == 64
    assert diagnosis.split == "test"
    assert next(f for f in diagnosis.findings if f.sign == "overfitting").state == "not found"


def test_the_shipped_daynight_model_is_well():
    assert signs(diagnose("cyclegan_daynight", device="cpu")) == []


@pytest.mark.parametrize("name", ["dcgan_digits", "biggan_digits"])
def test_the_shipped_generators_are_well(name, tmp_path):
    with Image.open("tests/digits/test.png") as sheet:
        for i in range(0, 500, 2):  # 28 pixels a digit, 50 of a class in a row
            x, y = i % 50 * 28, i // 50 * 28
            folder = tmp_path / "digits" / str(i // 50)
            folder.mkdir(parents=True, exist_ok=True)
            sheet.convert("L").crop((x, y, x + 28, y + 28)).save(folder / f"{i}.png")
    assert signs(diagnose(name, tmp_path / "digits", device="cpu")) == []
    states = {f.sign: f.state for f in diagnose(name, device="cpu").findings}
    assert states["alike"] == "cannot be judged"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    package.train("pix2pix", make_pairs(folder / "pairs"), folder / "run", quiet=True, **{**TINY, "epochs": 2})
    return folder / "run"


def test_a_run_is_judged_by_its_log_and_its_model(run):
    out, _ = i2i("doctor", run, "--json", "--device", "cpu")
    answer = json.loads(out)
    assert answer["model"] == str(run)
    assert answer["count"] > 0
    assert [f["sign"] for f in answer["findings"]] == list(SIGNS)
    assert answer["found"] == [f["sign"] for f in answer["findings"] if f["state"] == "found"]
    assert all(f["remedy"] for f in answer["findings"] if f["state"] == "found")
    text, _ = i2i("doctor", run, "--device", "cpu")
    assert all(sign in text for sign in SIGNS)


def test_strict_ends_with_1_if_something_is_found(run):
    log = run / "log.jsonl"
    before = log.read_text()
    line = {"kind": "doctor", "images": 24, "weights": {"G": 1.0}, "waited": 0.0, "dead": "No images came."}
    log.write_text(before + json.dumps(line) + "\n" + "broken\n")
    try:
        out, _ = i2i("doctor", run, "--strict", "--device", "cpu", code=1)
        assert "i2i data check" in out
        i2i("doctor", run, "--device", "cpu")
    finally:
        log.write_text(before)


def test_a_run_without_a_model_is_judged_by_its_log(run, tmp_path):
    for name in ("config.yaml", "log.jsonl"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    diagnosis = diagnose(tmp_path, device="cpu")
    assert "saved no model" in next(f for f in diagnosis.findings if f.sign == "black").text


@pytest.mark.parametrize(
    "words", [["nowhere"], ["."], ["pix2pix_earth", "--data", "nowhere"], ["pix2pix_earth", "--data", "i2i"]]
)
def test_bad_input_is_one_sentence(words):
    _, err = i2i("doctor", *words, "--device", "cpu", code=1)
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


def test_what_a_cyclegan_hides_is_looked_for(tmp_path):
    settings = {**TINY, "blocks": 1, "epochs": 1, "channels_in": 1, "channels_out": 1}  # of color files
    del settings["depth"]
    for side in ("trainA", "trainB"):
        for i in range(4):
            picture(tmp_path / "data" / side / f"{i}.png", i)
    package.train("cyclegan", tmp_path / "data", tmp_path / "run", quiet=True, **settings)
    words = ["evaluate", "--model", tmp_path / "run", "--reveal", tmp_path / "out", "--limit", "2", "--device", "cpu"]
    answer = json.loads(i2i(*words, "--json")[0])["reveal"]
    assert set(answer["psnr"]) == {"0", "1", "2", "4", "8"}
    assert answer["hides"] is False
    assert answer["count"] == 2
    with Image.open(tmp_path / "out" / "reveal.png") as sheet:
        assert sheet.width > sheet.height / 2
    _, err = i2i("evaluate", "--model", "cyclegan_daynight", "--reveal", tmp_path / "out", code=1)
    assert "no way back" in err
