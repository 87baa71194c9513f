"""Networks in bf16 on a CPU: near float32, the same in every company, and as before without autocast."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from i2i.models import bf16
from i2i.models.exact_edges import last_hidden
from i2i.models.runner import Runner
from i2i.nets import build
from i2i.nets.blocks import instance_norm

KINDS = {
    "resnet": {"width": 8, "blocks": 2},
    "unet": {"width": 8, "depth": 3, "norm": "instance", "upsample": "resize", "detail": 8},
    "mobile_resnet": {"width": 8, "blocks": 2, "upsample": "blur", "antialias": True},
}


@pytest.fixture(params=KINDS)
def network(request):
    return build(request.param, **KINDS[request.param]).eval().requires_grad_(False)


@torch.inference_mode()
def test_images_come_out_alike_alone_and_in_a_batch(network):
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    exact, lower = Runner(copy.deepcopy(network)), Runner(network, torch.bfloat16)
    together = lower.batch(x)
    assert torch.equal(together, torch.cat([lower.batch(one[None]) for one in x]))
    assert 0 < (together - exact.batch(x)).abs().mean() < 0.05


@torch.inference_mode()
def test_the_number_of_threads_changes_nothing(network):
    x = torch.rand(1, 3, 96, 96) * 2 - 1
    runner, threads = Runner(network, torch.bfloat16), torch.get_num_threads()
    try:
        outputs = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            outputs.append(runner.batch(x))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, outputs[0]) for one in outputs)


@torch.inference_mode()
def test_without_autocast_a_lowered_network_computes_as_before(network):
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    before = network(x)
    state = {k: v.clone() for k, v in network.state_dict().items()}
    bf16.lower(network)
    assert torch.equal(network(x), before)
    assert network.state_dict().keys() == state.keys()
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        runner = Runner(copied, torch.bfloat16)
        assert torch.equal(runner.batch(x), Runner(network, torch.bfloat16).batch(x))


@torch.inference_mode()
def test_a_cpu_without_bf16_rounds_the_same_values(network, monkeypatch):
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    runner = Runner(network, torch.bfloat16)
    monkeypatch.setattr(bf16, "_has_hardware", lambda: True)
    there = runner.batch(x)
    monkeypatch.setattr(bf16, "_has_hardware", lambda: False)
    assert (runner.batch(x) - there).abs().mean() < 0.02


def test_what_a_position_of_a_kernel_loses_the_next_one_gets():
    weight = torch.rand(4, 5, 3, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    rounded = bf16.rounded(weight).float()
    assert (rounded - weight).abs().max() < 2**-8
    lost = [(kernel - weight).sum((2, 3)).abs().mean() for kernel in (rounded, weight.bfloat16().float())]
    assert lost[0] < lost[1] / 2


def test_the_last_hidden_convolutions_are_exact_where_a_norm_follows_them():
    resnet = build("resnet", width=8, blocks=1)
    assert last_hidden(resnet) == [m for m in resnet.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert last_hidden(build("unet", width=8, depth=3, detail=8)) == []


@torch.inference_mode()
@pytest.mark.parametrize("mean", [0, 3, 50])
def test_the_norm_of_one_image_in_bf16_has_statistics_in_float32(mean):
    x = (torch.randn(1, 16, 80, 80) + mean).bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        y = instance_norm(x)
    assert y.dtype == torch.bfloat16
    assert (y.float() - nn.functional.instance_norm(x.float())).abs().max() < 0.02
