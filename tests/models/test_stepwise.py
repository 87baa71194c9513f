"""Networks that answer in several steps: seeds, batches, steps and tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.core.random import pixel_normal
from i2i.models.tiling import TileSettings
from i2i.models.translator import Translator
from i2i.nets.bridge import Bridge
from i2i.nets.chain import Chain
from i2i.nets.choice import Choice
from i2i.nets.unsb import UNSBGenerator

SMALL = {"width": 8, "groups": 4, "head": 4, "multiples": (1, 2), "blocks": 1, "steps": 3}


def scrambled(net: nn.Module) -> nn.Module:
    """Weights that make a difference, where a new network has zeros."""
    torch.manual_seed(0)
    for p in net.parameters():
        nn.init.normal_(p, 0.1 if p.ndim == 1 else 0.0, 0.5 / max(1, p[0].numel()) ** 0.5)
    return net.eval()


def bridge(**changes: object) -> Bridge:
    net = scrambled(Bridge(**{**SMALL, **changes}))  # type: ignore[arg-type]
    assert isinstance(net, Bridge)
    return net


def chains() -> list[Chain]:
    unsb = [UNSBGenerator(3, 3, 2, 8, 1, timed, 3, 0.05) for timed in (False, True)]
    flows = [bridge(process="flow", solver="heun"), bridge(process="flow", from_noise=True)]
    return [bridge(), *flows, *(scrambled(net) for net in unsb)]  # type: ignore[list-item]


NAMES = ["bridge", "heun", "from noise", "unsb", "unsb timed"]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 8 + 1, width // 8 + 1, generator=generator)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]
    return (smooth.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def values(network: nn.Module, image: np.ndarray) -> Tensor:
    return Translator(network, {})(torch.tensor(image).permute(2, 0, 1).float() / 127.5 - 1)


def test_noise_is_standard_normal_and_knows_only_its_place() -> None:
    noise = pixel_normal(3, 200, 300, "a", 1)
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.std()) - 1) < 0.01
    assert abs(float((noise**4).mean()) - 3) < 0.1
    torch.testing.assert_close(noise[:, :2, :50, :70], pixel_normal(2, 50, 70, "a", 1), rtol=0, atol=1e-6)
    for other in (pixel_normal(3, 200, 300, "a", 2), noise.roll(1, 3), noise.roll(1, 2), noise.roll(1, 1)):
        correlation = torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1]
        assert abs(float(correlation)) < 0.01


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_an_answer_does_not_depend_on_the_batch(index: int) -> None:
    model = Translator(chains()[index], {})
    images = [picture(24, 32, seed) for seed in range(3)]
    together = model.with_choice(Choice(steps=2))(images, batch=3)
    alone = [model.with_choice(Choice(steps=2))(image) for image in images]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_tiles_leave_no_seams(index: int) -> None:
    """In tiles, each evaluation sees the same question; what differs is what lies beyond the margin."""
    chain = chains()[index]
    image = picture(64, 96)
    whole = Translator(chain, {}, tiling=TileSettings(size=0))(image).astype(int)
    chain.reach = 20 if index < 3 else 24  # type: ignore[assignment]
    tiled = Translator(chain, {}, tiling=TileSettings(size=64, overlap=20))(image).astype(int)
    off = np.abs(tiled - whole)
    assert off.max() <= 4, off.max()
    assert off.mean() < 0.3, off.mean()


def test_seeds_answers_and_steps_change_the_answer() -> None:
    net, image = bridge(), picture(16, 16)
    choices = [Choice(), Choice(seed=1), Choice(answer=1), Choice(steps=1), Choice(steps=7)]
    answers = [values(net.chosen(choice), image) for choice in choices]
    for i, one in enumerate(answers):
        assert not any(torch.equal(one, other) for other in answers[:i])
    assert torch.equal(answers[1], values(net.chosen(Choice(seed=1)), image))
    assert torch.equal(answers[0], values(net, image))


@pytest.mark.parametrize("changes", [{"eta": 0.0}, {"process": "flow"}])
def test_a_process_without_noise_has_one_answer(changes: dict[str, object]) -> None:
    model = Translator(bridge(**changes), {})
    with pytest.raises(I2IError, match="has no choice of --answers"):
        model.with_choice(Choice(answer=1))
    assert model.with_choice(Choice(steps=2)).choice.steps == 2


@pytest.mark.parametrize("net", [bridge(), chains()[3]], ids=["bridge", "unsb"])
def test_a_number_of_steps_that_cannot_be_made_is_refused(net: Chain) -> None:
    for steps in (-1, net.most_steps + 1):
        with pytest.raises(I2IError, match=f"^steps is {steps}") as refused:
            net.chosen(Choice(steps=steps))
        assert f"1 to {net.most_steps}" in refused.value.hint


def test_statistics_of_a_small_chain_stand_in_for_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where exact statistics cost too much, colors stay near those of the whole image."""
    chain, image = bridge(), picture(96, 96)
    whole = Translator(chain, {}, tiling=TileSettings(size=0))(image).astype(int)
    model = Translator(chain, {}, tiling=TileSettings(size=64, overlap=16))
    monkeypatch.setattr(model.tiling, "reduction", lambda *_: (2, True))
    off = np.abs(model(image).astype(int) - whole)
    assert off.mean() < 6, off.mean()


def test_a_saved_model_repeats_its_answers(tmp_path: Path) -> None:
    import i2i
    from i2i.models import format as model_file

    net, image = bridge(), picture(16, 24)
    model_file.save(tmp_path / "model.safetensors", {"G": net}, {"method": "bridge"})
    loaded = i2i.load(tmp_path / "model.safetensors", device="cpu")
    chosen = Choice(seed=3, answer=2, steps=4)
    assert np.array_equal(loaded.with_choice(chosen)(image), Translator(net, {}).with_choice(chosen)(image))
