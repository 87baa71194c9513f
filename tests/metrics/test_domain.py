"""Images that are unlike those of the training: numbers that describe them, distances, and what a file may hold."""

import json

import pytest
import torch

from i2i.metrics.domain import Domain, describe


def smooth(count, seed, tint=0.0, side=48, channels=3):
    """Soft blobs of random colors around a tint."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, channels, 6, 6, generator=generator) - 0.5 + tint
    return torch.nn.functional.interpolate(small, (side, side), mode="bicubic", align_corners=False).clamp(-1, 1)


def noise(count, seed):
    return torch.rand(count, 3, 48, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def domain():
    return Domain.of(describe(smooth(64, 0)))


@pytest.mark.parametrize(
    ("images", "is_far"),
    [
        (smooth(40, 1), False),
        (smooth(40, 1, side=128), False),  # another size of the same images
        (smooth(40, 1).flip(3), False),
        (smooth(40, 1, tint=0.8), True),
        (noise(40, 2), True),
        (-torch.ones(40, 3, 48, 48), True),
        (smooth(40, 1)[:, :1], True),  # gray
    ],
)
def test_images_of_another_kind_are_far(domain, images, is_far):
    far = (domain.distance(describe(images)) > domain.limit).double().mean()
    assert far > 0.9 if is_far else far < 0.1


def test_images_of_the_same_kind_have_a_distance_of_about_one(domain):
    assert 0.5 < float(domain.distance(describe(smooth(40, 3))).median()) < 1.5
    assert domain.limit > 1


def test_what_a_file_holds_gives_the_same_distances(domain):
    facts = json.loads(json.dumps(domain.facts()))
    again = Domain.from_facts(facts)
    rows = describe(torch.cat([smooth(8, 5), noise(8, 5)]))
    torch.testing.assert_close(again.distance(rows), domain.distance(rows), rtol=2e-3, atol=0)
    assert len(json.dumps(facts)) < 4000


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "another"},
        {"mean": [0.0] * 3},
        {"triangle": [0.0]},
        {"limit": "x"},
        {"mean": ["x"]},
        {"images": None},
    ],
)
def test_facts_of_another_form_are_passed_over(domain, change):
    assert Domain.from_facts({**domain.facts(), **change}) is None
    assert Domain.from_facts(None) is None
    assert Domain.from_facts({}) is None


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_images_teach_nothing(count):
    assert Domain.of(describe(smooth(8, 0))[:count]) is None


def test_equal_images_and_alpha_are_no_trouble():
    one = smooth(1, 0).expand(16, -1, -1, -1)
    domain = Domain.of(describe(one))
    assert (domain.distance(describe(one)) < domain.limit).all()
    with_alpha = torch.cat([one, torch.ones(16, 1, 48, 48)], 1)
    assert describe(with_alpha).equal(describe(one))
