"""Model files that are not what their names say, and networks whose numbers are none."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import i2i
from i2i import nets
from i2i.core.errors import I2IError
from i2i.media import images
from i2i.models import format as model_file
from i2i.models.facts import facts_of
from i2i.models.load import digest, display_name, find, translator_of
from i2i.models.tiling import TileSettings
from tests.cli import program

IMAGE = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 45\n"
PAGE = "\n<!DOCTYPE html>\n<html><body>Not found</body></html>"


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nets.build("resnet", width=4, blocks=1)


@pytest.mark.parametrize("name", ["a.pth.tar", "A.PTH", "a.ckpt", "a.pt", "a.bin", "a.PTH.TAR", "a.safetensors", "a"])
@pytest.mark.parametrize("container", ["", "state_dict", "model"])
def test_weights_of_pytorch_are_known_by_their_content(tmp_path, name, container):
    network, path = _network(), tmp_path / name
    torch.save({container: network.state_dict(), "epoch": 3} if container else network.state_dict(), path)
    expected = translator_of({"G": network.eval()}, {"train_mode_norm": True})(IMAGE)
    assert (i2i.load(path, "cpu")(IMAGE) == expected).all()
    assert display_name(path).lower() == "a"


def test_a_saved_model_is_known_under_the_suffix_of_pytorch(tmp_path):
    path = model_file.save(tmp_path / "model.bin", {"G": _network()}, {"train_mode_norm": True})
    assert i2i.load(path, "cpu")(IMAGE).shape == IMAGE.shape


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx", ".ckpt"])
@pytest.mark.parametrize(("content", "called"), [(POINTER, "Git LFS pointer"), (PAGE, "web page"), ("", "empty")])
def test_what_came_instead_of_a_model_is_called_so(tmp_path, suffix, content, called):
    path = tmp_path / f"model{suffix}"
    path.write_text(content)
    for load in (i2i.load, i2i.load_generator):
        with pytest.raises(I2IError, match=called) as error:
            load(path)
        assert error.value.hint


def test_a_folder_of_the_authors_checkpoints_is_a_model(tmp_path):
    experiment = tmp_path / "checkpoints" / "exp"
    experiment.mkdir(parents=True)
    for name in ("5_net_G_A.pth", "10_net_G_A.pth", "10_net_G_B.pth"):
        torch.save(_network().state_dict(), experiment / name)
    assert find(experiment).path.name == "10_net_G_A.pth"
    torch.save(_network().state_dict(), experiment / "latest_net_G_A.pth")
    assert find(experiment).path.name == "latest_net_G_A.pth"
    with pytest.raises(I2IError, match="holds 1 run") as error:
        i2i.load(tmp_path / "checkpoints")
    assert str(experiment) in error.value.hint


def test_the_authors_way_back_is_reached_by_the_direction(tmp_path):
    experiment = tmp_path / "exp"
    experiment.mkdir()
    files = {}
    for seed, name in enumerate(("latest_net_G_A.pth", "latest_net_G_B.pth", "5_net_G_A.pth", "7_net_G_B.pth")):
        torch.manual_seed(seed)
        files[name] = nets.build("resnet", width=4, blocks=1)
        torch.save(files[name].state_dict(), experiment / name)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    both = [i2i.load(experiment / name)(image) for name in files]
    assert (both[0] != both[1]).any()
    for direction, wanted, name in (("AtoB", both[0], "latest_net_G_A.pth"), ("BtoA", both[1], "latest_net_G_B.pth")):
        for model in (experiment, experiment / "latest_net_G_A.pth", experiment / name):
            loaded = i2i.load(model, direction=direction)
            assert (loaded(image) == wanted).all()
            assert digest(model, direction=direction) == loaded.digest
    assert (i2i.load(experiment / "latest_net_G_B.pth")(image) == both[1]).all()  # a file by its name is as it is
    assert (i2i.load(experiment / "7_net_G_B.pth", direction="BtoA")(image) == both[3]).all()
    assert facts_of(find(experiment).path)["way back"] == "latest_net_G_B.pth (--direction BtoA)"
    with pytest.raises(I2IError, match=r"5_net_G_B\.pth is not beside it"):
        i2i.load(experiment / "5_net_G_A.pth", direction="BtoA")
    with pytest.raises(I2IError, match="holds 1 run") as error:
        i2i.load(tmp_path)
    assert error.value.hint.endswith("For B to A of exp, add --direction BtoA.")
    (experiment / "latest_net_G_A.pth").rename(tmp_path / "latest_net_G.pth")
    with pytest.raises(I2IError, match="holds one network, for one direction"):
        i2i.load(tmp_path, direction="BtoA")


class OtherBlock(nn.Module):
    """x + two convolutions, as a CycleGAN of another program has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        self.conv_block = nn.Sequential(*half, nn.ReLU(), *map(copy.deepcopy, half))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class OtherGenerator(nn.Module):
    """Another program's generator with the authors' layers."""

    def __init__(self) -> None:
        super().__init__()
        ends = [nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7)], [nn.ReflectionPad2d(3), nn.Conv2d(4, 3, 7), nn.Tanh()]
        down = [nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)]
        up = [nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.ConvTranspose2d(8, 4, 3, 2, 1, 1)]
        wrapped = [[layer, nn.InstanceNorm2d(layer.out_channels), nn.ReLU()] for layer in (*down, *up)]
        first = [*ends[0], nn.InstanceNorm2d(4), nn.ReLU(), *wrapped[0], *wrapped[1]]
        self.model = nn.Sequential(*first, OtherBlock(16), *wrapped[2], *wrapped[3], *ends[1])


