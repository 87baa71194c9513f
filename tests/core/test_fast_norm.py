"""Instance norm of channels-last bf16 maps, and the bias of a transposed convolution."""

import pytest
import torch
from torch import nn

from i2i.core import fast_norm
from i2i.core.fast_conv import speed_up
from i2i.nets.blocks import instance_norm


def maps(mean=0.5):
    """[2, 5, 12, 10] in bf16, channels last, with a mean, and the same in float64."""
    x = (torch.randn(2, 5, 12, 10) * 0.5 + mean).bfloat16()
    last = x.clone(memory_format=torch.channels_last).requires_grad_()
    return last, x.double().requires_grad_()


def error(a, b):
    return float((a.double() - b).norm() / b.norm())


@pytest.mark.parametrize("again", [False, True])
def test_a_channels_last_norm_has_the_right_output_and_gradients(again):
    last, exact = maps()
    back = torch.randn(2, 5, 12, 10).bfloat16()
    assert fast_norm.can_use(last)
    y, target = instance_norm(last), nn.functional.instance_norm(exact)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert error(y, target) < 0.01
    (ours,) = torch.autograd.grad(torch.relu_(y), last, back, create_graph=again)
    (right,) = torch.autograd.grad(torch.relu(target), exact, back.double(), create_graph=again)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert error(ours, right) < 0.02
    if again:
        (ours,) = torch.autograd.grad(ours.square().sum(), last)
        (right,) = torch.autograd.grad(right.square().sum(), exact)
        assert error(ours, right) < 0.05


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
