"""What the papers of the first GANs prove or state, as closed forms: each test is named as its sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.data.batch import Batch, Shape
from i2i.losses import (
    Adversarial,
    bce,
    category,
    gaussian_nll,
    gradient_penalty,
    hinge,
    input_gradient,
    least_squares,
    minimax,
    r1,
    smooth_targets,
    vanilla,
    wasserstein,
)
from i2i.methods import sngan
from i2i.methods._method import Now
from i2i.methods.acgan import ACGAN
from i2i.methods.cgan import CGAN
from i2i.methods.dcgan import DCGAN
from i2i.methods.infogan import InfoGAN
from i2i.methods.sngan import SNGAN
from i2i.methods.wgan import WGAN
from i2i.methods.wgan_gp import WGANGP
from i2i.nets import DCGANDiscriminator, DCGANGenerator, Maxout, ResNetDiscriminator, ResNetGenerator, spectral_norm
from i2i.nets.spectral import SpectralNorm, learned_weight
from tests.golden_gans.variants import centered_penalty
from tests.methods.tiny import batch_of, loop, made

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


# ---- Goodfellow et al. 2014 ----------------------------------------------------------------------------------------


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


# ---- label smoothing -----------------------------------------------------------------------------------------------


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


# ---- DCGAN ---------------------------------------------------------------------------------------------------------


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


# ---- LSGAN ---------------------------------------------------------------------------------------------------------


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


# ---- WGAN ----------------------------------------------------------------------------------------------------------


def run(method, name: str, steps: int, batch: Callable[[int], Batch] | None = None) -> list[str]:
    """Trains by hand; returns who moved."""
    optimizers, moved = method.optimizers(), []
    for k in range(steps):
        given = batch(k) if batch else batch_of(name)
        for who, terms in method.step(given, Now(images=k * len(given), total=10**9, batch=len(given))):
            torch.stack(list(terms.values())).sum().backward(inputs=method.owned(optimizers[who]))
            optimizers[who].step()
            optimizers[who].zero_grad()
            moved.append(who)
    return moved


def test_after_each_step_all_weights_of_the_critic_lie_within_the_clamp_and_nothing_else_is_clamped():
    method = made("wgan", lr=1e-2)
    moved = run(method, "wgan", 150)
    assert moved == ["D", "D", "G"] * 75
    weights = torch.cat([p.detach().flatten() for p in method.D.parameters()])
    assert float(weights.abs().max()) <= 0.01
    assert float((weights.abs() > 0.009).double().mean()) > 0.4  # they pile up at the ends
    assert max(float(p.detach().abs().max()) for p in method.G.parameters()) > 0.5
    norm = next(m for m in method.D.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_var.fill_(5.0)
    run(method, "wgan", 1)
    assert float(norm.running_var.min()) > 4.0  # statistics are no weights


def test_the_critic_makes_a_hundred_steps_in_the_first_25_turns_of_G_and_in_each_500th():
    method = WGAN(WGAN.Config(z=2, width=1, d_width=1), Shape(1, 1, 8))
    turns = [k for k in range(2500 + 3 * 2595) if method.turn(k)]
    gaps = [b - a for a, b in zip([-1, *turns], turns, strict=False)]
    assert gaps[:25] == [100] * 25
    later = [100] + [5] * 499
    assert gaps[25:] == later * 3


def test_without_bursts_it_makes_five():
    method = WGAN(WGAN.Config(z=2, width=1, d_width=1, first=0), Shape(1, 1, 8))
    assert [k for k in range(20) if method.turn(k)] == [4, 9, 14, 19]


class Pictures(nn.Module):
    """A generator whose images are given."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures, self.unused = pictures, nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor) -> Tensor:
        return self.pictures


def test_the_estimate_grows_in_a_line_with_the_shift_of_a_gaussian():
    estimates, shifts = [], [0.5, 1.0, 2.0, 4.0, 8.0]
    x = torch.randn(256, 1, generator=torch.Generator().manual_seed(0))
    for shift in shifts:
        torch.manual_seed(0)
        method = WGAN(WGAN.Config(z=2, width=1, d_width=1, lr=1e-3, critic_steps=10**6, first=0), Shape(1, 1, 8))
        method.D = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 1))
        method.G = Pictures(x + shift)
        run(method, "wgan", 150, lambda k: Batch(x))
        with torch.no_grad():
            estimates.append(float(-wasserstein.real(method.D(x)) - wasserstein.fake(method.D(x + shift))))
    correlation = torch.corrcoef(torch.tensor([shifts, estimates]))[0, 1]
    assert float(correlation) > 0.99


