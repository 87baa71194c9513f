"""Scores while training: which moments, what they choose, when they end a run, and what they cost."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import i2i
from i2i.core.errors import I2IError
from i2i.models.format import read_header
from i2i.training.report.log import records
from i2i.training.resolve import resolve_run
from i2i.training.score_record import ScoreRecord
from i2i.training.scorer import Scorer, metric_of
from i2i.training.train import resume
from tests.cli.program import i2i as program
from tests.cli.program import make_pairs
from tests.training.toy import toy_loop, weights

SMALL = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs")


def scripted(values):
    """A judge that gives these scores in turn."""
    rest = iter(values)
    return lambda method: next(rest)


def scores(loop):
    return [(line["images"], line["score"]) for line in loop.observer.lines if line["kind"] == "score"]


@pytest.mark.parametrize("every", [4, 8, 12])
def test_scores_come_when_asked_for_and_at_the_end(tmp_path, every):
    loop = toy_loop(tmp_path, judge=scripted([3, 2, 1, 4, 5, 6, 7, 8, 9]), score_every=every, save_every=16)
    loop.run()
    assert [images for images, _ in scores(loop)] == sorted({*range(every, 33, every), 32})


def test_the_best_is_kept_beside_the_last(tmp_path):
    best, last = [], []
    loop = toy_loop(
        tmp_path, judge=scripted([3, 1, 2, 1]), score_every=8, keep=1, save_model=lambda m, n: last.append(n)
    )
    loop.saver.save_best = lambda method, images: best.append(images)
    loop.run()
    assert best == [8, 16]  # an equal score is not better
    assert last == [8, 16, 24, 32]
    assert json.loads((tmp_path / "checkpoints" / "best.json").read_text())["images"] == 16
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir() if p.is_dir()) == [f"{n:012d}" for n in (16, 32)]


@pytest.mark.parametrize(("patience", "end"), [(0, 48), (1, 24), (2, 40), (3, 48)])
def test_patience_ends_a_run_and_a_resume_without_it_goes_on(tmp_path, patience, end):
    judge = scripted(
        [5, 3, 4, 6, 2, 6] if patience == 3 else [5, 4, 3, 6, 6, 6] if patience == 2 else [5, 3, 4, 2, 6, 6]
    )
    loop = toy_loop(tmp_path, total=48, judge=judge, score_every=8, patience=patience)
    assert loop.run() == end
    assert bool(loop.early) == (end < 48)
    if end < 48:
        assert [line for line in loop.observer.lines if line["kind"] == "note" and "patience=0" in line["text"]]
        again = toy_loop(tmp_path, total=48, judge=scripted([9] * 6), score_every=8, patience=patience)
        assert again.run() == end  # it stays where it stopped
        on = toy_loop(tmp_path, total=48, judge=scripted([9] * 6), score_every=8)
        assert on.run() == 48
        whole = toy_loop(tmp_path / "whole", total=48)
        whole.run()
        assert all(v.equal(weights(on)[k]) for k, v in weights(whole).items())


def test_scoring_changes_no_bit_of_a_run(tmp_path):
    scored = toy_loop(tmp_path / "scored", judge=scripted([1] * 9), score_every=4, config={"dropout": 0.5})
    plain = toy_loop(tmp_path / "plain", config={"dropout": 0.5})
    scored.run(), plain.run()
    assert all(v.equal(weights(scored)[k]) for k, v in weights(plain).items())


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_a_score_that_is_none_chooses_nothing(tmp_path, bad):
    loop = toy_loop(tmp_path, judge=lambda method: bad, score_every=8)
    loop.run()
    assert scores(loop) == []
    assert not (tmp_path / "checkpoints" / "best.json").exists()


def test_by_the_clock_scores_take_their_part_of_the_time_at_most(tmp_path):
    record = ScoreRecord(tmp_path, "lpips", 0)
    record.started -= 1000  # seconds of training
    assert record.allowed() == pytest.approx(25, abs=0.1)
    assert record.allowed(last=True) == pytest.approx(50, abs=0.1)
    assert record.is_due(8, 24)
    assert not record.is_due(8, 26)
    assert record.is_due(8, 26, last=True)
    record.spent = 20
    assert not record.is_due(8, 24)
    assert ScoreRecord(tmp_path, "lpips", 8).is_due(8, 1e9)  # asked for


def test_a_resumed_run_scores_again_what_it_repeats_and_nothing_that_was_passed_over(tmp_path):
    first = ScoreRecord(tmp_path, "lpips", 0)
    first.add(8, 0.5)
    first.add(24, 0.25)
    again = ScoreRecord(tmp_path, "lpips", 0)
    assert again.is_due(8, 1e9)
    assert not again.may_be_due(16)
    assert again.best() == (24, 0.25)
    assert again.best(16) == (8, 0.5)
    assert ScoreRecord(tmp_path, "kid", 0).scores == {}


def image(path, seed, tint):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 128, (16, 16, 3)) + np.array(tint)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.mark.parametrize(
    ("method", "layout", "metric"),
    [
        ("pix2pix", "pairs", "lpips"),
        ("cyclegan", "unpaired", "kid"),
        pytest.param("dcgan", "images", "kid", marks=pytest.mark.slow),
    ],
)
def test_the_metric_is_the_one_that_fits_and_the_models_say_it(pairs, tmp_path, monkeypatch, method, layout, metric):
    monkeypatch.setattr("i2i.training.scorer.SETS", 8)
    data = pairs
    if layout == "unpaired":
        data = tmp_path / "two"
        for side, tint in (("trainA", (0, 0, 100)), ("trainB", (100, 0, 0))):
            for i in range(4):
                image(data / side / f"{i}.png", i, tint)
    elif layout == "images":
        data = tmp_path / "flat"
        for i in range(4):
            image(data / f"{i}.png", i, (0, 50, 100))
    words = {
        "pix2pix": SMALL,
        "cyclegan": {**SMALL, "blocks": 1},
        "dcgan": {"width": 4, "d_width": 4, "z": 4, "size": 16},
    }
    settings = {k: v for k, v in words[method].items() if not (method == "cyclegan" and k == "depth")}
    settings |= {"device": "cpu", "workers": 0, "batch": 2, "images": 8, "score_every": 4}
    folder = tmp_path / "run"
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    out, _ = program("train", method, data, "--out", folder, "--json", *sets)
    lines = [line for line in records(folder / "log.jsonl") if line["kind"] == "score"]
    assert [(line["images"], line["metric"]) for line in lines] == [(4, metric), (8, metric)]
    best = json.loads(out)["best"]
    assert best["metric"] == metric
    assert best["score"] == min(line["score"] for line in lines)
    assert best["last score"] == lines[-1]["score"]
    header = read_header(folder / "best.safetensors")
    assert (header["images"], header["metrics"]) == (best["images"], {f"val_{metric}": best["score"]})
    assert load_file(folder / "best.safetensors").keys() == load_file(folder / "model.safetensors").keys()
    if layout == "pairs":
        i2i.translate(pairs / "test", tmp_path / "out", model=folder / "best.safetensors", progress=None)


def test_lpips_of_a_run_is_that_of_its_held_out_pairs(pairs):
    from i2i.models import feature_weights

    run = resolve_run("pix2pix", [str(pairs)], None, {**SMALL, "images": 8})
    method = run.build().eval()
    with torch.no_grad():
        score = Scorer(run)(method)
    fixed = run.held_out.fixed(64)
    fake = method.infer(fixed).detach()
    least = feature_weights.lpips().trunk.least
    times = -(-least // 16)
    enlarge = lambda x: x.repeat_interleave(times, 2).repeat_interleave(times, 3)  # noqa: E731
    assert score == pytest.approx(float(feature_weights.lpips()(enlarge(fake), enlarge(fixed.y)).mean()), rel=1e-4)


def test_a_run_without_scores_is_told_before_it_begins(tmp_path):
    data = [str(make_pairs(tmp_path / "pairs", [("train", 4)]))]
    wide = {**SMALL, "images": 4}
    assert metric_of(resolve_run("pix2pix", data, None, wide)) == ""
    for name in ("patience", "score_every"):
        with pytest.raises(I2IError, match=f"{name} is 3, but this run has no scores: the pairs have no test split"):
            resolve_run("pix2pix", data, None, {**wide, name: 3})


def test_a_damaged_record_of_scores_is_passed_over(pairs, tmp_path):
    folder = tmp_path / "run"
    i2i.train("pix2pix", pairs, folder, **SMALL, images=8, save_every=4, score_every=4)
    best = json.loads((folder / "checkpoints" / "best.json").read_text())
    for text in ("[]", '{"metric": "lpips", "scores": [[1]]}'):
        (folder / "checkpoints" / "scores.json").write_text(text)
        (folder / "model.safetensors").unlink()
        resume(folder, quiet=True)
        assert json.loads((folder / "checkpoints" / "best.json").read_text()) == best
