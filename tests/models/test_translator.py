"""A loaded model as a library: threads, workers, devices, precision, gradients."""

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import i2i
from i2i import nets
from i2i.core.errors import I2IError
from i2i.models import format as model_file
from i2i.models.load import load
from i2i.models.runner import Runner
from i2i.models.tiling import TileSettings

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(0)
    net = nets.init_weights(nets.build("resnet", blocks=1, width=4), gain=0.05)
    return model_file.save(tmp_path_factory.mktemp("m") / "small.safetensors", {"G": net})


def images(count, size=40):
    return [np.random.default_rng(i).integers(0, 256, (size, size + 8 * (i % 3), 3), np.uint8) for i in range(count)]


@pytest.mark.parametrize("tiling", [TileSettings(), TileSettings(32, overlap=8)])
def test_threads_may_share_it(path, tiling):
    model = load(path, "cpu", tiling=tiling)
    given = images(12)
    alone = [model(p) for p in given]
    with ThreadPoolExecutor(8) as pool:
        together = [*pool.map(model, given)]
    assert all(np.array_equal(a, b) for a, b in zip(alone, together))


class Made(Dataset):
    """A data set whose images are translations."""

    def __init__(self, model):
        self.model, self.given = model, images(4)

    def __len__(self):
        return len(self.given)

    def __getitem__(self, i):
        return torch.from_numpy(self.model(self.given[i]))


def test_a_copy_sent_to_another_process_is_the_same(path):
    made = Made(load(path, "cpu"))
    copied = pickle.loads(pickle.dumps(made))
    assert torch.equal(copied[1], made[1])


def test_devices_and_half_precision(path):
    model = load(path, "cpu")
    image = images(1)[0]
    exact = model(image).astype(int)
    rough = model.half()(image).astype(int)
    assert 0 < np.abs(exact - rough).max() <= 16
    assert np.array_equal(model(image), exact)
    assert model.to("cpu") is model
    with pytest.raises(I2IError, match=r"'cuda:77' cannot be used: .*\. Allowed: auto, cpu, cuda, cuda:1, mps\.$"):
        model.to("cuda:77")
    for name in ("foo", "cuda:x", "cpu:"):
        with pytest.raises(I2IError) as caught:
            load(path, name)
        assert str(caught.value) == f"There is no device {name!r}. Allowed: auto, cpu, cuda, cuda:1, mps."


@pytest.mark.parametrize("name", ["cyclegan_daynight", "pix2pix_earth", "pix2pix_emoji"])
def test_trained_models_keep_their_levels_in_bf16(name):
    model = load(name, "cpu", "fp32")
    with Image.open(MODELS / f"{name}.png") as sheet:
        levels = np.asarray(sheet.convert("RGB"))
    tiles = [levels[top : top + 128, left : left + 128] for top in (0, 128) for left in range(0, 640, 128)]
    apart = np.abs(np.stack(model(tiles)).astype(int) - np.stack(model.half()(tiles)).astype(int))
    assert (apart <= 1).mean() >= 0.998  # of any images; of those that the models are for, 99.9 %
    assert 0 < apart.max() <= 12  # another precision, and not far off


def test_no_gradients_and_yet_ordinary_tensors(path):
    model = load(path, "cpu")
    x = torch.rand(3, 16, 16, requires_grad=True)
    y = model(x * 2 - 1)
    assert not y.requires_grad
    weight = torch.ones(3, 1, 1, requires_grad=True)
    (y * weight).sum().backward()  # may be used in a training of one's own
    assert weight.grad is not None


def test_the_public_names(path, tmp_path):
    model = i2i.load(path, "cpu")
    Image.fromarray(images(1)[0]).save(tmp_path / "a.png")
    result = i2i.translate(tmp_path / "a.png", model=model)
    assert result.done == [tmp_path / "a.small.png"]
    assert np.array_equal(Image.open(result.done[0]), model(images(1)[0]))
    assert len(model.digest) == 32
    assert model.digest == load(path, "cpu").digest


def test_every_kind_of_image_and_lists_of_all_of_them(path, tmp_path):
    model = load(path, "cpu")
    array = images(1)[0]
    Image.fromarray(array).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    wanted = model(array)
    with (tmp_path / "a.png").open("rb") as file:
        for made in model([tmp_path / "a.png", data, bytearray(data), io.BytesIO(data), file, Image.fromarray(array)]):
            assert np.array_equal(made, wanted)
    x = torch.from_numpy(array).permute(2, 0, 1)
    mixed = model((x, data, array / 255.0, x / 127.5 - 1))
    assert [type(m).__name__ for m in mixed] == ["Tensor", "Image", "ndarray", "Tensor"]
    assert np.array_equal(mixed[0].permute(1, 2, 0), wanted)
    assert mixed[2].dtype == np.float64


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (b"rubbish", "not an image"),
        (np.full((9, 9, 3), np.nan), "values from nan"),
        (np.full((9, 9, 3), 200.0), "values from 200 to 200"),
        (torch.full((3, 9, 9), 255.0), "values from 255"),
        (torch.zeros(0, 3, 9, 9), "without images"),
        (None, "NoneType is no image"),
        ([[np.zeros((9, 9, 3), np.uint8)]], "list is no image"),
    ],
)
def test_what_is_no_image_is_said(path, image, match):
    with pytest.raises(I2IError, match=match):
        load(path, "cpu")(image)


@pytest.mark.parametrize("given", [{"size": "64"}, {"size": 1.5}, {"size": (1, 2, 3)}, {"size": 0}, {"batch": "a"}])
def test_odd_settings_are_said(path, given):
    with pytest.raises(I2IError):
        load(path, "cpu")(images(1)[0], **given)


@pytest.mark.parametrize("given", [{"device": None}, {"device": "meta"}, {"precision": None}, {"direction": 3}])
def test_odd_ways_of_loading_are_said(path, given):
    with pytest.raises(I2IError):
        load(path, **given)
    with pytest.raises(I2IError, match="NoneType is not a model"):
        load(None)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_data_loader_starts_its_workers_either_way(path, method):
    torch.set_num_threads(1)
    made = Made(load(path, "cpu"))
    for i, batch in enumerate(DataLoader(made, batch_size=1, num_workers=1, multiprocessing_context=method)):
        assert np.array_equal(batch[0], made[i])


@pytest.mark.parametrize(("norm", "from_side"), [("instance", 256), ("batch", 16)])
def test_narrow_networks_get_their_maps_channels_last_where_a_cpu_is_faster_so(norm, from_side):
    network = nets.build("resnet", width=4, blocks=1, norm=norm)
    layouts = []
    network.register_forward_pre_hook(
        lambda _, x: layouts.append(x[0].is_contiguous(memory_format=torch.channels_last))
    )
    runner = Runner(network.eval())
    for side in (16, 64, 256):
        with torch.inference_mode():
            runner.batch(torch.rand(1, 3, side, side))
    assert layouts == [side >= from_side for side in (16, 64, 256)]
