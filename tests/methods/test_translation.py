"""pix2pix and CycleGAN: channels, losses, joint passes, own statistics, upsampling, first weights, history."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.data.batch import Batch
from i2i.losses.adversarial import LOSSES
from i2i.methods._method import Method, Now
from i2i.nets import ImagePool, PatchGAN, ResNet, UNet, init_weights
from i2i.nets.blocks import BatchNorm, BlurDown, BlurUp, ResizeConv, norm_layer
from tests.methods.tiny import batch_of, made

NOW = Now(images=0, total=400, batch=4)
both = pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])


def once(method: Method, batch: Batch, learn: bool = True) -> dict[str, Tensor]:
    """All terms of one step."""
    optimizers, found = method.optimizers(), {}
    for name, terms in method.step(batch, NOW):
        found |= {f"{name}/{k}": v.detach() for k, v in terms.items()}
        if learn:
            torch.stack(list(terms.values())).sum().backward(inputs=method.owned(optimizers[name]))
            optimizers[name].step()
            optimizers[name].zero_grad()
    return found


# ---- channels ------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(("channels_in", "channels_out"), [(1, 3), (3, 1), (1, 1), (4, 3)])
def test_channels_may_differ(name: str, channels_in: int, channels_out: int) -> None:
    shape = {"channels_in": channels_in, "channels_out": channels_out}
    method, batch = made(name, **shape), batch_of(name, **shape)
    terms = once(method, batch)
    assert all(v.isfinite() for v in terms.values())
    with torch.no_grad():
        assert method.eval().infer(batch).shape == (4, channels_out, 16, 16)
    if name == "cyclegan":
        differ = channels_in != channels_out
        assert ("G/identity_y" in terms) is not differ
        assert any("identity loss is left out" in note for note in method.notes()) is differ


def test_identity_can_be_turned_off() -> None:
    method = made("cyclegan", identity=0.0)
    assert not [k for k in once(method, batch_of("cyclegan")) if "identity" in k]
    assert method.notes() == []


@pytest.mark.parametrize("identity", [0.0, 0.5])
def test_noise_before_the_way_back_touches_the_cycle_alone(identity: float) -> None:
    plain = once(made("cyclegan", identity=identity), batch_of("cyclegan"))
    noisy = [once(made("cyclegan", identity=identity, cycle_noise=0.1), batch_of("cyclegan")) for _ in range(2)]
    differ = {k for k, v in plain.items() if not torch.allclose(v, noisy[0][k], rtol=1e-4)}
    assert differ == {"G/cycle_x", "G/cycle_y"}
    assert all(torch.equal(v, noisy[1][k]) for k, v in noisy[0].items()), "the noise is that of the sample's number"


def test_a_shallow_unet_is_said() -> None:
    assert any("only 4 levels" in note for note in made("pix2pix", size=16).notes())
    assert made("pix2pix", size=32).notes() == []


# ---- losses --------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss(name: str, loss: str) -> None:
    method, batch = made(name, loss=loss), batch_of(name)
    terms = once(method, batch)
    assert all(v.isfinite() for v in terms.values())
    penalties = [k for k in terms if "/gp" in k]
    assert bool(penalties) == (loss == "wasserstein") == method.double_backward
    assert all(k.startswith("D/") for k in penalties)


@both
def test_the_penalty_can_be_turned_off(name: str) -> None:
    method = made(name, loss="wasserstein", gp=0.0)
    assert not [k for k in once(method, batch_of(name)) if "/gp" in k]
    assert not method.double_backward


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_the_sides_of_a_loss_pull_apart(loss: str) -> None:
    """The discriminator raises scores of reals and lowers those of fakes; the generator raises its own."""
    for side, sign in (("real", -1), ("fake", 1), ("adv", -1)):
        scores = torch.tensor([0.2, 0.4, 0.6], requires_grad=True)
        getattr(LOSSES[loss], side)(scores).backward()
        assert scores.grad is not None
        assert (scores.grad.sign() == sign).all(), side


def test_known_values_of_losses() -> None:
    s = torch.tensor([2.0, 0.5, -1.0])
    assert LOSSES["hinge"].real(s) == pytest.approx((0 + 0.5 + 2) / 3)
    assert LOSSES["hinge"].fake(s) == pytest.approx((3 + 1.5 + 0) / 3)
    assert LOSSES["hinge"].adv(s) == pytest.approx(-0.5)
    assert LOSSES["lsgan"].real(s) == pytest.approx((1 + 0.25 + 4) / 3)
    assert LOSSES["vanilla"].adv(torch.zeros(4)) == pytest.approx(math.log(2))
    assert LOSSES["vanilla"].fake(torch.tensor([800.0])) == 800  # no overflow


def test_losses_keep_their_digits_in_half_precision() -> None:
    s = torch.linspace(-1, 1, 4097).to(torch.bfloat16)
    for loss, side in itertools.product(LOSSES.values(), ("real", "fake", "adv")):
        assert getattr(loss, side)(s).dtype == torch.float32


@both
@pytest.mark.parametrize(
    ("setting", "value", "near"),
    [("loss", "lsgann", "lsgan"), ("generator", "resnett", "resnet"), ("norm", "bacth", "batch"),
     ("init", "xavir", "xavier"), ("discriminator", "patch", "patchgan"), ("decay", "liner", "linear"),
     ("upsample", "resiz", "resize")],
)  # fmt: skip
def test_an_unknown_name_lists_the_nearest(name: str, setting: str, value: str, near: str) -> None:
    with pytest.raises(I2IError) as error:
        made(name, **{setting: value})
    assert value in str(error.value.what)
    assert near in str(error.value.hint)


# ---- one pass where several would do -------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("norm", ["instance", "none"])
def test_joint_passes_change_no_number(name: str, norm: str) -> None:
    found = []
    for joint in (True, False):
        method = made(name, norm=norm).double()
        assert method.joint
        method.joint = joint
        batch = batch_of(name, dtype=torch.float64)
        once(method, batch)
        found.append(once(method, batch))
    for key, value in found[0].items():
        torch.testing.assert_close(value, found[1][key], rtol=1e-9, atol=1e-12, msg=key)


@both
def test_batch_norm_sees_one_kind_at_a_time(name: str) -> None:
    assert not made(name, norm="batch").joint


# ---- at test time --------------------------------------------------------------------------------------------------


def shaken(net: nn.Module) -> nn.Module:
    """`net` with batch-norm statistics far from those of any image."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.add_(0.3)
            module.running_var.mul_(2)
    return net


