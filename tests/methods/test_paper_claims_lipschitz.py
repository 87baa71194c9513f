"""What the papers of WGAN, WGAN-GP, SN-GAN and GN-GAN prove or state: each test is named as its sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from i2i.data.batch import Batch, Shape
from i2i.losses import (
    gradient_normalized,
    gradient_penalty,
    hinge,
    input_gradient,
    r1,
    wasserstein,
)
from i2i.methods import sngan
from i2i.methods._method import Now
from i2i.methods.sngan import SNGAN
from i2i.methods.wgan import WGAN
from i2i.methods.wgan_gp import WGANGP
from i2i.nets import (
    DCGANDiscriminator,
    ResNetDiscriminator,
    ResNetGenerator,
    spectral_norm,
)
from i2i.nets.spectral import SpectralNorm, learned_weight
from tests.golden_gans.variants import centered_penalty
from tests.methods.tiny import batch_of, loop, made


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# ---- WGAN -----------------------------------------------------------------------------------------------------------


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
    moved = run(method, "wgan", 60)
    assert moved == ["D", "D", "G"] * 30
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


# ---- WGAN-GP --------------------------------------------------------------------------------------------------------


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


# ---- SN-GAN ---------------------------------------------------------------------------------------------------------


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
    G, D = sngan.SNGANPlainGenerator(128), sngan.SNGANPlainDiscriminator()
    # dense 128 -> 4x4x512, transposed 4x4 to 256, 128 and 64 with batch norm, 3x3 to 3
    assert sum(p.numel() for p in G.parameters()) == 1_056_768 + 2_097_408 + 524_416 + 131_136 + 896 + 1731
    # 3x3 and 4x4 of 64, 128 and 256, 3x3 of 512, dense of 8192
    pairs = (1792 + 65_600) + (73_856 + 262_272) + (295_168 + 1_048_832)
    assert sum(p.numel() for p in D.parameters()) == pairs + 1_180_160 + 8193
    assert G(torch.randn(2, 128)).shape == (2, 3, 32, 32)
    for layer in (m for m in D.modules() if isinstance(m, nn.Conv2d | nn.Linear)):
        for _ in range(100):
            weight = layer.weight.detach()
        assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, abs=0.03)


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
    trained.train_step.optimizers["G"].register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["momentum"]))
    trained.run()
    assert seen == pytest.approx([0.5 + 0.02 * k for k in range(10)])
    assert trained.method.momentum_at(1.0) == pytest.approx(0.7)


# ---- gradient normalisation -----------------------------------------------------------------------------------------


def critic(act: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    D = nn.Sequential(nn.Conv2d(2, 8, 3, 2, 1), act(), nn.Conv2d(8, 16, 3, 2, 1), act(), nn.Flatten(), nn.Linear(64, 1))
    return D.double()


def test_a_gradient_normalised_critic_has_a_gradient_of_at_most_1():
    D = critic(nn.LeakyReLU)
    with torch.no_grad():
        for p in D.parameters():
            p *= 4  # no other bound is needed
    x = torch.randn(200, 2, 8, 8, dtype=torch.float64)
    f, steepness = D(x).flatten(), input_gradient(D, x).norm(dim=1)
    normed = input_gradient(lambda x: gradient_normalized(D, x), x).norm(dim=1)
    assert float(steepness.max()) > 5
    assert float(normed.max()) <= 1
    torch.testing.assert_close(normed, (steepness / (steepness + f.abs())).square())


def test_a_gradient_normalised_critic_is_lipschitz_between_near_pictures():
    D = critic(nn.ReLU)
    x = torch.randn(100, 2, 8, 8, dtype=torch.float64)
    y = x + 1e-5 * torch.randn_like(x)
    ratio = (gradient_normalized(D, x) - gradient_normalized(D, y)).abs() / (x - y).flatten(1).norm(dim=1)
    assert float(ratio.max()) <= 1


def test_the_scale_of_a_critic_does_not_matter_to_gradient_normalisation():
    D = critic(nn.LeakyReLU)
    x = torch.randn(9, 2, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(gradient_normalized(lambda x: 37 * D(x), x), gradient_normalized(D, x))


def test_normalised_scores_never_leave_the_hinge_s_slope():
    D = critic(nn.LeakyReLU)
    x = 10 * torch.randn(50, 2, 8, 8, dtype=torch.float64)
    real, fake = gradient_normalized(D, x[:25]), gradient_normalized(D, x[25:])
    assert float(torch.cat([real, fake]).abs().max()) < 1
    torch.testing.assert_close(hinge.real(real) + hinge.fake(fake), 2 - (real.mean() - fake.mean()))


def test_a_picture_s_normalised_score_is_its_own():
    D = critic(nn.LeakyReLU)
    x = torch.randn(5, 2, 8, 8, dtype=torch.float64)
    alone = torch.cat([gradient_normalized(D, x[k : k + 1]) for k in range(5)])
    torch.testing.assert_close(gradient_normalized(D, x), alone)


def test_gradients_reach_the_picture_through_both_parts():
    D = critic(nn.Tanh)
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: gradient_normalized(D, x), x[:1].detach().requires_grad_())