# ---- WGAN-GP -------------------------------------------------------------------------------------------------------


def test_the_penalty_of_a_linear_critic_is_the_square_of_its_norm_minus_1_everywhere():
    w = torch.randn(12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    real, fake, alpha = torch.randn(5, 3, 2, 2).double(), torch.randn(5, 3, 2, 2).double(), torch.rand(5)
    for length in (0.2, 1.0, 7.0):
        v = w / w.norm() * length
        found = gradient_penalty(lambda x, v=v: x.flatten(1) @ v, real, fake, alpha)
        assert float(found) == pytest.approx((length - 1) ** 2, abs=1e-12)
        one_sided = centered_penalty(lambda x, v=v: x.flatten(1) @ v, real, fake, alpha, relu=True)
        assert float(one_sided) == pytest.approx(max(0.0, length - 1) ** 2, abs=1e-12)
        assert float(r1(lambda x, v=v: x.flatten(1) @ v, real)) == pytest.approx(0.5 * length**2)


def test_the_penalty_leaves_the_biases_of_a_piecewise_linear_critic_alone():
    D = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)).double()
    x = torch.randn(8, 3, 2, 2).double()
    gradient_penalty(D, x, -x, torch.rand(8)).backward()
    biases = [p.grad for n, p in D.named_parameters() if "bias" in n]
    assert all(g is None or float(g.abs().max()) == 0 for g in biases)
    assert float(D[1].weight.grad.abs().max()) > 0


def test_the_penalty_lies_between_real_and_fake_at_one_place_for_each_picture():
    seen: list[Tensor] = []

    def D(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real, fake, alpha = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2), torch.tensor([0.0, 0.25, 1.0])
    gradient_penalty(D, real, fake, alpha)
    assert torch.equal(seen[0], alpha.view(3, 1, 1, 1).expand(3, 1, 2, 2))


@pytest.mark.parametrize("network", ["dcgan", "resnet"])
def test_without_batch_norm_in_the_critic_a_pictures_gradient_depends_on_no_other(network):
    torch.manual_seed(0)
    method = WGANGP(WGANGP.Config(z=4, width=8, d_width=8, network=network), Shape(1, 1, 16)).double()
    x = torch.randn(4, 1, 16, 16).double()
    other = torch.cat([x[:1], torch.randn(3, 1, 16, 16).double()])
    torch.testing.assert_close(input_gradient(method.D, x)[0], input_gradient(method.D, other)[0])
    assert not any(isinstance(m, nn.BatchNorm2d) for m in method.D.modules())
    with_norm = DCGANDiscriminator(1, 16, 8).double()
    assert not torch.allclose(input_gradient(with_norm, x)[0], input_gradient(with_norm, other)[0], rtol=1e-3)


def test_training_with_the_penalty_brings_the_gradients_norm_near_1_and_the_estimate_near_the_distance():
    """For a shift d the best slope s maximises d s - 10 (s - 1)^2, so it is 1 + d / 20."""
    shift = torch.tensor([1.0, 0.0])
    torch.manual_seed(0)
    method = WGANGP(WGANGP.Config(z=2, width=1, d_width=1, lr=1e-2, critic_steps=10**6), Shape(1, 1, 8))
    method.D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(0))
    method.G = Pictures(x + shift)
    run(method, "wgan_gp", 300, lambda k: Batch(x, ids=torch.arange(256) + 256 * k))
    norms = input_gradient(method.D, x + shift * torch.rand(256, 1)).norm(dim=1).detach()
    assert float(norms.median()) == pytest.approx(1.05, abs=0.08)
    with torch.no_grad():
        estimate = float(method.D(x).mean() - method.D(x + shift).mean())
    assert estimate == pytest.approx(1.05, abs=0.1)


