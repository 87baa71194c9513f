"""Made pairs: the same for any number of threads and after a resume, and what each chain does to an image."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import data
from i2i.core.errors import I2IError
from i2i.data import degrade, make, real
from i2i.data.spec import MAKES
from tests.cli.program import i2i


def photo(height=64, width=80, channels=3, seed=0):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / 6 + i + seed) * np.cos(y / 9 - i) * 0.45 + 0.5 for i in range(channels)]
    return (np.stack(waves, -1) * 255).astype(np.uint8)


SIDES = pytest.mark.parametrize("side", [(40, 50), (12, 5), (3, 2), (1, 1)])
CHANNELS = pytest.mark.parametrize("channels", [1, 3])


def of_paper(image):
    """uint8 or float [H, W, C] in levels -> float32 [1, C, H, W] in [0, 1], as `degrade` has it."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


@SIDES
@CHANNELS
def test_the_fast_filter_gives_what_the_papers_one_gives(side, channels):
    image = photo(*side, channels)
    kernels = (
        degrade.blur_kernel("aniso", 21, 3, 1, 0.5),
        degrade.blur_kernel("iso", 13, 2),
        degrade.sinc_kernel(7, 2),
    )
    for kernel in kernels:
        fast = real.filtered(image.astype(np.float32), kernel.numpy())
        torch.testing.assert_close(of_paper(fast), degrade.filtered(of_paper(image), kernel[None]), atol=2e-6, rtol=0)


@SIDES
@CHANNELS
def test_fast_resizing_and_gray_give_what_the_papers_give(side, channels):
    image = photo(*side, channels).astype(np.float32)
    for size in ((17, 9), (60, 77), (side[0], 7)):
        for mode in ("bilinear", "bicubic"):
            wanted = degrade.resized(of_paper(image), mode, size=size)
            torch.testing.assert_close(of_paper(real.resized(image, mode, size)), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(of_paper(real.gray(image)), degrade.gray(of_paper(image)))
    if side == (40, 50):  # whole pixels in every mean, so that both ways to count parts of pixels agree
        for size in ((20, 10), (8, 25), (40, 50)):
            wanted = degrade.resized(of_paper(image), "area", size=size)
            torch.testing.assert_close(of_paper(real.resized(image, "area", size)), wanted)


def test_a_trimmed_kernel_blurs_alike_and_a_wide_one_stays_whole():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.float32)
    for kind, sigma, least in (("iso", 0.4, 3), ("aniso", 1.0, 7), ("plateau_iso", 3.0, 21)):
        kernel = degrade.blur_kernel(kind, 21, sigma, 0.7 * sigma, 0.4, 1.3).numpy()
        short = real.trimmed(kernel)
        assert len(short) <= 21
        assert len(short) >= least
        assert abs(short.sum() - 1) < 1e-12
        assert np.abs(real.filtered(image, short) - real.filtered(image, kernel)).max() < 0.03
    assert len(real.trimmed(degrade.blur_kernel("iso", 21, 0.4).numpy())) < 9


def test_noise_from_tables_has_the_distribution_that_it_stands_for():
    rng = np.random.default_rng(0)
    noise = real.normal(rng, (400, 500, 1)).astype(np.float64)
    assert (noise.shape, abs(noise.mean()) < 0.01, abs(noise.std() - 1) < 0.01) == ((400, 500, 1), True, True)
    assert abs((noise**4).mean() - 3) < 0.1
    for values in ((0, 3, 100, 255), tuple(range(0, 256, 2))):  # 4 and 128 photons for the brightest
        image = rng.choice(np.array(values, np.uint8), (400, 500, 1))
        rate, levels = degrade.poisson_rate(of_paper(image))
        photons = real.poisson_noise(image, rng) / 255 * float(levels) + rate.numpy()[0].transpose(1, 2, 0)
        np.testing.assert_allclose(photons, np.rint(photons), atol=1e-3)  # counts
        for value in (values[0], values[2], values[-1]):
            counts, wanted = photons[image == value], value / 255 * float(levels)
            assert abs(counts.mean() - wanted) <= 6 * (wanted / len(counts)) ** 0.5 + 0.01 * wanted
            assert abs(counts.var() - wanted) < 0.2 * wanted + 1e-6
            if wanted < 5:
                assert abs((np.rint(counts) == 0).mean() - np.exp(-wanted)) < 0.02


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos")
    for i in range(5):
        Image.fromarray(photo(seed=i)).save(path / f"{i}.png")
    return path


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("side", [(64, 80), (33, 17), (3, 2), (1, 1)])
@pytest.mark.parametrize("chain", [*MAKES, "blur+x4+jpeg", "grey+noise", "real+mask"])
def test_a_made_image_has_the_shape_of_its_target_and_repeats(chain, side, channels):
    y = photo(*side, channels)
    parts = tuple(chain.split("+"))
    before = y.copy()
    for number in range(3):
        x = make.make_source(y, parts, 7, number)
        assert (x.shape, x.dtype) == (y.shape, np.uint8)
        assert np.array_equal(x, make.make_source(y, parts, 7, number))
    assert np.array_equal(y, before)
    if channels == 4:
        assert np.array_equal(x[..., 3], y[..., 3])


