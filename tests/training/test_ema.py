"""The weight average."""

import pytest
import torch

from i2i.data.batch import Shape
from i2i.training.ema import EMA
from tests.training.toy import ToyGAN


def made():
    return ToyGAN(ToyGAN.Config(), Shape(size=8))


def test_half_life_is_counted_in_images_whatever_the_batch():
    ema = EMA(made(), half_life=100, ramp=1e9)
    assert ema.decay(1000, 100) == pytest.approx(0.5)
    assert ema.decay(1000, 10) ** 10 == pytest.approx(0.5)


def test_it_follows_quickly_at_the_start():
    ema = EMA(made(), half_life=10_000)
    assert ema.decay(0, 1) == 0
    assert ema.decay(100, 5) == pytest.approx(0.5)  # half-life 5 % of the images seen


def test_update_is_the_formula_and_buffers_are_copied():
    method = made()
    method.G.register_buffer("number", torch.zeros(1))
    ema = EMA(method, half_life=10, ramp=1e9)
    old = method.G[0].weight.detach().clone()
    with torch.no_grad():
        method.G[0].weight += 1
        method.G.number += 7
    ema.update(method, images=20, batch=10)
    assert torch.allclose(ema.networks["G"][0].weight, old + 0.5, atol=1e-6)
    assert ema.networks["G"].number == 7


def test_applied_swaps_and_puts_back_even_after_an_error():
    method = made()
    live = method.G
    ema = EMA(method, half_life=10)

    def fail():
        with ema.applied(method):
            assert method.G is ema.networks["G"]
            assert not method.training
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert method.G is live
    assert method.training