# ---- SN-GAN --------------------------------------------------------------------------------------------------------


def layers_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return {
        "conv": lambda: nn.Conv2d(5, 7, 3),
        "transposed": lambda: nn.ConvTranspose2d(5, 7, 4),
        "linear": lambda: nn.Linear(9, 6),
        "embedding": lambda: nn.Embedding(4, 9),
    }[kind]()


@pytest.mark.parametrize("kind", ["conv", "transposed", "linear", "embedding"])
def test_the_largest_singular_value_is_1_after_power_iterations(kind):
    layer = spectral_norm(layers_of(kind))
    for _ in range(25):
        weight = layer.weight
    matrix = weight.movedim(1, 0) if kind == "transposed" else weight
    assert float(torch.linalg.matrix_norm(matrix.detach().flatten(1), 2)) == pytest.approx(1.0, abs=1e-3)


def test_a_training_pass_makes_one_iteration_and_an_eval_pass_none():
    layer = spectral_norm(layers_of("conv"))
    norm = layer.parametrizations.weight[0]
    x = torch.randn(2, 5, 6, 6)
    with torch.no_grad():
        learned_weight(layer).add_(torch.randn_like(learned_weight(layer)))
    expected, _ = norm.iterated(learned_weight(layer).detach().flatten(1))
    before = norm.u.clone()
    layer(x)
    assert torch.equal(norm.u, expected)
    assert not torch.allclose(norm.u, before)
    layer.eval()
    first = layer(x)
    assert torch.equal(norm.u, expected)
    assert torch.equal(layer(x), first)


def test_the_gradient_of_a_normalised_weight_has_no_part_along_it():
    """dL/dW = (dL/dV - <dL/dV, V> u v^T) / sigma: growing W changes nothing."""
    layer = spectral_norm(layers_of("linear").double())
    norm: SpectralNorm = layer.parametrizations.weight[0]
    for _ in range(500):
        _ = layer.weight
    layer.eval()
    R = torch.randn(6, 9).double()
    V = layer.weight
    (V * R).sum().backward()
    sigma = norm.sigma(learned_weight(layer)).detach()
    V = V.detach()
    torch.testing.assert_close(learned_weight(layer).grad, (R - (R * V).sum() * torch.outer(norm.u, norm.v)) / sigma)
    assert float((learned_weight(layer).grad * learned_weight(layer)).sum().detach()) == pytest.approx(0, abs=1e-9)


def test_the_slope_of_a_normalised_critic_stays_bounded_however_large_its_weights():
    x, y = torch.randn(2, 64, 1, 16, 16, generator=torch.Generator().manual_seed(0))

    def steepest(spectral: bool) -> float:
        torch.manual_seed(0)
        D = ResNetDiscriminator(1, 16, 8, spectral=spectral, mean=True)
        with torch.no_grad():
            for m in D.modules():
                if isinstance(m, nn.Conv2d | nn.Linear):
                    learned_weight(m).mul_(10)
            for _ in range(20):
                D(x)
            rise = (D.eval()(x) - D(y)).abs() / (x - y).flatten(1).norm(dim=1)
        return float(rise.max())

    assert steepest(True) < 1
    assert steepest(False) > 1000


def test_saved_weights_keep_the_vectors_and_copies_share_nothing():
    torch.manual_seed(0)
    D, other = ResNetDiscriminator(1, 16, 4), ResNetDiscriminator(1, 16, 4)
    x = torch.randn(2, 1, 16, 16)
    D(x)
    other.load_state_dict(D.state_dict())
    assert torch.equal(D.eval()(x), other.eval()(x))
    other.train()(x)
    u, moved = (net.state_dict()["blocks.0.conv2.parametrizations.weight.0.u"] for net in (D, other))
    assert not torch.equal(u, moved)


