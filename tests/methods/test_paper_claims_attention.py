"""What the papers of SAGAN, BigGAN and TransGAN prove or state: each test is named as its sentence."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.data.batch import Shape
from i2i.losses import orthogonal
from i2i.methods.biggan import BigGAN
from i2i.methods.biggan import BigGANGenerator as BigGenerator
from i2i.methods.transgan import TransGANDiscriminator as TransCritic
from i2i.methods.transgan import TransGANGenerator as TransGenerator
from i2i.models.generator import LoadedGenerator as Saved
from i2i.nets import (
    ConditionalBatchNorm,
    ResNetDiscriminator,
    ResNetGenerator,
    SelfAttention,
    spectral_norm,
)
from i2i.nets.latent import Latent
from i2i.nets.spectral import learned_weight
from i2i.nets.transformer import Attention, TransformerBlock
from tests.golden_gans.variants import FullAttention, fully_orthogonal
from tests.methods.tiny import loop, made, parameters


def critic(act: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    D = nn.Sequential(nn.Conv2d(2, 8, 3, 2, 1), act(), nn.Conv2d(8, 16, 3, 2, 1), act(), nn.Flatten(), nn.Linear(64, 1))
    return D.double()


# ---- attention (SAGAN) ----------------------------------------------------------------------------------------------

FORMS = {
    "pooled": SelfAttention,
    "the paper's": FullAttention,
    "without a last convolution": functools.partial(FullAttention, share=1),
    "normalized": functools.partial(SelfAttention, wrap=spectral_norm),
}


@pytest.mark.parametrize("form", FORMS)
def test_attention_with_gamma_0_is_the_identity(form):
    torch.manual_seed(0)
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(FORMS[form](16)(x), x)


@pytest.mark.parametrize("form", FORMS)
def test_the_weights_of_a_place_sum_to_1(form):
    torch.manual_seed(0)
    net = FORMS[form](16)
    weights = net.weights(5 * torch.randn(2, 16, 8, 8))
    assert weights.shape == (2, 64, 64 if isinstance(net, FullAttention) else 16)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 64))


def test_the_weights_of_a_place_come_from_its_own_query():
    """Changing one place changes only its own row where keys stay (here: where its key is 0)."""
    torch.manual_seed(0)
    net = FullAttention(16)
    x = torch.randn(1, 16, 4, 4)
    other = x.clone()
    free = torch.linalg.svd(learned_weight(net.key).flatten(1)).Vh[-1]  # a direction that keys do not see
    other[0, :, 1, 2] += 3 * free
    rows = (net.weights(x) - net.weights(other)).abs().sum(2)[0] > 1e-5
    assert rows.nonzero().flatten().tolist() == [6]


def test_at_gamma_0_only_gamma_learns_and_its_gradient_is_the_attended_map():
    torch.manual_seed(0)
    net, x, R = SelfAttention(16), torch.randn(2, 16, 8, 8), torch.randn(2, 16, 8, 8)
    (net(x) * R).sum().backward()
    assert all(float(p.grad.abs().max()) == 0 for name, p in net.named_parameters() if name != "gamma")
    with torch.no_grad():
        net.gamma.fill_(1.0)
        torch.testing.assert_close(net.gamma.grad, ((net(x) - x) * R).sum())


@pytest.mark.parametrize("share", [8, 1])
def test_permuted_places_are_attended_alike(share):
    torch.manual_seed(0)
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
    torch.manual_seed(0)
    x, plain, net = torch.randn(6, 5, 4, 4), nn.BatchNorm2d(5), ConditionalBatchNorm(5, 7)
    torch.testing.assert_close(net(x, torch.zeros(6, 7)), plain(x))
    torch.testing.assert_close(net.norm.running_var, plain.running_var)
    torch.testing.assert_close(net.eval()(x, torch.zeros(6, 7)), plain.eval()(x))


def test_two_labels_differ_by_the_product_of_their_embeddings_with_the_features():
    torch.manual_seed(0)
    net, x = ResNetDiscriminator(size=16, width=8, classes=5).eval(), torch.randn(3, 3, 16, 16)
    one, two = torch.tensor([0, 1, 2]), torch.tensor([4, 3, 0])
    expected = ((net.embedding(one) - net.embedding(two)) * net.features(x)).sum(1)
    torch.testing.assert_close(net(x, one) - net(x, two), expected)


def big(**changes: Any) -> BigGenerator:
    torch.manual_seed(0)
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


# ---- orthogonal regularisation --------------------------------------------------------------------------------------


def test_filters_that_are_orthogonal_are_free_in_their_length():
    w = (torch.diag(torch.tensor([0.5, 3.0, 20.0])) @ torch.eye(3, 7)).requires_grad_()
    loss = orthogonal([w])
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(w.grad.abs().max()) == 0
    assert float(fully_orthogonal(w)) > 0


def test_the_gradient_of_orthogonal_regularisation_is_that_of_equation_3():
    torch.manual_seed(0)
    w = torch.randn(5, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    orthogonal([w, torch.randn(4)]).backward()
    rows = w.detach().flatten(1)
    expected = 2 * ((rows @ rows.T) * (1 - torch.eye(5))) @ rows
    torch.testing.assert_close(w.grad, expected.view_as(w))


def test_the_shared_embedding_is_left_out_of_orthogonal_regularisation():
    net = big()
    left = {id(p) for p in net.parameters() if p.ndim > 1} - {id(p) for p in net.filters()}
    assert left == {id(net.shared.weight)}


# ---- TransGAN -------------------------------------------------------------------------------------------------------


def test_attention_in_a_window_as_large_as_the_map_is_attention():
    torch.manual_seed(0)
    block = TransformerBlock(16, 4, side=4, window=4)
    plain = Attention(16, 4)
    plain.load_state_dict({k: v for k, v in block.attention.state_dict().items() if k != "table"})
    nn.init.zeros_(block.attention.table)
    x = torch.randn(2, 16, 16)
    torch.testing.assert_close(block.attention(x), plain(x))


def test_a_window_sees_nothing_of_another():
    torch.manual_seed(0)
    block = TransformerBlock(16, 4, side=8, window=4)
    x = torch.randn(1, 64, 16)
    other = x.clone()
    other[0, 0] += torch.randn(16)  # a token of the first window
    changed = (block(x) - block(other)).abs().sum(2)[0].view(8, 8) > 1e-7
    assert changed[:4, :4].all()
    assert changed.sum() == 16


def test_tokens_without_bias_are_attended_in_any_order():
    torch.manual_seed(0)
    net, x, order = Attention(16, 4), torch.randn(2, 9, 16), torch.randperm(9)
    torch.testing.assert_close(net(x[:, order]), net(x)[:, order])


def test_relative_positions_tell_places_apart_but_not_where_the_window_lies():
    torch.manual_seed(0)
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
