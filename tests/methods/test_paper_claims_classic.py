"""What the papers of GAN, label smoothing, DCGAN and LSGAN prove or state: each test is named as its sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.losses import (
    Adversarial,
    bce,
    least_squares,
    minimax,
    smooth_targets,
    vanilla,
)
from i2i.methods._method import Now
from i2i.nets import DCGANDiscriminator, DCGANGenerator, Maxout
from tests.methods.tiny import batch_of, made

P, Q = [5, 3, 2, 0], [1, 3, 2, 4]  # two distributions over four states, in tenths


def states(counts: Sequence[int]) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def best(loss: Adversarial, p: Sequence[int] = P, q: Sequence[int] = Q) -> tuple[Tensor, float]:
    """The raw scores of the best discriminator on a discrete toy, found by Newton's method, and its loss."""
    scores = torch.zeros(len(p), dtype=torch.float64, requires_grad=True)

    def value(s: Tensor) -> Tensor:
        return loss.real(s[states(p)]) + loss.fake(s[states(q)])

    optimizer = torch.optim.LBFGS([scores], lr=1, max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-15)

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = value(scores)
        found.backward()
        return found

    optimizer.step(closure)
    return scores.detach(), float(value(scores).detach())


def jsd(p: Tensor, q: Tensor) -> float:
    m = ((p + q) / 2).clamp_min(1e-300)
    return float(0.5 * (torch.special.xlogy(p, p / m).sum() + torch.special.xlogy(q, q / m).sum()))


def tenths(counts: Sequence[int]) -> Tensor:
    return torch.tensor(counts, dtype=torch.float64) / sum(counts)


# ---- Goodfellow et al. 2014 -----------------------------------------------------------------------------------------


def test_for_fixed_G_the_best_D_is_p_data_over_the_sum():
    scores, _ = best(vanilla, P[:3], [1, 4, 5])
    p, q = tenths(P[:3]), tenths([1, 4, 5])
    torch.testing.assert_close(scores.sigmoid(), p / (p + q), atol=1e-4, rtol=0)


def test_the_value_at_the_best_D_is_twice_the_jensen_shannon_divergence_minus_log_4():
    _, loss = best(vanilla, P[:3], [1, 4, 5])
    assert -loss == pytest.approx(2 * jsd(tenths(P[:3]), tenths([1, 4, 5])) - math.log(4), abs=1e-7)


def test_when_G_has_reached_the_data_D_says_one_half_and_its_loss_is_log_4():
    scores, loss = best(vanilla, P[:3], P[:3])
    torch.testing.assert_close(scores.sigmoid(), torch.full((3,), 0.5, dtype=torch.float64), atol=1e-6, rtol=0)
    assert loss == pytest.approx(1.3862943611)


def test_the_divergence_of_disjoint_supports_is_log_2_however_far_they_are():
    for apart in (1, 3):
        p, q = torch.zeros(8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)
        p[0] = q[apart] = 1
        assert jsd(p, q) == pytest.approx(0.6931471806)
    sure = torch.tensor([20.0])
    assert float(vanilla.real(sure) + vanilla.fake(-sure)) < 1e-7  # V = 2 log 2 - log 4 = 0


@pytest.mark.parametrize(("d", "expected"), [(1, 0.1114), (2, 0.33683), (3, 0.5268), (5, 0.6759), (8, 0.6930)])
def test_the_divergence_of_two_gaussians_flattens_while_their_wasserstein_distance_is_their_shift(d, expected):
    x = torch.linspace(-12, 22, 60001, dtype=torch.float64)
    p, q = ((-0.5 * (x - mean).square()).exp() for mean in (0, d))
    p, q = p / p.sum(), q / q.sum()
    assert jsd(p, q) == pytest.approx(expected, abs=6e-5)
    gap = (p.cumsum(0) - q.cumsum(0)).abs().sum() * (x[1] - x[0])
    assert float(gap) == pytest.approx(d, rel=1e-6)


def test_the_gradient_of_minimax_dies_where_D_is_sure_and_that_of_log_D_lives():
    for loss, expected in ((minimax, -6.144e-6), (vanilla, -0.999994), (least_squares(), -13.0)):
        f = torch.tensor([-12.0], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss.adv(f), f)
        assert float(gradient) == pytest.approx(expected, rel=1e-3)


def test_both_losses_of_G_have_the_same_fixed_point():
    """Where real and fake look alike to the best D (scores 0), both push equally, minimax half as much as it can."""
    f = torch.zeros(1, requires_grad=True)
    slopes = [float(torch.autograd.grad(loss.adv(f), f)[0]) for loss in (minimax, vanilla)]
    assert slopes == pytest.approx([-0.5, -0.5])


def test_losses_on_logits_keep_their_digits_where_a_sigmoid_would_lose_them():
    s = torch.tensor([-40.0])
    assert float(vanilla.real(s)) == pytest.approx(40.0)
    assert float(vanilla.fake(s)) == pytest.approx(math.exp(-40.0), rel=1e-5)


def test_a_maxout_unit_is_the_largest_of_its_pieces():
    layer = Maxout(3, 2, 4)
    x = torch.randn(5, 3)
    whole = layer.linear(x).view(5, 2, 4)
    assert torch.equal(layer(x), whole.max(2).values)


