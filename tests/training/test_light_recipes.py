"""The recipes for a laptop's CPU train on images of any size with no other option than the data."""

import pytest
from torch import nn

import i2i
from i2i.data.batch import Shape
from i2i.methods import load_method
from i2i.models import format as model_file
from i2i.training import recipes
from tests.cli.program import picture

LIGHT = ["pix2pix_light", "cyclegan_light", "cut_light"]


@pytest.fixture
def sides(tmp_path):
    """Two folders of images of the same names, each of another size."""
    for side in ("A", "B"):
        for i, (width, height) in enumerate([(40, 30), (150, 200), (131, 128)]):
            picture(tmp_path / side / f"{i}.png", i, width, height)
    return [tmp_path / "A", tmp_path / "B"]


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_recipe_trains_on_images_of_any_size(name, sides, tmp_path):
    folder = i2i.train(name, data=sides, out=tmp_path / "run", images=2, device="cpu")
    header = model_file.read_header(folder / "model.safetensors")
    assert (header["recipe"], header["size"], header["images"]) == (name, 128, 2)
    picture(tmp_path / "photo.jpg", 7, 90, 61)
    assert i2i.load(folder, "cpu")(tmp_path / "photo.jpg").size == (90, 61)


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_recipe_has_small_networks_without_transposed_convolutions(name):
    values = recipes.recipe(name)
    kind = load_method(values["method"])
    settings = {k: v for k, v in values.items() if k in kind.Config.__dataclass_fields__}
    method = kind(kind.Config(**settings), Shape(channels_in=3, channels_out=3, size=values["size"], classes=0))
    assert not [m for m in method.G.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert sum(p.numel() for p in method.G.parameters()) < 2e6
    assert values["images"]  # the length does not depend on the number of images in the folder
