"""StarGAN's training steps, labels, learning rates and test path against stored numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.data.batch import Batch, Shape
from i2i.losses import attributes, category
from i2i.methods._method import Now
from i2i.methods.stargan import StarGAN, paper_factor, released_factor
from i2i.models.load import load
from i2i.nets import StarGANDiscriminator, StarGANGenerator
from i2i.nets.blocks import InstanceNorm
from i2i.nets.domains import Domains
from tests.golden_family.reading import case
from tests.golden_gans import reading as gans
from tests.golden_gans.reading import Case, fill, gradients


class Stored(StarGAN):
    """StarGAN with stored draws; `draws` holds the permutation and alpha of each data set by its suffix."""

    draws: dict[str, tuple[Tensor, Tensor]]
    targets: tuple[Tensor, Tensor] | None = None  # labels and answers that are no permutation of the images' own

    def order(self, ids: Tensor, now: Now, suffix: str) -> Tensor:
        return self.draws[suffix][0]

    def alpha(self, ids: Tensor, now: Now, suffix: str) -> Tensor:
        return self.draws[suffix][1].flatten()

    def shuffled(self, rows: Tensor, order: Tensor) -> Tensor:
        if self.targets is None:
            return super().shuffled(rows, order)
        return self.targets[0 if rows.is_floating_point() else 1]


def tracked(net: nn.Module) -> None:
    """Gives every norm the running statistics that the reference tracks, and uses in eval mode only."""
    for name, module in [*net.named_modules()]:
        if isinstance(module, InstanceNorm):
            parent, _, leaf = name.rpartition(".")
            norm = nn.InstanceNorm2d(module.num_features, affine=True, track_running_stats=True)
            setattr(net.get_submodule(parent), leaf, norm)


def method_of(found: Case, domains: Domains) -> Stored:
    o = found.options
    method = Stored(
        Stored.Config(
            width=o["conv_dim"],
            blocks=o["g_blocks"],
            d_width=o.get("d_conv_dim", o["conv_dim"]),
            d_layers=o["d_layers"],
            cls=o.get("lambda_cls", 1.0),
            rec=o.get("lambda_rec", 10.0),
            gp=o.get("lambda_gp", 10.0),
            critic_steps=o.get("n_critic", 1),
            lr=o.get("lr", 1e-4),
            d_lr=o.get("lr", 1e-4),
        ),
        Shape(3, 3, o["image_size"], domains=domains),
    )
    tracked(method.G)
    fill(method.G, found.under("G."))
    fill(method.D, found.under("D."))
    return method.train()


Line = tuple[str, dict[str, Tensor], dict[str, Tensor]]


def run(method: Stored, optimizers: dict[str, Any], batch: Batch, now: Now) -> list[Line]:
    """One step: of each yield the optimizer, the terms without their weights, and the gradients."""
    c, lines = method.config, []
    weights = {"real": 1.0, "fake": 1.0, "adv": 1.0, "cls": c.cls, "gp": c.gp, "rec": c.rec}
    for name, terms in method.step(batch, now):
        method.zero_grad()
        sum(terms.values()).backward(inputs=method.owned(optimizers[name]))  # type: ignore[union-attr]
        optimizers[name].step()
        plain = {k: v.detach() / weights[k.partition("_")[0]] for k, v in terms.items()}
        lines.append((name, plain, gradients(getattr(method, name))))
    return lines


NAMES = {"D": {"real": "loss_real", "fake": "loss_fake", "cls": "loss_cls", "gp": "loss_gp"}}
NAMES["G"] = {"adv": "loss_fake", "cls": "loss_cls", "rec": "loss_rec"}


def losses(name: str, terms: dict[str, Tensor], prefix: str, suffix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}{name.lower()}.{NAMES[name][k.removesuffix(suffix) if suffix else k]}": v for k, v in terms.items()
    }


def after(method: Stored) -> dict[str, Tensor]:
    state = method.state_dict()
    return {f"after.{k}": v for k, v in state.items() if v.is_floating_point()}


def test_a_whole_step_with_attributes() -> None:
    found = gans.case("stargan_step")
    o, given = found.options, found.inputs
    names = tuple(f"a{i}" for i in range(o["c_dim"]))
    exclusive = o["exclusive_labels"]
    domains = Domains(classes=names) if exclusive else Domains(bits=names)
    method = method_of(found, domains)
    got: dict[str, Tensor] = {}
    with torch.no_grad():
        got["eval.fake"] = method.G.eval()(given["x"], given["c_trg"])
    method.train()
    labels = {k: given[k] for k in ("label_org", "label_trg")}
    if exclusive:
        labels = {k: v.argmax(1) if v.ndim == 2 else v for k, v in labels.items()}
    method.targets = given["c_trg"], labels["label_trg"]
    method.draws = {"": (torch.arange(len(given["x"])), given["alpha"])}
    with torch.no_grad():
        got["d.src_real"], got["d.cls_real"] = method.D(given["x"])
    seen: list[Tensor] = []
    hook = method.G.register_forward_hook(lambda module, inputs, out: seen.append(out.detach()))
    lines = run(method, method.optimizers(), Batch(given["x"], c=labels["label_org"]), Now())
    hook.remove()
    c = method.config
    for name, terms, grad in lines:
        got |= losses(name, terms, "")
        total = {k: v * {"gp": c.gp, "rec": c.rec, "cls": c.cls}.get(k, 1.0) for k, v in terms.items()}
        got[f"{name.lower()}.loss"] = torch.stack([*total.values()]).sum()
        got |= {f"grad.{name}.{k}": v for k, v in grad.items()}
    got |= {"g.fake": seen[1], "g.reconstruction": seen[2], **after(method)}
    found.check(got)


def test_several_iterations_with_classes() -> None:
    found = case("stargan_step_classes")
    o, given = found.options, found.inputs
    method = method_of(found, Domains(classes=tuple(f"c{i}" for i in range(o["c_dim"]))))
    optimizers, got = method.optimizers(), dict[str, Tensor]()
    for i in range(o["iterations"]):
        x, c = given[f"{i}.x"], given[f"{i}.class_org"]
        permutation = given[f"{i}.permutation"]
        method.draws = {"": (permutation, given[f"{i}.alpha"])}
        with torch.no_grad():
            src, scores = method.D(x)
        got |= {f"{i}.d.src_real": src, f"{i}.d.cls_real": scores, f"{i}.class_trg": c[permutation]}
        images: list[Tensor] = []
        named: list[Tensor] = []
        hooks = [
            method.G.register_forward_hook(lambda module, inputs, out, images=images: images.append(out.detach())),
            method.D.register_forward_hook(lambda module, inputs, out, named=named: named.append(out[1].detach())),
        ]
        for name, terms, grad in run(method, optimizers, Batch(x, c=c), Now(images=i * len(x), batch=len(x))):
            got |= losses(name, terms, f"{i}.")
            got |= {f"{i}.grad.{name}.{k}": v for k, v in grad.items()}
        for hook in hooks:
            hook.remove()
        got[f"{i}.fake"] = images[0]
        if len(images) > 1:
            got |= {f"{i}.reconstruction": images[2], f"{i}.g.cls_fake": named[-1]}
    found.check({**got, **after(method)})


def test_two_data_sets_with_a_mask() -> None:
    found = case("stargan_two_sets")
    o, given = found.options, found.inputs
    domains = Domains(tuple(f"b{i}" for i in range(o["c_dim"])), tuple(f"c{i}" for i in range(o["c2_dim"])))
    method = method_of(found, domains)
    bits, classes = given["bits.label_org"], given["classes.class_org"]
    rows = nn.functional.one_hot(classes, o["c2_dim"]).float()
    batch = Batch(given["bits.x"], given["classes.x"], torch.cat([bits, rows], 1))
    method.draws = {
        suffix: (given[f"{part}.permutation"], given[f"{part}.alpha"])
        for suffix, part in (("", "bits"), ("_2", "classes"))
    }
    images: list[Tensor] = []
    named: list[Tensor] = []
    hooks = [
        method.G.register_forward_hook(lambda module, inputs, out: images.append(out.detach())),
        method.D.register_forward_hook(lambda module, inputs, out: named.append(out[1].detach())),
    ]
    lines = run(method, method.optimizers(), batch, Now())
    for hook in hooks:
        hook.remove()
    got: dict[str, Tensor] = {}
    for (name, terms, grad), (part, suffix) in zip(lines, [("bits", "")] * 2 + [("classes", "_2")] * 2, strict=True):
        got |= losses(name, terms, f"{part}.", suffix)
        got |= {f"{part}.grad.{name}.{k}": v for k, v in grad.items()}
    for n, (part, known) in enumerate(zip(("bits", "classes"), method.sets(batch), strict=True)):
        got |= {f"{part}.c_org": known.own, f"{part}.c_trg": known.own[given[f"{part}.permutation"]]}
        got |= {f"{part}.fake": images[3 * n], f"{part}.reconstruction": images[3 * n + 2]}
        got[f"{part}.d.cls_real"] = named[4 * n]  # of D: real, fake, mixed, and then G's fake
    found.check({**got, **after(method)})


def test_labels_and_learning_rates() -> None:
    found = case("stargan_labels")
    o, given = found.options, found.inputs
    got: dict[str, Tensor] = {}
    groups = (tuple(o["exclusive"]),)
    for title, names in o["attributes"].items():
        got[f"{title}.c_trg"] = Domains(tuple(names), (), groups).changed(given[f"{title}.c_org"])
    classes = tuple(f"c{i}" for i in range(o["c2_dim"]))
    got["classes.c_trg"] = Domains(classes=classes).targets(torch.zeros(len(given["classes.class_org"]), 0))
    both = Domains(tuple(o["attributes"]["default"]), classes, groups)
    got["two_sets.c_trg"] = both.targets(given["default.c_org"])
    total, decay, every = o["num_iters"], o["num_iters_decay"], o["lr_update_step"]
    for title, factor in (("released", released_factor), ("paper", paper_factor)):
        curve = torch.tensor([factor(i, total, decay, every) for i in range(total)], dtype=torch.float64)
        got |= {f"lr.{title}.g": curve * o["g_lr"], f"lr.{title}.d": curve * o["d_lr"]}
    last = released_factor(200_000, 200_000, 100_000, 1000)
    got["lr.released.default_final"] = torch.tensor(1e-4 * last, dtype=torch.float64)
    found.check(got)


def test_the_losses_of_attributes_and_of_classes_differ_in_their_scale() -> None:
    scores, bits = torch.zeros(4, 3), torch.ones(4, 3)
    torch.testing.assert_close(attributes(scores, bits), torch.tensor(2.0).log() * 3)
    torch.testing.assert_close(category(scores, torch.tensor([0, 1, 2, 0])), torch.tensor(3.0).log())


def prepared(path: Path, crop: int, size: int) -> Tensor:
    """The reference's preparation: the middle square, resized by Pillow: [3, size, size] in [-1, 1]."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    left, top = (round((side - crop) / 2.0) for side in image.size)
    image = image.crop((left, top, left + crop, top + crop)).resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255 * 2 - 1


