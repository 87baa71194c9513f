"""What a user relies on in a run: exact resumption, accumulation, a stop that loses nothing, honest failures."""

import os
import signal
import time
from dataclasses import replace

import pytest
import torch

from i2i.core.errors import I2IError
from i2i.training.loop import crossed
from i2i.training.signals import Interrupted
from tests.training.toy import Notes, toy_loop, weights


def assert_equal(a, b, tolerance=0.0):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name].double(), b[name].double(), rtol=0, atol=tolerance), name


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_stop_and_resume_equals_the_uninterrupted_run_bit_by_bit(tmp_path, precision):
    options = {"config": {"dropout": 0.5}, "precision": precision, "ema": 10.0}
    whole = toy_loop(tmp_path / "whole", **options)
    whole.run()

    first = toy_loop(tmp_path / "parts", **options)
    count = 0
    plain_step = first.step

    def stop_in_the_third(batch, now):
        nonlocal count
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        plain_step(batch, now)

    first.step = stop_in_the_third
    with pytest.raises(Interrupted) as stopped:
        first.run()
    assert stopped.value.code == 128 + signal.SIGTERM
    assert "--resume" in str(stopped.value)

    second = toy_loop(tmp_path / "parts", **options)
    second.run()
    assert "resumed" in second.observer.kinds()
    assert min(line["images"] for line in second.observer.lines if line["kind"] == "losses") == 16
    assert_equal(weights(whole), weights(second))


def test_a_stop_before_the_first_step_makes_none(tmp_path, monkeypatch):
    whole = toy_loop(tmp_path / "whole")
    whole.run()
    first = toy_loop(tmp_path / "parts")
    monkeypatch.setattr(first, "_draw_samples", lambda images: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted) as stopped:
        first.run()
    assert stopped.value.code == 130
    assert str(stopped.value).startswith("Stopped by Ctrl-C before the first step.")
    assert first.observer.lines == []
    second = toy_loop(tmp_path / "parts")
    second.run()
    assert_equal(weights(whole), weights(second))


def test_the_speed_is_that_of_steps_without_the_first_samples(tmp_path, monkeypatch):
    loop = toy_loop(tmp_path)
    monkeypatch.setattr(loop, "_draw_samples", lambda images: time.sleep(1) if not images else None)
    seconds = []
    monkeypatch.setattr(loop.observer, "losses", lambda images, terms, rates, speed: seconds.append(images / speed))
    loop.run()
    assert seconds[0] < 1


def test_a_finished_run_resumes_to_itself(tmp_path):
    loop = toy_loop(tmp_path)
    loop.run()
    again = toy_loop(tmp_path)
    assert again.run() == 32
    assert_equal(weights(loop), weights(again))


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_changes_no_result(tmp_path, accumulate):
    one = toy_loop(tmp_path / "one", precision="fp64")
    one.run()
    parts = toy_loop(tmp_path / "parts", precision="fp64", accumulate=accumulate)
    parts.run()
    assert_equal(weights(one), weights(parts), 1e-10)


def test_a_batch_that_cannot_be_split_is_refused(tmp_path):
    with pytest.raises(I2IError, match="multiple of 3"):
        toy_loop(tmp_path, accumulate=3)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_itself(tmp_path):
    loop = toy_loop(tmp_path, config={"poison_at": 20})
    with pytest.raises(I2IError, match=r"'adv' of optimizer 'G' became nan at image 20"):
        loop.run()
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir() if p.is_dir())
    assert kept[-1] == "000000000016"
    healthy = toy_loop(tmp_path)
    assert healthy.run() == 32
    assert all(torch.isfinite(v).all() for v in weights(healthy).values())


def test_in_float16_a_step_that_overflows_is_left_out_and_ten_in_a_row_stop_the_run(tmp_path):
    loop = toy_loop(tmp_path / "two steps", config={"poison_at": 8, "poison_until": 16}, precision="fp16")
    assert loop.run() == 32
    assert all(torch.isfinite(v).all() for v in weights(loop).values())
    logged = [line for line in loop.observer.lines if line["kind"] == "losses"]
    assert [line["images"] for line in logged if "G/adv" not in line["terms"]] == [12, 16]
    loop = toy_loop(tmp_path / "all", config={"poison_at": 8}, precision="fp16", total=64)
    with pytest.raises(I2IError, match="became nan at image 44"):
        loop.run()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": {"lr": 0.5}}, "lr was 0.01 and is 0.5"),
        ({"batch": 8}, "batch was 4 and is 8"),
        ({"total": 64}, "length changed"),
    ],
)
def test_resume_refuses_a_changed_run_and_names_the_difference(tmp_path, change, words):
    toy_loop(tmp_path).run()
    with pytest.raises(I2IError, match=words):
        toy_loop(tmp_path, **change).run()


