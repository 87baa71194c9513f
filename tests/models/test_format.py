"""Saved models: they rebuild themselves, and say what is wrong with a file that is not one."""

import json
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from i2i import nets
from i2i.core.errors import I2IError
from i2i.models import format as model_file


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    networks = {
        "G": nets.build("unet", channels_in=1, channels_out=3, depth=3, width=4),
        "F": nets.build("resnet", channels_in=3, channels_out=1, blocks=1, width=4),
    }
    header = {"method": "cyclegan", "range": [-1, 1], "licence": "© none", "train_mode_norm": True}
    return model_file.save(tmp_path / "sub" / "model.safetensors", networks, header), networks


def rewrite(path, change, tensors=None):
    """The same file with a changed header (and tensors)."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["i2i"])
    change(header)
    save_file(tensors or load_file(path), path, metadata={"i2i": json.dumps(header)})


def test_round_trip(saved):
    path, networks = saved
    made = model_file.load(path)
    assert list(made.networks) == ["G", "F"]
    assert made.header["licence"] == "© none"
    assert made.header["format"] == model_file.DENSE
    assert made.header["multiple"] == 8
    assert made.header["networks"]["F"]["type"] == "resnet"
    for name, net in networks.items():
        assert type(made.networks[name]) is type(net)
        assert made.networks[name].arguments == net.arguments
        assert not made.networks[name].training
        for key, value in net.state_dict().items():
            assert torch.equal(made.networks[name].state_dict()[key], value), key
    x = torch.rand(2, 1, 16, 8) * 2 - 1
    assert torch.equal(networks["G"].eval()(x), made.networks["G"](x))


def test_loading_takes_no_random_numbers_and_leaves_a_trainable_network(saved):
    path, _ = saved
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    net = model_file.load(path).networks["G"]
    assert torch.equal(torch.rand(1), expected)
    assert all(p.requires_grad and not p.is_meta for p in net.parameters())
    assert not any(b.is_meta for b in net.buffers())


def test_one_network_alone(saved):
    path, _ = saved
    made = model_file.load(path, ["F"])
    assert list(made.networks) == ["F"]
    with pytest.raises(I2IError, match="has no network 'H'"):
        model_file.load(path, ["H"])


@pytest.mark.parametrize("arguments", [{}, {"upsample": "blur", "antialias": True}, {"norm": "batch"}])
def test_every_kind_of_buffer_survives(tmp_path, arguments):
    net = nets.build("resnet", blocks=1, width=2, **arguments).eval()
    path = model_file.save(tmp_path / "m.safetensors", {"G": net})
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(net(x), model_file.load(path).networks["G"](x))


def test_weights_are_float32_and_may_share_memory(tmp_path):
    net = nets.build("resnet", blocks=2, width=2)
    net.model[10].conv_block[1].weight = net.model[11].conv_block[1].weight  # one tensor under two names
    path = model_file.save(tmp_path / "m.safetensors", {"G": net.to(torch.bfloat16)})
    tensors = load_file(path)
    assert {t.dtype for t in tensors.values()} == {torch.float32}
    assert torch.equal(tensors["G.model.10.conv_block.1.weight"], tensors["G.model.11.conv_block.1.weight"])
    model_file.load(path)


def test_files_of_half_precision_are_read_as_float32(saved):
    path, _ = saved
    rewrite(
        path,
        lambda h: h.pop("sha256"),
        {k: v.half() for k, v in load_file(path).items() if "num_b" not in k}
        | {k: v for k, v in load_file(path).items() if "num_b" in k},
    )
    assert {p.dtype for p in model_file.load(path).networks["G"].parameters()} == {torch.float32}


def test_a_failed_save_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    path, networks = saved
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(I2IError, match="No space left"):
        model_file.save(path, networks, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_unknown_networks_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(I2IError, match="Linear"):
        model_file.save(tmp_path / "m.safetensors", {"G": nn.Linear(2, 2)})
    assert not list(tmp_path.iterdir())


def test_each_kind_of_bad_file_is_named(saved, tmp_path):
    path, _ = saved
    whole = path.read_bytes()
    bad = tmp_path / "bad.safetensors"

    def fails(match):
        with pytest.raises(I2IError, match=match) as caught:
            model_file.load(bad)
        assert "bad.safetensors" in str(caught.value)

    fails("no model at")
    for cut in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:cut])
        fails("cut short")
    bad.write_bytes(b"PK\x03\x04" + b"hello" * 100)
    fails("weights file of PyTorch")
    flipped = bytearray(whole)
    flipped[-9] ^= 4
    bad.write_bytes(flipped)
    fails("damaged")
    save_file({"weight": torch.zeros(2)}, bad)
    fails("weights file of PyTorch, not a model that i2i saved")
    save_file({"weight": torch.zeros(2)}, bad, metadata={"i2i": "{"})
    fails("cannot be read")
    save_file({"weight": torch.zeros(2)}, bad, metadata={"i2i": "[1]"})
    fails("names no networks")
    with pytest.raises(I2IError, match="is a folder"):
        model_file.load(tmp_path)


def test_headers_that_do_not_fit(saved):
    path, _ = saved
    original = path.read_bytes()

    def fails(change, match, drop=None):
        path.write_bytes(original)
        tensors = {k: v for k, v in load_file(path).items() if k != drop}
        rewrite(path, change, tensors)
        with pytest.raises(I2IError, match=match):
            model_file.load(path)

    fails(lambda h: h.update(format=99), "format 99.*Update i2i")
    fails(lambda h: h["networks"]["G"].update(type="transformer"), "'transformer'")
    fails(lambda h: h["networks"]["G"]["arguments"].update(heads=3), "cannot build")
    fails(lambda h: h["networks"]["G"]["arguments"].update(depth=4), "do not fit: .* missing")
    fails(lambda h: h["networks"]["G"]["arguments"].update(width=8), "of another shape")
    fails(lambda h: h.pop("sha256"), "1 missing .such as model.1.bias", drop="F.model.1.bias")


def test_the_header_alone(saved):
    path, _ = saved
    assert model_file.read_header(path)["method"] == "cyclegan"


def test_half_the_size_makes_nearly_the_same_image(tmp_path):
    net = nets.build("resnet", blocks=1, width=8)
    whole = model_file.save(tmp_path / "whole.safetensors", {"G": net})
    half = model_file.save(tmp_path / "half.safetensors", {"G": net}, dtype=torch.float16)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    made = [model_file.load(p).networks["G"](x) for p in (whole, half)]
    assert made[1].dtype == torch.float32
    assert (made[0] - made[1]).abs().max() < 1 / 127.5


@pytest.mark.parametrize(
    "networks",
    [
        {"G": {"type": "unet", "arguments": {"depth": 1e308}}},
        {"G": {"type": "unet", "arguments": {"depth": 10**7, "width": 2}}},
        {"G": {"type": "unet", "arguments": {"depth": 8, "width": 10**9}}},
        {"G": {"type": "resnet", "arguments": {"blocks": 10**7, "width": 2}}},
        {"G": {"type": "resnet", "arguments": {"width": -3}}},
        {"G": {"type": "resnet", "arguments": {"width": "3"}}},
        {"G": {"type": "resnet", "arguments": {"evil": 1}}},
        {"G": {"type": "resnet", "arguments": [1, 2]}},
        {"G": {"type": ["resnet"]}},
        {"G": {"type": "os.system", "arguments": {"command": "true"}}},
        {"G": "resnet"},
    ],
)
def test_hostile_headers_are_one_sentence_at_once(tmp_path, networks):
    path = tmp_path / "m.safetensors"
    header = {"format": 1, "networks": networks, "method": "os"}
    save_file({"G.x": torch.zeros(4)}, path, metadata={model_file.KEY: json.dumps(header)})
    with pytest.raises(I2IError) as caught:
        model_file.load(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_header_as_deep_as_a_well_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={model_file.KEY: "[" * 100_000})
    with pytest.raises(I2IError, match="cannot be read"):
        model_file.load(path)


def half_zero(seed=0):
    torch.manual_seed(seed)
    net = nets.build("resnet", channels_in=3, channels_out=3, blocks=2, width=8)
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() > 1:
                p.mul_(torch.rand_like(p) < 0.5)
    return net


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_packed_zeros_come_back_and_the_file_is_smaller(tmp_path, dtype):
    net = half_zero()
    dense = model_file.save(tmp_path / "dense.safetensors", {"G": net}, dtype=dtype)
    packed = model_file.save(tmp_path / "packed.safetensors", {"G": net}, dtype=dtype, sparse=True)
    assert packed.stat().st_size < 0.7 * dense.stat().st_size
    assert model_file.read_header(packed)["format"] == 2  # older versions say that i2i must be updated
    one, other = (model_file.load(path).networks["G"].state_dict() for path in (dense, packed))
    assert all(torch.equal(one[key], other[key]) for key in one)
    again = model_file.pack(packed, tmp_path / "again.safetensors")
    assert again.stat().st_size < 0.6 * model_file.pack(dense, tmp_path / "whole.safetensors").stat().st_size


@pytest.mark.parametrize("change", ["shape", "bits", "values", "missing"])
def test_packed_zeros_that_do_not_fit_are_damage(tmp_path, change):
    path = model_file.save(tmp_path / "m.safetensors", {"G": half_zero()}, sparse=True)
    key = "G.model.4.weight"

    def edit(header):
        header.pop("sha256")
        if change == "shape":
            header["sparse"][key] = [10**9, 10**9]
        if change == "missing":
            header["sparse"] = "all"

    tensors = load_file(path)
    if change == "bits":
        tensors[f"{key}::bits"] = tensors[f"{key}::bits"][:-1].contiguous()
    if change == "values":
        tensors[f"{key}::values"] = tensors[f"{key}::values"][:-1].contiguous()
    rewrite(path, edit, tensors)
    with pytest.raises(I2IError, match="the packed weights"):
        model_file.load(path)
