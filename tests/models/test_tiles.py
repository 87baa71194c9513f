"""Images in tiles: equal to the whole where statistics are exact, near it where they are not, and without seams."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i import nets
from i2i.core.errors import I2IError
from i2i.models import flat, norm_stats, probe, tiles
from i2i.models import format as model_file
from i2i.models.load import load
from i2i.models.tiling import TileSettings, Tiling
from i2i.models.translator import Translator

NETS = {
    "resnet": {"name": "resnet", "blocks": 2, "width": 4},
    "resnet blur": {"name": "resnet", "blocks": 1, "width": 4, "upsample": "blur", "antialias": True},
    "unet batch": {"name": "unet", "depth": 3, "width": 4, "norm": "batch"},
    "unet instance": {"name": "unet", "depth": 3, "width": 4, "norm": "instance", "upsample": "resize"},
    "no norm": {"name": "resnet", "blocks": 1, "width": 4, "norm": "none"},
}


def model(spec, tiling, own=True):
    torch.manual_seed(0)
    return Translator(nets.init_weights(nets.build(**spec), gain=0.03), {"train_mode_norm": own}, tiling=tiling)


def scene(height, width):
    """An image whose parts differ: dark to bright, smooth to rough, with edges."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    base = np.stack([x / width, y / height, 0.5 + 0.5 * np.sin(x / 9) * np.cos(y / 13)], -1)
    rough = np.random.default_rng(0).random((height, width, 3)).astype(np.float32) * (x / width)[..., None]
    edges = ((x // 40 + y // 56) % 2)[..., None]
    return ((0.5 * base + 0.2 * rough + 0.3 * edges) * 255).astype(np.uint8)


def psnr(a, b):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2)))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("exact", [False, True])
def test_tiles_equal_the_whole(name, exact):
    image = scene(150, 210)
    whole = model(NETS[name], TileSettings(0))(image)
    # little memory makes `exact` go norm by norm over the tiles; with enough the whole is measured at once
    memory = 1000.0 if exact else None
    made = model(NETS[name], TileSettings(112, overlap=40, memory=memory, exact=exact))(image)
    assert np.abs(made.astype(int) - whole).max() <= 1
    assert psnr(made, whole) > 60


def test_reduced_statistics_come_near():
    image = np.asarray(Image.fromarray(scene(96, 128)).resize((256, 192), Image.Resampling.BICUBIC))
    net = NETS["resnet"]
    whole = model(net, TileSettings(0))(image)
    translator = model(net, TileSettings(96, memory=1.0))
    assert norm_stats.reduction_for(256 * 192, 1, len(flat.per_image_norms(translator.network)))[0] == 2
    assert psnr(translator(image), whole) >= 30
    parts = [model(net, TileSettings(0))(image[:, x : x + 64]) for x in range(0, 256, 64)]
    assert (
        psnr(np.concatenate(parts, 1), whole) < psnr(translator(image), whole) - 10
    )  # each with its own statistics: what all this avoids


def test_no_step_across_the_borders():
    image = np.asarray(Image.fromarray(scene(96, 128)).resize((256, 192), Image.Resampling.BICUBIC))
    translator = model(NETS["resnet"], TileSettings(80, memory=1.0))
    cut = translator.tiling.grid()
    spans = cut.spans(256, cut.width, 4)
    assert len(spans) > 3
    made = translator(image).astype(float)
    steps = np.abs(np.diff(made, axis=1)).mean((0, 2))
    borders = [s.first - 1 for s in spans[1:]]
    assert steps[borders].mean() <= 1.1 * np.delete(steps, borders).mean()


