"""GAN tricks: instance noise, R1, smooth and flipped labels, augmentation of what D sees."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.data.batch import Batch
from i2i.losses import r1, vanilla
from i2i.media import images
from i2i.methods._method import Method, Now
from i2i.training import tricks
from i2i.training.train import resolve_run
from i2i.training.tricks import TrickSettings
from tests.methods.tiny import batch_of, loop, made, part_of_run, state

FAMILY = ("gan", "dcgan", "lsgan", "wgan", "wgan_gp", "sngan", "cgan", "acgan", "infogan")


def terms_of(method: Method, batch: Batch, now: Now) -> dict[str, dict[str, Tensor]]:
    return dict(method.step(batch, now))


def seen_by(method: Method, batch: Batch, now: Now) -> list[Tensor]:
    """What the discriminators saw in a step, after all hooks."""
    seen: list[Tensor] = []
    hooks = [
        method.networks()[name].register_forward_hook(lambda *a: seen.append(a[1][0].detach()))
        for name in method.discriminators
    ]
    list(method.step(batch, now))
    for hook in hooks:
        hook.remove()
    return seen


def test_nothing_changes_without_it():
    one, other = made("dcgan"), made("dcgan")
    tricks.apply(other, TrickSettings())
    batch, now = batch_of("dcgan"), Now(total=100, batch=4)
    for a, b in zip(one.step(batch, now), other.step(batch, now)):
        assert a == b
    assert "step" not in vars(other)


@pytest.mark.parametrize("name", FAMILY)
def test_instance_noise_reaches_real_and_fake_and_falls_in_a_line(name):
    plain, method = made(name).eval(), made(name).eval()
    tricks.apply(method, TrickSettings(instance_noise=0.5, noise_until=0.5))
    batch = batch_of(name)
    for seen, expected in ((0, 0.5), (25, 0.25), (50, 0.0), (90, 0.0)):
        now = Now(images=seen, total=100, batch=25)
        clean, noisy = seen_by(plain, batch, now), seen_by(method, batch, now)
        assert len(clean) == len(noisy) > 1
        added = [b - a for a, b in zip(clean, noisy)]
        for x in added:
            assert float(x.std()) == pytest.approx(expected, rel=0.1)
        if expected:  # each pass has its own
            assert not torch.allclose(added[0], added[1], atol=1e-3)


def test_instance_noise_is_a_function_of_the_pictures_number():
    def seen(rows: slice) -> Tensor:
        method, batch = made("sngan").eval(), batch_of("sngan")
        tricks.apply(method, TrickSettings(instance_noise=0.5))
        part = Batch(batch.x[rows], ids=batch.ids[rows])
        return seen_by(method, part, Now(total=100, batch=4))[0]

    torch.testing.assert_close(seen(slice(0, 4))[2:], seen(slice(2, 4)))


def test_outside_of_a_step_critics_see_pictures_as_they_are():
    method = made("dcgan").eval()
    x = batch_of("dcgan").x
    before = method.D(x)
    tricks.apply(method, TrickSettings(instance_noise=0.5))
    list(method.step(batch_of("dcgan"), Now()))
    method.eval()
    method.D.load_state_dict(made("dcgan").D.state_dict())
    assert torch.equal(method.D(x), before)


@pytest.mark.parametrize("name", FAMILY)
def test_lazy_r1_joins_the_turn_of_D_with_its_whole_weight(name):
    plain, method = made(name).eval(), made(name).eval()
    tricks.apply(method, TrickSettings(r1=2.0, r1_every=3))
    batch = batch_of(name)
    found = [terms_of(method, batch, Now(images=4 * k, batch=4)) for k in range(4)]
    assert ["r1" in t["D"] for t in found] == [True, False, False, True]
    assert all("r1" not in t.get("G", {}) for t in found)
    expected = 2.0 * 3 * r1(lambda x: plain.score(x, batch.c), batch.x)
    torch.testing.assert_close(found[0]["D"]["r1"], expected, rtol=1e-4, atol=1e-9)
    assert method.double_backward
    total = torch.stack(list(next(iter(method.step(batch, Now())))[1].values())).sum()
    critic = next(iter(method.networks()[method.discriminators[0]].parameters()))
    assert float(torch.autograd.grad(total, [critic])[0].abs().max()) > 0


@pytest.mark.parametrize(
    ("name", "sides"),
    [("cyclegan", {"_y": "D_y", "_x": "D_x"}), ("cut", {"": "D"}), ("unsb", {"": "D"}), ("colorize", {"": "D"})],
)
def test_the_discriminators_of_translators_take_the_tricks(name, sides):
    now, batch, plain, method = Now(images=90, total=100, batch=4), batch_of(name), made(name).eval(), made(name).eval()
    tricks.apply(method, TrickSettings(r1=2.0, r1_every=1, ada=0.6, ada_length=8))
    terms = next(t for optimizer, t in method.step(batch, now) if optimizer == "D")
    for suffix, network in sides.items():
        score, real = plain.judging(batch, now)[suffix]
        assert real is (batch.x if suffix == "_x" else batch.y)
        assert score(real).dim() > 1  # a map of patches
        expected = 2.0 * r1(lambda x, score=score: score(x).flatten(1).mean(1), real)
        torch.testing.assert_close(terms[f"r1{suffix}"], expected, rtol=1e-4, atol=1e-9)
        gradients = torch.autograd.grad(
            terms[f"r1{suffix}"], [*method.networks()[network].parameters()], allow_unused=True
        )
        assert any(g is not None and float(g.abs().max()) > 0 for g in gradients)

    changed = made(name).eval()
    tricks.apply(changed, TrickSettings(diffaugment="cutout"))
    for clean, cut in zip(seen_by(plain, batch, now), seen_by(changed, batch, now), strict=True):
        assert 0.05 < float((clean != cut).float().mean()) < 0.6


def test_adaptive_augmentation_knows_the_middle_of_the_targets():
    """Least squares has targets 0 and 1: scores of 0.4 say "fake", and no more augmentation is needed."""
    method = made("cyclegan")
    for parameter in [*method.D_y.parameters(), *method.D_x.parameters()]:
        torch.nn.init.zeros_(parameter)
    tricks.apply(method, TrickSettings(ada=0.6, ada_length=8))
    for bias, expected in ((0.6, 1.0), (0.4, 0.0)):
        for network in (method.D_y, method.D_x):
            torch.nn.init.constant_([p for p in network.parameters() if p.dim() == 1][-1], bias)
        list(method.step(batch_of("cyclegan"), Now(batch=4)))
        assert float(method.get_buffer("ada_p")) == expected


@pytest.mark.parametrize("name", ["wgan", "wgan_gp", "progressive", "transgan", "stargan"])
def test_adaptive_augmentation_is_refused_where_no_score_means_real(name):
    method = made(name)
    with pytest.raises(I2IError, match="ada: its loss compares scores"):
        tricks.apply(method, TrickSettings(ada=0.6))
    tricks.apply(method, TrickSettings(diffaugment="color"))


def test_adaptive_augmentation_of_cyclegan_depends_on_its_loss():
    for loss in ("lsgan", "vanilla", "hinge", "wasserstein"):
        method = made("cyclegan", loss=loss)
        if loss == "wasserstein":
            with pytest.raises(I2IError, match="ada: its loss compares scores"):
                tricks.apply(method, TrickSettings(ada=0.6))
        else:
            tricks.apply(method, TrickSettings(ada=0.6))


def test_smooth_labels_are_the_softer_target():
    s = torch.randn(9)
    soft = tricks.with_smooth_targets(vanilla, 0.1)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(s, torch.full((9,), 0.9))
    torch.testing.assert_close(soft.real(s), expected)
    assert torch.equal(soft.fake(s), vanilla.fake(s))
    assert torch.equal(soft.adv(s), vanilla.adv(s))
    method, plain = made("dcgan"), made("dcgan")
    tricks.apply(method, TrickSettings(smooth_labels=0.1))
    batch = batch_of("dcgan")
    a, b = (terms_of(m, batch, Now())["D"] for m in (method, plain))
    assert not torch.equal(a["real"], b["real"])
    assert torch.equal(a["fake"], b["fake"])
    for name in ("cgan", "acgan", "infogan", "lsgan", "gan"):
        tricks.apply(made(name), TrickSettings(smooth_labels=0.1, flip_labels=0.1))


def test_labels_are_flipped_for_their_share_of_pictures_in_the_turn_of_D_alone():
    method = made("gan")
    tricks.apply(method, TrickSettings(flip_labels=0.2))
    s = torch.full((10000,), 5.0)
    steps = tricks.TrickedSteps(method, TrickSettings())
    steps.batch, steps.now = Batch(s, ids=torch.arange(10000)), Now()
    loss = tricks.with_flipped_labels(vanilla, 0.2, steps)
    right, wrong = math.log1p(math.exp(-5)), math.log1p(math.exp(5))
    assert float(loss.real(s)) == pytest.approx(0.8 * right + 0.2 * wrong, rel=0.05)
    assert float(loss.fake(-s)) == pytest.approx(0.8 * right + 0.2 * wrong, rel=0.05)
    assert float(loss.adv(s)) == pytest.approx(right, rel=1e-4)
    assert float(loss.real(s)) != float(loss.real(s))  # another draw each time
    found = terms_of(method, batch_of("gan"), Now())
    assert all(torch.isfinite(v) for t in found.values() for v in t.values())


def test_the_best_D_on_flipped_labels_is_never_sure():
    """With flips of probability f the best D is (1 - f) where there are only data: accuracy is capped."""
    for f in (0.1, 0.3):
        s = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([s], max_iter=50)

        def closure(f: float = f, s: Tensor = s, optimizer: torch.optim.Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad()
            value = (1 - f) * vanilla.real(s) + f * vanilla.fake(s)
            value.backward()
            return value

        optimizer.step(closure)
        assert float(s.detach().sigmoid()) == pytest.approx(1 - f, abs=1e-4)


def test_micro_batches_steer_the_augmentation_once(tmp_path):
    found = []
    for parts in (1, 2):
        run = loop("cyclegan", tmp_path / str(parts), accumulate=parts)
        tricks.apply(run.method, TrickSettings(ada=0.01, ada_length=1000))
        for network in (run.method.D_x, run.method.D_y):
            torch.nn.init.constant_([p for p in network.parameters() if p.dim() == 1][-1], 9.0)  # surely real
        part_of_run(run, 1)
        found.append(float(run.method.get_buffer("ada_p")))
    assert found[0] == found[1] == pytest.approx(4 * 4 / 1000)


def test_a_method_may_have_a_loss_of_another_kind():
    method = made("dcgan")
    method.loss = torch.nn.functional.mse_loss
    scores, real = method.judging(batch_of("dcgan"), Now())[""]
    assert scores(real).shape == (4,)


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("pix2pix", {"r1": 1.0}, "no discriminators"),
        ("wgan", {"flip_labels": 0.1}, "no labels"),
    ],
)
def test_what_does_not_fit_is_refused(name, values, text):
    with pytest.raises(I2IError, match=text):
        tricks.apply(made(name), TrickSettings(**values))


def test_a_method_that_does_not_say_what_D_sees_is_refused(monkeypatch):
    method = made("cut")
    monkeypatch.setattr(type(method), "judging", Method.judging)
    with pytest.raises(I2IError, match="CUT cannot use r1: it does not say what its discriminator sees"):
        tricks.apply(method, TrickSettings(r1=1.0))
    tricks.apply(method, TrickSettings(diffaugment="color"))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_with_all_of_it_resumes_exactly(tmp_path, accumulate):
    def run(folder: Path, seed: int) -> dict[str, Tensor]:
        found = loop("dcgan", folder, seed=seed, accumulate=accumulate)
        tricks.apply(
            found.method, TrickSettings(instance_noise=0.2, smooth_labels=0.1, flip_labels=0.1, r1=1.0, r1_every=2)
        )
        found.run()
        assert ("resumed" in found.observer.kinds()) == (seed == 1)
        return state(found)

    whole = run(tmp_path / "one", 0)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for later in sorted((tmp_path / "two/checkpoints").glob("0*"))[1:]:
        shutil.rmtree(later)
    again = run(tmp_path / "two", 1)
    assert all(torch.equal(whole[k], again[k]) for k in whole)


def test_the_settings_reach_a_run_and_its_record(tmp_path):
    for i in range(8):
        (tmp_path / "data").mkdir(exist_ok=True)
        images.save(tmp_path / f"data/{i}.png", np.random.default_rng(i).integers(0, 255, (16, 16), np.uint8))
    asked = {"size": 16, "instance_noise": "0.3", "r1": 1, "images": 8}
    run = resolve_run("dcgan", [str(tmp_path / "data")], tmp_path / "run", asked)
    assert (run.tricks.instance_noise, run.tricks.r1) == (0.3, 1.0)
    assert run.settings["instance_noise"] == 0.3
    method = run.build()
    assert method.double_backward
    assert "r1" in terms_of(method, Batch(torch.zeros(2, 1, 16, 16), ids=torch.arange(2)), Now())["D"]


@pytest.mark.parametrize("settings", [{"instance_noise": 0.1}, {"diffaugment": "color,translation,cutout"}])
def test_compiled_networks_leave_the_tricks_outside(settings, monkeypatch):
    """Traced with the network, the tricks' draws broke it into ten graphs and more; the losses must be the same."""
    from torch._dynamo.utils import counters

    from i2i.training import tricks
    from i2i.training.settings import TrainSettings, accelerator_for
    from i2i.training.step import TrainStep
    from tests.methods import tiny

    compile_network = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_network(self, backend="eager"))
    losses = []
    for is_compiled in (False, True):
        counters.clear()
        method = tiny.made("dcgan").train()
        tricks.apply(method, tricks.TrickSettings(**settings))
        plan = TrainSettings(batch=4, device="cpu", precision="fp32", compile=is_compiled)
        step = TrainStep(method, plan, accelerator_for(plan))
        step.compile_networks()
        for i in range(3):
            batch = tiny.batch_of("dcgan")
            batch.ids = batch.ids + 4 * i
            found = step(batch, Now(images=4 * i, total=400, batch=4))
        losses.append([x.values.tolist() for x in found])
    assert losses[0] == losses[1]
    assert sum(counters["graph_break"].values()) == 0
    assert 0 < counters["stats"]["unique_graphs"] <= 4
