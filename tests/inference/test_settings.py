"""The settings of a translation and the keyword options that set them."""

import dataclasses
import inspect
import re

import pytest

import i2i
from i2i.core.errors import I2IError
from i2i.inference.settings import NetworkSettings, RunSettings, TranslateOptions, TranslateSettings
from i2i.inference.watch import watch
from i2i.media.codec import WriteSettings
from i2i.models.answers import AnswerSettings
from i2i.models.tiling import TileSettings


def test_every_field_has_an_option_and_the_docstring_names_it():
    groups = {"write": WriteSettings, "tiling": TileSettings, "network": NetworkSettings, "run": RunSettings}
    groups["answer"] = AnswerSettings
    fields = {(group, f.name) for group, kind in groups.items() for f in dataclasses.fields(kind)}
    options = {"tile" if (group, name) == ("tiling", "size") else name for group, name in fields}
    assert set(TranslateOptions.__annotations__) == options
    assert len(options) == len(fields)
    said = set(re.findall(r"\w+", inspect.getdoc(i2i.translate)))
    assert options <= said


def test_options_change_single_settings():
    base = TranslateSettings(write=WriteSettings(quality=50), run=RunSettings(resume=True))
    changed = base.with_options(size=8, tile=64, memory=1.5, precision="bf16", shard=(1, 2), max_pixels=None)
    assert changed == TranslateSettings(
        WriteSettings(8, 50),
        TileSettings(64, memory=1.5),
        NetworkSettings(precision="bf16"),
        RunSettings(resume=True, shard=(1, 2)),
    )
    assert base.with_options() == base
    assert base.with_options(max_pixels=5).write.max_pixels == 5


@pytest.mark.parametrize("call", [i2i.translate, watch])
def test_an_unknown_option_is_a_type_error_that_names_the_nearest(call, tmp_path):
    with pytest.raises(TypeError, match=r"no option 'qualty'\. Did you mean quality\?"):
        call(tmp_path, tmp_path / "out", "m", qualty=3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch": -1}, "batch is -1"),
        ({"processes": 0}, "processes is 0"),
        ({"processes": 2, "ray": "auto"}, "2 processes and a Ray cluster were both given"),
        ({"shard": (3, 2)}, "The shard is 3 of 2"),
        ({"quality": 0}, "quality is 0"),
        ({"tile": -1}, "tile is -1 pixels"),
    ],
)
def test_bad_values_are_refused_before_anything_is_loaded(options, match):
    with pytest.raises(I2IError, match=match):
        i2i.translate("nothing", model="nothing", **options)
