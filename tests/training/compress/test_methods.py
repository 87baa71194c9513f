"""Compression of every method, in its smallest form: terms, masks, frozen networks, and what a student costs."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.data.batch import Batch
from i2i.methods import load_method, method_names
from i2i.methods._content import Content
from i2i.methods._method import Method, Now
from i2i.nets import ResNet, UNet, init_weights
from i2i.nets.narrow import narrow, of_width
from i2i.training.compress import masks, student
from i2i.training.compress.compress import Request, check_method
from i2i.training.compress.distilled import Distilled, Weights
from i2i.training.compress.original import Original
from i2i.training.compress.plan import ROWS, Plan
from i2i.training.compress.pruned import Pruned, is_generators, judging_networks
from i2i.training.compress.student import Budget, student_of, work
from i2i.training.compress.terms import own_terms, sum_of
from i2i.training.compress.training import TeacherScorer
from i2i.training.run import Run
from tests.methods.tiny import Memory, batch_of, made, picture, settings

# Methods whose generator a discriminator judges. Bridge is trained without one, and the others grow.
JUDGED = [n for n in method_names() if not load_method(n).grows and n != "bridge"]
PAIRED = [n for n in JUDGED if load_method(n).needs == "paired" and n != "bicyclegan"]
NARROW_AS_THEY_ARE = {"gan", "cgan", "infogan", "colorize"}  # generators without a width, or that need most of it
READ_BY_LAYER = {"cut", "unsb"}  # their losses read the layers of a generator of their own width
LAST = Now(images=4 * 59, total=4 * 100, batch=4)  # the last of 2, 3, 4, 5 and 6 steps: G's turn everywhere


def values(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def run(method: Pruned | Distilled, name: str, now: Now = LAST) -> set[str]:
    """Makes one step as the loop does; the optimizers that had their turn."""
    optimizers, turns = method.train().optimizers(), set()
    for optimizer, terms in method.step(batch_of(name), now):
        assert all(value.isfinite() for value in terms.values()), terms
        sum_of(list(terms.values())).backward(inputs=method.owned(optimizers[optimizer]))
        optimizers[optimizer].step()
        turns.add(optimizer)
    return turns


@pytest.mark.parametrize("name", JUDGED)
def test_every_method_is_pruned_under_its_own_terms_and_the_pruned_weights_stay_zero(name: str) -> None:
    torch.manual_seed(0)
    inner = made(name)
    G = inner.averaged[0]
    plan = Plan(masks="one-shot")
    same = Pruned(inner, G, copy.deepcopy(inner.get_submodule(G)), replace(plan, masks="none")).train()
    terms = same.loss_terms(batch_of(name), LAST)
    assert terms
    assert float(sum_of(list(terms.values()))) < 1e-3, "an equal generator has no gap"
    method = Pruned(inner, G, copy.deepcopy(inner.get_submodule(G)), plan)
    before, original = values(method.compressed), values(method.original)
    counts = [int((w == 0).sum()) for w in masks.prunable(method.compressed).values()]
    assert counts == [round(0.5 * w.numel()) for w in masks.prunable(method.compressed).values()]
    assert run(method, name) == {"G"}
    moved = any(not torch.equal(a, b) for a, b in zip(before, values(method.compressed), strict=True))
    assert moved or name in ("gan", "biggan"), "the first D of a tiny GAN may say the same of every image"
    assert all(torch.equal(a, b) for a, b in zip(original, values(method.original), strict=True))
    after = [int((w == 0).sum()) for w in masks.prunable(method.compressed).values()]
    assert all(b >= a for a, b in zip(counts, after, strict=True)), "momentum has revived pruned weights"


@pytest.mark.parametrize("name", [n for n in JUDGED if n not in NARROW_AS_THEY_ARE | READ_BY_LAYER])
def test_a_student_learns_from_its_teacher_and_the_teacher_stays(name: str) -> None:
    inner = made(name)
    G = inner.averaged[0]
    teacher = inner.get_submodule(G)
    example = inner.example(settings(load_method(name))[1])
    student = init_weights(student_of(teacher, example, Budget(times=2), "narrow"))
    method = Distilled(inner, G, student, Weights.of(inner.needs))
    before, taught = values(method.student), values(teacher)
    assert run(method, name) >= {"G", "D"}
    assert any(not torch.equal(a, b) for a, b in zip(before, values(method.student), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(taught, values(teacher), strict=True))
    assert (
        method.infer(batch_of(name)).shape[1:] == method.preview(batch_of(name))["student" if G == "G" else G].shape[1:]
    )


@pytest.mark.parametrize(("identity", "channels"), [(0.0, 1), (0.5, 3)])
@pytest.mark.parametrize(("name", "source"), [("G", "x"), ("F", "y")])
def test_a_student_of_either_way_of_a_pair_is_compared_on_what_this_way_translates(
    name: str, source: str, identity: float, channels: int
) -> None:
    inner = made("cyclegan", channels_in=channels, channels_out=3, identity=identity)
    teacher = inner.get_submodule(name)
    seen: list[Tensor] = []
    method = Distilled(inner, name, copy.deepcopy(teacher), Weights.of(inner.needs)).train()
    method.student.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    batch = Batch(
        picture(torch.arange(2), channels, 16, "x"), picture(torch.arange(2), 3, 16, "y"), ids=torch.arange(2)
    )
    terms = dict(method.step(batch, LAST))
    assert float(terms["G"]["recon"].detach()) < 1e-5, "an equal student makes the same of the same images"
    assert len(seen) == 1, "the way back and the identity are not needed"
    assert torch.equal(seen[0][:2], getattr(batch, source))
    assert set(terms["D"]) == ({"real_y", "fake_y"} if name == "G" else {"real_x", "fake_x"})
    assert method.preview(batch)["student"].shape == method.preview(batch)["teacher"].shape

    # With the teacher's images as the real ones, D sees of an equal student twice the same.
    method = Distilled(inner, name, copy.deepcopy(teacher), Weights.of(inner.needs), real="teacher").train()
    terms = dict(method.step(batch, LAST))
    judge = inner.get_submodule("D_y" if name == "G" else "D_x")
    assert float(terms["G"]["recon"].detach()) < 1e-5
    with torch.no_grad():
        scores = judge(teacher.eval()(getattr(batch, source)))
    found = {k[:4]: float(v.detach()) for k, v in terms["D"].items()}
    assert found["real"] == pytest.approx(float(0.5 * ((scores - 1) ** 2).mean()), rel=1e-3)
    assert found["fake"] == pytest.approx(float(0.5 * (scores**2).mean()), rel=1e-3)


@pytest.mark.parametrize("adversarial", [True, False])
def test_a_student_for_pairs_learns_by_all_terms_of_its_method(adversarial: bool) -> None:
    inner = made("pix2pix", features=10.0, l1=40.0)
    student = of_width(inner.get_submodule("G"), 2)
    method = Distilled(inner, "G", student, Weights.of("paired"), adversarial=adversarial).train()
    batch = batch_of("pix2pix")
    turns = dict(method.step(batch, LAST))
    # L1 alone is the reconstruction of the paper, with its weight.
    name, weight = ("l1", 40.0) if adversarial else ("recon", method.weights.recon)
    assert turns["G"].keys() == {name, "distill"} | ({"adv", "features"} if adversarial else set())
    truth = batch.y
    assert truth is not None
    with torch.no_grad():
        expected = weight * float((method.student(batch.x) - truth).abs().mean())
    assert float(turns["G"][name]) == pytest.approx(expected, rel=1e-4)
    assert ("D" in turns) == adversarial


@pytest.mark.parametrize("features", [0.0, 10.0])
def test_what_the_teacher_makes_may_be_the_truth_of_pairs(features: float) -> None:
    inner = made("pix2pix", features=features)
    twin = copy.deepcopy(inner.get_submodule("G"))
    method = Distilled(inner, "G", twin, Weights.of("paired"), real="teacher").train()
    turns = dict(method.step(batch_of("pix2pix"), LAST))
    assert float(turns["G"]["l1" if features else "recon"].detach()) < 1e-4, "an equal student makes the truth"
    data = dict(
        Distilled(inner, "G", copy.deepcopy(twin), Weights.of("paired")).train().step(batch_of("pix2pix"), LAST)
    )
    assert float(data["G"]["l1" if features else "recon"].detach()) > 1
    assert not torch.allclose(turns["D"]["real"], data["D"]["real"])


@pytest.mark.parametrize("name", PAIRED)
def test_a_teacher_that_makes_the_truth_stays_as_it_is(name: str) -> None:
    inner = made(name)
    teacher = inner.get_submodule(inner.averaged[0])
    method = Distilled(inner, inner.averaged[0], copy.deepcopy(teacher), Weights.of("paired"), real="teacher").train()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    expected = method.eval().taught(batch_of(name))
    made_in_training = method.train().taught(batch_of(name))
    assert torch.equal(made_in_training, expected), "the truth is what the model makes, not what it makes in training"
    run(method, name)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("bridge", {}, "which answers in steps. A student learns from one step."),
        ("bicyclegan", {"real": "teacher"}, "has several answers for an image, and --real teacher knows one."),
        ("dcgan", {"real": "teacher"}, "--real teacher is for methods of pairs and for CycleGAN."),
        ("pix2pix", {"perceptual": 1.0}, "--perceptual is for models without pairs."),
        ("cyclegan", {"perceptual": 1.0}, "which needs 31 pixels a side. These images have 16."),
    ],
)
def test_what_does_not_suit_a_method_is_refused_in_a_sentence(name: str, asked: dict[str, Any], sentence: str) -> None:
    inner = made(name)
    original = SimpleNamespace(name="runs/mine", run=SimpleNamespace(method=type(inner)), network=inner.averaged[0])
    with pytest.raises(I2IError, match=sentence):
        check_method(inner, cast(Original, original), Request(**asked))


def test_without_pairs_a_student_may_be_compared_with_its_teacher_in_a_trained_network() -> None:
    inner = made("cyclegan", size=32)
    weights = replace(Weights.of(inner.needs), perceptual=3.0)
    batch = batch_of("cyclegan", size=32)
    turns = dict(Distilled(inner, "G", copy.deepcopy(inner.get_submodule("G")), weights).train().step(batch, LAST))
    assert float(turns["G"]["perceptual"].detach()) < 1e-3, "an equal student makes the same"
    method = Distilled(inner, "G", of_width(inner.get_submodule("G"), 2), weights).train()
    term = dict(method.step(batch, LAST))["G"]["perceptual"]
    with torch.no_grad():
        expected = 3 * float(Content("alex", 32)(method.student(batch.x), method.teacher(batch.x)))
    assert float(term.detach()) == pytest.approx(expected, rel=1e-3)
    assert expected > 0.1
    assert term.requires_grad


def test_a_student_without_pairs_is_scored_by_its_distance_to_its_teacher() -> None:
    inner = made("cyclegan", size=32)
    data = Memory("unpaired", settings(type(inner), size=32)[1])
    run = SimpleNamespace(method=type(inner), held_out=None, data=data, training=SimpleNamespace(device="cpu"))
    equal, other = copy.deepcopy(inner.get_submodule("G")), of_width(inner.get_submodule("G"), 2)
    scores = []
    for network in (equal, other):
        scorer = TeacherScorer(cast(Run, run))
        scores.append(scorer(Distilled(inner, "G", network, Weights.of("unpaired")).eval()))
        inner = copy.deepcopy(inner)
    assert scorer.metric == "lpips"
    assert scores[0] is not None
    assert scores[1] is not None
    assert abs(scores[0]) < 1e-5 < 0.01 < scores[1]
    ticks = iter(range(100))
    scorer = TeacherScorer(cast(Run, run))
    scorer.clock = lambda: float(next(ticks))  # each call of a clock is a second later: one pass takes 1 s
    assert scorer.seconds(Distilled(inner, "G", other, Weights.of("unpaired")).eval(), 100) == scorer.count / 8 / 2


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_table_makes_a_step(row: str) -> None:
    plan, inner = ROWS[row], made("pix2pix")
    network = copy.deepcopy(inner.get_submodule("G"))
    network = narrow(network, 3) if plan.form == "narrow" else network
    D = values(inner.get_submodule("D"))
    method = Pruned(inner, "G", network, plan)
    turns = run(method, "pix2pix")
    assert "G" in turns
    moved = any(not torch.equal(a, b) for a, b in zip(D, values(inner.get_submodule("D")), strict=True))
    assert moved == (not plan.freeze_d and plan.init_d != "none"), "the discriminator"


def test_gradual_pruning_ends_at_the_share_at_half_way() -> None:
    inner = made("pix2pix")
    method = Pruned(inner, "G", copy.deepcopy(inner.get_submodule("G")), Plan(sparsity=0.75))
    shares = []
    for step in (0, 25, 50, 90):
        run(method, "pix2pix", Now(images=4 * step, total=400, batch=4))
        shares.append(masks.zeros(method.compressed))
    assert shares[0] == pytest.approx(0.05, abs=0.01)
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] == pytest.approx(0.75, abs=0.01)
    assert shares[3] == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("objective", ["gaps", "match", "plain", "distilled"])
def test_a_method_that_clamps_weights_in_its_step_does_so_after_the_update(objective: str) -> None:
    inner = made("wgan", lr=1.0)
    limit, D = inner.config.clamp, inner.get_submodule("D")
    with torch.no_grad():
        next(D.parameters()).fill_(0.5)
    own_terms(inner, "G", inner.get_submodule("G"), batch_of("wgan"), LAST)
    assert float(next(D.parameters()).detach().max()) == 0.5, "asking for terms changes no weight"
    G = copy.deepcopy(inner.get_submodule("G"))
    if objective == "distilled":
        run(Distilled(inner, "G", of_width(G, 2), Weights.of(inner.needs)), "wgan")
    else:
        run(Pruned(inner, "G", G, Plan(objective=objective)), "wgan")
    assert max(float(p.detach().abs().max()) for p in D.parameters()) <= limit


def test_a_method_without_a_discriminator_has_no_terms_that_pruning_could_compare() -> None:
    inner = made("bridge")
    (terms,) = own_terms(inner, "G", inner.get_submodule("G"), batch_of("bridge"), LAST).values()
    assert not is_generators(terms)
    assert not judging_networks(inner, "G")


def test_terms_are_the_same_whenever_they_are_asked_for() -> None:
    method = made("cyclegan").train()
    G, batch = method.get_submodule("G"), batch_of("cyclegan")
    one, two = (own_terms(method, "G", G, batch, LAST) for _ in range(2))
    assert all(torch.equal(one[o][k], two[o][k]) for o in one for k in one[o])


@pytest.mark.parametrize(
    ("net", "form"), [(ResNet(3, 3, 2, 16), "mobile"), (UNet(3, 3, 3, 16, "instance", detail=8), "narrow")]
)
def test_a_student_of_a_quarter_of_the_work(net: nn.Module, form: str) -> None:
    x = (torch.zeros(1, 3, 32, 32),)
    student = student_of(net, x, Budget(times=4), form)
    assert work(net, x) / 8 < work(student, x) <= work(net, x) / 4
    assert student(x[0]).shape == net(x[0]).shape


@pytest.mark.parametrize("knows", [True, False], ids=["waiting", "processor time"])
def test_on_a_busy_machine_a_time_is_processor_time_and_says_so(monkeypatch: pytest.MonkeyPatch, knows: bool) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(student, "SECONDS", 0.05)
    monkeypatch.setattr(student, "_waited", lambda: float(next(clock)) if knows else None)  # a second in each pass
    net = ResNet(3, 3, 1, 4)
    if not knows:  # the wall clock goes on while another program computes
        net.register_forward_hook(lambda *_: time.sleep(0.01))
    seconds, disturbed = student.timed(net, (torch.zeros(1, 3, 16, 16),), 3)
    assert disturbed
    assert 0 < seconds < (0.5 if knows else 0.01)
    monkeypatch.setattr(student, "_waited", lambda: 1.0)
    assert not student.timed(ResNet(3, 3, 1, 4), (torch.zeros(1, 3, 16, 16),), 3)[1]


def test_a_network_narrowed_to_its_own_width_makes_the_same_images() -> None:
    for net in (ResNet(3, 3, 2, 4), UNet(3, 3, 3, 4, "batch", detail=4), made("dcgan").get_submodule("G")):
        x = torch.randn(2, 8) if not isinstance(net, ResNet | UNet) else torch.rand(2, 3, 16, 16)
        assert torch.allclose(net.eval()(x), narrow(net, net.arguments["width"]).eval()(x), atol=1e-5)


def test_a_student_of_a_u_net_saves_least_at_the_full_size() -> None:
    net, x = UNet(3, 3, 3, 16, "instance", detail=8), (torch.zeros(1, 3, 32, 32),)
    assert student_of(net, x, Budget(width=8)).arguments["detail"] == 5  # 8 / 2**0.75
    assert student_of(net, x, Budget(width=8, detail=3)).arguments["detail"] == 3
    assert student_of(UNet(3, 3, 3, 16, "instance"), x, Budget(width=8)).arguments["detail"] == 0
    with pytest.raises(I2IError, match="--detail is 9, and the teacher has detail 8"):
        student_of(net, x, Budget(width=8, detail=9))
    with pytest.raises(I2IError, match="--detail is 2, and the teacher has no detail"):
        student_of(ResNet(3, 3, 1, 8), (torch.zeros(1, 3, 16, 16),), Budget(detail=2))


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("network", ["paper", "small"])
def test_a_student_of_few_channels_keeps_one_in_each_layer(network: str, width: int) -> None:
    """The later layers of AC-GAN have a half and a quarter of the width."""
    teacher = made("acgan", network=network).get_submodule("G")
    inputs = (torch.zeros(1, 8), torch.zeros(1, dtype=torch.int64))
    assert student_of(teacher, inputs, Budget(width=width)).eval()(*inputs).shape == teacher.eval()(*inputs).shape


def test_widths_that_a_network_cannot_have_are_passed_over() -> None:
    """TransGAN's width is a multiple of the heads, times what its pixel shuffle needs: here of 8."""
    teacher, z = made("transgan").get_submodule("G"), (torch.zeros(1, 8),)
    assert student_of(teacher, z, Budget(times=1.5)).arguments["width"] == 24
    with pytest.raises(I2IError, match="No student fits 1e\\+06x fewer multiply-accumulates, even of width 8"):
        student_of(teacher, z, Budget(times=1e6))


