"""Tensors without values."""

import subprocess
import sys

import pytest
import torch

from i2i.nets.valueless import with_values, without_values


def test_single_numbers_are_remembered_until_an_unknown_value_is_written():
    with without_values():
        counter = torch.tensor(3)
        assert [int(counter), int(counter.detach().clone())] == [3, 3]
        assert int(counter.fill_(5)) == 5
        copy = torch.zeros((), dtype=torch.int64).copy_(counter)
        assert int(copy) == 5
        counter.add_(1)
        assert int(counter) == 0
        assert float(torch.ones(4, 4).sum()) == 0


def test_programs_see_tensors_on_the_cpu_and_generators_are_not_asked():
    with without_values():
        x = torch.randn(2, 3, 10**5, 10**5, generator=torch.Generator())
        assert x.device.type == "cpu"
        assert torch.randperm(5, generator=torch.Generator(), device=x.device).shape == (5,)
        y = (x + torch.arange(10**5)).mean((2, 3))
    assert y.shape == (2, 3)
    assert y.is_meta


def test_weights_can_be_loaded_without_a_warning(recwarn):
    state = torch.nn.Linear(2, 3).state_dict()
    with without_values():
        torch.nn.Linear(2, 3).load_state_dict(state)
    assert not recwarn.list


def test_tensors_have_values_inside_with_values():
    with without_values():
        with with_values():
            assert float(torch.ones(4).sum()) == 4
        assert float(torch.ones(4).sum()) == 0


def test_derivatives_have_shapes_too():
    with without_values():
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(True))
        x = torch.rand(2, 3, 8, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        gradient.square().sum().backward()
    assert net[0].weight.grad.shape == (4, 3, 3, 3)


@pytest.mark.slow
def test_torchs_compiler_is_not_loaded_by_a_dry_run_and_works_afterwards(tmp_path):
    """Loading torch._dynamo takes more than a second of a core."""
    code = (
        "import sys, torch; from i2i.cli import run; "
        "assert run(['train', 'pix2pix', '--data', 'earth', '--dry-run', '--size', '32', '--width', '4']) == 0; "
        "print([m for m in ('torch._dynamo', 'torch.fx.experimental.symbolic_shapes', 'sympy') if m in sys.modules]); "
        "print(torch.compile(lambda x: x.relu() + x.mean(), backend='eager')(torch.ones(3)).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-2:] == ["[]", "[2.0, 2.0, 2.0]"]
