"""Settings as they are typed, in recipes and on the command line, become typed values or one sentence."""

import dataclasses
import math
from typing import Annotated

import pytest

from i2i.core import config, other_names
from i2i.core.config import Count, Natural, Positive, Range, Share, UnderOne
from i2i.core.errors import I2IError
from i2i.data import DataSettings
from i2i.methods import load_method
from i2i.methods._registry import builtin_methods
from i2i.training.settings import TrainSettings
from i2i.training.tricks import TrickSettings


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


@dataclasses.dataclass(frozen=True)
class Ranges:
    steps: Count = 1
    pool: Natural = 0
    clamp: Positive = 0.1
    hold: Share = 0.5
    beta: UnderOne = 0.5
    units: tuple[Count, ...] = (3,)
    load: Natural | None = None
    tilt: Annotated[float, Range(-1, 1, above=True)] = 0


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
        ("kind", "", ""),
        ("kind", None, ""),
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
        ("layers", "", ()),
        ("layers", "[]", ()),
        ("layers", None, ()),
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


@pytest.mark.parametrize(
    ("key", "least", "text", "said"),
    [
        ("steps", 1, "0", "steps is 0. Allowed: 1 or more."),
        ("pool", 0, -1, "pool is -1. Allowed: 0 or more."),
        ("clamp", 1e-9, "0", "clamp is 0. Allowed: more than 0."),
        ("hold", 1.0, "1.1", "hold is 1.1. Allowed: 0 to 1."),
        ("beta", 0.0, "1", "beta is 1. Allowed: at least 0 and under 1."),
        ("units", (1, 2), "5, 0", "units is 0. Allowed: 1 or more."),
        ("load", None, "-3", "load is -3. Allowed: 0 or more."),
        ("tilt", 1.0, "-1", "tilt is -1. Allowed: more than -1 and at most 1."),
        ("steps", 7, "x", "steps is 'x'. It must be a whole number, 1 or more."),
    ],
)
def test_numbers_out_of_the_range_of_their_type_are_refused(key, least, text, said):
    assert getattr(config.resolve({key: least}, {"net": Ranges})["net"], key) == least
    with pytest.raises(I2IError) as caught:
        config.resolve({key: text}, {"net": Ranges})
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("wgan", {"critic_steps": 0, "clamp": 0, "width": 0, "z": 0, "lr": -1e-4, "again": 0}),
        ("gngan", {"critic_steps": -1, "g_batch": 0, "d_width": 0, "d_lr": -1, "beta1": 1, "beta2": -0.1}),
        ("progressive", {"group": 0, "minibatch": "16, 0", "gp": -10, "drift": -1, "train": -1, "fade": -1}),
        ("infogan", {"categories": 0, "numbers": -1, "mutual": -1}),
        ("gan", {"momentum": 1, "last_momentum": -0.1, "dropout": 1, "hidden": "0", "pieces": 0}),
        ("cgan", {"units": 0, "dropout": -0.1}),
        ("acgan", {"cls": -1, "fake_class": -1, "std": -1}),
        ("biggan", {"attention": -1, "ortho": -1, "shared": 0, "adam_eps": -1}),
        ("transgan", {"heads": 0, "patch": 0, "depths": "2, -1"}),
        ("dcgan", {"real_target": 1.1, "r1": -1, "r1_every": 0, "instance_noise": -1, "noise_until": 1.5}),
        ("dcgan", {"ada": 1.1, "ada_length": 0, "smooth_labels": 0.5, "flip_labels": -0.1}),
        ("dcgan", {"batch": 0, "accumulate": 0, "ema": -1, "clip": -1, "seed": 2**64, "keep": 0, "epochs": -1}),
        ("pix2pix", {"l1": -1, "layers": 0, "gain": -1, "blocks": -1}),
        ("cyclegan", {"pool": -1, "cycle_x": -1, "identity": -1}),
        ("cut", {"temperature": 0, "hold": 2, "taps": "-1", "patches": 0, "nce": -1}),
    ],
)
def test_what_no_method_can_use_is_refused_before_there_is_data(method, values):
    parts = {"config": load_method(method).Config, "plan": TrainSettings, "craft": TrickSettings}
    for key, value in values.items():
        with pytest.raises(I2IError, match=rf"^{key} is .*\. Allowed: "):
            config.resolve({key: value}, parts)


def test_keys_are_shared_out_and_the_rest_keeps_its_defaults():
    made = config.resolve({"epochs": "3", "depth": 4}, {"net": Wider, "training": Training})
    assert made == {"net": Wider(depth=4), "training": Training(3.0)}


def test_an_unknown_key_names_the_nearest_of_all_parts():
    with pytest.raises(I2IError, match=r"no setting 'epoch'.*Did you mean epochs\?"):
        config.resolve({"epoch": 1}, {"net": Network, "training": Training})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *((word, "size") for word in ("resolution", "image_size", "img_size", "imgsz", "crop_size", "Image-Size")),
        ("load_size", "load"),
        ("batch_size", "batch"),
        ("learning_rate", "lr"),
        ("n_epochs", "epochs"),
        ("num_workers", "workers"),
        ("lambda_A", "cycle_x"),
        ("gan_mode", "loss"),
    ],
)
def test_the_words_of_other_programs_lead_to_ours(typed, meant):
    parts = {"training": TrainSettings, "data": DataSettings, "method": load_method("cyclegan").Config}
    with pytest.raises(I2IError) as caught:
        config.resolve({typed: "256"}, parts)
    assert str(caught.value) == f"There is no setting {typed!r}. Did you mean {meant}?"


def test_a_length_in_steps_leads_to_one_in_images():
    with pytest.raises(I2IError, match="counted in images: give images, the steps times batch"):
        config.resolve({"max_steps": "256"}, {"training": TrainSettings})


def test_every_word_of_other_programs_leads_to_a_setting_that_is_there():
    parts = [TrainSettings, DataSettings, TrickSettings, *(load_method(name).Config for name in builtin_methods())]
    there = {field.name for part in parts for field in dataclasses.fields(part)}
    assert set(other_names.SETTINGS.values()) <= there


def test_a_key_that_two_parts_have_is_a_mistake_of_the_method():
    with pytest.raises(I2IError, match="Training has a setting 'epochs', which i2i itself uses"):
        config.resolve({}, {"first": Training, "second": Training})


def test_settings_are_listed_with_type_default_and_the_comment_beside_them():
    listed = {s.name: s for s in config.settings(Network)}
    assert list(listed) == ["width", "rate", "drop", "kind", "load", "flip", "layers"]
    assert listed["width"] == config.Setting("width", "a whole number", 64, "channels of the first layer")
    assert listed["drop"].comment == 'leave out "half" of it'
    assert listed["rate"].comment == ""
    assert listed["layers"].type == "a list, each a whole number"


@pytest.mark.parametrize("name", ["train", "data", "tricks", *builtin_methods()])
def test_every_setting_has_a_help_text(name):
    parts = {"train": TrainSettings, "data": DataSettings, "tricks": TrickSettings}
    part = parts[name] if name in parts else load_method(name).Config
    assert [s.name for s in config.settings(part) if not s.comment] == []


def test_a_subclass_speaks_for_the_fields_it_repeats():
    listed = {s.name: s for s in config.settings(Wider)}
    assert listed["width"].comment == "another default"
    assert listed["kind"].comment == "unet, resnet"
    assert listed["depth"].default == 8
