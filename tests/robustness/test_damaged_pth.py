"""A damaged or hostile `.pth` file is one sentence, whatever torch raises for it."""

import io
import pickle
import random
import struct
import zipfile

import pytest
import torch

from i2i import nets
from i2i.core.errors import I2IError
from i2i.models import pth


def saved(zipped: bool) -> bytes:
    buffer = io.BytesIO()
    net = nets.build("resnet", blocks=1, width=2)
    torch.save(net.state_dict(), buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
def test_random_damage_raises_nothing_else(tmp_path, zipped):
    draw, whole = random.Random(7), saved(zipped)
    refused = 0
    for _ in range(250):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 2, 5, 20))):
            place = draw.randrange(min(len(data), 3000))  # most of the structure
            data[place] = draw.randrange(256)
            if draw.random() < 0.2:
                del data[place : place + draw.randrange(1, 20)]
        if draw.random() < 0.2:
            data = data[: draw.randrange(len(data))]
        (tmp_path / "f.pth").write_bytes(data)
        try:
            pth.load_pth(tmp_path / "f.pth")
        except I2IError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    "error", [AssertionError, struct.error, zipfile.BadZipFile, RecursionError, pickle.UnpicklingError, EOFError,
              KeyError, OverflowError, UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "odd"), LookupError]
)  # fmt: skip
def test_whatever_torch_raises_is_one_sentence(tmp_path, monkeypatch, error):
    def damaged(*arguments: object, **options: object) -> None:
        raise error

    (tmp_path / "f.pth").write_bytes(saved(True))
    monkeypatch.setattr(torch, "load", damaged)
    with pytest.raises(I2IError, match=r"f\.pth is damaged, or it is not a checkpoint of PyTorch"):
        pth.read(tmp_path / "f.pth")


def test_tensors_that_lie_over_each_other_make_no_large_network(tmp_path):
    state = nets.build("resnet", blocks=1, width=2).state_dict()
    width = 16_000  # of the same layers: 23 GB
    with torch.device("meta"):
        large = nets.build("resnet", blocks=1, width=width).state_dict()
    fake = {key: torch.zeros(1).expand(large[key].shape) for key in state}
    torch.save(fake, tmp_path / "f.pth")
    assert (tmp_path / "f.pth").stat().st_size < 100_000
    with pytest.raises(I2IError, match=r"tell of .* numbers, and hold"):
        pth.load_pth(tmp_path / "f.pth")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.to_sparse(),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        lambda t: t.to(torch.complex64),
        lambda t: t.to("meta"),
        lambda t: t.to(torch.bool),
    ],
)
def test_tensors_of_odd_kinds_are_one_sentence(tmp_path, change):
    state = nets.build("resnet", blocks=1, width=2).state_dict()
    state["model.1.weight"] = change(state["model.1.weight"])
    torch.save(state, tmp_path / "f.pth")
    try:
        pth.load_pth(tmp_path / "f.pth")
    except I2IError:
        return
    assert state["model.1.weight"].dtype == torch.bool


@pytest.mark.parametrize(
    "keys",
    [
        ["model.x.conv_block.weight", "model.1.weight"],
        ["model.1.weight"],
        ["model.0.weight"],
        ["model.model.0.weight"],
        ["net.0.weight"],
        ["", ".", "..", "model..weight"],
        ["model.99999999999999999999.weight", "model.1.weight"],
    ],
)
@pytest.mark.parametrize("shape", [(2, 3, 7, 7), (2, 3, 4, 4), (1, 1, 1, 1), (), (0, 0, 0, 0), (0, 3, 7, 7)])
def test_odd_keys_and_shapes_are_one_sentence(tmp_path, keys, shape):
    torch.save({key: torch.zeros(shape) for key in keys}, tmp_path / "f.pth")
    with pytest.raises(I2IError):
        pth.load_pth(tmp_path / "f.pth")
