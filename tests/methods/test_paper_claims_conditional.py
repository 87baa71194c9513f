"""What the papers of cGAN, AC-GAN and InfoGAN prove or state: each test is named as its sentence."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.data.batch import Batch, Shape
from i2i.losses import (
    category,
    gaussian_nll,
)
from i2i.methods._method import Now
from i2i.methods.acgan import ACGAN
from i2i.methods.cgan import CGAN
from i2i.methods.dcgan import DCGAN
from i2i.methods.infogan import InfoGAN
from tests.methods.tiny import batch_of, made


class Pictures(nn.Module):
    """A generator whose images are given."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures, self.unused = pictures, nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor) -> Tensor:
        return self.pictures


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
    method = made("acgan", fake_class=0.0)
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
