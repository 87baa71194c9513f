"""What the papers of attention, BigGAN, gradient normalisation, growth and transformers prove or state, as closed
forms: each test is named as its sentence."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core import random as rng
from i2i.core.errors import I2IError
from i2i.data.batch import Batch, Shape
from i2i.losses import gradient_normalized, hinge, input_gradient, orthogonal
from i2i.methods._method import Now
from i2i.methods._optim import adam
from i2i.methods.biggan import BigGAN
from i2i.methods.biggan import Generator as BigGenerator
from i2i.methods.progressive import Progressive, shrunk
from i2i.methods.transgan import Critic as TransCritic
from i2i.methods.transgan import Generator as TransGenerator
from i2i.models.generator import LoadedGenerator as Saved
from i2i.nets import (
    ConditionalBatchNorm,
    ProgressiveDiscriminator,
    ProgressiveGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    SelfAttention,
    spectral_norm,
)
from i2i.nets.blocks import upsample2x
from i2i.nets.latent import Latent
from i2i.nets.progressive import ScaledWeight, growth_level, minibatch_deviation, pixel_norm, size_and_alpha
from i2i.nets.spectral import learned_weight
from i2i.nets.transformer import Attention, TransformerBlock
from i2i.training import discriminator_augment as augment
from i2i.training import tricks
from tests.golden_gans.variants import FullAttention, fully_orthogonal
from tests.methods.tiny import batch_of, loop, made, state


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def seeded(seed: int = 0) -> None:
    torch.manual_seed(seed)


# ---- attention (SAGAN) ---------------------------------------------------------------------------------------------

FORMS = {
    "pooled": SelfAttention,
    "the paper's": FullAttention,
    "without a last convolution": functools.partial(FullAttention, share=1),
    "normalized": functools.partial(SelfAttention, wrap=spectral_norm),
}


@pytest.mark.parametrize("form", FORMS)
def test_attention_with_gamma_0_is_the_identity(form):
    seeded()
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(FORMS[form](16)(x), x)


@pytest.mark.parametrize("form", FORMS)
def test_the_weights_of_a_place_sum_to_1(form):
    seeded()
    net = FORMS[form](16)
    weights = net.weights(5 * torch.randn(2, 16, 8, 8))
    assert weights.shape == (2, 64, 64 if isinstance(net, FullAttention) else 16)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 64))


def test_the_weights_of_a_place_come_from_its_own_query():
    """Changing one place changes only its own row where keys stay (here: where its key is 0)."""
    seeded()
    net = FullAttention(16)
    x = torch.randn(1, 16, 4, 4)
    other = x.clone()
    free = torch.linalg.svd(learned_weight(net.key).flatten(1)).Vh[-1]  # a direction that keys do not see
    other[0, :, 1, 2] += 3 * free
    rows = (net.weights(x) - net.weights(other)).abs().sum(2)[0] > 1e-5
    assert rows.nonzero().flatten().tolist() == [6]


def test_at_gamma_0_only_gamma_learns_and_its_gradient_is_the_attended_map():
    seeded()
    net, x, R = SelfAttention(16), torch.randn(2, 16, 8, 8), torch.randn(2, 16, 8, 8)
    (net(x) * R).sum().backward()
    assert all(float(p.grad.abs().max()) == 0 for name, p in net.named_parameters() if name != "gamma")
    with torch.no_grad():
        net.gamma.fill_(1.0)
        torch.testing.assert_close(net.gamma.grad, ((net(x) - x) * R).sum())


@pytest.mark.parametrize("share", [8, 1])
def test_permuted_places_are_attended_alike(share):
    seeded()
    net = FullAttention(16, share=share)
    nn.init.ones_(net.gamma)
    x, order = torch.randn(1, 16, 4, 4), torch.randperm(16)
    permuted = x.flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(net(permuted).flatten(2), net(x).flatten(2)[:, :, order])


def test_attention_stands_where_it_is_asked_for():
    assert ResNetGenerator(8, size=32, width=8, attention=16).at == 1
    assert ResNetDiscriminator(size=32, width=8, attention=16).at == 0
    assert (
        ResNetGenerator(8, size=128, width=1, attention=32).at,
        ResNetDiscriminator(size=128, width=1, attention=32).at,
    ) == (2, 1)
    with pytest.raises(I2IError, match="no maps of that side") as error:
        ResNetDiscriminator(size=32, width=8, attention=64)
    assert "0, 8, 16" in error.value.hint


# ---- conditional batch norm, projection, BigGAN ---------------------------------------------------------------------


def test_conditional_batch_norm_with_zero_embedding_is_batch_norm():
    seeded()
    x, plain, net = torch.randn(6, 5, 4, 4), nn.BatchNorm2d(5), ConditionalBatchNorm(5, 7)
    torch.testing.assert_close(net(x, torch.zeros(6, 7)), plain(x))
    torch.testing.assert_close(net.norm.running_var, plain.running_var)
    torch.testing.assert_close(net.eval()(x, torch.zeros(6, 7)), plain.eval()(x))


def test_two_labels_differ_by_the_product_of_their_embeddings_with_the_features():
    seeded()
    net, x = ResNetDiscriminator(size=16, width=8, classes=5).eval(), torch.randn(3, 3, 16, 16)
    one, two = torch.tensor([0, 1, 2]), torch.tensor([4, 3, 0])
    expected = ((net.embedding(one) - net.embedding(two)) * net.features(x)).sum(1)
    torch.testing.assert_close(net(x, one) - net(x, two), expected)


def big(**changes: Any) -> BigGenerator:
    seeded()
    given = {"z": 12, "classes": 5, "size": 32, "width": 4, "shared": 6, "attention": 16, **changes}
    return BigGenerator(**given).eval()


def test_the_same_z_and_class_make_the_same_picture_in_any_batch():
    net = big()
    z, c = torch.randn(7, 12), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    with torch.no_grad():
        together = net(z, c)
        torch.testing.assert_close(net(z[2:3], c[2:3]), together[2:3], rtol=0, atol=1e-6)
        order = torch.tensor([6, 2, 0])
        torch.testing.assert_close(net(z[order], c[order]), together[order], rtol=0, atol=1e-6)


def test_a_chunk_of_z_changes_nothing_before_its_block():
    net = big()
    z, c = torch.randn(2, 12), torch.tensor([1, 3])
    maps: list[Tensor] = []
    for block in net.blocks:
        block.register_forward_hook(lambda *a: maps.append(a[2].detach()))
    net(z, c)
    before = list(maps)
    for chunk in range(4):
        other = z.clone()
        other[:, 3 * chunk : 3 * chunk + 3] += 1
        maps.clear()
        net(other, c)
        same = [torch.equal(a, b) for a, b in zip(before, maps, strict=True)]
        assert same == [k < chunk - 1 for k in range(3)]


def test_a_mixture_of_classes_lies_between_them():
    net = big()
    z = torch.randn(1, 12)
    one = net(z, torch.tensor([2]))
    torch.testing.assert_close(net(z, fn.one_hot(torch.tensor([2]), 5).float()), one)
    halves = net(z, torch.tensor([[0, 0, 0.5, 0.5, 0]]))
    assert not torch.allclose(halves, one)


def test_biggan_has_as_many_parameters_as_published():
    """158.3 million at 128 pixels (table 1 of the paper counts 158.3 of its last rows); 32 pixels as in public code."""
    with torch.device("meta"):
        paper = BigGAN(BigGAN.Config(), Shape(size=128, classes=1000))
        studio = BigGAN(BigGAN.Config(z=80, d_width=48, attention=16), Shape(size=32, classes=10))
        tables = ResNetGenerator(128, size=32, width=256, classes=10, spectral=True)
        critic = ResNetDiscriminator(size=32, width=256, classes=10)
    assert [round(parameters(n) / 1e6, 2) for n in (paper.G, paper.D, studio.G, studio.D)] == [70.43, 87.98, 9.42, 2.42]
    assert [round(parameters(n) / 1e6, 2) for n in (tables, critic)] == [4.30, 4.21]


def test_z_that_cannot_be_cut_in_equal_chunks_is_refused_with_the_nearest_that_can():
    with pytest.raises(I2IError, match="4 equal chunks") as error:
        big(z=30)
    assert "32" in error.value.hint


@pytest.mark.parametrize(("t", "variance"), [(2.0, 0.774), (1.5, 0.552), (1.0, 0.291), (0.5, 0.0806), (0.1, 0.0033)])
def test_truncated_noise_has_the_variance_of_the_truncated_normal(t, variance):
    z = Latent((("normal", 100),)).draw(torch.arange(2000), truncation=t)
    assert float(z.abs().max()) <= t
    assert float(z.var()) == pytest.approx(variance, rel=0.02)


def test_truncation_makes_pictures_more_alike():
    saved = settled()
    saved.header["standing"] = 0  # with the statistics of whole noise
    spreads = []
    for t in (0.0, 1.0, 0.5, 0.1):
        pictures = torch.stack(list(saved.images(range(64), label=1, truncation=t)))
        spreads.append(float(pictures.std(0).mean()))
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 0.3 * spreads[0]


def settled() -> Saved:
    """A saved BigGAN whose batch norms know the statistics of whole noise."""
    method = made("biggan")
    method.train()
    for m in method.G.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.momentum = None
    for k in range(8):
        ids = torch.arange(64) + 64 * k
        method.G(method.latent.draw(ids), ids % method.classes)
    names = [str(k) for k in range(method.classes)]
    header = {**BigGAN.facts(BigGAN.Config(z=9)), "size": 16, "class_names": names}
    assert header["standing"] == 16
    return Saved(method.G.eval(), header)


def test_standing_statistics_are_those_of_truncated_noise():
    saved, seen = settled(), []
    norm = saved.network.blocks[0].norm1.norm
    whole = norm.running_var.clone()
    next(iter(saved.images([0], truncation=0.3)))
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ids = torch.arange(2000)
    saved.network(saved.latent.draw(ids, truncation=0.3), ids % 3)
    torch.testing.assert_close(norm.running_var, seen[0].var((0, 2, 3)), rtol=0.1, atol=0)
    assert float((norm.running_var / whole).max()) < 0.2
    next(iter(saved.images([0])))  # and without truncation the stored ones are back
    assert torch.equal(norm.running_var, whole)


def test_large_batches_are_computed_in_parts(tmp_path):
    run = loop("biggan", tmp_path, accumulate=2)
    run.run()
    lines = [line for line in run.observer.lines if line["kind"] == "losses"]
    assert {k for line in lines for k in line["terms"]} == {"D/real", "D/fake", "G/adv", "G/ortho"}


def test_first_weights_are_orthogonal():
    net = big(width=8)
    for layer in (net.project, net.blocks[0].conv1, net.blocks[2].shortcut, net.shared):
        w = learned_weight(layer).flatten(1)
        w = w if len(w) <= w.shape[1] else w.T
        torch.testing.assert_close(w @ w.T, torch.eye(len(w)), rtol=0, atol=1e-5)


# ---- orthogonal regularisation -------------------------------------------------------------------------------------


def test_filters_that_are_orthogonal_are_free_in_their_length():
    w = (torch.diag(torch.tensor([0.5, 3.0, 20.0])) @ torch.eye(3, 7)).requires_grad_()
    loss = orthogonal([w])
    loss.backward()
    assert float(loss) == 0
    assert float(w.grad.abs().max()) == 0
    assert float(fully_orthogonal(w)) > 0


def test_the_gradient_of_orthogonal_regularisation_is_that_of_equation_3():
    seeded()
    w = torch.randn(5, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    orthogonal([w, torch.randn(4)]).backward()
    rows = w.detach().flatten(1)
    expected = 2 * ((rows @ rows.T) * (1 - torch.eye(5))) @ rows
    torch.testing.assert_close(w.grad, expected.view_as(w))


def test_the_shared_embedding_is_left_out_of_orthogonal_regularisation():
    net = big()
    left = {id(p) for p in net.parameters() if p.ndim > 1} - {id(p) for p in net.filters()}
    assert left == {id(net.shared.weight)}


# ---- gradient normalisation ----------------------------------------------------------------------------------------


def critic(act: type[nn.Module]) -> nn.Sequential:
    seeded()
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


# ---- progressive growing -------------------------------------------------------------------------------------------


def growing(size: int = 32, **changes: Any) -> tuple[ProgressiveGenerator, ProgressiveDiscriminator]:
    seeded()
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
    seeded()
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


# ---- TransGAN ------------------------------------------------------------------------------------------------------


def test_attention_in_a_window_as_large_as_the_map_is_attention():
    seeded()
    block = TransformerBlock(16, 4, side=4, window=4)
    plain = Attention(16, 4)
    plain.load_state_dict({k: v for k, v in block.attention.state_dict().items() if k != "table"})
    nn.init.zeros_(block.attention.table)
    x = torch.randn(2, 16, 16)
    torch.testing.assert_close(block.attention(x), plain(x))


def test_a_window_sees_nothing_of_another():
    seeded()
    block = TransformerBlock(16, 4, side=8, window=4)
    x = torch.randn(1, 64, 16)
    other = x.clone()
    other[0, 0] += torch.randn(16)  # a token of the first window
    changed = (block(x) - block(other)).abs().sum(2)[0].view(8, 8) > 1e-7
    assert changed[:4, :4].all()
    assert changed.sum() == 16


def test_tokens_without_bias_are_attended_in_any_order():
    seeded()
    net, x, order = Attention(16, 4), torch.randn(2, 9, 16), torch.randperm(9)
    torch.testing.assert_close(net(x[:, order]), net(x)[:, order])


def test_relative_positions_tell_places_apart_but_not_where_the_window_lies():
    seeded()
    net = Attention(16, 2, window=3)
    nn.init.normal_(net.table)
    bias = net.bias()
    at = [(r, c) for r in range(3) for c in range(3)]
    for i, p in enumerate(at):
        for j, q in enumerate(at):
            k = next(
                a * 9 + b
                for a, u in enumerate(at)
                for b, v in enumerate(at)
                if (u[0] - v[0], u[1] - v[1]) == (p[0] - q[0], p[1] - q[1])
            )
            assert torch.equal(bias[:, i, j], bias[:, k // 9, k % 9])
    assert bias[0].unique().numel() == 25


def test_transgan_has_as_many_parameters_as_published():
    with torch.device("meta"):
        G, D = TransGenerator(256), TransCritic()
    assert (round(parameters(G) / 1e6, 1), round(parameters(D) / 1e6, 1)) == (83.3, 10.2)


# ---- what discriminators see ----------------------------------------------------------------------------------------


def test_diffaugment_with_neutral_draws_is_the_identity():
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(augment.diffaugment(x, torch.full((3, 7), 0.5), ("color", "translation")), x)
    far = torch.full((3,), 99)
    assert torch.equal(augment.cutout(x, far, far), torch.cat([x[..., :-1], x[..., -1:]], 3) * (mask_of_corner(x)))
    assert torch.equal(augment.adaptive(x, torch.rand(3, augment.ADAPTIVE), 0.0), x)


def mask_of_corner(x: Tensor) -> Tensor:
    """A cutout far outside is clamped to the last pixel of the border."""
    mask = torch.ones_like(x)
    mask[..., -1, -1] = 0
    return mask


def test_diffaugment_leaves_the_mean_brightness():
    x = torch.zeros(1, 3, 8, 8).expand(20000, -1, -1, -1)
    u = rng.counter_uniform(torch.arange(20000), 1)[:, 0]
    assert float(augment.brightness(x, u).mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("which", [("color",), ("translation",), ("cutout",), augment.POLICIES])
def test_diffaugment_can_be_differentiated_twice(which):
    seeded()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    u = torch.rand(2, 7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: augment.diffaugment(x, u, which), x)
    assert torch.autograd.gradgradcheck(lambda x: augment.diffaugment(x.tanh(), u, which), x)


@pytest.mark.parametrize("channels", [1, 3])
def test_adaptive_augmentation_can_be_differentiated_twice(channels):
    seeded()
    x = torch.randn(1, channels, 4, 4, dtype=torch.float64, requires_grad=True)
    u = torch.rand(1, augment.ADAPTIVE, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: augment.adaptive(x, u, 0.9), x)
    assert torch.autograd.gradgradcheck(lambda x: augment.adaptive(x.tanh(), u, 0.9), x)


def test_adaptive_augmentation_changes_its_share_of_pictures():
    x = torch.randn(400, 3, 8, 8)
    u = rng.counter_uniform(torch.arange(400), augment.ADAPTIVE)
    for p in (0.05, 0.5):
        changed = (augment.adaptive(x, u, p) - x).abs().amax((1, 2, 3)) > 1e-4
        # two of the ten are a mirror and a negative, which half of those asked get
        unchanged = (1 - p) ** 8 * (1 - p / 2) ** 2
        assert float(changed.float().mean()) == pytest.approx(1 - unchanged, abs=0.06)


def test_a_quarter_turn_and_a_mirror_move_pixels_without_blurring():
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    turn = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]], dtype=torch.float64)
    mirror = torch.tensor([[[-1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    still = torch.zeros(1, 2, dtype=torch.float64)
    assert any(torch.equal(augment.sampled(x, turn, still), x.rot90(k, (2, 3))) for k in (1, 3))
    assert torch.equal(augment.sampled(x, mirror, still), x.flip(3))


@pytest.mark.parametrize("name", ["sagan", "biggan", "gngan", "progressive", "transgan", "dcgan"])
def test_real_and_fake_are_varied_alike_and_each_pass_anew(name):
    plain, method = made(name).eval(), made(name).eval()
    tricks.apply(method, tricks.TrickSettings(diffaugment="color,translation,cutout"))
    seen: dict[int, list[Tensor]] = {0: [], 1: []}
    for k, m in enumerate((plain, method)):
        m.D.register_forward_hook(lambda *a, k=k: seen[k].append(a[1][0].detach()))
        list(m.step(batch_of(name), Now(batch=4, total=100)))
    assert len(seen[0]) == len(seen[1]) > 1
    assert all(not torch.equal(a, b) for a, b in zip(seen[0], seen[1], strict=True))
    assert all(torch.isfinite(x).all() for x in seen[1])


def test_gradients_pass_through_the_augmentation_to_the_generator():
    method = made("gngan").train()
    tricks.apply(method, tricks.TrickSettings(diffaugment="translation,cutout"))
    for name, terms in method.step(batch_of("gngan"), Now(images=4, batch=4)):
        if name == "G":
            grads = torch.autograd.grad(terms["adv"], list(method.G.parameters()))
            assert max(float(g.abs().max()) for g in grads) > 0


def test_adaptive_augmentation_rises_while_the_critic_is_sure_and_falls_while_it_is_not():
    method = made("dcgan")
    asked = tricks.TrickSettings(ada=0.6, ada_length=1000)
    tricks.apply(method, asked)
    for _ in range(3):
        tricks.steer_ada(method, torch.ones(8), 10, asked)
    assert float(method.ada_p) == pytest.approx(3 * 4 * 10 / 1000)
    tricks.steer_ada(method, torch.tensor([1.0, -1.0]), 10, asked)
    assert float(method.ada_p) == pytest.approx(2 * 4 * 10 / 1000)
    for _ in range(5):
        tricks.steer_ada(method, -torch.ones(8), 10, asked)
    assert float(method.ada_p) == 0


def test_adaptive_augmentation_resumes_exactly(tmp_path):
    runs = []
    for seed in range(2):
        run = loop("dcgan", tmp_path, seed=seed)
        tricks.apply(run.method, tricks.TrickSettings(ada=-2.0, ada_length=40))  # always too sure
        if seed:
            for later in sorted((tmp_path / "checkpoints").glob("0*"))[1:]:
                for file in later.iterdir():
                    file.unlink()
                later.rmdir()
        run.run()
        runs.append(state(run))
    assert float(runs[0]["method/ada_p"]) == pytest.approx(0.4)
    assert all(torch.equal(runs[0][k], runs[1][k]) for k in runs[0])


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(I2IError, match="diffaugment is 'colour'") as error:
        tricks.apply(made("dcgan"), tricks.TrickSettings(diffaugment="colour"))
    assert "color" in error.value.hint