def test_the_test_path_of_the_released_code() -> None:
    found = case("stargan_test")
    o, given = found.options, found.inputs
    (checkpoint,) = found.folder.glob("*.ckpt")
    bits = o["dataset"] == "bits"
    names = tuple(o["attributes"])
    domains = Domains(names, (), (tuple(o["exclusive"]),)) if bits else Domains(classes=names)

    # The pictures, and the targets of each.
    x = torch.stack([prepared(found.folder / "pictures" / p, o["crop_size"], o["image_size"]) for p in o["order"]])
    targets = domains.targets(given["c_org"] if bits else torch.zeros(len(x), 0))
    got: dict[str, Tensor] = {"x": x, "c_trg": targets}

    # The checkpoint as `i2i translate` loads it; its domains get other names, its weights are the same.
    model = load(checkpoint, "cpu")
    G = model.saved_network
    assert isinstance(G, StarGANGenerator)
    assert (G.arguments["width"], G.arguments["blocks"]) == (o["conv_dim"], o["g_blocks"])
    assert G.labels.width == len(names)
    with torch.no_grad():
        fake = torch.stack([G(x, target) for target in targets])
        apart = torch.stack([torch.cat([G(x[i : i + 1], t[i : i + 1]) for i in range(len(x))]) for t in targets])
    torch.testing.assert_close(fake, apart, rtol=1e-4, atol=1e-5)
    got["fake"] = fake
    columns = torch.cat([x[None], fake])
    rows = [torch.cat([*columns[:, i]], 2) for i in range(len(x))]
    grid = torch.cat(rows, 1)
    got["grid"] = (((grid + 1) / 2).clamp(0, 1) * 255 + 0.5).floor()

    # With running statistics, which the file holds and nobody uses.
    wrong = StarGANGenerator(**G.arguments)
    tracked(wrong)
    wrong.load_state_dict(torch.load(checkpoint, weights_only=True))
    n = len(found.outputs["eval.fake_first"])
    with torch.no_grad():
        for first in range(0, len(x), o["batch"]):  # the reference's own pass moves the statistics
            for target in targets:
                wrong.train()(x[first : first + o["batch"]], target[first : first + o["batch"]])
        got["eval.fake_first"] = wrong.eval()(x[:n], targets[0][:n])
    found.check(got)
    assert (got["eval.fake_first"] - fake[0][:n]).abs().mean() > 0.02


def test_checkpoints_of_both_forms_of_torch_are_one_model(tmp_path: Path) -> None:
    found = case("stargan_test")
    (checkpoint,) = found.folder.glob("*.ckpt")
    state = torch.load(checkpoint, weights_only=True)
    for form in (True, False):
        torch.save(state, tmp_path / "again-G.ckpt", _use_new_zipfile_serialization=form)
        assert load(tmp_path / "again-G.ckpt", "cpu").digest == load(checkpoint, "cpu").digest


def test_a_released_discriminator_is_recognized_and_refused(tmp_path: Path) -> None:
    D = StarGANDiscriminator(5, 3, 32, 4, 3)
    torch.save(D.state_dict(), tmp_path / "7-D.ckpt")
    with pytest.raises(I2IError, match="StarGANDiscriminator, which makes no images"):
        load(tmp_path / "7-D.ckpt", "cpu")