def test_own_statistics_are_those_of_train_mode_on_the_picture_alone() -> None:
    batch = batch_of("pix2pix", size=32)
    method = made("pix2pix", norm="batch", size=32, dropout=False).eval()
    stored = made("pix2pix", norm="batch", size=32, dropout=False, own_statistics=False).eval()
    shaken(method.G), shaken(stored.G)
    with torch.no_grad():
        before = {k: v.clone() for k, v in method.state_dict().items()}
        found = method.infer(batch)
        assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())
        assert not method.G.training
        assert not any(m.per_image_stats for m in method.modules() if isinstance(m, BatchNorm))  # put back
        plain = stored.infer(batch)
        assert (plain - found).abs().max() > 1e-3
        torch.testing.assert_close(plain, stored.G(batch.x))
        method.train()
        for i in range(len(batch)):
            alone = method.G(batch.x[i : i + 1])
            torch.testing.assert_close(found[i : i + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("generator", ["unet", "resnet"])
@pytest.mark.parametrize("noisy", [True, False])
def test_dropout_at_test_is_a_choice(generator: str, noisy: bool) -> None:
    settings: dict[str, Any] = {"generator": generator, "size": 64, "width": 2, "blocks": 1}
    method = made("pix2pix", dropout=True, dropout_at_test=noisy, **settings).eval()
    assert any(isinstance(m, nn.Dropout) for m in method.G.modules())
    batch = batch_of("pix2pix", n=2, size=64)
    with torch.no_grad():
        torch.manual_seed(1)
        first = method.infer(batch)
        torch.manual_seed(2)
        second = method.infer(batch)
    assert torch.equal(first, second) is not noisy
    assert not any(m.training for m in method.modules())
    assert type(method).facts(type(method).Config(dropout_at_test=noisy))["dropout_at_test"] is noisy


# ---- upsampling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["unet", "resnet"])
def test_resize_leaves_no_checkerboard(network: str) -> None:
    """From a constant image, away from the borders, resize + convolution makes a constant one. A transposed
    convolution, whose outputs get unequal numbers of contributions, makes a pattern of period two."""

    def middle(upsample: str) -> Tensor:
        torch.manual_seed(0)
        common: dict[str, Any] = {"width": 4, "norm": "none", "upsample": upsample}
        net = UNet(depth=2, **common) if network == "unet" else ResNet(blocks=1, **common)
        init_weights(net, "xavier", 1.0)
        with torch.no_grad():
            made: Tensor = net.double().eval()(torch.full((1, 3, 128, 128), 0.5, dtype=torch.float64))
        return made[..., 56:72, 56:72]

    assert middle("resize").flatten(2).std(2).max() < 1e-12
    assert middle("transposed").flatten(2).std(2).max() > 1e-3
    if network == "resnet":
        assert middle("blur").flatten(2).std(2).max() < 1e-12


def test_resampling_keeps_a_constant_and_the_size() -> None:
    x = torch.full((2, 3, 9, 12), 0.7)
    torch.testing.assert_close(BlurDown(3)(x), torch.full((2, 3, 5, 6), 0.7))
    torch.testing.assert_close(BlurUp(3)(x), torch.full((2, 3, 18, 24), 0.7))
    assert ResizeConv(3, 5, True)(x).shape == (2, 5, 18, 24)


# ---- networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_the_patch_of_a_patchgan(layers: int, field: int) -> None:
    """A score depends on `field` x `field` pixels."""
    x = torch.rand(1, 3, 256, 256, requires_grad=True)
    scores = PatchGAN(3, layers, 2, "none")(x)
    assert layers != 3 or scores.shape == (1, 1, 30, 30)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == field


def test_parameters_of_the_papers_networks() -> None:
    """As the authors' networks have them."""
    with torch.device("meta"):
        nets = {
            "resnet 9": (ResNet(blocks=9), 11_378_179),
            "resnet 9, batch": (ResNet(blocks=9, norm="batch"), 11_383_427),
            "unet 256, batch": (UNet(depth=8), 54_413_955),
            "unet 256, instance": (UNet(depth=8, norm="instance"), 54_409_603),
            "patchgan, batch": (PatchGAN(6, norm="batch"), 2_768_705),
        }
    for title, (net, expected) in nets.items():
        assert sum(p.numel() for p in net.parameters()) == expected, title


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_gradients_do_not_depend_on_the_layout(norm: str, pictures: int) -> None:
    """A gradient that comes back channels last, as from a convolution in that layout, is the same gradient."""
    torch.manual_seed(0)
    layers = nn.Sequential(norm_layer(norm, 16), nn.ReLU(inplace=True)).double()
    x = torch.randn(pictures, 16, 8, 8, dtype=torch.float64, requires_grad=True)
    y = layers(x)
    back = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, x, back, retain_graph=True)
    (found,) = torch.autograd.grad(y, x, back.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["normal", "xavier", "kaiming", "orthogonal"])
@torch.no_grad()
def test_first_weights(kind: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, 32, 4), nn.Linear(32, 400))
    for p in net.parameters():
        nn.init.constant_(p, 9.0)
    init_weights(net, kind, 0.02)
    conv, norm, up, linear = net
    for layer in (conv, up, linear):
        assert not layer.bias.any()
    assert not norm.bias.any()
    assert norm.weight.mean() == pytest.approx(1, abs=0.01)
    assert norm.weight.std() == pytest.approx(0.02, rel=0.3)
    inside, outside = 32 * 9, 64 * 9
    deviation = {
        "normal": 0.02,
        "xavier": 0.02 * math.sqrt(2 / (inside + outside)),
        "kaiming": math.sqrt(2 / inside),
        "orthogonal": 0.02 / math.sqrt(inside),
    }
    assert conv.weight.std() == pytest.approx(deviation[kind], rel=0.03)
    if kind == "orthogonal":
        rows = conv.weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, 0.02**2 * torch.eye(64), rtol=0, atol=1e-8)


