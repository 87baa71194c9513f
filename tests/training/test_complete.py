"""A session that was killed, or met a full disk, between its checkpoint and its model: the resume makes up for it."""

import json

import pytest
from safetensors.torch import load_file

import i2i
from i2i.core.errors import I2IError
from i2i.models.format import read_header
from i2i.training import checkpoint
from i2i.training.scorer import Scorer
from i2i.training.train import resume
from tests.cli.program import make_pairs
from tests.training.toy import stopped_in_its_first_step, toy_loop

SMALL = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "device": "cpu", "workers": 0}


class Killed(BaseException):
    """What kill -9 leaves behind: nothing after it is written."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs")


def kill_at(monkeypatch, images):
    """The process is killed after the checkpoint of `images` images and before what follows it."""
    judge = Scorer.__call__

    def killed(self, method):
        if checkpoint.path_of(self.run.folder / "checkpoints", images).exists():
            raise Killed
        return judge(self, method)

    monkeypatch.setattr(Scorer, "__call__", killed)


@pytest.mark.parametrize("save_every", [12, 1000])
def test_a_run_killed_before_its_last_model_ends_as_if_it_had_not_been(pairs, tmp_path, monkeypatch, save_every):
    settings = {**SMALL, "images": 24, "save_every": save_every, "score_every": save_every, "keep": 1}
    i2i.train("pix2pix", pairs, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        kill_at(patch, 24)
        with pytest.raises(Killed):
            i2i.train("pix2pix", pairs, tmp_path / "killed", **settings)
    model = tmp_path / "killed" / "model.safetensors"
    assert model.exists() == (save_every == 12)
    resume(tmp_path / "killed", quiet=True)
    expected, actual = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert expected.keys() == actual.keys()
    assert all(expected[k].equal(actual[k]) for k in expected)
    assert read_header(model)["images"] == 24
    best = [json.loads((tmp_path / name / "checkpoints" / "best.json").read_text()) for name in ("whole", "killed")]
    assert best[0] == best[1]
    names = [[p.name for p in checkpoint.listed(tmp_path / name / "checkpoints")] for name in ("whole", "killed")]
    assert names[0] == names[1]  # rotated as well


def test_a_model_that_lags_is_brought_up_at_once_and_not_at_the_next_save(tmp_path):
    written = []

    def loop(total, there):
        return toy_loop(tmp_path, total=32, save_model=lambda m, n: written.append(n), model_images=lambda: there)

    first = stopped_in_its_first_step(loop(32, -1))
    with pytest.raises(BaseException, match="Go on with"):
        first.run()
    (stopped,) = written
    loop(32, there=-1).run()  # the model is gone
    assert written[1] == stopped
    count = len(written)
    loop(32, there=32).run()  # all is there
    assert len(written) == count


def test_a_resume_at_the_end_that_cannot_write_the_model_is_an_error(tmp_path):
    toy_loop(tmp_path).run()

    def refuse(method, images):
        raise I2IError("model.safetensors cannot be written.") from OSError(28, "No space left on device")

    with pytest.raises(I2IError, match=r"At 32 images the model could not be written.*Free some space"):
        toy_loop(tmp_path, save_model=refuse, model_images=lambda: -1).run()


@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_finished_run_without_a_whole_model_gets_one(pairs, tmp_path, damage):
    i2i.train("pix2pix", pairs, tmp_path / "run", **SMALL, images=4)
    model = tmp_path / "run" / "model.safetensors"
    whole = load_file(model)
    data = model.read_bytes()
    model.unlink()
    if damage != "missing":
        model.write_bytes(data[: len(data) // 2 if damage == "cut" else 0])
    resume(tmp_path / "run", quiet=True)
    assert all(whole[k].equal(v) for k, v in load_file(model).items())
