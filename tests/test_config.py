"""Settings as they are typed, in recipes and on the command line, become typed values or one sentence."""

import dataclasses
import math

import pytest

from i2i import config
from i2i.errors import I2IError


@dataclasses.dataclass(frozen=True)
class Network:
    width: int = 64  # channels of the first layer
    rate: float = 1e-3
    drop: bool = False  # leave out "half" of it
    kind: str = "unet"  # unet, resnet
    load: int | None = None
    flip: bool | None = None
    layers: tuple[int, ...] = (0, 4)  # indices


@dataclasses.dataclass(frozen=True)
class Wider(Network):
    width: int = 128  # another default
    depth: int = 8


@dataclasses.dataclass(frozen=True)
class Training:
    epochs: float = 200.0  # passes


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("width", "32", 32),
        ("width", " 32 ", 32),
        ("width", "3.2e1", 32),
        ("width", 32.0, 32),
        ("rate", "2e-4", 2e-4),
        ("rate", 1, 1.0),
        ("drop", "yes", True),
        ("drop", "True", True),
        ("drop", "off", False),
        ("drop", 1, True),
        ("kind", "resnet", "resnet"),
        ("kind", 5, "5"),
        ("load", "none", None),
        ("load", "", None),
        ("load", "0", 0),
        ("load", "286", 286),
        ("flip", "no", False),
        ("flip", "none", None),
        ("layers", "1,2,3", (1, 2, 3)),
        ("layers", "[1, 2]", (1, 2)),
        ("layers", [5], (5,)),
        ("layers", "7", (7,)),
    ],
)
def test_conversions(key, text, value):
    made = getattr(config.resolve({key: text}, {"net": Network})["net"], key)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "allowed"),
    [
        ("width", "wide", "a whole number"),
        ("width", "3.5", "a whole number"),
        ("width", True, "a whole number"),
        ("width", None, "a whole number"),
        ("rate", "nan", "a number"),
        ("rate", math.inf, "a number"),
        ("rate", "1,5", "a number"),
        ("drop", "maybe", "yes or no"),
        ("drop", 2, "yes or no"),
        ("load", "x", "a whole number or none"),
        ("layers", "1,x", "a list, each a whole number"),
        ("kind", ["unet"], "a text"),
    ],
)
def test_values_of_the_wrong_type_are_refused_by_name(key, text, allowed):
    with pytest.raises(I2IError) as caught:
        config.resolve({key: text}, {"net": Network})
    assert str(caught.value) == f"{key} is {text!r}. It must be {allowed}."


def test_keys_are_shared_out_and_the_rest_keeps_its_defaults():
    made = config.resolve({"epochs": "3", "depth": 4}, {"net": Wider, "training": Training})
    assert made == {"net": Wider(depth=4), "training": Training(3.0)}


def test_an_unknown_key_names_the_nearest_of_all_parts():
    with pytest.raises(I2IError, match=r"no setting 'epoch'.*Did you mean epochs\?"):
        config.resolve({"epoch": 1}, {"net": Network, "training": Training})


def test_a_key_that_two_parts_have_is_a_mistake_of_the_method():
    with pytest.raises(I2IError, match="'epochs' of Training exists already in first"):
        config.resolve({}, {"first": Training, "second": Training})


def test_settings_are_listed_with_type_default_and_the_comment_beside_them():
    listed = {s.name: s for s in config.settings(Network)}
    assert list(listed) == ["width", "rate", "drop", "kind", "load", "flip", "layers"]
    assert listed["width"] == config.Setting("width", "a whole number", 64, "channels of the first layer")
    assert listed["drop"].comment == 'leave out "half" of it'
    assert listed["rate"].comment == ""
    assert listed["layers"].type == "a list, each a whole number"


def test_a_subclass_speaks_for_the_fields_it_repeats():
    listed = {s.name: s for s in config.settings(Wider)}
    assert listed["width"].comment == "another default"
    assert listed["kind"].comment == "unet, resnet"
    assert listed["depth"].default == 8