def test_every_layer_of_the_critic_is_normalised_and_none_of_the_generators():
    D, G = ResNetDiscriminator(classes=3, width=8), ResNetGenerator(width=8)
    plain = [m for m in D.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(plain) == 12
    assert all(learned_weight(m) is not m.weight for m in plain)
    assert not any(isinstance(m, SpectralNorm) for m in G.modules())


def test_the_residual_pair_at_32_pixels_has_the_parameters_of_its_layout():
    assert count(ResNetGenerator()) == 4_276_739
    assert count(ResNetDiscriminator()) == 1_053_825


def test_the_plain_pair_of_sngan_is_that_of_table_3():
    G, D = sngan.PlainGenerator(128), sngan.PlainCritic()
    # dense 128 -> 4x4x512, transposed 4x4 to 256, 128 and 64 with batch norm, 3x3 to 3
    assert sum(p.numel() for p in G.parameters()) == 1_056_768 + 2_097_408 + 524_416 + 131_136 + 896 + 1731
    # 3x3 and 4x4 of 64, 128 and 256, 3x3 of 512, dense of 8192
    pairs = (1792 + 65_600) + (73_856 + 262_272) + (295_168 + 1_048_832)
    assert sum(p.numel() for p in D.parameters()) == pairs + 1_180_160 + 8193
    assert G(torch.randn(2, 128)).shape == (2, 3, 32, 32)
    for layer in (m for m in D.modules() if isinstance(m, nn.Conv2d | nn.Linear)):
        for _ in range(50):
            weight = layer.weight.detach()
        assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, abs=0.01)


def test_the_projection_critics_scores_of_two_classes_differ_by_the_embeddings_product():
    torch.manual_seed(0)
    D = ResNetDiscriminator(1, 16, 8, classes=4).eval()
    x = torch.randn(3, 1, 16, 16)
    a, b = torch.tensor([0, 1, 2]), torch.tensor([3, 3, 1])
    h = D.features(x)
    torch.testing.assert_close(D(x, a) - D(x, b), ((D.embedding(a) - D.embedding(b)) * h).sum(1), rtol=1e-4, atol=1e-5)


def test_the_hinge_stops_pushing_scores_that_are_right_by_1():
    s = torch.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
    (real,) = torch.autograd.grad(hinge.real(s), s)
    (fake,) = torch.autograd.grad(hinge.fake(s), s)
    assert (real != 0).tolist() == [True, True, True, False]
    assert (fake != 0).tolist() == [False, True, True, True]


def test_sngan_learns_G_each_fifth_step_on_two_batches_of_noise_and_its_rate_falls_to_0():
    method = SNGAN(SNGAN.Config(z=4, width=4, d_width=4), Shape(1, 1, 16))
    seen: list[int] = []
    method.G.register_forward_hook(lambda *a: seen.append(len(a[1][0])))
    batch = Batch(torch.randn(4, 1, 16, 16))
    assert run(method, "sngan", 5, lambda k: batch) == ["D"] * 5 + ["G"]
    assert seen == [4] * 5 + [8]
    assert [method.lr_factor(f) for f in (0.0, 0.5, 1.0)] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("name", ["gan", "cgan"])
def test_the_momentum_of_the_first_papers_rises_from_a_half_to_seven_tenths_over_the_run(name, tmp_path):
    trained = loop(name, tmp_path, total=40)
    seen: list[float] = []
    trained.optimizers["G"].register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["momentum"]))
    trained.run()
    assert seen == pytest.approx([0.5 + 0.02 * k for k in range(10)])
    assert trained.method.momentum_at(1.0) == pytest.approx(0.7)


# ---- conditions and codes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_the_picture_of_one_noise_changes_with_the_class_and_so_does_Ds_opinion(network):
    torch.manual_seed(0)
    config = CGAN.Config(z=8, width=8, d_width=8, units=0.1, network=network)
    method = CGAN(config, Shape(1, 1, 16, classes=3)).eval()
    z = torch.randn(1, 8).expand(3, 8)
    c = torch.arange(3)
    made_of = method.G(z, c)
    assert float((made_of[0] - made_of[1]).detach().abs().max()) > 1e-5
    same = made_of[:1].expand(3, -1, -1, -1)
    assert len(set(method.D(same, c).tolist())) == 3


def test_both_heads_of_acgan_teach_G():
    method = made("acgan").eval()
    method.cls = 1.0
    batch = batch_of("acgan")
    found: dict[str, Tensor] = {}
    for name, terms in method.step(batch, Now()):
        if name == "G":
            assert set(terms) == {"adv", "cls"}
            for term, value in terms.items():
                (found[term],) = torch.autograd.grad(value, [method.G.main[-2].weight], retain_graph=True)
    assert all(float(g.abs().max()) > 0 for g in found.values())
    assert abs(float(fn.cosine_similarity(found["adv"].flatten(), found["cls"].flatten(), dim=0))) < 0.9


