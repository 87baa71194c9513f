"""From what users call a model to a translator: found once, digested without a network, made from memory."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from i2i import nets
from i2i.core.errors import I2IError, MethodNeeded
from i2i.models import format as model_file
from i2i.models import load as loading
from i2i.models.load import ModelFile, digest, find, load, translator_of

OWN_METHOD = """
from dataclasses import dataclass
from torch import nn
from i2i import Method, nets

@nets.register("test_load_own_g")
class Own(nn.Module):
    def __init__(self, channels: int = 3, scale: float = -2.5, most: int = 100_000) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.conv(x).tanh()

@dataclass(frozen=True)
class Settings:
    lr: float = 0.1  # learning rate

class Mine(Method):
    Config = Settings
"""


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    networks = {"G": nets.build("unet", depth=3, width=2), "F": nets.build("resnet", blocks=1, width=2)}
    header = {"method": "cyclegan", "train_mode_norm": True, "data": ["/home/me/secret/photos"]}
    return model_file.save(tmp_path / "run" / "model.safetensors", networks, header)


# ---- finding -------------------------------------------------------------------------------------------------------


def test_a_model_is_found_once(model, monkeypatch):
    source = find(model.parent)
    assert source == ModelFile(model, "run")
    assert find(source) is source
    monkeypatch.setattr(loading, "_path_of", lambda *_: pytest.fail("looked for again"))
    translator = load(source, "cpu")
    assert translator.name == "run"
    assert digest(source, "cpu") == translator.digest


# ---- digests -------------------------------------------------------------------------------------------------------


def test_digests_of_shipped_models_are_those_that_records_of_archives_hold():
    """Literals: `--resume` compares them with the records of earlier runs."""
    assert digest("cyclegan_daynight", "cpu") == "ef174b4654501cd6cb29082abe71cbe0"
    assert digest("pix2pix_earth", "cpu") == "72db9950850ddc8bca56a98ca9bc736c"
    assert load("pix2pix_earth", "cpu").digest == "72db9950850ddc8bca56a98ca9bc736c"


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("statistics", ["auto", "image", "stored"])
def test_a_digest_needs_no_network(model, direction, statistics, monkeypatch):
    expected = load(model, "cpu", direction=direction, statistics=statistics).digest
    monkeypatch.setattr(model_file, "build", lambda *_: pytest.fail("built"))
    assert digest(model, "cpu", direction=direction, statistics=statistics) == expected


def test_digests_differ_where_outputs_may(model, tmp_path):
    every = {digest(model, "cpu", direction=d, statistics=s) for d in ("AtoB", "BtoA") for s in ("image", "stored")}
    assert len(every) == 4
    torch.save(nets.build("resnet", blocks=1, width=2).state_dict(), tmp_path / "net_G.pth")
    assert digest(tmp_path / "net_G.pth", "cpu") == load(tmp_path / "net_G.pth", "cpu").digest


def test_a_digest_refuses_what_load_refuses(model, tmp_path):
    data = bytearray(model.read_bytes())
    with pytest.raises(I2IError, match="precision 'fp8'"):
        digest(model, "cpu", "fp8")
    only = model_file.pack(model, tmp_path / "g.safetensors", "G")
    with pytest.raises(I2IError, match="cannot translate BtoA"):
        digest(only, "cpu", direction="BtoA")
    data = bytearray(only.read_bytes())
    data[-5] ^= 255
    only.write_bytes(data)
    with pytest.raises(I2IError, match="damaged"):
        digest(only, "cpu")


# ---- networks in memory --------------------------------------------------------------------------------------------


def test_networks_in_memory_are_the_same_translator(model):
    saved = model_file.load(model)
    x = torch.rand(2, 3, 16, 24) * 2 - 1
    for direction in ("AtoB", "BtoA"):
        there, here = load(model, "cpu", direction=direction), translator_of(saved.networks, saved.header, "mine")
        if direction == "BtoA":
            here = translator_of(saved.networks, saved.header, "mine", direction="BtoA")
        assert torch.equal(there(x), here(x))
        assert (here.name, here.digest) == ("mine", there.digest)
    assert here.network is saved.networks["F"]
    with pytest.raises(I2IError, match="mine cannot translate BtoA"):
        translator_of({"G": saved.networks["G"]}, {}, "mine", direction="BtoA")
    with pytest.raises(I2IError, match="no generator"):
        translator_of({"D": saved.networks["G"]}, {}, "mine")


def test_the_statistics_of_the_image_have_one_meaning_by_both_names(model):
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    image, picture, stored = (load(model, "cpu", statistics=s)(x) for s in ("image", "picture", "stored"))
    assert torch.equal(image, picture)
    assert not torch.equal(image, stored)


# ---- copies to pass on ---------------------------------------------------------------------------------------------


def test_a_packed_model_is_small_and_says_nothing_of_folders(model, tmp_path):
    packed = model_file.pack(model, tmp_path / "small.safetensors", "F")
    header = model_file.read_header(packed)
    assert (list(header["networks"]), header["data"]) == (["F"], ["photos"])
    assert b"/home/me" not in packed.read_bytes()
    assert {t.dtype for k, t in load_file(packed).items() if "num_batches" not in k} == {torch.float16}
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    whole, small = (load(p, "cpu", direction="BtoA")(x) for p in (model, packed))
    assert (whole - small).abs().max() < 0.02
    with pytest.raises(I2IError, match="has no network 'H'"):
        model_file.pack(model, tmp_path / "h.safetensors", "H")


# ---- a network of the user's own -----------------------------------------------------------------------------------


class OwnAtHome(nn.Module):
    """The network of OWN_METHOD, as its author's machine had it."""

    registered_as = "test_load_own_g"

    def __init__(self, channels=3, scale=-2.5, most=100_000):
        super().__init__()
        self.arguments = {"channels": channels, "scale": scale, "most": most}
        self.conv = nn.Conv2d(channels, channels, 1)


def test_the_code_of_an_own_method_runs_only_by_consent(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(OWN_METHOD)
    path = tmp_path / "model.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OwnAtHome, "registered_as", "test_load_own_g", raising=False)
        model_file.save(path, {"G": OwnAtHome()}, {"method": str(file)})
    for refused in (load, digest):
        with pytest.raises(MethodNeeded, match=r"its author's own, mine.py, and needs .*: --method mine.py"):
            refused(path, "cpu")
    translator = load(path, "cpu", method=file)
    assert type(translator.network).__name__ == "Own"
    assert translator(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert digest(path, "cpu", method=file) == translator.digest
    with pytest.raises(I2IError, match=r"none\.py"):
        load(path, "cpu", method=tmp_path / "none.py")