def test_resume_refuses_another_network(tmp_path):
    toy_loop(tmp_path).run()
    other = toy_loop(tmp_path)
    other.method.G.append(torch.nn.Conv2d(3, 3, 1))
    with pytest.raises(I2IError, match="does not fit the networks"):
        other.run()


def test_clipping_limits_the_gradient(tmp_path):
    """With SGD and a tiny bound, no step moves the weights by more than rate x bound."""
    loop = toy_loop(tmp_path, total=4, clip=1e-3)
    for name in loop.train_step.optimizers:
        loop.train_step.optimizers[name] = torch.optim.SGD(loop.train_step.owned[name], lr=0.01)
    before = weights(loop)
    loop.run()
    after = weights(loop)
    for part in ("G", "D"):
        moved = [(after[k] - before[k]).double().pow(2).sum() for k in after if k.startswith(f"method/{part}.")]
        assert 0 < torch.stack(moved).sum().sqrt() <= 0.01 * 1e-3 * 1.01


def test_rates_follow_the_method(tmp_path):
    loop = toy_loop(tmp_path, total=16)
    loop.run()
    rates = [line["rates"]["G"] for line in loop.observer.lines if line["kind"] == "losses"]
    assert rates == pytest.approx([0.01, 0.01 * 0.875, 0.01 * 0.75, 0.01 * 0.625])


def test_the_last_three_and_the_best_checkpoint_are_kept(tmp_path):
    scores = iter([5.0, 1.0, 4.0, 3.0, 2.0, 6.0, 7.0, 8.0])
    loop = toy_loop(tmp_path, total=64, judge=lambda method: next(scores))
    loop.run()
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.is_dir())
    assert kept == [16, 48, 56, 64]


def test_no_checkpoint_may_hide_a_full_disk(tmp_path, monkeypatch):
    from i2i.training import checkpoint

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    loop = toy_loop(tmp_path, total=16)
    # Training goes on, but does not end in silence.
    with pytest.raises(I2IError, match=r"At 16 images the checkpoint could not be written: .*No space left"):
        loop.run()
    assert loop.observer.kinds().count("save failed") == 2
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_second_signal_ends_at_once_and_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    toy_loop(tmp_path, total=4).run()
    assert signal.getsignal(signal.SIGINT) is before


def test_crossed():
    assert crossed(0, 8, 8)
    assert not crossed(8, 12, 8)
    assert crossed(12, 20, 8)


def test_samples_do_not_disturb_training(tmp_path):
    plain, watched = (
        toy_loop(tmp_path / "a", config={"dropout": 0.5}),
        toy_loop(tmp_path / "b", config={"dropout": 0.5}, sample_every=4),
    )
    plain.run()
    watched.run()
    assert isinstance(watched.observer, Notes)
    assert len(watched.observer.grids) > len(plain.observer.grids)
    assert_equal(weights(plain), weights(watched))


def test_training_sees_the_batch_as_the_data_set_varies_it_on_the_device(tmp_path):
    loop = toy_loop(tmp_path, total=8)
    seen, step = [], loop.method.step

    def vary(batch, seed):
        return replace(batch, x=batch.x * 0 + seed + 0.25)

    def watched(batch, now):
        seen.append(batch.x.unique().tolist())
        return step(batch, now)

    loop.data.augment_on_device, loop.method.step = vary, watched
    loop.run()
    assert seen == [[0.25], [0.25]]


def test_the_epochs_of_a_few_pictures_make_no_thousand_grids(tmp_path, monkeypatch):
    monkeypatch.setattr("i2i.training.loop.MAX_SAVES", 3)
    loop = toy_loop(tmp_path, total=96, save_every=0, sample_every=0)
    assert loop.data.count < 32
    loop.run()
    assert [line["images"] for line in loop.observer.lines if line["kind"] == "saved"] == [32, 64, 96]
    assert len(loop.observer.grids) == 4  # with the one before training


def test_slow_steps_are_logged_before_log_every_is_reached(tmp_path, monkeypatch):
    monkeypatch.setattr("i2i.training.loop.LOG_INTERVAL", 0.0)
    loop = toy_loop(tmp_path, total=16, log_every=1000)
    loop.run()
    assert [line["images"] for line in loop.observer.lines if line["kind"] == "losses"] == [4, 8, 12, 16]