def test_impossible_students_and_shares_are_refused_in_a_sentence() -> None:
    net, x = ResNet(3, 3, 1, 8), (torch.zeros(1, 3, 16, 16),)
    with pytest.raises(I2IError, match="as large as its teacher of width 8, or larger"):
        student_of(net, x, Budget(width=9))
    with pytest.raises(I2IError, match="No student fits"):
        student_of(net, x, Budget(times=1e6))
    for share in (1.0, 0.0, -1.0, 2.0):
        with pytest.raises(I2IError, match="Give a number between 0 and 1"):
            Plan(sparsity=share).check()
    with pytest.raises(I2IError, match="2:4 removes one half"):
        Plan(granularity="2:4", sparsity=0.7).check()


# ---- generators in CIE Lab -------------------------------------------------------------------------------------------


def in_lab() -> tuple[Method, Batch, tuple[Tensor, ...]]:
    """A method whose generator colors in CIE Lab, a batch of it, and an input."""
    inner = made("pix2pix", space="lab", width=8)
    return inner, batch_of("pix2pix"), inner.example(settings(load_method("pix2pix"))[1])


@pytest.mark.parametrize("real", ["data", "teacher"])
@pytest.mark.parametrize("form", ["narrow", "mobile"])
def test_a_student_of_a_generator_in_lab_learns_colors(form: str, real: str) -> None:
    inner, batch, x = in_lab()
    student = student_of(inner.get_submodule("G"), x, Budget(times=2), form)
    method = Distilled(inner, "G", init_weights(student), Weights.of(inner.needs), real=real).train()
    assert len(method.maps), "feature maps are compared inside of it, too"
    before = values(student)
    turns = dict(method.step(batch, LAST))
    assert set(turns) == {"G", "D"}
    assert set(turns["G"]) == {"adv", "l1", "distill"}, "it learns by the terms of its method: distances of ab"
    assert run(method, "pix2pix") == {"G", "D"}
    assert any(not torch.equal(a, b) for a, b in zip(before, values(student), strict=True))
    assert work(student, x) <= work(inner.get_submodule("G"), x) / 2


def test_filters_of_a_generator_in_lab_are_those_of_the_network_inside() -> None:
    inner, _, x = in_lab()
    G = inner.get_submodule("G").eval()
    small = narrow(G, 4)
    expected = narrow(G.generator, 4).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in small.generator.state_dict().items())
    same = narrow(G, 8)
    torch.testing.assert_close(same(x[0]), G(x[0]))
