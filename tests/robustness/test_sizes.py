"""Sizes that nobody can mean, in settings, recipes and headers of models, are refused before anything is built."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import i2i
from i2i import nets
from i2i.core.errors import I2IError
from i2i.methods import load_method, method_names
from i2i.models import format as model_file
from i2i.models.generator import load_generator
from i2i.nets.bounds import at_most
from i2i.training import resolve

HUGE = 2**31 - 1


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for k in range(2):
        Image.fromarray(np.full((16, 32, 3), 80 * k, np.uint8)).save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "m.safetensors"
    return model_file.save(path, {"G": nets.build("unet", depth=2, width=2)}, {"method": "pix2pix"})


@pytest.fixture(scope="module")
def generating(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "g.safetensors"
    header = {"kind": "generate", "latent": [["normal", 4]], "size": 16, "class_names": ["a", "b"]}
    return model_file.save(path, {"G": nets.build("dcgan_g", z=4, size=16, width=2, classes=2)}, header)


def rewritten(path: Path, folder: Path, change: object) -> Path:
    with model_file.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["i2i"])
    change(header)  # type: ignore[operator]
    header.pop("sha256", None)
    save_file(load_file(path), folder / path.name, metadata={"i2i": json.dumps(header)})
    return folder / path.name


@pytest.mark.parametrize(
    ("recipe", "name", "value", "allowed"),
    [
        ("pix2pix", "layers", HUGE, "1 to 64"),
        ("pix2pix", "depth", HUGE, "0 to 14"),
        ("pix2pix", "width", 10**9, "1 to 16384"),
        ("pix2pix", "d_width", 10**9, "1 to 16384"),
        ("pix2pix", "size", 10**9, "4 to 16384"),
        ("pix2pix", "load", 10**9, "0 to 16384"),
        ("pix2pix", "batch", 10**9, "1 to 1000000"),
        ("pix2pix", "workers", 10**9, "0 to 256"),
        ("pix2pix", "epochs", 1e300, "0 to 1000000"),
        ("pix2pix", "images", 10**15, "0 to 999999999999"),
        ("cyclegan", "blocks", 10**8, "0 to 256"),
        ("cut", "blocks", 10**8, "0 to 256"),
        ("bridge", "steps", 10**8, "1 to 200"),
        ("unsb", "timesteps", 10**8, "1 to 200"),
        ("wgan", "critic_steps", HUGE, "1 to 10000"),
    ],
)
def test_a_size_that_nobody_can_mean_is_refused_at_once(pairs, recipe, name, value, allowed):
    began = time.process_time()
    with pytest.raises(I2IError) as caught:
        resolve.resolve_run(recipe, [str(pairs)], overrides={name: str(value)})
    shown = f"{value:g}" if isinstance(value, float) else value
    assert str(caught.value) == f"{name} is {shown}. Allowed: {allowed}."
    assert time.process_time() - began < 5


def test_every_size_of_every_method_has_a_largest_value():
    unbounded = {"taps", "train", "fade", "start", "minibatch", "first", "again", "pool", "patches"}  # build no layers
    for name in method_names():
        fields = load_method(name).Config.__dataclass_fields__
        for field, about in fields.items():
            if about.type in ("Count", "Natural", "int", "tuple[Count, ...]", "tuple[Natural, ...]"):
                assert field in unbounded, f"{field} of {name} has no largest value"


def test_networks_that_cannot_fit_into_the_memory_are_not_built(pairs):
    run = resolve.resolve_run("cyclegan", [str(pairs)], overrides={"layout": "paired", "size": 16, "width": 16384})
    began = time.process_time()
    with pytest.raises(I2IError, match=r"more than .* numbers in their parameters, too many to train on a CPU with"):
        run.build()
    assert time.process_time() - began < 5


def test_a_batch_that_cannot_fit_into_the_memory_is_refused(pairs):
    with pytest.raises(I2IError, match=r"The images of one step \(batch 1000000, 4096 x 4096 pixels\) need .* GB"):
        resolve.resolve_run("pix2pix", [str(pairs)], overrides={"size": 4096, "batch": 1_000_000})


def test_a_method_of_the_users_own_cannot_fill_the_memory_either():
    with pytest.raises(I2IError, match="more than 1,000 tensors"), at_most(1e12, 1000, ""):
        torch.nn.Sequential(*[torch.nn.Linear(1, 1) for _ in range(HUGE)])
    torch.nn.Linear(100, 100)  # the limit ends with its block
    with at_most(100, 100, ""):
        nets.spectral_norm(torch.nn.Linear(10, 9, bias=False))  # counts once


@pytest.mark.parametrize(
    "arguments",
    [
        {"depth": 900}, {"depth": [2]}, {"depth": "2"}, {"depth": None}, {"depth": True}, {"depth": 2.0},
        {"width": 10**9}, {"width": 16384}, {"width": 0}, {"width": -1}, {"channels_in": "3"}, {"channels_out": [3]},
        {"norm": 5}, {"norm": {"a": 1}}, {"dropout": "yes"}, {"max_width": 10**200}, {"upsample": None}, {"self": 1},
    ],
)  # fmt: skip
def test_sizes_in_a_header_are_refused_before_the_network_is_built(saved, tmp_path, arguments):
    path = rewritten(saved, tmp_path, lambda h: h["networks"]["G"]["arguments"].update(arguments))
    began = time.process_time()
    for use in (i2i.load, model_file.load):
        with pytest.raises(I2IError, match=r"depth|width|channels|norm|dropout|upsample|self|do not fit"):
            use(path)
    assert time.process_time() - began < 2


ODD = ([3], "3", None, 3.5, True, {}, -1, 10**12, 10**200)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("key", ["channels_in", "channels_out", "multiple", "size", "generator", "kind", "data"])
def test_odd_values_in_a_header_are_one_sentence(saved, tmp_path, key, value):
    if (key, value) in (("generator", "3"), ("generator", None), ("kind", "3"), ("kind", None)):
        return  # texts
    path = rewritten(saved, tmp_path, lambda h: h.update({key: value}))
    with pytest.raises(I2IError, match=f"The header of .* is damaged: {key} is"):
        i2i.load(path)


@pytest.mark.parametrize(
    "change",
    [
        *({"size": value} for value in ODD), *({"sizes": [value]} for value in ODD), *({"latent": v} for v in ODD),
        {"latent": [["normal", 5]]}, {"latent": [["normal", [4]]]}, {"latent": [["normal"]]}, {"latent": []},
        {"latent": [[4, "normal"]]}, {"latent": [["normal", 10**9]]}, {"latent": [["odd", 4]]}, {"latent": [[[], 4]]},
        {"class_names": ["a"]}, {"class_names": ["a", "b", "c"]}, {"class_names": [1, 2]}, {"class_names": {"a": 1}},
        {"standing": 10**9}, {"standing": "x"}, {"sizes": [4, 8, 16]}, {"generator": ["G"]}, {"generator": "D"},
    ],
)  # fmt: skip
def test_odd_values_in_the_header_of_a_generator_are_one_sentence(generating, tmp_path, change):
    assert len(list(load_generator(generating).images([0, 1]))) == 2
    with pytest.raises(I2IError):
        list(load_generator(rewritten(generating, tmp_path, lambda h: h.update(change))).images([0]))


def test_a_file_of_too_many_tensors_is_refused_at_once(tmp_path):
    header = {"format": 1, "networks": {"G": {"type": "resnet", "arguments": {}}}}
    tensors = {f"G.{k}": torch.zeros(0) for k in range(model_file.MAX_TENSORS + 1)}
    save_file(tensors, tmp_path / "m.safetensors", metadata={"i2i": json.dumps(header)})
    began = time.process_time()
    with pytest.raises(I2IError, match=r"holds 20,001 tensors. Allowed: 20,000."):
        i2i.load(tmp_path / "m.safetensors")
    assert time.process_time() - began < 2
    long = json.dumps({"__metadata__": {"i2i": "x" * model_file.MAX_HEADER}}).encode()
    (tmp_path / "long.safetensors").write_bytes(len(long).to_bytes(8, "little") + long + b"0")
    with pytest.raises(I2IError, match=r"bytes\. Allowed: 10,000,000"):
        i2i.load(tmp_path / "long.safetensors")
