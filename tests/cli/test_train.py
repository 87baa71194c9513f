"""`i2i train` and `i2i evaluate`, in one process, on small noise."""

import json
import shutil

import pytest
import torch

from i2i.models.format import read_header
from tests.cli.program import TINY, i2i, make_pairs, picture


def test_a_dry_run_prints_the_plan_and_leaves_nothing(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, err = i2i("train", "pix2pix", "--data", pairs, "--images", 10, "--batch", 2, "--dry-run", *TINY)
    assert err == ""
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["training"] == ["images", "12"]
    assert rows["held-out"] == ["images", "3"]
    assert (rows["length"], rows["steps"]) == (["in", "images", "10"], ["5"])
    assert rows["G"][0] == "UNet"
    assert rows["memory"][0] == rows["time"][0] == rows["disk"][0] == "about"
    assert rows["device"] == ["cpu", f"({torch.get_num_threads()}", *rows["device"][2:]]
    assert "norm" not in rows
    marked = {line.split()[1] for line in out.splitlines() if line.startswith("* ")}
    assert marked == {"depth", "width", "layers", "d_width", "size", "workers", "images", "batch", "device"}
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_every_setting_with_its_value_when_asked(sides, pairs):
    words = ["--dry-run", "--all", "--size", 32, "--set", "width=4", "--set", "layers=1", "--device", "cpu"]
    words += ["--set", "d_width=4"]  # small enough for fp32 on every CPU
    out, _ = i2i("train", "cyclegan", "--data", *sides, *words)
    rows = {line[2:].split("  ")[0]: line[2:].split("  ")[-1].strip() for line in out.splitlines()}
    assert rows["flip"] == "yes"
    assert rows["load"] == "36"
    assert rows["blocks"] == "6"
    assert rows["channels_in"] == "3"
    assert rows["precision"] == "fp32"
    assert rows["ema"] == "0.0 (no average)"
    assert rows["augment"] == "''"
    out, _ = i2i("train", "pix2pix", "--data", pairs, *words)
    assert next(line.split()[1:] for line in out.splitlines() if line.strip().startswith("depth")) == ["5"]
    _, err = i2i("train", "pix2pix", "--data", pairs, "--all", code=2)
    assert "--all belongs to --dry-run" in err


def test_a_dry_run_on_a_device_that_is_not_there_is_refused(pairs):
    if not torch.cuda.is_available():
        _, err = i2i("train", "pix2pix", "--data", pairs, "--dry-run", "--device", "cuda", code=1)
        assert err.startswith("Error: The device 'cuda' cannot be used: no CUDA device is available here.")


def test_a_dry_run_for_machines(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = json.loads(i2i("train", "pix2pix", "--data", pairs, "--epochs", 0.5, "--dry-run", "--json", *TINY)[0])
    assert plan["images"] == plan["steps"] == 6
    assert plan["parameters"] == sum(n["parameters"] for n in plan["networks"].values())
    assert plan["settings"]["width"] == 4
    assert "width" in plan["changed"]


def test_two_folders_whose_names_have_spaces(sides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--dry-run", "--json", "--size", 16, "--set", "width=4", "--set", "blocks=1", "--set", "layers=1"]
    plan = json.loads(i2i("train", "cyclegan", "--data", *sides, *words)[0])
    assert plan["data"] == [str(s) for s in sides]
    assert plan["layout"] == "unpaired"
    again = json.loads(i2i("train", "--data", *sides, "cyclegan", *words)[0])
    assert again["data"] == plan["data"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pix2pixx", "--data", "earth"], "There is no recipe 'pix2pixx'. Did you mean pix2pix"),
        (["pix2pix", "--data", "erth"], "Did you mean earth?"),
        (["pix2pix"], "No data was given."),
        (["stargan"], "such as: i2i train stargan faces/ --labels attributes.csv"),
        (["pix2pix", "--data", "no/such"], "The folder no/such does not exist."),
        (["pix2pix", "--data", "PAIRS", "--set", "widht=4"], "There is no setting 'widht'. Did you mean width"),
        (
            ["pix2pix", "--data", "PAIRS", "--set", "width=wide"],
            "width is 'wide'. It must be a whole number, 1 to 16384.",
        ),
        (["pix2pix", "--data", "PAIRS", "--precision", "fp8"], "precision is 'fp8'."),
        (["pix2pix", "--data", "PAIRS", "--device", "abacus"], "There is no device 'abacus'."),
        (["pix2pix", "--data", "PAIRS", "--out", "PAIRS"], "exists and is not empty."),
        (["pix2pix", "--data", "PAIRS", "--set", "norm=loud"], "norm is 'loud'."),
        (["--resume", "PAIRS"], "holds no run"),
    ],
)
def test_what_cannot_be_is_one_sentence(pairs, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    typed = [str(pairs) if w == "PAIRS" else w for w in words]
    out, err = i2i("train", *typed, "--dry-run", code=1)
    assert err.startswith("Error: ")
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_run_says_where_things_are(trained):
    folder, out, err = trained
    scores = json.loads((folder / "metrics.json").read_text())
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    for metric, row in (("l1", "L1"), ("ssim", "SSIM")):
        expected = [scores[guess][metric] for guess in ("model", "mean image", "input copied")]
        numbers = [float(word) for word in rows[row][2:] if word != "to"]
        assert [numbers[k] for k in (0, 3, 4)] == pytest.approx(expected, abs=6e-5)
    assert "Scores on 3 pairs of test, at 16 pixels:" in out
    for title, name in (("Report:", "report.html"), ("Model:", "model.safetensors"), ("Samples:", "test.png")):
        assert f"{title.ljust(8)} {folder / name}" in out
        assert (folder / name).is_file()
    assert f"i2i translate photo.jpg --model '{folder}'" in out
    assert "finished at 8 images" in err
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    told = next(e for e in events if e["kind"] == "evaluation")
    assert told["model"] == scores["model"]


def test_a_finished_run_for_machines_and_quietly(trained):
    folder = trained[0]
    out, err = i2i("train", "--resume", folder, "--json")
    found = json.loads(out)
    assert found["folder"] == str(folder)
    assert set(found["metrics"]["model"]) >= {"l1", "psnr"}
    assert err == ""
    assert i2i("train", "--resume", folder, "--quiet") == ("", "")


def test_a_run_is_not_overwritten(trained, pairs):
    _, err = i2i("train", "pix2pix", "--data", pairs, "--out", trained[0], code=1)
    assert f"already holds a run. Resume it with `i2i train --resume '{trained[0]}'`" in err


def test_only_what_does_not_change_the_run_may_change(trained, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(trained[0], folder)
    i2i("train", "--resume", folder, "--workers", 1, "--set", "log_every=7", "--quiet")
    _, err = i2i("train", "--resume", folder, "--set", "lr=0.1", code=1)
    assert "lr" in err
    _, err = i2i("train", "--resume", folder, "--images", 9, code=1)
    assert err.startswith("Error: ")


def test_generating_runs_name_their_command(tmp_path):
    from tests.cli.program import picture

    for i in range(8):
        picture(tmp_path / "data" / f"{i}.png", i)
    words = ["--size", 16, "--images", 4, "--batch", 2, "--device", "cpu", "--workers", 0, "--set", "hidden=8"]
    out, _ = i2i("train", "gan_small", "--data", tmp_path / "data", "--out", tmp_path / "run", *words)
    assert f"Use it:  i2i generate --grid images.png --model {tmp_path / 'run'}" in out
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_evaluate_prints_and_saves(trained, pairs, tmp_path):
    folder = trained[0]
    out, _ = i2i("evaluate", "--model", folder, "--device", "cpu")
    l1 = next(line for line in trained[1].splitlines() if line.startswith("L1"))
    assert any(line.split() == [*l1.split(), "-"] for line in out.splitlines())  # what training said at its end
    found = json.loads(i2i("evaluate", "-m", folder, "--data", pairs, "--split", "val", "--limit", 2, "--json")[0])
    assert (found["count"], found["split"]) == (2, "val")
    out, _ = i2i("evaluate", "-m", folder / "model.safetensors", "--save", tmp_path / "made")
    assert len(list((tmp_path / "made").rglob("*.png"))) == 3
    assert f"The translations are in {tmp_path / 'made'}." in out


def test_evaluate_refuses(trained, sides, tmp_path):
    assert "No model and no file is called 'nothing'" in i2i("evaluate", "-m", "nothing", code=1)[1]
    _, err = i2i("evaluate", "-m", trained[0], "--split", "tset", code=1)
    assert "has no split 'tset'. It has: train, val, test." in err
    assert "no truth to score each image by" in i2i("evaluate", "-m", trained[0], "--data", *sides)[0]
    for side, count in (("in", 3), ("out", 2)):
        for number in range(count):
            picture(tmp_path / side / f"{number}.png", number)
    _, err = i2i("evaluate", "-m", trained[0], "--data", tmp_path / "in", tmp_path / "out", code=1)
    assert "some have no partner" in err


def test_a_model_says_what_made_it(trained, pairs):
    header = read_header(trained[0] / "model.safetensors")
    assert (header["method"], header["images"], header["size"]) == ("pix2pix", 8, 16)
    assert header["data"] == [pairs.name]  # not where they lie


def test_more_processes_than_gpus(monkeypatch, pairs, tmp_path):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    words = [w for w in TINY if w not in ("--device", "cpu")]
    _, err = i2i("train", "pix2pix", "--data", pairs, "--out", tmp_path / "run", *words, code=1)
    assert "3 processes need a GPU each, but this machine has 2. Give --processes 2" in err
    assert not (tmp_path / "run").exists()


def test_pairs_without_a_split_to_judge_on(tmp_path):
    folder = make_pairs(tmp_path / "pairs", (("train", 4),))
    out, _ = i2i("train", "pix2pix", "--data", folder, "--images", 2, "--out", tmp_path / "run", *TINY)
    assert out.startswith("Report: ")