@pytest.mark.parametrize("chain", [c for c in MAKES if c not in ("grey", "x2", "x3", "x4", "x8", "edges")])
def test_other_numbers_and_seeds_draw_anew(chain):
    y = photo()
    first = make.make_source(y, (chain,), 0, 0)
    assert any(not np.array_equal(first, make.make_source(y, (chain,), 0, n)) for n in (1, 2, 3))
    assert any(not np.array_equal(first, make.make_source(y, (chain,), s, 0)) for s in (1, 2, 3))


def test_what_each_chain_does():
    y = photo()
    assert np.ptp(make.make_source(y, ("grey",), 0, 0).astype(int), axis=-1).max() == 0
    edges = make.make_source(y, ("edges",), 0, 0)
    assert set(np.unique(edges)) <= {0, 255}
    assert (edges == 255).mean() > 0.5  # black lines on white
    hidden = (make.make_source(y, ("mask",), 0, 1) == make.HIDDEN).all(-1)
    assert 0.005 < hidden.mean() < 0.9
    assert np.array_equal(make.make_source(y, ("mask",), 0, 1)[~hidden], y[~hidden])
    rough = np.random.default_rng(0).integers(0, 256, y.shape, np.uint8)
    for chain in ("x2", "x4", "blur", "pixelate", "real"):
        assert make.make_source(rough, (chain,), 0, 0).std() < 0.8 * rough.std()
    small = np.asarray(Image.fromarray(y).resize((20, 16), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(make._smaller(4)(y, np.random.default_rng(0)) - small).max() <= 2


def settings(**more):
    return data.DataSettings(size=32, load=40, **more)


@pytest.mark.parametrize("augment", ["", "affine+color"])
@pytest.mark.parametrize("chain", ["real", "mask+noise"])
def test_threads_processes_and_a_resume_make_the_same_pairs(folder, chain, augment):
    if augment:
        pytest.importorskip("albumentations")

    def run(workers, start=0, batch=4, rank=0, world=1):
        opened = data.open(folder, settings(make=chain, workers=workers, augment=augment))
        return opened.batches(start, batch, rank, world, seed=3)

    alone = run(0)
    first, second = next(alone), next(alone)
    assert (first.x.shape, first.y.shape) == ((4, 3, 32, 32), (4, 3, 32, 32))
    assert not torch.equal(first.x, first.y)
    threads = run(3)
    for pair in (first, second):
        same = next(threads)
        assert torch.equal(pair.x, same.x)
        assert torch.equal(pair.y, same.y)
    assert torch.equal(next(run(0, start=4)).x, second.x)
    halves = [next(run(0, batch=2, rank=rank, world=2)) for rank in (0, 1)]
    assert torch.equal(torch.cat([half.x for half in halves]), first.x)


def test_previews_are_pairs_and_stay(folder):
    opened = data.open(folder, settings(make="noise"))
    assert opened.layout == "paired"
    one, two = opened.fixed(3), opened.fixed(3)
    assert torch.equal(one.x, two.x)
    assert one.y.shape == one.x.shape
    gray = data.open(folder, settings(make="grey", channels_in=1)).fixed(2)
    assert (gray.x.shape[1], gray.y.shape[1]) == (1, 3)


def test_an_unknown_chain_names_the_nearest(folder):
    with pytest.raises(I2IError, match="its part 'edgs' is unknown") as caught:
        data.open(folder, settings(make="blur+edgs"))
    assert "edges" in caught.value.hint
    with pytest.raises(I2IError, match="direction BtoA"):
        data.open(folder, settings(make="edges", direction="BtoA"))


def test_the_command_writes_pairs_that_training_takes(folder, tmp_path):
    out, _ = i2i("data", "make", folder, "--make", "x4+jpeg", "-o", tmp_path / "pairs", "--size", 32)
    assert "5 pairs written" in out
    opened = data.open(tmp_path / "pairs", data.DataSettings(size=32, load=0))
    assert (opened.layout, opened.count) == ("paired", 5)
    facts, _ = i2i("data", "make", folder, "--make", "edges", "-o", tmp_path / "two", "--most", 2, "--json")
    assert json.loads(facts) == {"folder": str(tmp_path / "two"), "pairs": 2}
    _, err = i2i("data", "make", folder, "--make", "edges", "-o", tmp_path / "two", code=1)
    assert "exists" in err
    _, err = i2i("data", "make", folder, "--make", "edgs", "-o", tmp_path / "three", code=1)
    assert "edges" in err
    assert not (tmp_path / "three").exists()


def test_a_paired_method_trains_on_one_folder(folder, tmp_path):
    words = ("train", "pix2pix", "--data", folder, "--set", "make=edges", "--set", "size=32", "--set", "load=32")
    tiny = ("--set", "width=4", "--set", "depth=3", "--images", 4, "--out", tmp_path / "run")
    i2i(*words, *tiny)
    assert (tmp_path / "run" / "model.safetensors").is_file()
