"""A generator that hides its input is caught; an honest pair of generators is not."""

import torch
from torch.nn import functional as fn

from i2i.metrics.steganography import equalized, error_maps, reveal


def smooth(seed):
    noise = torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8
    return fn.interpolate(noise, 48, mode="bicubic").clamp(-1, 1)


def blurred(x):
    return fn.avg_pool2d(fn.pad(x, (4, 4, 4, 4), mode="replicate"), 9, 1)


X, Y = smooth(1), blurred(smooth(2))
AMPLITUDE = 2 / 255  # of the code, as a share of the range of the input


def hiding(x):
    """One color an image, with the input as a faint code in it."""
    return x.mean((2, 3), keepdim=True).expand_as(x) + AMPLITUDE * (x - x.mean((2, 3), keepdim=True))


def reading(y):
    mean = y.mean((2, 3), keepdim=True)
    return (mean + (y - mean) / AMPLITUDE).clamp(-1, 1)


def test_a_generator_that_hides_its_input_is_caught():
    found = reveal(reading, X, hiding(X), Y)
    assert found.hides
    assert found.score > 3
    assert found.psnr[0] > 50
    assert found.psnr[1] < found.psnr[0] - 20
    assert sorted(found.psnr.values(), reverse=True) == list(found.psnr.values())


def test_an_honest_pair_is_not():
    found = reveal(lambda y: y + 0.5 * (y - blurred(y)), X, blurred(X), blurred(X))
    assert not found.hides
    assert found.psnr[4] > found.psnr[0] - 3
    assert not reveal(lambda y: y + 0.5 * (y - blurred(y)), X, blurred(X), Y).hides


def test_a_faint_texture_becomes_visible():
    plain = torch.zeros(1, 3, 48, 48)
    board = ((torch.arange(48)[:, None] // 6 + torch.arange(48) // 6) % 2 * 2 - 1).float()
    assert equalized(plain + 0.01 * board).std() > 10 * 0.01
    assert equalized(plain).std() < 1e-3


def test_error_maps_show_where_the_error_is():
    back = X.clone()
    back[:, :, :24] += 0.5
    maps = error_maps(back, X)
    assert maps.shape == (16, 1, 48, 48)
    assert maps[:, :, :24].mean() > -0.1
    assert (maps[:, :, 24:] == -1).all()