@both
@torch.no_grad()
def test_first_weights_are_those_asked_for(name: str) -> None:
    method = made(name, init="normal", gain=0.5, width=8)
    values = torch.cat([m.weight.flatten() for m in method.modules() if isinstance(m, nn.Conv2d)])
    assert values.std() == pytest.approx(0.5, rel=0.05)


# ---- history of fakes ----------------------------------------------------------------------------------------------


def fakes(first: int, n: int) -> Tensor:
    return torch.arange(first, first + n).float().view(n, 1, 1, 1).expand(n, 2, 3, 3).clone()


def test_history_fills_then_shows_old_ones_half_the_time() -> None:
    held = ImagePool(50, (2, 3, 3))
    assert torch.equal(held.query(fakes(0, 50)), fakes(0, 50))
    shown = torch.cat([held.query(fakes(50 + 4 * i, 4)) for i in range(100)])[:, 0, 0, 0]
    new = torch.arange(50, 450)
    old = shown != new
    assert 0.4 < old.float().mean() < 0.6
    assert (shown[old] < new[old]).all()
    seen = shown[old]
    assert len(seen.unique()) == len(seen)  # one that is shown has left the pool


def test_history_is_the_same_one_by_one_and_after_a_restart() -> None:
    together, single = ImagePool(3, (2, 3, 3), "y"), ImagePool(3, (2, 3, 3), "y")
    expected = [together.query(fakes(4 * i, 4)) for i in range(6)]
    for i in range(3):
        found = torch.cat([single.query(fakes(4 * i + k, 1)) for k in range(4)])
        assert torch.equal(found, expected[i])
    resumed = ImagePool(3, (2, 3, 3), "y")
    resumed.query(fakes(99, 1))
    resumed.load_state_dict(single.state_dict())
    for i in range(3, 6):
        assert torch.equal(resumed.query(fakes(4 * i, 4)), expected[i])
    other = ImagePool(3, (2, 3, 3), "x")
    assert any(not torch.equal(other.query(fakes(4 * i, 4)), expected[i]) for i in range(6))


