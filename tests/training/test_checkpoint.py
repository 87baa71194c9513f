"""Checkpoints: a crash leaves an old one or a new one, never half of one."""

import json

import pytest
import torch

from i2i.core.errors import I2IError
from i2i.training import checkpoint, state


def save(folder, images, value=1.0):
    return checkpoint.save(folder, images, {"w": torch.full((4, 4), value)}, {"images": images})


def silent(text):
    raise AssertionError(text)


def test_round_trip(tmp_path):
    save(tmp_path, 8, 3.0)
    tensors, facts = checkpoint.newest(tmp_path, silent)
    assert torch.equal(tensors["w"], torch.full((4, 4), 3.0))
    assert facts["images"] == 8


def test_nothing_there(tmp_path):
    assert checkpoint.newest(tmp_path, silent) is None
    assert checkpoint.newest(tmp_path / "absent", silent) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "no manifest", "bad manifest", "no state"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, damage):
    save(tmp_path, 8, 1.0)
    last = save(tmp_path, 16, 2.0)
    state, manifest = last / "state.safetensors", last / "manifest.json"
    data = state.read_bytes()
    if damage == "cut":
        state.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        state.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "bad manifest":
        manifest.write_text("{")
    else:
        state.unlink()
    said = []
    tensors, facts = checkpoint.newest(tmp_path, said.append)
    assert facts["images"] == 8
    assert tensors["w"][0, 0] == 1
    assert "000000000016" in said[0]


def test_only_damaged_ones_is_an_error(tmp_path):
    (save(tmp_path, 8) / "state.json").write_text("{}")
    with pytest.raises(I2IError, match="All 1 checkpoints"):
        checkpoint.newest(tmp_path, lambda text: None)


def test_left_overs_of_a_crash_are_ignored_and_cleaned(tmp_path):
    save(tmp_path, 8)
    half = tmp_path / ".writing-1-000000000016"
    half.mkdir()
    (half / "state.safetensors").write_bytes(b"half")
    assert checkpoint.newest(tmp_path, silent)[1]["images"] == 8
    save(tmp_path, 24)
    assert not half.exists()


def test_the_same_moment_twice(tmp_path):
    save(tmp_path, 8, 1.0)
    save(tmp_path, 8, 2.0)
    assert checkpoint.newest(tmp_path, silent)[0]["w"][0, 0] == 2


def test_best_survives_rotation(tmp_path):
    first = save(tmp_path, 1)
    checkpoint.mark_best(tmp_path, first, score=0.5)
    for images in (2, 3, 4):
        save(tmp_path, images)
    checkpoint.rotate(tmp_path, 2)
    assert [p.name[-1] for p in checkpoint.listed(tmp_path)] == ["1", "3", "4"]
    assert json.loads((tmp_path / "best.json").read_text())["score"] == 0.5
    assert checkpoint.best_of(tmp_path)["checkpoint"] == first.name


def test_optimizer_state_gets_the_layout_of_its_parameter():
    def made():
        torch.manual_seed(1)
        net = torch.nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
        return net, torch.optim.Adam(net.parameters(), lr=0.1, fused=True)

    def step(net, optimizer):
        net(torch.ones(1, 8, 4, 4).to(memory_format=torch.channels_last)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    net, optimizer = made()
    step(net, optimizer)
    tensors, scalars = state.pack_optimizer("G", optimizer)
    tensors = {k: v.contiguous().clone() for k, v in tensors.items()}
    other, restored = made()
    other.load_state_dict(net.state_dict())
    state.restore_optimizer("G", restored, tensors, scalars)
    step(net, optimizer)
    step(other, restored)
    assert torch.equal(net.weight, other.weight)
    assert restored.state[other.weight]["exp_avg"].stride() == other.weight.stride()
