"""Many answers, stages, label maps, and discriminators at several scales, in the methods that have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import i2i
from i2i.core.errors import I2IError
from i2i.data.batch import Batch
from i2i.methods import load_method
from i2i.methods._method import Method, Now
from i2i.methods._saved import saved_header
from i2i.models import format as model_file
from i2i.models.load import translator_of
from i2i.models.tiling import TileSettings
from i2i.nets import MultiScale
from i2i.nets.choice import Choice
from i2i.nets.labels import LabelInput, without_labels
from tests.methods.tiny import batch_of, made

PALETTE = "colors:sky=4682b4,car=00008e|00008f,road=804080"
COLORS = torch.tensor([[70, 130, 180], [0, 0, 142], [0, 0, 143], [128, 64, 128]]) / 127.5 - 1
paired = pytest.mark.parametrize("name", ["pix2pix", "bicyclegan", "pix2pixhd"])


def now(fraction: float, n: int = 4) -> Now:
    return Now(images=round(fraction * 1000) * n, total=1000 * n, batch=n)


def updates(method: Method, batch: Batch, at: Now) -> list[tuple[str, dict[str, float]]]:
    """What a step yields, with the updates made."""
    optimizers, found = method.optimizers(), []
    for name, terms in method.step(batch, at):
        found.append((name, {k: float(v.detach()) for k, v in terms.items()}))
        torch.stack(list(terms.values())).sum().backward(inputs=method.owned(optimizers[name]))
        optimizers[name].step()
        optimizers[name].zero_grad()
    return found


def weights(net: torch.nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The parts of a network, by the first word of their names, that have changed."""
    return {k.partition(".")[0] for k in before if not torch.equal(before[k], after[k])}


# ---- pix2pix -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_pix2pix_takes_scales_features_and_a_perceptual_loss(norm: str) -> None:
    method = made("pix2pix", scales=2, features=10.0, perceptual=1.0, content="alex", norm=norm, size=64)
    assert isinstance(method.D, MultiScale)
    terms = dict(updates(method, batch_of("pix2pix", size=64), now(0)))
    assert terms["G"].keys() == {"adv", "l1", "features", "perceptual"}
    assert all(value > 0 for value in terms["G"].values())


def test_without_them_pix2pix_is_the_papers() -> None:
    method = made("pix2pix")
    assert not isinstance(method.D, MultiScale)
    assert dict(updates(method, batch_of("pix2pix"), now(0)))["G"].keys() == {"adv", "l1"}


@pytest.mark.parametrize("values", [{"loss": "wasserstein"}, {"discriminator": "pixel"}])
def test_what_does_not_go_with_scales_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(I2IError, match=r"does not go together with scales and features"):
        made("pix2pix", scales=2, **values)


# ---- BicycleGAN ----------------------------------------------------------------------------------------------------


def test_the_distance_of_z_trains_the_generator_alone() -> None:
    method = made("bicyclegan", adv=0.0, adv2=0.0, kl=0.0, l1=0.0)
    name, terms = next(method.step(batch_of("bicyclegan"), now(0)))
    terms["latent"].backward(inputs=method.owned(method.optimizers()[name]))
    moved = {k for k, p in method.G.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert {k.partition(".")[0] for k in moved} == {"unet"}


@pytest.mark.parametrize(("values", "order"), [({}, ["G", "D", "D2"]), ({"shared": True}, ["G", "D"])])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_updates_have_the_papers_order(values: dict[str, Any], order: list[str], conditional: bool) -> None:
    method = made("bicyclegan", conditional=conditional, **values)
    assert [name for name, _ in updates(method, batch_of("bicyclegan"), now(0))] == order


@pytest.mark.parametrize("n", [1, 3])
def test_a_batch_of_one_or_three_is_no_error(n: int) -> None:
    found = dict(updates(made("bicyclegan"), batch_of("bicyclegan", n), now(0, n)))
    assert all(value == value for terms in found.values() for value in terms.values())


def test_answers_are_functions_of_seed_and_number_and_follow_an_example() -> None:
    G = made("bicyclegan").eval().generator
    x, y = batch_of("bicyclegan").x, batch_of("bicyclegan").y
    assert y is not None
    with torch.no_grad():
        first = G(x)
        assert torch.equal(G.chosen(Choice())(x), first)
        assert torch.equal(G.chosen(Choice(answer=0))(x[2:3]), G.chosen(Choice())(x[2:3]))
        others = [G.chosen(Choice(answer=1))(x), G.chosen(Choice(seed=1))(x), G.chosen(Choice(like=y[:1]))(x)]
        others.append(G.chosen(Choice(like=y[1:2]))(x))
        others.append(G.chosen(Choice(like=y[:1], answer=1))(x))
    for i, one in enumerate([first, *others]):
        assert all(not torch.equal(one, other) for other in others[i:])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"norm": "batch"}, "mixes real images and fakes"),
        ({"loss": "hinge"}, "Allowed: lsgan, vanilla"),
        ({"e_blocks": 5}, "e_blocks is 5, and the images have 16 pixels"),
        ({"layers": 3}, "need 48"),
    ],
)
def test_settings_of_bicyclegan_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(I2IError) as error:
        made("bicyclegan", **values)
    assert message in f"{error.value.what} {error.value.hint}"