def test_history_of_none_and_of_another_size() -> None:
    assert torch.equal(ImagePool(0, (2, 3, 3)).query(fakes(0, 4)), fakes(0, 4))
    with pytest.raises(I2IError, match="images of one size"):
        ImagePool(2, (2, 3, 3)).query(torch.zeros(1, 2, 4, 4))
    made_by_g = fakes(0, 2).requires_grad_()
    assert not ImagePool(1, (2, 3, 3)).query(made_by_g).requires_grad


# ---- learning --------------------------------------------------------------------------------------------------------


def test_pix2pix_comes_nearer_to_the_pairs() -> None:
    method, batch = made("pix2pix", lr=2e-3, init="xavier", gain=1.0), batch_of("pix2pix")
    optimizers = method.optimizers()
    assert batch.y is not None

    def distance() -> float:
        with torch.no_grad():
            method.eval()
            found = (method.infer(batch) - batch.y).abs().mean()
            method.train()
        return float(found)

    before = distance()
    for _ in range(40):
        for name, terms in method.step(batch, NOW):
            torch.stack(list(terms.values())).sum().backward(inputs=method.owned(optimizers[name]))
            optimizers[name].step()
            optimizers[name].zero_grad()
    assert distance() < 0.7 * before


def test_cyclegan_comes_back() -> None:
    method, batch = made("cyclegan", lr=2e-3, init="xavier", gain=1.0), batch_of("cyclegan")
    optimizers = method.optimizers()
    cycles = []
    for _ in range(30):
        for name, terms in method.step(batch, NOW):
            torch.stack(list(terms.values())).sum().backward(inputs=method.owned(optimizers[name]))
            optimizers[name].step()
            optimizers[name].zero_grad()
            if name == "G":
                cycles.append(float((terms["cycle_x"] + terms["cycle_y"]).detach()))
    assert cycles[-1] < 0.7 * cycles[0]


@both
def test_the_rate_of_the_papers(name: str) -> None:
    method = made(name)
    assert [method.lr_factor(f) for f in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([1, 1, 0.5, 0])
