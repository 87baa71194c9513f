"""Optimizers that do without torch's compiler."""

import pytest
import torch

from i2i.core import eager


@pytest.mark.parametrize(
    ("name", "options"),
    [("Adam", {"fused": True}), ("AdamW", {"fused": True}), ("RMSprop", {}), ("SGD", {"momentum": 0.9})],
)
def test_weights_and_states_are_those_of_torchs_class(name, options):
    results = []
    for kind in (getattr(torch.optim, name), getattr(eager, name)):
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        optimizer = kind(layer.parameters(), lr=0.1, **options)
        other = kind(layer.parameters(), lr=0.5, **options)
        hooked = []
        other.register_step_post_hook(lambda *_, calls=hooked: calls.append(1))
        for turn in range(4):
            active = optimizer if turn < 2 else other
            if turn == 2:
                other.load_state_dict(optimizer.state_dict())
            layer(torch.ones(1, 3)).square().sum().backward()
            active.step()
            active.zero_grad()
            assert all(p.grad is None and p.requires_grad for p in layer.parameters())
        results.append((layer.weight.detach(), other.state_dict()))
        assert hooked == [1, 1]
    (a, states), (b, ours) = results
    assert torch.equal(a, b)
    assert states["param_groups"] == ours["param_groups"]
    for key, state in states["state"].items():
        assert state.keys() == ours["state"][key].keys()
        assert all(
            torch.equal(torch.as_tensor(state[k]), torch.as_tensor(ours["state"][key][k]))
            for k in state
            if state[k] is not None
        )


@pytest.mark.parametrize("kind", [eager.Adam, eager.AdamW])
@pytest.mark.parametrize("options", [{"fused": True}, {"fused": True, "amsgrad": True}, {"foreach": True}])
def test_weights_learn_alike_in_both_layouts(kind, options):
    weights = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(4, 6, 3).to(memory_format=layout)
        optimizer = kind(layer.parameters(), lr=0.1, **options)
        for _ in range(3):
            layer.weight.grad = (torch.randn(6, 4, 3, 3)).contiguous(memory_format=layout)
            layer.bias.grad = torch.randn(6)
            optimizer.step()
        assert layer.weight.is_contiguous(memory_format=layout)
        assert optimizer.state[layer.weight]["exp_avg"].stride() == layer.weight.stride()
        weights.append(layer.weight.detach().contiguous())
    assert torch.allclose(*weights, atol=1e-6)


def test_a_fused_step_copies_no_channels_last_weights():
    layer = torch.nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
    optimizer = eager.Adam(layer.parameters(), lr=0.1, fused=True)
    layer.weight.grad, layer.bias.grad = torch.ones_like(layer.weight), torch.ones(6)
    optimizer.step()
    with torch.profiler.profile() as profile:
        optimizer.step()
    assert "aten::clone" not in [event.key for event in profile.key_averages()]
