"""DeOldify's discriminator, enlargement and losses against stored numbers."""

from __future__ import annotations

import torch

from i2i.losses import l1, vanilla
from i2i.nets.deoldify_d import DeOldifyDiscriminator
from i2i.nets.shuffle import blurred, icnr
from tests.golden_gans.reading import case, fill
from tests.golden_gans.spectral import ours


def test_discriminator() -> None:
    found = case("deoldify_critic")
    net = DeOldifyDiscriminator(found.options["nf"], found.options["blocks"])
    fill(net, found.weights, {name: f"layers.{ours(name)}" for name in found.weights})
    with torch.no_grad():
        found.check({"score": net.eval()(found.inputs["x"])})


def test_pieces() -> None:
    found = case("deoldify_pieces")
    x, weight = found.inputs["x"], found.inputs["icnr_weight"]
    up = torch.nn.functional.pixel_shuffle(torch.nn.functional.conv2d(x, weight), 2)
    real, fake = found.inputs["real_pred"], found.inputs["fake_pred"]
    feature = l1(found.inputs["out"], found.inputs["target"])
    got = {"up": up, "blurred": blurred(up.relu()), "loss_g": vanilla.adv(fake) + 1.5 * feature}
    got["loss_c"] = (vanilla.real(real) + vanilla.fake(fake)) / 2
    found.check(got)

    # Ours have the form of the stored one: equal filters in groups, so that the enlargement repeats pixels.
    own = icnr(weight.shape[0] // 4, weight.shape[1])
    for each in (weight, own):
        groups = each.view(-1, 4, *each.shape[1:])
        assert torch.equal(groups, groups[:, :1].expand_as(groups))
    enlarged = torch.nn.functional.pixel_shuffle(torch.nn.functional.conv2d(x, own), 2)
    assert torch.equal(enlarged[..., ::2, ::2], enlarged[..., 1::2, 1::2])
