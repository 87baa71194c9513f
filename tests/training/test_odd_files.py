"""Run folders whose files are readable, but not as i2i writes them: passed over and named."""

import json
import shutil

import pytest
import yaml
from safetensors.torch import load_file

import i2i
from i2i.core.errors import I2IError
from i2i.core.files import sha256_of
from i2i.inference.manifest_lines import last_entries
from i2i.training import checkpoint
from i2i.training.dry_run import describe
from i2i.training.recipes import recipe
from i2i.training.report.history import RunHistory
from i2i.training.report.log import FORM, Log
from i2i.training.saving import FACTS
from i2i.training.train import resolve_resume, resume
from tests.cli.program import i2i as program
from tests.cli.program import make_pairs

SMALL = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "device": "cpu", "workers": 0}
DEEP = "[" * 100_000
NUMBERS = ["NaN", "1e999", "-Infinity", "9" * 5000]
ODD = ["[]", "5", "null", '"text"', "{}", DEEP, '{"a":' * 100_000, *NUMBERS, "\xff", ""]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    pairs = make_pairs(tmp_path_factory.mktemp("data") / "pairs")
    return i2i.train("pix2pix", pairs, tmp_path_factory.mktemp("runs") / "run", **SMALL, images=8, save_every=4)


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def write(path, text):
    path.write_bytes(text.encode("latin-1"))


MANIFESTS = ['{"sha256": null}', '{"sha256": [1]}', '{"sha256": {}}', '{"format": 1, "images": 8, "sha256": {}}']
MANIFESTS += ['{"format": 1, "images": 8, "sha256": {"/dev/zero": "0"}}', '{"format": 1, "images": "8", "sha256": 5}']


@pytest.mark.parametrize("text", [*ODD, *MANIFESTS], ids=lambda t: t[:30])
def test_an_odd_manifest_is_a_damaged_checkpoint(run, text):
    warned = []
    write(run / "checkpoints" / f"{8:012d}" / "manifest.json", text)
    assert checkpoint.newest(run / "checkpoints", warned.append)[1]["images"] == 4
    assert warned == ["Checkpoint 000000000008 is damaged and is skipped."]


def test_a_run_with_an_odd_manifest_goes_on_from_an_older_checkpoint(run, finished, capsys, caplog):
    write(run / "checkpoints" / f"{8:012d}" / "manifest.json", "[]")
    (run / "model.safetensors").unlink()
    resume(run)
    assert "Checkpoint 000000000008 is damaged and is skipped." in capsys.readouterr().err + caplog.text
    whole = load_file(finished / "model.safetensors")
    assert all(whole[k].equal(v) for k, v in load_file(run / "model.safetensors").items())


@pytest.mark.parametrize("text", [*ODD, '{"images": "x"}', '{"images": 8, "run": 5, "optimizers": {}, "scalers": {}}'])
def test_an_odd_state_with_the_right_digest_is_damaged_too(run, text):
    newest = run / "checkpoints" / f"{8:012d}"
    write(newest / "state.json", text)
    manifest = json.loads((newest / "manifest.json").read_text())
    manifest["sha256"]["state.json"] = sha256_of(newest / "state.json")
    (newest / "manifest.json").write_text(json.dumps(manifest))
    assert checkpoint.newest(run / "checkpoints", lambda text: None, FACTS)[1]["images"] == 4


def test_a_state_that_does_not_fit_is_one_sentence(run):
    for folder in checkpoint.listed(run / "checkpoints"):
        facts = json.loads((folder / "state.json").read_text())
        tensors = load_file(folder / "state.safetensors")
        checkpoint.save(folder.parent, facts["images"], tensors, {**facts, "optimizers": {}})
    with pytest.raises(I2IError, match="does not fit this run"):
        resume(run, quiet=True)


@pytest.mark.parametrize("text", [*ODD, '{"checkpoint": "x", "score": "low"}', '{"checkpoint": [1], "score": 0}'])
def test_an_odd_list_of_the_best_checkpoint_is_passed_over(run, text):
    write(run / "checkpoints" / "best.json", text)
    (run / "model.safetensors").unlink()
    resume(run, quiet=True)
    assert checkpoint.best_of(run / "checkpoints")["score"] >= 0


@pytest.mark.parametrize(
    "line",
    [
        *ODD,
        '{"kind": "score", "images": 4, "score": "low"}',
        '{"kind": "score", "images": 4, "score": [1]}',
        '{"kind": "losses", "images": 4, "terms": [1]}',
        '{"kind": "losses", "images": 4, "terms": {"G/l1": "x"}, "speed": {}}',
        '{"kind": "losses", "images": true}',
        '{"kind": "losses", "images": 4, "seconds": "long"}',
        '{"kind": "environment", "images": 0, "versions": 5, "changed": 7}',
    ],
)
def test_an_odd_line_of_the_log_is_left_out(run, line):
    log = run / "log.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[: whole.index(b"\n") + 1] + line.encode("latin-1") + b"\n" + whole[whole.index(b"\n") + 1 :])
    assert describe(resolve_resume(run))["steps"] == 8
    resume(run, quiet=True)
    assert log.read_bytes().startswith(whole)
    assert (run / "report.html").stat().st_size > 1000


def test_the_form_of_the_log_is_that_of_every_line_that_is_written(finished):
    log = Log(finished / "log.jsonl")
    assert log.damaged == 0
    assert RunHistory.of(log).images == 8
    assert {key.removesuffix("?") for line in log for key in line} >= {key.removesuffix("?") for key in FORM}


CYCLE = "width: &a [*a]\n"
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [{','.join(['*' + a] * 9)}]}}\n" for a, b in zip("abcd", "bcde"))
TEXTS = ["# caf\xe9\n", CYCLE, BOMB, MERGES, "x: " + "[" * 3000, "x: 2001-99-99\n", "x: !!int ''\n"]  # codespell:ignore
TEXTS += ["x: !!python/name:os.system\n", "? [1]\n: 2\n"]


@pytest.mark.parametrize("more", [*TEXTS, "data: 5\n", "data: [[1]]\n", "recipe: [1]\n", "5: 6\n", "width: [[1]]\n"])
def test_an_odd_config_is_one_sentence(run, more):
    path = run / "config.yaml"
    path.write_bytes(path.read_bytes() + more.encode("latin-1"))
    with pytest.raises(I2IError) as caught:
        resume(run, quiet=True)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("more", TEXTS)
def test_an_odd_recipe_is_one_sentence(tmp_path, more):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"method: pix2pix\n" + more.encode("latin-1"))
    with pytest.raises(I2IError, match="not readable as YAML"):
        recipe(str(path))
    _, err = program("recipes", "show", path, code=1)
    assert "Unexpected" not in err


def test_an_anchor_or_two_may_be_used(tmp_path):
    (tmp_path / "r.yaml").write_text("method: pix2pix\nlr: &rate 0.0001\nd_lr: *rate\n")
    assert recipe(str(tmp_path / "r.yaml"))["d_lr"] == 0.0001
    assert yaml.safe_load((tmp_path / "r.yaml").read_text())["lr"] == 0.0001


@pytest.mark.parametrize("line", [*ODD, '{"output": 5}', '{"output": ["a"]}'])
def test_an_odd_line_of_a_record_is_left_out(line):
    good = b'{"output": "a.png", "state": "done"}'
    assert list(last_entries([line.encode("latin-1"), good])) == ["a.png"]