def test_acgans_class_terms_start_at_chance_and_the_fakes_can_be_left_out():
    method = made("acgan")
    terms = dict(next(iter(method.step(batch_of("acgan"), Now())))[1])
    assert float(terms["cls"].detach()) == pytest.approx(math.log(3), abs=0.4)
    method.fake_cls = 0.0
    terms = dict(next(iter(method.step(batch_of("acgan"), Now())))[1])
    assert set(terms) == {"real", "fake", "cls"}


def test_the_information_is_at_most_the_entropy_of_the_code():
    c = torch.arange(10)
    sure = 20.0 * fn.one_hot(c, 10)
    assert math.log(10) - float(category(sure, c)) == pytest.approx(2.302585, abs=1e-4)
    assert math.log(10) - float(category(torch.zeros(10, 10), c)) == pytest.approx(0, abs=1e-6)
    assert math.log(10) - float(category(torch.randn(10, 10), c)) < math.log(10)


def test_with_a_fixed_variance_a_continuous_code_costs_half_its_squared_error_and_a_constant():
    x, mean = torch.randn(2, 6, 3)
    expected = (0.5 * (x - mean).square() + 0.9189385).sum(1).mean()
    assert float(gaussian_nll(x, mean)) == pytest.approx(float(expected), rel=1e-6)


def test_the_shared_layers_learn_the_information_with_D_and_Q_with_G():
    method = made("infogan")
    optimizers = method.optimizers()
    owner = {n: {id(p) for p in method.owned(o)} for n, o in optimizers.items()}
    assert {id(p) for p in method.shared.parameters()} <= owner["D"]
    assert {id(p) for p in method.Q.parameters()} <= owner["G"]
    for name, terms in method.step(batch_of("infogan"), Now()):
        net = {"D": method.shared, "G": method.G}[name]
        for term in ("category", "numbers"):
            grads = torch.autograd.grad(terms[term], list(net.parameters()), retain_graph=True, allow_unused=True)
            assert any(g is not None and float(g.abs().max()) > 0 for g in grads)


def test_Q_never_sees_a_real_picture():
    method = made("infogan")
    seen: list[Tensor] = []
    method.Q.register_forward_hook(lambda *a: seen.append(a[1][0].detach()))
    batch = batch_of("infogan")
    steps = method.step(batch, Now())
    next(steps)
    z = method.draw(batch, Now(), "G")
    with torch.no_grad():
        torch.testing.assert_close(seen[0], method.shared(method.G(z)))
    assert len(seen) == 1


def test_the_code_that_made_the_picture_is_the_one_that_Q_is_asked_for():
    latent = InfoGAN.latent_of(InfoGAN.Config())
    assert (latent.width, latent.codes) == (74, 10)
    method = made("infogan")
    z = method.draw(batch_of("infogan"), Now(), "G")
    start, width, _ = method.parts
    perfect = 20.0 * z[:, start : start + width]
    method.Q = Pictures(torch.cat([perfect, z[:, start + width :]], 1))
    terms = method.information(torch.zeros(4, 1), z)
    assert float(terms["category"]) == pytest.approx(0, abs=1e-4)
    assert float(terms["numbers"]) == pytest.approx(2 * 0.9189385, rel=1e-5)


def test_dcgan_draws_new_noise_at_each_step_and_the_same_in_a_repeated_run():
    method, batch = made("dcgan"), batch_of("dcgan")
    first = method.draw(batch, Now(), "G")
    assert torch.equal(first, method.draw(batch, Now(), "G"))
    later = Batch(batch.x, ids=batch.ids + 4)
    assert not torch.equal(first, method.draw(later, Now(), "G"))
    assert not torch.equal(first, method.draw(batch, Now(), "D"))
    assert not torch.equal(first, method.draw(batch, Now(seed=1), "G"))
    assert isinstance(method, DCGAN)
    assert issubclass(ACGAN, nn.Module)