def test_stored_statistics_need_no_measuring():
    image = scene(100, 100)
    net = {"name": "unet", "depth": 3, "width": 4, "norm": "batch"}
    assert flat.per_image_norms(model(net, None, own=False).network) == []
    whole = model(net, TileSettings(0), own=False)(image)
    assert np.abs(model(net, TileSettings(64), own=False)(image).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("height", [8, 60, 61, 128, 300])
def test_spans_cover_and_leave_the_margin(height):
    length = -(-height // 4) * 4
    spans = tiles.TileGrid(64, 64, 12, 10).spans(length, 64, 4)
    assert spans[0].first == 0
    assert spans[-1].last == length
    for a, b in zip(spans, spans[1:]):  # noqa: RUF007
        assert a.last == b.first
        assert a.stop - a.last >= 12
        assert b.first - b.start >= 12
    assert all(s.start % 4 == 0 and s.first % 4 == 0 and s.stop <= length for s in spans)


def test_an_overlap_that_leaves_nothing_is_refused():
    with pytest.raises(I2IError, match="leave nothing in the middle"):
        tiles.tile_grid(64, 4, 10, overlap=32)


def test_the_receptive_field_of_known_networks():
    class Convs(nn.Module):
        def __init__(self, *kernels):
            super().__init__()
            self.layers = nn.Sequential(*(nn.Conv2d(3, 3, k, padding=k // 2) for k in kernels))

        def forward(self, x):
            return self.layers(x)

    assert probe.receptive_radius(Convs(1), 3, 1) == 0
    assert probe.receptive_radius(Convs(7), 3, 1) == 3
    assert probe.receptive_radius(Convs(3, 3, 5), 3, 1) == 4
    assert probe.receptive_radius(Convs(*[3] * 40), 3, 1, limit=30) == 30


def test_an_enlarging_network_and_alpha_and_16_bits_in_tiles():
    class Twice(nn.Module):
        multiple = 2

        def __init__(self):
            super().__init__()
            self.arguments = {"channels_in": 1, "channels_out": 1}
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            return torch.tanh(nn.functional.interpolate(self.conv(x), scale_factor=2))

    torch.manual_seed(0)
    net = Twice()
    rng = np.random.default_rng(0)
    for array in (rng.integers(0, 65536, (70, 91), np.uint16), rng.integers(0, 256, (70, 91, 2), np.uint8)):
        whole = Translator(net, {}, tiling=TileSettings(0))(array)
        made = Translator(net, {}, tiling=TileSettings(32))(array)
        assert whole.shape[:2] == (140, 182)
        assert made.dtype == whole.dtype
        assert np.abs(made.astype(int) - whole).max() <= 1


def test_large_images_are_cut_by_themselves():
    translator = model(NETS["resnet"], TileSettings(memory=300 * 300 * 100.0))
    assert translator.tiling.fits((256, 256))
    assert not translator.tiling.fits((1024, 1024))
    assert translator.tiling.grid().height <= 400
    calls = []
    runner = translator.runner
    translator.runner = lambda net, x: calls.append(x.shape) or runner(net, x)
    assert translator(np.zeros((400, 600, 3), np.uint8)).shape == (400, 600, 3)
    assert max(s[-1] * s[-2] for s in calls) <= 400 * 400


LARGE = """
import sys
from i2i.inference.translate import translate
result = translate(sys.argv[1], sys.argv[2], sys.argv[3], device="cpu")
assert not result.failed, result.failed
status = dict(line.split(":", 1) for line in open("/proc/self/status"))  # ru_maxrss would count the parent's memory
print(int(status["VmHWM"].split()[0]) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from Linux's /proc")
@pytest.mark.timeout(900)
def test_8192_pixels_a_side_fit_into_four_gib(tmp_path):
    small = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(small).resize((8192, 8192), Image.Resampling.BILINEAR).save(tmp_path / "a.tif")
    torch.manual_seed(0)
    path = model_file.save(
        tmp_path / "m.safetensors", {"G": nets.init_weights(nets.build("resnet", blocks=1, width=2))}
    )
    words = [sys.executable, "-c", LARGE, str(tmp_path / "a.tif"), str(tmp_path / "b.tif"), str(path)]
    peak = float(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    with Image.open(tmp_path / "b.tif") as made:
        assert made.size == (8192, 8192)
    assert peak <= 4


# ---- with a trained model ------------------------------------------------------------------------------------------


def earth(rows, columns):
    """A large image put together from satellite images of the shipped data set."""
    folder = Path(__file__).resolve().parents[2] / "datasets" / "earth" / "test"
    parts = [np.asarray(Image.open(p).convert("RGB"))[:, :128] for p in sorted(folder.glob("*.jpg"))[: rows * columns]]
    lines = [np.concatenate(parts[i * columns : (i + 1) * columns], 1) for i in range(rows)]
    return np.concatenate(lines, 0)


@pytest.fixture(scope="module")
def trained():
    """A trained model, a large image, and its translation as a whole."""
    model = load("cyclegan_daynight_small", "cpu")
    image = earth(2, 3)[30:222]
    return model, image, model.with_tiling(TileSettings(0))(image)


def seams(made, whole, spans):
    """How much larger steps across the borders of tiles are than in the whole image, by how much they are so
    elsewhere: the content, which has steps of its own, falls out."""
    ours, theirs = (np.abs(np.diff(p.astype(float), axis=1)).mean((0, 2)) for p in (made, whole))
    borders = [s.first - 1 for s in spans[1:]]
    return (ours[borders] / theirs[borders]).mean() / np.delete(ours / theirs, borders).mean()


def test_a_trained_model_in_tiles_with_exact_statistics(trained):
    model, image, whole = trained
    cut = model.with_tiling(TileSettings(160, overlap=model.tiling.radius))
    made = cut(image)
    assert model.tiling.radius > 40
    assert psnr(made, whole) >= 40
    assert seams(made, whole, cut.tiling.grid().spans(384, 160, model.multiple)) <= 1.1


@pytest.mark.slow
def test_a_trained_model_norm_by_norm(trained):
    model, image, whole = trained
    made = model.with_tiling(TileSettings(160, overlap=model.tiling.radius, memory=1.0, exact=True))(image)
    assert psnr(made, whole) >= 40


def test_a_trained_model_in_tiles_with_reduced_statistics(trained):
    model, image, whole = trained
    cut = model.with_tiling(TileSettings(160, memory=1.0))
    made = cut(image)
    # 30.3 dB by reduced statistics, and 20.1 by own ones of each tile.
    assert psnr(made, whole) >= 28
    assert seams(made, whole, cut.tiling.grid().spans(384, 160, model.multiple)) <= 1.1
    own = np.concatenate([model.with_tiling(TileSettings(0))(image[:, x : x + 128]) for x in range(0, 384, 128)], 1)
    assert psnr(own, whole) < psnr(made, whole) - 5  # each tile by its own statistics
    cuts = np.array([128, 256]) - 1
    steps, plain = (np.abs(np.diff(p.astype(float), axis=1)).mean((0, 2))[cuts].mean() for p in (own, whole))
    assert steps > 1.2 * plain


@pytest.mark.parametrize("level", [77])
def test_a_flat_image_becomes_flat_and_the_same_in_tiles(level):
    model = load("cyclegan_daynight", "cpu")
    flat = np.full((60, 90, 3), level, np.uint8)
    made = model(flat)
    assert (made == made[0, 0]).all()
    assert np.array_equal(model.with_tiling(TileSettings(64, overlap=16))(flat), made)
    assert np.array_equal(model.half()(flat), made)


def test_networks_that_know_flat_maps_are_the_same_for_others():
    network = model(NETS["resnet"], None).network
    x = torch.rand(2, 3, 32, 44) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(flat.exact_on_flat(network)(x), network(x))


def test_the_memory_that_tiles_are_fitted_to_does_not_shrink_as_torch_keeps_freed_blocks(monkeypatch):
    """Else one image would be translated whole once, and in tiles the next time."""
    state = {"free": 10e9, "reserved": 0, "allocated": 0}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (state["free"], 16e9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: state["reserved"])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: state["allocated"])
    tiling = Tiling.__new__(Tiling)
    tiling.settings = TileSettings()
    tiling.network = SimpleNamespace(parameters=lambda: iter([SimpleNamespace(device=torch.device("cuda"))]))
    assert tiling.memory == 5e9
    state |= {"free": 4e9, "reserved": 7e9, "allocated": 1e9}  # 6e9 of torch's own are free
    assert tiling.memory == 5e9
