"""Every registered method can start from the weights of another run of it, by the roles of its networks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from i2i.core.errors import I2IError
from i2i.methods import method_names
from i2i.methods._method import Method
from i2i.models import format as model_file
from i2i.training.start import Start, read_start
from tests.methods.tiny import loop, made

every_method = pytest.mark.parametrize("name", method_names())


def trained(method: Method) -> dict[str, nn.Module]:
    """The networks of a method that have weights."""
    return {n: net for n, net in method.networks().items() if next(net.parameters(), None) is not None}


def equal(a: nn.Module, b: nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@every_method
def test_a_model_that_keeps_its_discriminators_gives_all_networks(name: str, tmp_path: Path) -> None:
    source = made(name, seed=3)
    networks = trained(source)
    averaged = {n: networks[n] for n in source.averaged}
    others = {n: net for n, net in networks.items() if n not in averaged}
    path = model_file.save(tmp_path / "m.safetensors", averaged, {"method": name}, others=others)
    assert set(model_file.load(path).networks) == set(source.averaged)  # what uses a model sees no difference
    assert set(model_file.load(path, [source.averaged[0]]).networks) == {source.averaged[0]}

    fresh = made(name, seed=4)
    assert not all(equal(trained(fresh)[n], networks[n]) for n in networks)
    (sentence,) = read_start(str(path)).into(fresh)
    assert all(equal(trained(fresh)[n], networks[n]) for n in networks)
    assert "anew" not in sentence
    assert sentence.endswith(f"from the weights of {path}.")

    # Without them, the others start anew, and that is said.
    plain = model_file.save(tmp_path / "plain.safetensors", averaged, {"method": name})
    fresh = made(name, seed=4)
    (sentence,) = read_start(str(plain)).into(fresh)
    assert all(equal(trained(fresh)[n], networks[n]) for n in averaged)
    assert all(equal(trained(fresh)[n], trained(made(name, seed=4))[n]) for n in others)
    assert ("with new weights, because they are not in it." in sentence) == bool(others)
    packed = model_file.pack(path, tmp_path / "pack.safetensors")
    assert set(read_start(str(packed)).states) == set(averaged)


@every_method
def test_a_run_gives_its_averages_and_its_discriminators(name: str, tmp_path: Path) -> None:
    run = loop(name, tmp_path / "run", ema=10.0)
    run.run()
    (tmp_path / "run" / "config.yaml").write_text(f"method: {name}\n")
    fresh = made(name, seed=5)
    (sentence,) = read_start(str(tmp_path / "run")).into(fresh)
    assert "anew" not in sentence
    for role, network in trained(fresh).items():
        assert equal(network, run.ema.networks.get(role, run.method.networks()[role])), role
    shutil.rmtree(tmp_path / "run" / "checkpoints")  # then its model counts
    read_start(str(tmp_path / "run")).into(fresh)


@every_method
def test_a_generator_of_another_form_is_one_sentence_with_shapes(name: str) -> None:
    method = made(name)
    before = {k: v.clone() for k, v in method.state_dict().items()}
    generator = method.averaged[0]
    states = {n: dict(net.state_dict()) for n, net in trained(method).items()}
    key = next(k for k, v in states[generator].items() if v.dim() > 1)
    there = states[generator][key].new_zeros(7, 7)
    here = "x".join(map(str, states[generator][key].shape))
    states[generator][key] = there
    with pytest.raises(I2IError) as caught:
        Start("other", states).into(method)
    said = f"other does not fit this run: {generator}: {key} is 7x7 in the model and {here} here."
    assert str(caught.value).startswith(said)
    assert all(torch.equal(v, method.state_dict()[k]) for k, v in before.items())

    others = [n for n in states if n not in method.averaged]
    states = {n: dict(net.state_dict()) for n, net in trained(method).items()}
    for other in others:
        key = next(iter(states[other]))
        del states[other][key]
        (sentence,) = Start("other", states).into(method)
        assert (
            f"{other} starts with new weights, because the saved ones do not fit: {key} is absent in the model"
            in sentence
        )
        break
