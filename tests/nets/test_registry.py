"""Networks are saved by name and recorded arguments."""

import copy
import json
import pickle

import pytest
import torch
from torch import nn

from i2i import nets
from i2i.core.errors import I2IError
from i2i.models import format as model_format
from i2i.nets.registry import NETWORKS


@pytest.fixture(autouse=True)
def registered_networks():
    """Names that a test registers are free again after it."""
    before = dict(NETWORKS)
    yield
    NETWORKS.clear()
    NETWORKS.update(before)
    for kind in (Tiny, Based, Derived, Inherited):
        if "registered_as" in vars(kind):
            del kind.registered_as


class Tiny(nn.Module):
    def __init__(self, width, depth=2, *, hidden=(3, 4), scale=0.5, **more):
        super().__init__()
        self.layer, self.more = nn.Conv2d(width, width, 1), more


class Based(nets.Network):
    def __init__(self, width: int, act: str = "relu") -> None:
        super().__init__()
        self.layer = nn.Conv2d(width, width, 1)


class Derived(Based):
    def __init__(self, blocks: int) -> None:
        super().__init__(2 * blocks)


class Inherited(Based):
    pass


def test_positional_keyword_and_default_arguments_are_recorded_by_name():
    kind = nets.record(Tiny)
    assert kind is Tiny
    net = Tiny(3, scale=1, extra={"a": (1, 2)})
    assert list(net.arguments.items()) == [
        ("width", 3),
        ("depth", 2),
        ("hidden", [3, 4]),
        ("scale", 1),
        ("extra", {"a": [1, 2]}),
    ]
    assert json.loads(json.dumps(net.arguments)) == net.arguments
    assert Tiny(1, 5).arguments["depth"] == 5


def test_recorded_arguments_are_copies():
    hidden = [1, 2]
    net = nets.record(Tiny)(3, hidden=hidden)
    hidden.append(3)
    assert net.arguments["hidden"] == [1, 2]


def test_the_outermost_class_wins():
    assert Based(3).arguments == {"width": 3, "act": "relu"}
    assert Derived(2).arguments == {"blocks": 2}
    assert Inherited(2, "gelu").arguments == {"width": 2, "act": "gelu"}


def test_a_registered_subclass_of_a_registered_class_is_saved_under_its_own_name(tmp_path):
    nets.register("test_based")(Based)
    nets.register("test_derived")(Derived)
    path = model_format.save(tmp_path / "m.safetensors", {"G": Derived(2)})
    described = model_format.read_header(path)["networks"]["G"]
    assert described == {"type": "test_derived", "arguments": {"blocks": 2}}
    loaded = model_format.load(path).networks["G"]
    assert type(loaded) is Derived
    assert loaded.arguments == {"blocks": 2}


def test_a_module_without_a_constructor_has_no_arguments():
    @nets.register("test_bare")
    class Bare(nn.Module):
        pass

    assert Bare().arguments == {}
    assert isinstance(nets.build("test_bare"), Bare)


def test_a_module_of_another_library_is_recorded_by_a_subclass():
    @nets.register("test_linear")
    class Mine(nn.Linear):
        pass

    assert nn.Linear(2, 3).__dict__.get("arguments") is None
    assert Mine(2, 3, bias=False).arguments == {
        "in_features": 2,
        "out_features": 3,
        "bias": False,
        "device": None,
        "dtype": None,
    }


def test_wrong_arguments_are_the_constructor_s_own_error():
    with pytest.raises(TypeError, match="__init__"):
        Based()
    with pytest.raises(I2IError, match=r"unet cannot be built: .*heads"):
        nets.build("unet", heads=3)


def test_an_argument_that_json_cannot_hold_is_named_when_the_network_is_saved(tmp_path):
    nets.register("test_tiny")(Tiny)
    net = Tiny(3, hidden=[1, nn.ReLU()])
    assert torch.is_tensor(net.layer.weight)
    with pytest.raises(I2IError, match=r"Tiny cannot be saved: its argument hidden .*ReLU"):
        model_format.save(tmp_path / "m.safetensors", {"G": net})
    with pytest.raises(I2IError, match=r"argument act .*function"):
        nets.network_arguments(Tiny(3, act=lambda x: x))
    assert nets.network_arguments(Tiny(3)) == Tiny(3).arguments


def test_positional_arguments_without_names_cannot_be_saved():
    @nets.record
    class Many(nn.Module):
        def __init__(self, *widths: int) -> None:
            super().__init__()

    assert nets.network_arguments(Many()) == {}
    with pytest.raises(I2IError, match="positional arguments without names"):
        nets.network_arguments(Many(1, 2))


def test_networks_with_recorded_arguments_are_copied_and_pickled():
    net = Based(3)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.arguments == {"width": 3, "act": "relu"}


def test_an_unregistered_class_is_told_how_to_be_saved(tmp_path):
    with pytest.raises(I2IError, match=r"Based cannot be saved.*not registered") as caught:
        model_format.save(tmp_path / "m.safetensors", {"G": Based(1)})
    assert "nets.register" in caught.value.hint


def test_two_classes_cannot_have_one_name():
    nets.register("test_based")(Based)
    nets.register("test_based")(Based)  # the same class again, as when a file is read twice
    with pytest.raises(I2IError, match="Based and Derived"):
        nets.register("test_based")(Derived)


FORMER = [
    ("mlp_g", {"classes": 0, "embed": 0, "eps": 1e-05}),
    ("mlp_d", {"classes": 0, "embed": 0}),
    ("resgan_g", {"eps": 1e-05}),
    ("resgan_d", {"eps": 1e-12, "plan": []}),
    ("progressive_g", {"size": 8, "plan": []}),
]


@pytest.mark.parametrize(("name", "arguments"), FORMER)
def test_arguments_of_earlier_versions_are_accepted_at_their_default(name, arguments):
    with torch.device("meta"):
        net = nets.build(name, **arguments)
    assert "eps" not in net.arguments
    assert "embed" not in net.arguments


@pytest.mark.parametrize(("name", "key"), [("mlp_g", "classes"), ("resgan_g", "eps"), ("progressive_g", "plan")])
def test_another_value_of_a_former_argument_is_refused_in_one_sentence(name, key):
    with pytest.raises(I2IError, match=rf"{name} was made with {key}=\[?3\]?; this version builds it with .* only"):
        nets.build(name, **{key: [3] if key == "plan" else 3})
