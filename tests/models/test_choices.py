"""Models with several answers for one image: what a choice changes, and what it does not."""

import copy

import numpy as np
import pytest
import torch

from i2i.core.errors import I2IError
from i2i.models.load import translator_of
from i2i.models.tiling import TileSettings
from i2i.nets import Choice, Choosing, UNet


class Lamp(Choosing):
    """Adds a constant: that of the domain, or one drawn from (seed, answer), or the mean of an example."""

    choices = ("to", "answers", "like", "steps")

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1)

    @property
    def domains(self):
        return ("dark", "light")

    def chosen(self, choice):
        value = torch.rand((), generator=torch.Generator().manual_seed(100 * choice.seed + choice.answer))
        if choice.to:
            value = torch.tensor({"dark": -0.5, "light": 0.5}[choice.to[0]])
        return Added(self.conv, value if choice.like is None else choice.like.mean(), choice.steps or 1)


class Added(torch.nn.Module):
    def __init__(self, conv, value, steps):
        super().__init__()
        self.conv, self.steps = conv, steps
        self.register_buffer("value", value, persistent=False)

    def forward(self, x):
        for _ in range(self.steps):
            x = self.conv(x)
        return x * 0.1 + self.value


@pytest.fixture(scope="module")
def lamp():
    torch.manual_seed(0)
    return translator_of({"G": Lamp()}, {}, "lamp")


IMAGE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def test_each_part_of_a_choice_gives_another_answer_that_repeats(lamp):
    choices = [
        Choice(),
        Choice(answer=1),
        Choice(seed=1),
        Choice(to=("light",)),
        Choice(like=torch.full((1, 3, 8, 8), -0.3)),
        Choice(steps=3),
    ]
    answers = [lamp.with_choice(choice)(IMAGE) for choice in choices]
    assert len({a.tobytes() for a in answers}) == len(choices)
    assert all(np.array_equal(lamp.with_choice(c)(IMAGE), a) for c, a in zip(choices, answers))
    assert np.array_equal(lamp(IMAGE), answers[0])


def test_a_choice_keeps_weights_digest_tiles_and_precision(lamp):
    model = lamp.with_tiling(TileSettings(16)).half().with_choice(Choice(to=("light",)))
    assert model.digest == lamp.digest
    assert model.network.conv.weight is lamp.network.conv.weight
    assert model.tiling.settings.size == 16
    assert model.dtype == torch.bfloat16
    assert np.array_equal(model.with_choice(Choice()).half()(IMAGE), lamp.half()(IMAGE))


def test_other_models_say_what_they_lack():
    model = translator_of({"G": UNet(3, 3, 3, width=2)}, {}, "plain")
    assert np.array_equal(
        model.with_choice(Choice())(np.zeros((8, 8, 3), np.uint8)), model(np.zeros((8, 8, 3), np.uint8))
    )
    for choice, option in ((Choice(to=("a",)), "--to"), (Choice(seed=1), "--seed"), (Choice(steps=2), "--steps")):
        with pytest.raises(I2IError, match=f"The model plain has no choice of .*{option}"):
            model.with_choice(choice)


def test_a_copy_of_a_model_with_a_choice_is_the_same(lamp):
    model = lamp.with_choice(Choice(answer=3))
    assert np.array_equal(copy.deepcopy(model)(IMAGE), model(IMAGE))