# ---- pix2pixHD -----------------------------------------------------------------------------------------------------


def test_the_generator_is_trained_in_its_stages() -> None:
    method, batch = made("pix2pixhd", coarse=0.5, alone=0.25), batch_of("pix2pixhd")
    net = without_labels(method.G)
    trunk, enhancer = {"model", "head"}, {"model1_1", "model1_2"}
    for fraction, parts in ((0.0, trunk), (0.49, trunk), (0.5, enhancer), (0.75, {"model", *enhancer})):
        method.optimizers()
        before = weights(net)
        updates(method, batch, now(fraction))
        assert changed(before, weights(net)) == parts, fraction


def test_a_global_generator_learns_at_once() -> None:
    method = made("pix2pixhd", generator="global")
    before = weights(method.G)
    assert [name for name, _ in updates(method, batch_of("pix2pixhd"), now(0))] == ["G", "D"]
    assert changed(before, weights(method.G)) == {"model"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"generator": "unet"}, "Allowed: global, local"),
        ({"size": 18}, "Give a multiple of 4 from 8 pixels on"),
        ({"width": 1}, "too few for 1 enhancers"),
        ({"norm": "batch"}, "mixes real images and fakes"),
    ],
)
def test_settings_of_pix2pixhd_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(I2IError) as error:
        made("pix2pixhd", **values)
    assert message in f"{error.value.what} {error.value.hint}"


# ---- label maps ----------------------------------------------------------------------------------------------------


def label_batch(name: str, edges: bool) -> tuple[Method, Batch]:
    shape = {"palette": PALETTE, "label_edges": edges}
    method, batch = made(name, **shape), batch_of(name, **shape)
    ids = torch.randint(4, (4, 4, 4), generator=torch.Generator().manual_seed(0)).repeat_interleave(4, 1)
    batch.x = COLORS[ids.repeat_interleave(4, 2)].permute(0, 3, 1, 2)
    return method, batch


@paired
@pytest.mark.parametrize("edges", [False, True])
def test_every_paired_method_takes_label_maps(name: str, edges: bool, tmp_path: Path) -> None:
    method, batch = label_batch(name, edges)
    assert isinstance(method.G, LabelInput)
    method.check(batch)
    updates(method, batch, now(0.9))
    path = tmp_path / "model.safetensors"
    model_file.save(path, {"G": method.eval().G}, {**saved_header(method), **load_method(name).facts(method.config)})
    with torch.no_grad():
        expected = method.infer(batch)
    translator = i2i.load(path, device="cpu")
    torch.testing.assert_close(translator(batch.x), expected, rtol=0, atol=1e-6)
    off = (batch.x + 3 / 127.5 * torch.randn_like(batch.x)).clamp(-1, 1)  # the nearest color is taken
    same = translator(off)
    if not edges:  # two colors of one class are nearer to each other than the noise
        torch.testing.assert_close(same, expected, rtol=0, atol=1e-6)


def test_a_bridge_sees_the_classes_of_a_label_map(tmp_path: Path) -> None:
    """The process starts at the colors; the network sees one channel for each class beside its state."""
    method, batch = label_batch("bridge", True)
    question = method.G.question(0, (batch.x,), batch.x)
    assert question.shape[1] == 3 + method.shape.channels_seen
    assert torch.equal(question[:, 3:].unique(), torch.tensor([0.0, 1.0]))
    method.check(batch)
    path = tmp_path / "model.safetensors"
    model_file.save(path, {"G": method.eval().G}, saved_header(method))
    with torch.no_grad():
        expected = method.infer(batch)
    translator = i2i.load(path, device="cpu")
    assert translator.palette is not None
    torch.testing.assert_close(translator(batch.x), expected, rtol=0, atol=1e-5)


def test_edges_are_between_colors_of_one_class_too() -> None:
    method, _ = label_batch("pix2pix", True)
    x = COLORS[torch.tensor([[1, 1, 2, 2]])].permute(2, 0, 1)[None]
    seen = method.seen(x)
    assert seen[0, :, 0].tolist() == [[0] * 4, [1] * 4, [0] * 4, [0, 1, 1, 0]]


def test_a_model_of_label_maps_in_another_is_refused() -> None:
    with pytest.raises(I2IError, match="wraps another network"):
        LabelInput(PALETTE, False, "labels", {})


def test_answers_and_label_maps_are_translated_in_tiles(tmp_path: Path) -> None:
    """The effect of a pixel ends somewhere, also in networks that are not 0 where the image is."""
    x = COLORS[torch.randint(4, (12, 10), generator=torch.Generator().manual_seed(1))].permute(2, 0, 1)[None]
    x = torch.nn.functional.interpolate(x, scale_factor=16.0, mode="nearest")
    for name, values in (
        ("bicyclegan", {"depth": 2}),
        ("pix2pix", {"depth": 2, "palette": PALETTE, "label_edges": True}),
    ):
        method = made(name, **values).eval()
        whole = translator_of({"G": method.generator}, saved_header(method))
        assert whole.tiling.radius < 40
        tiled = whole.with_tiling(TileSettings(96, exact=True))
        torch.testing.assert_close(tiled(x), whole(x), rtol=0, atol=1e-5)
