"""What the paper of progressive growing proves or states: each test is named as its sentence."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.data.batch import Batch, Shape
from i2i.methods._method import Now
from i2i.methods._optim import adam
from i2i.methods.progressive import Progressive, shrunk
from i2i.models.generator import LoadedGenerator as Saved
from i2i.nets import (
    ProgressiveDiscriminator,
    ProgressiveGenerator,
)
from i2i.nets.blocks import upsample2x
from i2i.nets.progressive import ScaledWeight, growth_level, minibatch_deviation, pixel_norm, size_and_alpha
from i2i.nets.spectral import learned_weight
from tests.methods.tiny import batch_of, made, parameters


def growing(size: int = 32, **changes: Any) -> tuple[ProgressiveGenerator, ProgressiveDiscriminator]:
    torch.manual_seed(0)
    given = {"base": 64, "most": 8, **changes}
    return ProgressiveGenerator(12, 3, size, **given), ProgressiveDiscriminator(3, size, **given)


def test_fade_in_at_alpha_0_is_the_earlier_stage_with_doubled_pixels_exactly():
    G, _ = growing()
    z = torch.randn(4, 12)
    for size in (8, 16, 32):
        assert torch.equal(G(z, size, 0.0), upsample2x(G(z, size // 2)))


def test_at_alpha_0_the_critic_is_the_earlier_one_on_the_averaged_picture():
    _, D = growing()
    for size in (8, 16, 32):
        x = torch.randn(4, 3, size, size)
        torch.testing.assert_close(D(x, 0.0), D(fn.avg_pool2d(x, 2)), rtol=1e-5, atol=1e-6)


def test_a_picture_half_faded_in_is_the_mean_of_both():
    G, _ = growing()
    z = torch.randn(4, 12)
    torch.testing.assert_close(G(z, 16, 0.5), (G(z, 16) + upsample2x(G(z, 8))) / 2)


def test_real_pictures_fade_in_by_the_same_alpha():
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(shrunk(x, 32, 1.0), x)
    assert torch.equal(shrunk(x, 16, 1.0), fn.avg_pool2d(x, 2))
    torch.testing.assert_close(shrunk(x, 16, 0.0), upsample2x(fn.avg_pool2d(x, 4)))
    torch.testing.assert_close(shrunk(x, 8, 0.3), 0.3 * fn.avg_pool2d(x, 4) + 0.7 * upsample2x(fn.avg_pool2d(x, 8)))


def test_every_layer_is_used_at_the_scale_of_He():
    """Weights that learn are N(0, 1); as they are used their deviation is gain / sqrt(fan in)."""
    G, D = growing(base=512, most=64)
    for net in (G, D):
        for name, layer in net.named_modules():
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            gain = 1.0 if name.startswith(("to_picture", "score")) else math.sqrt(2)
            gain = math.sqrt(2) / 4 if net is G and name == "dense" else gain
            scale = layer.parametrizations.weight[0]
            assert isinstance(scale, ScaledWeight)
            assert scale.scale == pytest.approx(gain / math.sqrt(layer.weight[0].numel()))
            n = layer.weight.numel()
            assert float(learned_weight(layer).std()) == pytest.approx(1, abs=4 / math.sqrt(n))
            assert layer.bias is None or float(layer.bias.abs().max()) == 0


def test_an_equalised_layer_moves_by_its_scale_in_a_step_of_adam():
    G, _ = growing()
    layer, other = G.blocks[0].conv1, G.dense
    optimizer = adam([layer, other], 1e-3, 0.0, 0.99)
    before = [m.weight.detach().clone() for m in (layer, other)]
    G(torch.randn(4, 12), 8).square().mean().backward()
    optimizer.step()
    for m, w in zip((layer, other), before, strict=True):
        moved = (m.weight - w).abs().median() / m.parametrizations.weight[0].scale
        assert float(moved) == pytest.approx(1e-3, rel=1e-2)


def test_pixel_norm_makes_the_mean_square_over_channels_1():
    torch.manual_seed(0)
    x = 7 * torch.randn(3, 16, 5, 5)
    torch.testing.assert_close(pixel_norm(x).square().mean(1), torch.ones(3, 5, 5))


def test_identical_pictures_have_a_deviation_of_a_ten_thousandth():
    x = torch.randn(1, 6, 4, 4).expand(8, -1, -1, -1)
    torch.testing.assert_close(minibatch_deviation(x), torch.full((8, 1, 4, 4), 1e-4))


def test_groups_that_do_not_divide_the_batch_are_made_smaller():
    found = minibatch_deviation(torch.randn(6, 2, 4, 4))[:, 0, 0, 0]
    assert found.unique().numel() == 2  # of three each
    assert torch.equal(found[:2], found[2:4])


def test_progressive_has_as_many_parameters_as_published():
    with torch.device("meta"):
        for size, counts in ((1024, (23_079_115, 23_087_249)), (32, (20_719_628, 20_726_785))):
            assert (
                parameters(ProgressiveGenerator(size=size)),
                parameters(ProgressiveDiscriminator(size=size)),
            ) == counts


def test_growth_is_a_pure_function_of_the_pictures_seen():
    levels = [growth_level(k, 10, 10, 3) for k in range(0, 90, 5)]
    assert levels == sorted(levels)
    assert [growth_level(k, 10, 10, 3) for k in (0, 10, 15, 20, 30, 35, 60, 1000)] == [0, 0, 0.5, 1, 1, 1.5, 3, 3]
    assert [size_and_alpha(k) for k in (0.0, 0.25, 1.0, 1.5)] == [(4, 1.0), (8, 0.25), (8, 1.0), (16, 0.5)]
    method = Progressive(Progressive.Config(4, base=8, most=4, train=10, fade=0, start=8), Shape(size=32))
    assert [method.level(k) for k in (0, 9, 10, 20, 500)] == [1, 1, 2, 3, 3]


def test_growing_changes_no_weight_of_earlier_blocks_and_only_known_layers_learn():
    method = made("progressive").train()
    optimizers = method.optimizers()
    for step in range(8):
        now = Now(images=4 * step, batch=4)
        size, alpha = size_and_alpha(method.level(now.images))
        before = {k: v.clone() for k, v in method.G.state_dict().items()}
        for name, terms in method.step(batch_of("progressive"), now):
            torch.stack(list(terms.values())).sum().backward(inputs=method.owned(optimizers[name]))
            optimizers[name].step()
            optimizers[name].zero_grad(set_to_none=True)
        newest = int(math.log2(size)) - 2
        moved = {k for k, v in method.G.state_dict().items() if not torch.equal(v, before[k])} - {"level"}
        assert {k.split(".")[1] for k in moved if k.startswith("blocks")} == {str(k) for k in range(newest)}
        used = {newest} | ({newest - 1} if alpha < 1 else set())
        assert {int(k.split(".")[1]) for k in moved if k.startswith("to_picture")} == used
    assert newest == 2


def test_a_growing_model_makes_pictures_of_every_stage_that_it_reached():
    G, _ = growing()
    z = torch.randn(2, 12)
    G.level.fill_(1.25)  # 16 pixels, a quarter faded in
    assert G.sizes == [4, 8, 16, 32]
    assert torch.equal(G(z), upsample2x(G(z, 16, 0.25).clamp(-1, 1)))
    G.level.fill_(1.0)
    assert G.sizes == [4, 8, 32]
    saved = Saved(G, {"latent": [["normal", 12]], "size": 32})
    sides = [next(iter(saved.images([0], size=s))).shape[-1] for s in (4, 8, None)]
    assert sides == [4, 8, 32]
    with pytest.raises(I2IError, match="cannot make images of 16 pixels"):
        next(iter(saved.images([0], size=16)))


def test_an_update_takes_as_many_pictures_as_its_size_allows():
    config = Progressive.Config(4, base=8, most=4, train=16, fade=16, minibatch=(8, 4, 2), group=1)
    method = Progressive(config, Shape(size=16))
    batch = Batch(torch.zeros(8, 3, 16, 16), ids=torch.arange(8))
    turns = [[name for name, _ in method.step(batch, Now(images=k, batch=8))] for k in (0, 24, 64)]
    assert turns == [["D", "G"], ["D", "G"] * 2, ["D", "G"] * 4]