# ---- label smoothing ------------------------------------------------------------------------------------------------


def test_with_one_sided_smoothing_the_best_D_is_0_9_p_over_the_sum():
    p, q = tenths(P), tenths(Q)
    scores, _ = best(smooth_targets(0.9))
    torch.testing.assert_close(scores.sigmoid(), 0.9 * p / (p + q), atol=1e-3, rtol=0)
    assert float(scores.max()) <= math.log(9) + 1e-3


def test_the_smoothed_real_term_cannot_fall_under_the_entropy_of_its_target():
    scores = torch.linspace(-8, 8, 100001, dtype=torch.float64)
    each = fn.softplus(scores) - 0.9 * scores
    assert float(each.min()) == pytest.approx(0.325083, abs=1e-6)
    at_best = smooth_targets(0.9).real(torch.tensor([math.log(9)], dtype=torch.float64))
    assert float(at_best) == pytest.approx(0.325083, abs=1e-6)


def test_smoothing_the_fakes_too_would_reward_samples_where_there_are_no_data():
    """(a p + b q) / (p + q) with p = 0 is b: such samples would seem real to that degree. One-sided it is 0."""
    two_sided = Adversarial(lambda s: bce(s, 0.9), lambda s: bce(s, 0.1), vanilla.adv)
    assert float(best(two_sided)[0].sigmoid()[3]) == pytest.approx(0.1, abs=1e-3)
    assert float(best(smooth_targets(0.9))[0].sigmoid()[3]) < 1e-3


# ---- DCGAN ----------------------------------------------------------------------------------------------------------


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_dcgan_at_64_pixels_has_the_parameters_of_its_layout():
    assert count(DCGANGenerator()) == 3_576_704
    assert count(DCGANDiscriminator()) == 2_765_568
    assert count(DCGANGenerator(project=True)) == 3_583_872


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_dcgan_halves_to_4_pixels_and_has_no_batch_norm_at_its_ends(size):
    G, D = DCGANGenerator(5, 2, size, 4), DCGANDiscriminator(2, size, 4)
    sides: list[int] = []
    for layer in D.main:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *a: sides.append(a[2].shape[-1]))
    assert D(G(torch.randn(2, 5))).shape == (2,)
    assert sides == [size >> k for k in range(1, len(sides))] + [1]
    assert sides[-2] == 4
    assert isinstance(G.main[-1], nn.Tanh)
    assert not isinstance(G.main[-2], nn.BatchNorm2d)
    assert isinstance(D.main[1], nn.LeakyReLU)


def test_dcgan_starts_with_losses_of_log_2():
    method = made("dcgan")
    losses = [float(v.detach()) for _, t in method.step(batch_of("dcgan"), Now()) for v in t.values()]
    assert losses == pytest.approx([math.log(2)] * 3, abs=0.05)


def test_dcgan_weights_start_normal_with_deviation_0_02_and_batch_norm_without_bias():
    G = DCGANGenerator(width=16)
    for layer in G.main:
        if isinstance(layer, nn.ConvTranspose2d):
            assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
        if isinstance(layer, nn.BatchNorm2d):
            assert float((layer.weight.detach() - 1).abs().max()) < 0.1
            assert float(layer.bias.detach().abs().max()) == 0


def test_real_and_fake_pass_a_critic_with_batch_norm_apart():
    method = made("dcgan")
    seen: list[int] = []
    method.D.register_forward_hook(lambda *a: seen.append(len(a[1][0])))
    list(method.step(batch_of("dcgan"), Now()))
    assert seen == [4, 4, 4]


# ---- LSGAN ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b", "c"), [(0, 1, 1), (-1, 1, 0)])
def test_the_best_least_squares_D_is_linear_in_the_shares(a, b, c):
    p, q = tenths(P), tenths(Q)
    scores, _ = best(least_squares(a, b, c))
    torch.testing.assert_close(scores, (b * p + a * q) / (p + q), atol=1e-5, rtol=0)


def test_at_the_equilibrium_of_lsgan_D_loses_a_quarter_and_G_an_eighth():
    half = torch.full((6,), 0.5)
    loss = least_squares()
    assert float(loss.real(half) + loss.fake(half)) == pytest.approx(0.25)
    assert float(loss.adv(half)) == pytest.approx(0.125)


def test_with_targets_minus_1_1_0_G_minimises_half_of_pearsons_chi_square():
    p, q = tenths(P[:3]), tenths([1, 4, 5])
    scores, _ = best(least_squares(-1, 1, 0), P[:3], [1, 4, 5])
    # equation 7: both sides of G's loss, the real one being a constant of G
    value = 0.5 * (p * scores.square()).sum() + 0.5 * (q * scores.square()).sum()
    chi = ((2 * q - (p + q)).square() / (p + q)).sum()
    assert float(value) == pytest.approx(0.5 * float(chi), rel=1e-4)


def test_the_least_squares_gradient_grows_with_the_distance_on_both_sides():
    f = torch.tensor([-12.0, 0.0, 7.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(least_squares().adv(f), f)
    torch.testing.assert_close(gradient, (f.detach() - 1) / 3)
