"""The fast convolution is the convolution."""

import copy

import pytest
import torch
from torch import nn

from i2i.core import fast_conv
from i2i.losses.penalties import gradient_penalty


def relative(a, b):
    return ((a.double() - b).norm() / b.norm()).item()


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("size", [(40, 40), (37, 51), (66, 30)])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_direct_sum(kernel, size, padding, bias):
    torch.manual_seed(0)
    fast = fast_conv.Conv2d(64, 72, kernel, padding=padding, bias=bias)
    exact = nn.Conv2d(64, 72, kernel, padding=padding, bias=bias).double()
    exact.load_state_dict(fast.state_dict())
    x = torch.randn(2, 64, *size, requires_grad=True)
    assert fast._fast(x)
    z = x.detach().double().requires_grad_()
    y, w = fast(x), exact(z)
    g = torch.randn_like(y)
    y.backward(g)
    w.backward(g.double())
    assert y.shape == w.shape
    assert relative(y, w) < 1e-5
    assert relative(x.grad, z.grad) < 1e-5
    assert relative(fast.weight.grad, exact.weight.grad) < 1e-5
    if bias:
        assert relative(fast.bias.grad, exact.bias.grad) < 1e-5


def test_rows_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    conv, x = fast_conv.Conv2d(64, 64, 3), torch.randn(3, 64, 42, 42)
    with torch.no_grad():
        assert torch.allclose(conv(x)[1:2], conv(x[1:2]), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "x"),
    [
        ({"kernel_size": 3, "stride": 2}, torch.zeros(1, 64, 64, 64)),
        ({"kernel_size": 3, "dilation": 2}, torch.zeros(1, 64, 64, 64)),
        ({"kernel_size": 3, "groups": 2}, torch.zeros(1, 64, 64, 64)),
        ({"kernel_size": 5}, torch.zeros(1, 64, 64, 64)),
        ({"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}, torch.zeros(1, 64, 64, 64)),
        ({"kernel_size": 3, "padding": "same"}, torch.zeros(1, 64, 64, 64)),
        ({"kernel_size": 3}, torch.zeros(1, 64, 8, 8)),
        ({"kernel_size": 3, "dtype": torch.float64}, torch.zeros(1, 64, 64, 64, dtype=torch.float64)),
    ],
)
def test_everything_else_is_the_plain_layer(arguments, x):
    torch.manual_seed(0)
    conv = fast_conv.Conv2d(64, 64, **arguments)
    plain = nn.Conv2d(64, 64, **arguments)
    plain.load_state_dict(conv.state_dict())
    assert not conv._fast(x)
    x = torch.randn_like(x)
    assert torch.equal(conv(x), plain(x))


def test_only_the_gradients_asked_for_are_made():
    conv, x = fast_conv.Conv2d(64, 64, 3), torch.randn(1, 64, 40, 40, requires_grad=True)
    conv(x).sum().backward(inputs=[x])
    assert x.grad is not None
    assert conv.weight.grad is None


def test_a_gradient_penalty_goes_through():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 64, 3), fast_conv.Conv2d(64, 64, 3), nn.Conv2d(64, 1, 3))
    real, fake = torch.randn(2, 1, 3, 40, 40).unbind(0)
    gradient_penalty(critic, real, fake, torch.full((1,), 0.3)).backward()
    assert torch.isfinite(critic[1].weight.grad).all()
    assert critic[1].weight.grad.abs().sum() > 0


STRIDED = [
    (fast_conv.Conv2d, nn.Conv2d, {"kernel_size": 4, "stride": 2, "padding": 1}, (2, 256, 12, 20)),
    (fast_conv.Conv2d, nn.Conv2d, {"kernel_size": 4, "stride": (2, 1), "padding": 2, "bias": False}, (1, 256, 9, 9)),
    (fast_conv.ConvTranspose2d, nn.ConvTranspose2d, {"kernel_size": 4, "stride": 2, "padding": 1}, (3, 256, 5, 7)),
    (fast_conv.ConvTranspose2d, nn.ConvTranspose2d, {"kernel_size": (4, 3), "stride": (2, 1)}, (1, 352, 1, 1)),
]


