"""DiffAugment and adaptive augmentation: what they leave alone, and how strong they become."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from i2i.core import random as rng
from i2i.core.errors import I2IError
from i2i.methods._method import Now
from i2i.training import discriminator_augment as augment
from i2i.training import tricks
from tests.methods.tiny import batch_of, loop, made, state


def test_diffaugment_with_neutral_draws_is_the_identity():
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(augment.diffaugment(x, torch.full((3, 7), 0.5), ("color", "translation")), x)
    far = torch.full((3,), 99)
    assert torch.equal(augment.cutout(x, far, far), torch.cat([x[..., :-1], x[..., -1:]], 3) * (mask_of_corner(x)))
    assert torch.equal(augment.adaptive(x, torch.rand(3, augment.ADAPTIVE), 0.0), x)


def mask_of_corner(x: Tensor) -> Tensor:
    """A cutout far outside is clamped to the last pixel of the border."""
    mask = torch.ones_like(x)
    mask[..., -1, -1] = 0
    return mask


def test_diffaugment_leaves_the_mean_brightness():
    x = torch.zeros(1, 3, 8, 8).expand(20000, -1, -1, -1)
    u = rng.counter_uniform(torch.arange(20000), 1)[:, 0]
    assert float(augment.brightness(x, u).mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("which", [("color",), ("translation",), ("cutout",), augment.POLICIES])
def test_diffaugment_can_be_differentiated_twice(which):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    u = torch.rand(2, 7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: augment.diffaugment(x, u, which), x)
    assert torch.autograd.gradgradcheck(lambda x: augment.diffaugment(x.tanh(), u, which), x)


@pytest.mark.parametrize("channels", [1, 3])
def test_adaptive_augmentation_can_be_differentiated_twice(channels):
    torch.manual_seed(0)
    x = torch.randn(1, channels, 4, 4, dtype=torch.float64, requires_grad=True)
    u = torch.rand(1, augment.ADAPTIVE, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: augment.adaptive(x, u, 0.9), x)
    assert torch.autograd.gradgradcheck(lambda x: augment.adaptive(x.tanh(), u, 0.9), x)


def test_adaptive_augmentation_changes_its_share_of_pictures():
    x = torch.randn(400, 3, 8, 8)
    u = rng.counter_uniform(torch.arange(400), augment.ADAPTIVE)
    for p in (0.05, 0.5):
        changed = (augment.adaptive(x, u, p) - x).abs().amax((1, 2, 3)) > 1e-4
        # two of the ten are a mirror and a negative, which half of those asked get
        unchanged = (1 - p) ** 8 * (1 - p / 2) ** 2
        assert float(changed.float().mean()) == pytest.approx(1 - unchanged, abs=0.06)


def test_a_quarter_turn_and_a_mirror_move_pixels_without_blurring():
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    turn = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]], dtype=torch.float64)
    mirror = torch.tensor([[[-1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    still = torch.zeros(1, 2, dtype=torch.float64)
    assert any(torch.equal(augment.sampled(x, turn, still), x.rot90(k, (2, 3))) for k in (1, 3))
    assert torch.equal(augment.sampled(x, mirror, still), x.flip(3))


@pytest.mark.parametrize("name", ["sagan", "biggan", "gngan", "progressive", "transgan", "dcgan"])
def test_real_and_fake_are_varied_alike_and_each_pass_anew(name):
    plain, method = made(name).eval(), made(name).eval()
    tricks.apply(method, tricks.TrickSettings(diffaugment="color,translation,cutout"))
    seen: dict[int, list[Tensor]] = {0: [], 1: []}
    for k, m in enumerate((plain, method)):
        m.D.register_forward_hook(lambda *a, k=k: seen[k].append(a[1][0].detach()))
        list(m.step(batch_of(name), Now(batch=4, total=100)))
    assert len(seen[0]) == len(seen[1]) > 1
    assert all(not torch.equal(a, b) for a, b in zip(seen[0], seen[1], strict=True))
    assert all(torch.isfinite(x).all() for x in seen[1])


def test_gradients_pass_through_the_augmentation_to_the_generator():
    method = made("gngan").train()
    tricks.apply(method, tricks.TrickSettings(diffaugment="translation,cutout"))
    for name, terms in method.step(batch_of("gngan"), Now(images=4, batch=4)):
        if name == "G":
            grads = torch.autograd.grad(terms["adv"], list(method.G.parameters()))
            assert max(float(g.abs().max()) for g in grads) > 0


def test_adaptive_augmentation_rises_while_the_critic_is_sure_and_falls_while_it_is_not():
    method = made("dcgan")
    asked = tricks.TrickSettings(ada=0.6, ada_length=1000)
    tricks.apply(method, asked)
    for _ in range(3):
        tricks.steer_ada(method, torch.ones(8), 10, asked)
    assert float(method.ada_p) == pytest.approx(3 * 4 * 10 / 1000)
    tricks.steer_ada(method, torch.tensor([1.0, -1.0]), 10, asked)
    assert float(method.ada_p) == pytest.approx(2 * 4 * 10 / 1000)
    for _ in range(5):
        tricks.steer_ada(method, -torch.ones(8), 10, asked)
    assert float(method.ada_p) == 0


def test_adaptive_augmentation_resumes_exactly(tmp_path):
    runs = []
    for seed in range(2):
        run = loop("dcgan", tmp_path, seed=seed)
        tricks.apply(run.method, tricks.TrickSettings(ada=-2.0, ada_length=40))  # always too sure
        if seed:
            for later in sorted((tmp_path / "checkpoints").glob("0*"))[1:]:
                for file in later.iterdir():
                    file.unlink()
                later.rmdir()
        run.run()
        runs.append(state(run))
    assert float(runs[0]["method/ada_p"]) == pytest.approx(0.4)
    assert all(torch.equal(runs[0][k], runs[1][k]) for k in runs[0])


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(I2IError, match="diffaugment is 'colour'") as error:
        tricks.apply(made("dcgan"), tricks.TrickSettings(diffaugment="colour"))
    assert "color" in error.value.hint
