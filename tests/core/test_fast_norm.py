"""Instance norm of channels-last maps, and the bias of a transposed convolution."""

import pytest
import torch
from torch import nn

from i2i.core import fast_norm
from i2i.core.fast_conv import speed_up
from i2i.nets.blocks import BatchNorm, instance_norm

SIDES = {"small": (12, 10), "large": (33, 32)}  # less and more positions than fast_norm.LEAST_POSITIONS
LARGEST_ERROR = {torch.bfloat16: 0.01, torch.float32: 1e-5}


def maps(sides=(12, 10), dtype=torch.bfloat16, mean=0.5, images=2):
    """Maps of 5 channels with a mean, channels last, and the same in float64."""
    x = (torch.randn(images, 5, *sides) * 0.5 + mean).to(dtype)
    last = x.clone(memory_format=torch.channels_last).requires_grad_()
    return last, x.double().requires_grad_()


def error(a, b):
    return float((a.double() - b).detach().norm() / b.detach().norm())


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("dtype", LARGEST_ERROR)
@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
def test_a_channels_last_norm_has_the_right_output_and_gradients(sides, dtype, images, affine, again):
    last, exact = maps(sides, dtype, images=images)
    weights = [torch.randn(5, requires_grad=True) for _ in range(2)] if affine else []
    exact_weights = [w.detach().double().requires_grad_() for w in weights]
    back = torch.randn(images, 5, *sides).to(dtype)
    assert fast_norm.can_use(last)
    y, target = instance_norm(last, *weights), nn.functional.instance_norm(exact, None, None, *exact_weights)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert error(y, target) < LARGEST_ERROR[dtype]
    ours = torch.autograd.grad(torch.relu_(y), (last, *weights), back, create_graph=again)
    right = torch.autograd.grad(torch.relu(target), (exact, *exact_weights), back.double(), create_graph=again)
    assert ours[0].is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(ours, right, strict=True):
        assert error(a, b) < 2 * LARGEST_ERROR[dtype]
    if again:
        (ours,) = torch.autograd.grad(ours[0].square().sum(), last)
        (right,) = torch.autograd.grad(right[0].square().sum(), exact)
        assert error(ours, right) < 5 * LARGEST_ERROR[dtype]


def test_a_large_mean_costs_no_digits_in_float32():
    last, exact = maps(SIDES["large"], torch.float32, mean=1000.0)
    assert error(instance_norm(last), nn.functional.instance_norm(exact)) < 1e-3


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_batch_norm_before_a_concatenation_lies_as_the_maps(layout):
    """As in a U-Net, whose skips make the gradient a part of a wider one."""
    norm = BatchNorm(5)
    x = torch.randn(2, 5, 8, 8).contiguous(memory_format=layout).requires_grad_()
    seen = []
    y = norm(x)
    y.grad_fn.register_prehook(lambda gradients: seen.append(gradients[0]))
    joined = torch.cat([x.detach(), torch.relu_(y)], 1)
    back = torch.randn_like(joined)
    (ours,) = torch.autograd.grad(joined, x, back)
    assert seen[0].is_contiguous(memory_format=layout)
    exact = x.detach().double().requires_grad_()
    target = torch.relu(nn.functional.batch_norm(exact, None, None, training=True))
    (right,) = torch.autograd.grad(target, exact, back[:, 5:].double())
    assert error(ours, right) < 1e-5


@pytest.mark.parametrize("options", [{"output_padding": 1}, {}])
def test_the_bias_of_a_transposed_convolution_learns_in_bf16_channels_last(options):
    layer = nn.ConvTranspose2d(5, 4, 3, 2, 1, **options).to(memory_format=torch.channels_last)
    last, exact = maps()
    target = nn.functional.conv_transpose2d(exact, layer.weight.double(), layer.bias.double(), 2, 1, **options)
    right = torch.autograd.grad(target.square().sum(), (exact, layer.weight, layer.bias))
    with torch.autocast("cpu", torch.bfloat16):
        y = speed_up(layer)(last)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert error(y, target) < 0.01
    ours = torch.autograd.grad(y.float().square().sum(), (last, layer.weight, layer.bias))
    for a, b in zip(ours, right, strict=True):
        assert error(a, b.double()) < 0.02