def test_both_generators_of_another_cyclegan_are_read(tmp_path):
    """In one file, or each in a file that its direction names."""
    torch.manual_seed(0)
    ways = {"AtoB": OtherGenerator().eval(), "BtoA": OtherGenerator().eval()}
    image = torch.rand(3, 16, 16) * 2 - 1
    with torch.no_grad():
        expected = {way: net.model(image[None])[0] for way, net in ways.items()}
    one, another = (ways[way].state_dict() for way in ("AtoB", "BtoA"))
    torch.save({"epoch": 3, "G_A2B": one, "G_B2A": another, "D_A": {"x": torch.zeros(1)}}, tmp_path / "all.ckpt")
    torch.save({"gen_BA": another, "gen_AB": one}, tmp_path / "gen.pth")
    for name, state in (("A2B", one), ("B2A", another)):
        torch.save(state, tmp_path / f"netG_{name}.pth")
    for name in ("all.ckpt", "gen.pth", "netG_A2B.pth"):
        for way, wanted in expected.items():
            loaded = i2i.load(tmp_path / name, direction=way)
            assert torch.allclose(loaded(image), wanted, atol=1e-5), (name, way)
            assert digest(tmp_path / name, direction=way) == loaded.digest
    assert facts_of(tmp_path / "all.ckpt")["way back"] == "in the same file (--direction BtoA)"
    assert facts_of(tmp_path / "netG_A2B.pth")["way back"] == "netG_B2A.pth (--direction BtoA)"
    (tmp_path / "netG_B2A.pth").unlink()
    with pytest.raises(I2IError, match=r"netG_B2A\.pth is not beside it"):
        i2i.load(tmp_path / "netG_A2B.pth", direction="BtoA")
    torch.save({"G_A2B": one}, tmp_path / "half.pth")
    with pytest.raises(I2IError, match="This is not the state dict of one network: 'G_A2B' is a"):
        i2i.load(tmp_path / "half.pth")


def test_a_folder_of_other_files_says_what_it_holds(tmp_path):
    for name in ("latest_net_D_A.pth", "latest_net_G_B.pth", "weights.bin"):
        torch.save(_network().state_dict(), tmp_path / name)
    with pytest.raises(I2IError, match=r"but latest_net_D_A.pth, latest_net_G_B.pth, weights.bin\.") as error:
        i2i.load(tmp_path)
    assert error.value.hint == f"Give the file of a generator: --model {tmp_path / 'latest_net_G_B.pth'}"


def _broken(value: float) -> nn.Module:
    network = _network()
    with torch.no_grad():
        next(network.parameters()).view(-1)[3] = value
    return network


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_in_every_file(tmp_path, value):
    torch.save(_broken(value).state_dict(), tmp_path / "bad.pth")
    model_file.save(tmp_path / "bad.safetensors", {"G": _broken(value)}, {"train_mode_norm": True})
    for name in ("bad.pth", "bad.safetensors"):
        with pytest.raises(I2IError, match="NaN or infinite"):
            i2i.load(tmp_path / name)
    with pytest.raises(I2IError, match="NaN or infinite"):
        model_file.pack(tmp_path / "bad.safetensors", tmp_path / "packed.safetensors")
    assert not (tmp_path / "packed.safetensors").exists()


@pytest.mark.parametrize("tiling", [None, TileSettings(32, 4)])
def test_an_output_that_is_no_number_never_becomes_an_image(tiling):
    model = translator_of({"G": _broken(float("nan"))}, {"train_mode_norm": True}, tiling=tiling)
    for image in (np.zeros((64, 64, 3), np.uint8), np.tile(IMAGE, (2, 2, 1)), torch.zeros(1, 3, 64, 64)):
        with pytest.raises(I2IError, match="NaN or infinite"):
            model(image)


def test_images_from_noise_that_are_no_numbers_are_refused(tmp_path):
    model = i2i.load_generator("tests/digits/models/gan_small.safetensors", "cpu")
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    with pytest.raises(I2IError, match="NaN or infinite"):
        i2i.generate(model, 2, output=tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_the_program_writes_nothing_by_a_model_without_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(_broken(float("nan")).state_dict(), "bad.pth")
    images.save("in/a.png", IMAGE)
    for words in (
        ["translate", "in", "-o", "out"],
        ["translate", "in/a.png", "-o", "out.png"],
        ["export", "-o", "out.onnx"],
    ):
        _, errors = program.i2i(*words, "--model", "bad.pth", code=1)
        assert "NaN or infinite" in errors
    assert {p.name for p in tmp_path.iterdir()} == {"bad.pth", "in"}