@pytest.mark.parametrize(("kind", "plain", "arguments", "shape"), STRIDED)
def test_small_maps_are_convolved_by_one_product(kind, plain, arguments, shape):
    torch.manual_seed(0)
    layer = kind(shape[1], 256, **arguments)
    exact = plain(shape[1], 256, **arguments).double()
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(shape, requires_grad=True)
    z = x.detach().double().requires_grad_()
    assert layer._small(x)
    y, w = layer(x), exact(z)
    assert y.shape == w.shape
    assert y.is_contiguous()
    assert relative(y, w) < 1e-5
    # first and second derivatives, as in a gradient penalty
    slopes = [torch.autograd.grad((a**2).sum(), b, create_graph=True)[0] for a, b in ((y, x), (w, z))]
    assert relative(slopes[0], slopes[1]) < 1e-5
    for slope in slopes:
        slope.square().sum().backward()
    assert relative(layer.weight.grad, exact.weight.grad) < 1e-4
    assert layer.weight.grad.is_contiguous()
    assert relative(x.grad, z.grad) < 1e-4


@pytest.mark.parametrize(("kind", "plain", "arguments", "shape"), STRIDED)
def test_copies_autocast_and_direct_go_torch_s_way(kind, plain, arguments, shape):
    layer, x = copy.deepcopy(kind(shape[1], 256, **arguments)), torch.randn(shape)
    base = plain(shape[1], 256, **arguments)
    base.load_state_dict(layer.state_dict())
    with torch.no_grad():
        with fast_conv.direct():
            assert torch.equal(layer(x), base(x))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer(x), base(x))
        assert torch.equal(layer.double()(x.double()), base.double()(x.double()))
        traced = torch.jit.trace(layer.float(), x, check_trace=False)
    assert "convolution" in str(traced.graph)


def test_large_maps_and_given_sizes_go_torch_s_way():
    up = fast_conv.ConvTranspose2d(256, 256, 4, 2, 1)
    assert not up._small(torch.zeros(1, 256, 17, 16))
    assert not fast_conv.Conv2d(256, 256, 4, 2, 1)._small(torch.zeros(2, 256, 32, 32))
    assert up(torch.zeros(1, 256, 2, 2), output_size=[5, 5]).shape[2:] == (5, 5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (fast_conv.Conv2d(64, 64, 3), (1, 64, 40, 40)),
        (fast_conv.Conv2d(256, 256, 4, 2, 1), (1, 256, 8, 8)),
        (fast_conv.ConvTranspose2d(256, 256, 4, 2, 1), (1, 256, 4, 4)),
    ],
)
def test_compiled_and_exported_graphs_hold_one_plain_convolution(layer, shape):
    x = torch.randn(shape)
    base = copy.deepcopy(layer)
    with torch.no_grad(), fast_conv.direct():
        expected = base(x)
    compiled = torch.compile(copy.deepcopy(layer), backend="eager", fullgraph=True)
    y = compiled(x)
    assert torch.equal(y, expected)
    y.sum().backward()
    assert torch.isfinite(compiled.weight.grad).all()
    graph = torch.export.export(layer, (x,)).graph
    called = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert len(called) == 1
    assert "conv" in called[0]


def test_a_copied_layer_is_fast_too_and_learns_by_itself():
    layer, x = fast_conv.Conv2d(64, 64, 3), torch.randn(1, 64, 40, 40)
    other = copy.deepcopy(layer)
    assert other._fast(x)
    other(x).square().sum().backward()
    assert layer.weight.grad is None
    assert other.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("places", [(2, 2), (4, 1), (1, 1), (4, 4)])
def test_few_places_make_the_same_gradients(places):
    torch.manual_seed(0)
    for kind, plain, shape in (
        (fast_conv.ConvTranspose2d, nn.ConvTranspose2d, (1, 256, *places)),
        (fast_conv.Conv2d, nn.Conv2d, (1, 256, 2 * places[0], 2 * places[1])),
    ):
        layer, exact = kind(256, 256, 4, 2, 1), plain(256, 256, 4, 2, 1).double()
        exact.load_state_dict(layer.state_dict())
        x = torch.randn(shape, requires_grad=True)
        z = x.detach().double().requires_grad_()
        assert layer._small(x)
        y, w = layer(x), exact(z)
        g = torch.randn_like(y)
        y.backward(g)
        w.backward(g.double())
        assert relative(y, w) < 1e-5
        assert relative(x.grad, z.grad) < 1e-5
        assert relative(layer.weight.grad, exact.weight.grad) < 1e-5
        assert relative(layer.bias.grad, exact.bias.grad) < 1e-5
        assert layer.weight.grad.is_contiguous()
