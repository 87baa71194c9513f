"""The fast convolution is the convolution."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from i2i import nets
from i2i.core import winograd
from i2i.core.errors import I2IError
from i2i.core.fast_conv import Fast, enlarged, slow_down, speed_up
from i2i.losses.penalties import gradient_penalty
from i2i.losses.regularization import gradient_normalized
from i2i.nets.blocks import ResizeConv
from i2i.nets.macs import count_macs
from i2i.nets.progressive import equalized


def relative(a, b):
    return ((a.double() - b).norm() / b.norm()).item()


def conv(*arguments, **more):
    return speed_up(nn.Conv2d(*arguments, **more))


def transposed(*arguments, **more):
    return speed_up(nn.ConvTranspose2d(*arguments, **more))


def exact(layer):
    """The plain layer in float64 with the same weights."""
    return slow_down(copy.deepcopy(layer)).double()


def fast_layers(network):
    return [name for name, layer in network.named_modules() if isinstance(layer, Fast)]


# ---- values and gradients ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("size", [(40, 40), (37, 51), (66, 30)])
@pytest.mark.parametrize("padding", [0, 1, 2, (1, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_direct_sum(kernel, size, padding, bias):
    torch.manual_seed(0)
    fast = conv(64, 72, kernel, padding=padding, bias=bias)
    plain = exact(fast)
    x = torch.randn(2, 64, *size, requires_grad=True)
    assert fast.uses_filtering(x)
    z = x.detach().double().requires_grad_()
    y, w = fast(x), plain(z)
    g = torch.randn_like(y)
    y.backward(g)
    w.backward(g.double())
    assert y.shape == w.shape
    assert y.is_contiguous()
    assert relative(y, w) < 1e-5
    assert relative(x.grad, z.grad) < 1e-5
    assert relative(fast.weight.grad, plain.weight.grad) < 1e-5
    assert fast.weight.grad.is_contiguous()
    if bias:
        assert relative(fast.bias.grad, plain.bias.grad) < 1e-5


SMALL = [
    (conv, {"kernel_size": 4, "stride": 2, "padding": 1}, (2, 256, 12, 20)),
    (conv, {"kernel_size": 4, "stride": (2, 1), "padding": 2, "bias": False}, (1, 256, 9, 9)),
    (transposed, {"kernel_size": 4, "stride": 2, "padding": 1}, (3, 256, 5, 7)),
    (transposed, {"kernel_size": (4, 3), "stride": (2, 1)}, (1, 352, 1, 1)),
]
LARGE = [(conv, {"kernel_size": 3, "padding": 1}, (1, 64, 34, 31)), (conv, {"kernel_size": 4}, (2, 64, 24, 20))]


@pytest.mark.parametrize(("make", "arguments", "shape"), SMALL + LARGE)
def test_first_and_second_derivatives_are_those_of_the_plain_layer(make, arguments, shape):
    """As in a gradient penalty."""
    torch.manual_seed(0)
    layer = make(shape[1], 256 if (make, arguments, shape) in SMALL else 64, **arguments)
    plain = exact(layer)
    x = torch.randn(shape, requires_grad=True)
    z = x.detach().double().requires_grad_()
    assert layer.uses_product(x) or layer.uses_filtering(x)
    y, w = layer(x), plain(z)
    assert y.shape == w.shape
    assert y.is_contiguous()
    assert relative(y, w) < 1e-5
    slopes = [torch.autograd.grad((a**2).sum(), b, create_graph=True)[0] for a, b in ((y, x), (w, z))]
    assert relative(slopes[0], slopes[1]) < 1e-5
    for slope in slopes:
        slope.square().sum().backward()
    assert relative(layer.weight.grad, plain.weight.grad) < 1e-4
    assert layer.weight.grad.is_contiguous()
    assert relative(x.grad, z.grad) < 1e-4


@pytest.mark.parametrize("side", [(2, 2), (4, 1), (1, 1), (4, 4)])
def test_few_positions_make_the_same_gradients(side):
    torch.manual_seed(0)
    for make, shape in ((transposed, (1, 256, *side)), (conv, (1, 256, 2 * side[0], 2 * side[1]))):
        layer = make(256, 256, 4, 2, 1)
        plain = exact(layer)
        x = torch.randn(shape, requires_grad=True)
        z = x.detach().double().requires_grad_()
        assert layer.uses_product(x)
        y, w = layer(x), plain(z)
        g = torch.randn_like(y)
        y.backward(g)
        w.backward(g.double())
        assert relative(y, w) < 1e-5
        assert relative(x.grad, z.grad) < 1e-5
        assert relative(layer.weight.grad, plain.weight.grad) < 1e-5
        assert relative(layer.bias.grad, plain.bias.grad) < 1e-5
        assert layer.weight.grad.is_contiguous()


def test_rows_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    layer, x = conv(64, 64, 3), torch.randn(3, 64, 42, 42)
    with torch.no_grad():
        assert torch.allclose(layer(x)[1:2], layer(x[1:2]), atol=1e-4)


def test_only_the_gradients_asked_for_are_made(monkeypatch):
    layer, x = conv(64, 64, 3), torch.randn(1, 64, 40, 40, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as some:
        layer(x).sum().backward(inputs=[x])
    assert x.grad is not None
    assert layer.weight.grad is None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as everything:
        layer(x).sum().backward()
    products = [sum(e.count for e in p.key_averages() if e.key == "aten::bmm") for p in (some, everything)]
    assert products == [2, 3]  # the large products: forward, and one for each gradient


@pytest.mark.parametrize("wrap", [nets.spectral_norm, equalized, lambda layer: layer])
def test_a_gradient_penalty_goes_through(wrap):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 64, 3), nn.LeakyReLU(0.2), wrap(nn.Conv2d(64, 64, 3)), nn.Conv2d(64, 1, 3))
    fast = speed_up(copy.deepcopy(plain))
    plain.double()
    assert fast_layers(fast) == ["2"]
    real, fake = torch.randn(2, 1, 3, 40, 40).unbind(0)
    for penalty in (
        lambda D, r, f: gradient_penalty(D, r, f, torch.full((1,), 0.3)),
        lambda D, r, f: gradient_normalized(D, r).sum(),
    ):
        plain.zero_grad()
        fast.zero_grad()
        penalty(fast, real, fake).backward()
        penalty(plain, real.double(), fake.double()).backward()
        for p, q in zip(fast.parameters(), plain.parameters(), strict=True):
            if q.grad is not None and q.grad.norm() > 1e-9:
                assert relative(p.grad, q.grad) < 1e-4


# ---- which layers, and when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "dilation": 2},
        {"kernel_size": 3, "groups": 2},
        {"kernel_size": 5},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": "same"},
    ],
)
def test_layers_that_cannot_gain_are_left_alone(arguments):
    assert type(conv(64, 64, **arguments)) is nn.Conv2d


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((1, 64, 8, 8), torch.float32), ((1, 64, 64, 64), torch.float64), ((64, 64, 64), torch.float32)],
)
def test_inputs_that_do_not_gain_take_the_plain_way(shape, dtype):
    torch.manual_seed(0)
    layer = conv(64, 64, 3, dtype=dtype)
    plain = slow_down(copy.deepcopy(layer))
    x = torch.randn(shape, dtype=dtype)
    assert not layer.uses_filtering(x)
    assert torch.equal(layer(x), plain(x))


def test_large_maps_and_given_sizes_take_the_plain_way():
    up = transposed(256, 256, 4, 2, 1)
    assert not up.uses_product(torch.zeros(1, 256, 17, 16))
    assert not conv(256, 256, 4, 2, 1).uses_product(torch.zeros(2, 256, 32, 32))
    assert up(torch.zeros(1, 256, 2, 2), output_size=[5, 5]).shape[2:] == (5, 5)
    assert not transposed(256, 256, 3, 2, 1, output_padding=1).uses_product(torch.zeros(1, 256, 2, 2))


@pytest.mark.parametrize(("make", "arguments", "shape"), SMALL)
def test_other_precisions_and_tracing_take_the_plain_way(make, arguments, shape):
    layer, x = make(shape[1], 256, **arguments), torch.randn(shape)
    base = slow_down(copy.deepcopy(layer))
    with torch.no_grad():
        with torch.autocast("cpu", torch.float16):
            assert not layer.uses_product(x)
        assert torch.equal(layer.double()(x.double()), base.double()(x.double()))
        traced = torch.jit.trace(layer.float(), x, check_trace=False)
    assert "convolution" in str(traced.graph)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("make", [conv, transposed])
def test_under_bf16_autocast_small_maps_are_computed_in_float32(make, layout):
    layer, x = make(256, 320, 4, 2, 1).to(memory_format=layout), torch.randn(2, 256, 4, 6)
    base = slow_down(copy.deepcopy(layer))
    assert layer.uses_product(x)
    expected = base(x)
    expected.square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        assert not layer.uses_product(torch.zeros(2, 256, 24, 24))
        y = layer(x.bfloat16().float())
        assert torch.is_autocast_enabled("cpu")
        assert layer(x.bfloat16()).equal(y)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=2e-2, atol=2e-2)
    y.float().square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, base.weight.grad, rtol=5e-2, atol=5e-2 * base.weight.grad.std())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("make", [conv, transposed])
def test_both_layouts_of_weights_give_the_same(make, layout):
    layer, x = make(256, 320, 4, 2, 1).to(memory_format=layout), torch.randn(2, 256, 4, 6)
    base = slow_down(copy.deepcopy(layer).to(memory_format=torch.contiguous_format))
    assert layer.uses_product(x)
    torch.testing.assert_close(layer(x), base(x), rtol=1e-4, atol=1e-5)
    layer(x).square().sum().backward()
    base(x).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, base.weight.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (conv(64, 64, 3), (1, 64, 40, 40)),
        (conv(256, 256, 4, 2, 1), (1, 256, 8, 8)),
        (transposed(256, 256, 4, 2, 1), (1, 256, 4, 4)),
    ],
)
def test_compiled_and_exported_graphs_hold_one_plain_convolution(layer, shape):
    x = torch.randn(shape)
    with torch.no_grad():
        expected = slow_down(copy.deepcopy(layer))(x)
    compiled = torch.compile(copy.deepcopy(layer), backend="eager", fullgraph=True)
    y = compiled(x)
    assert torch.equal(y, expected)
    y.sum().backward()
    assert torch.isfinite(compiled.weight.grad).all()
    graph = torch.export.export(layer, (x,)).graph
    called = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert len(called) == 1
    assert "conv" in called[0]


# ---- whole networks ------------------------------------------------------------------------------------------------


def test_a_network_keeps_its_state_and_parameters_and_is_restored():
    torch.manual_seed(0)
    net = nets.build("unet", depth=5, width=64, upsample="resize").eval()
    kinds = [type(m) for m in net.modules()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    parameters = [id(p) for p in net.parameters()]
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = net(x)
        assert speed_up(net) is net
        assert fast_layers(net)
        assert any(isinstance(m, ResizeConv) and isinstance(m, Fast) for m in net.modules())
        assert [type(m) for m in speed_up(net).modules()] == [type(m) for m in net.modules()]
        assert (net(x) - before).abs().max() < 1e-5
        assert [id(p) for p in net.parameters()] == parameters
        assert list(net.state_dict()) == list(state)
        assert all(torch.equal(net.state_dict()[k], v) for k, v in state.items())
        assert slow_down(net) is net
        assert [type(m) for m in net.modules()] == kinds
        assert torch.equal(net(x), before)


@pytest.mark.parametrize("channels", [(44, 3), (20, 10), (64, 64)])
def test_a_convolution_of_repeated_pixels_is_computed_at_the_small_size(channels):
    torch.manual_seed(0)
    layer, x = ResizeConv(*channels, bias=True), torch.randn(2, channels[0], 18, 24)
    expected = exact(layer)(x.double())
    with torch.no_grad():
        assert enlarged(layer, x) is not None
        assert enlarged(layer, x[:, :, :4, :4]) is None
        assert relative(layer(x), expected.detach()) < 1e-6
        assert relative(speed_up(layer)(x), expected.detach()) < 1e-5
    assert enlarged(layer, x) is None  # with gradients, as before
    assert (
        count_macs(slow_down(layer), x).work == 2 * 36 * 48 * channels[0] * channels[1] * 9
    )  # as written, not as computed


def test_every_registered_kind_of_layer_is_the_same_to_rounding():
    torch.manual_seed(0)
    z, x = torch.randn(2, 128), torch.rand(2, 3, 32, 32) * 2 - 1
    cases = [
        (nets.ResNetGenerator(width=64, spectral=True), z),
        (nets.ResNetDiscriminator(width=64), x),
        (nets.ProgressiveGenerator(128, size=32, base=2048, most=64), z),
        (nets.ProgressiveDiscriminator(size=32, base=2048, most=64), x),
        (nets.ResNet(blocks=1, width=64), x),
        (nets.PatchGAN(), x),
    ]
    for net, given in cases:
        net.eval()
        with torch.no_grad():
            before = net(given)
            assert fast_layers(speed_up(net)), type(net)
            # of what is learned there is no other copy: parametrized layers keep computing their weights
            assert relative(net(given), before.double()) < 1e-5, type(net)


@pytest.mark.parametrize("wrap", [nets.spectral_norm, lambda layer: layer])
def test_copies_are_fast_too_and_learn_by_themselves(wrap):
    layer, x = speed_up(wrap(nn.Conv2d(64, 64, 3))), torch.randn(1, 64, 40, 40)
    other = copy.deepcopy(layer)
    assert other.uses_filtering(x)
    assert parametrize.is_parametrized(other) == parametrize.is_parametrized(layer)
    other(x).square().sum().backward()
    assert all(p.grad is None for p in layer.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in other.parameters())


@pytest.mark.parametrize("layer", [conv(64, 64, 3), transposed(256, 256, 4), speed_up(ResizeConv(64, 64, True))])
def test_fast_layers_are_pickled(layer):
    other = pickle.loads(pickle.dumps(layer))
    assert isinstance(other, Fast)
    assert type(slow_down(other)) in (nn.Conv2d, nn.ConvTranspose2d, ResizeConv)
    assert torch.equal(other.weight, layer.weight)


def test_parametrizing_a_fast_layer_works_but_cannot_be_undone_by_slow_down():
    layer, x = conv(64, 64, 3), torch.randn(1, 64, 40, 40)
    weight = layer.weight.detach().clone()
    equalized(layer, 1.0)
    assert layer.uses_filtering(x)
    assert not torch.equal(layer.weight, weight)
    with pytest.raises(I2IError, match="parametrized after speed_up"):
        slow_down(layer)


def test_the_transforms_are_exact():
    for kernel in (3, 4):
        m, to_input, to_kernel, to_output = winograd.transforms(kernel)
        a = m + kernel - 1
        x, w = torch.randn(a, a, dtype=torch.float64), torch.randn(kernel, kernel, dtype=torch.float64)
        products = (to_kernel.double() @ w.flatten()) * (to_input.double() @ x.flatten())
        y = (to_output.double() @ products).view(m, m)
        assert torch.allclose(y, torch.nn.functional.conv2d(x[None, None], w[None, None])[0, 0], atol=1e-6)


@pytest.mark.parametrize("first", [torch.inference_mode, torch.no_grad, lambda: torch.device("meta")])
def test_training_works_after_a_first_call_in_another_mode(first):
    """The transforms are kept from the first call on, in which nothing may be learned."""
    winograd.transforms.cache_clear()
    layer, x = conv(64, 64, 3), torch.randn(1, 64, 40, 40)
    with first():
        layer(x)
    layer(x.requires_grad_()).square().sum().backward()
    assert layer.weight.grad.abs().sum() > 0
