"""Pruning, self-supervised compression and distillation against stored numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i import nets
from i2i.data.batch import Batch, Shape
from i2i.losses.penalties import gradient_penalty
from i2i.methods import Method, Now, Terms, adam_pair
from i2i.methods.cyclegan import CycleGAN, CycleGANSettings
from i2i.methods.pix2pix import Pix2Pix, Pix2PixSettings
from i2i.nets import PatchGAN
from i2i.nets.narrow import copy_channels
from i2i.training.compress import masks
from i2i.training.compress.distilled import Distilled, Weights
from i2i.training.compress.features import captured, distances
from i2i.training.compress.plan import Plan
from i2i.training.compress.pruned import Pruned
from i2i.training.compress.terms import joined, own_terms, sum_of
from tests.golden_family.reading import case
from tests.golden_gans.reading import Case, fill


def names_of() -> dict[str, str]:
    """The authors' blocks always have a place for dropout, so what follows it has another number."""
    numbers = ((6, 5), (7, 6))
    return {f"model.{i}.conv_block.{a}": f"model.{i}.conv_block.{b}" for i in range(10, 19) for a, b in numbers}


def theirs(name: str) -> str:
    """A name of ours as the authors have it."""
    back = {ours: name for name, ours in names_of().items()}
    start = next((s for s in back if name.startswith(f"{s}.")), None)
    return back[start] + name.removeprefix(start) if start else name


def resnet(kind: str, width: int, options: dict[str, Any]) -> nn.Module:
    """A generator as the authors of gan-compression call it."""
    return nets.build(
        "mobile_resnet" if kind.startswith("mobile") else "resnet",
        channels_in=options["input_nc"],
        channels_out=options["output_nc"],
        blocks=options["n_blocks"],
        width=width,
        norm=options["norm"],
    )


def test_distill_init() -> None:
    golden = case("distill_init")
    options = golden.options
    old = resnet(options["netG"], options["pretrained_ngf"], options)
    student = resnet(options["netG"], options["student_ngf"], options)
    fill(old, golden.under("pretrained."), names_of())
    with torch.no_grad():
        copy_channels(old, student)
        found = {"student_fake": student.train()(golden.inputs["x"])}
    golden.check({**found, **{f"student.{theirs(name)}": value for name, value in student.state_dict().items()}})


def test_agp_schedule() -> None:
    golden = case("agp_schedule")
    o = golden.options
    width, channels, total = o["width"], o["channels"], o["total_steps"]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(channels, width, 3, 2, 1)
            self.mid = nn.Conv2d(width, width, 3, 1, 1)
            self.up = nn.ConvTranspose2d(width, channels, 4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.up(self.mid(self.conv(x).relu()).relu()).tanh()

    net = Net()
    fill(net, golden.weights)
    pruning = masks.Pruning(net)
    adam = torch.optim.Adam(net.parameters(), o["lr"], tuple(o["betas"]))
    found: dict[str, Tensor] = {}
    losses, counts, shares = [], [], []

    def share(t: int, total: int, start: float, target: float, every: int) -> float:
        return masks.cubic(t, total, start, target, o["end_fraction"], every)

    for t in range(total):
        shares.append(share(t, total, o["start"], o["target"], o["update_every"]))
        pruning.prune(net, shares[-1])
        found |= {f"{t}.mask.{k.replace('/', '.')}": v.clone() for k, v in pruning.named_buffers()}
        loss = fn.l1_loss(net(golden.inputs["x"][t]), golden.inputs["y"][t])
        adam.zero_grad()
        loss.backward()
        adam.step()
        pruning.apply_to(net)
        losses.append(loss.detach())
        counts.append(torch.tensor([int((w != 0).sum()) for w in masks.prunable(net).values()]))
        found |= {f"{t}.after.{k}": v.detach().clone() for k, v in net.named_parameters()}
        found[f"{t}.exp_avg.mid.weight"] = adam.state[net.mid.weight]["exp_avg"].clone()
    found["sparsity"] = torch.tensor(shares, dtype=torch.float64)
    long = [masks.cubic(t, 200, 0.05, o["target"], 0.5, 10) for t in range(200)]
    found["long.sparsity"] = torch.tensor(long, dtype=torch.float64)
    golden.check({**found, "loss": torch.stack(losses), "nonzero": torch.stack(counts)})


def test_pruned_conv_24() -> None:
    golden = case("pruned_conv_24")
    o = golden.options
    found = {f"mask.{name}": masks.two_of_four(w) for name, w in golden.weights.items()}
    conv = nn.Conv2d(o["shapes"]["conv1"][1], o["shapes"]["conv1"][0], o["shapes"]["conv1"][2], bias=False)
    conv.padding = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)
    fill(conv, {"weight": golden.weights["conv1.weight"]})
    pruning = masks.Pruning(conv, "2:4")
    pruning.prune(conv, 0.5)
    found["conv1.out"] = conv(golden.inputs["x"])
    adam = torch.optim.Adam(conv.parameters(), o["lr"], tuple(o["betas"]))
    for _ in range(o["steps"]):
        adam.zero_grad()
        fn.mse_loss(conv(golden.inputs["x"]), golden.inputs["y"]).backward()
        adam.step()
        pruning.apply_to(conv)
    golden.check({**found, "after.conv1.weight": conv.weight})


class Small(nn.Module):
    """The generators of the case `compression_loss`; a label is joined to the image as maps."""

    def __init__(self, channels_in: int, channels: int, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(channels_in, width, 3, 1, 1), nn.Conv2d(width, channels, 3, 1, 1)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        if c is not None:
            x = torch.cat([x, c[..., None, None].expand(-1, -1, *x.shape[2:])], 1)
        return self.b(self.a(x).tanh()).tanh()


class SmallD(nn.Module):
    """Their discriminator; with classes it also gives class scores."""

    def __init__(self, channels: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.a, self.s = nn.Conv2d(channels, width, 3, 2, 1), nn.Conv2d(width, 1, 3, 1, 1)
        if classes:
            self.c = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.s(fn.leaky_relu(self.a(x), 0.2))

    def classes(self, x: Tensor) -> Tensor:
        return self.c(fn.leaky_relu(self.a(x), 0.2)).mean((2, 3))


@dataclass(frozen=True)
class StarSettings:
    cls: float = 1.0
    rec: float = 10.0
    gp: float = 10.0
    form: str = "bits"
    lr: float = 1e-3


class Star(Method):
    """StarGAN's terms, as a method says them: fakes of the D step are detached."""

    Config = StarSettings

    def __init__(self, config: StarSettings, shape: Shape, inputs: dict[str, Tensor]) -> None:
        super().__init__(config, shape)
        self.inputs, self.double_backward = inputs, True

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return adam_pair(self.D, self.G, self.config.lr, 0.5)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        c_org, c_trg = self.inputs["c_org"], self.inputs["c_trg"]
        D: Any = self.D
        fake = self.G(batch.x, c_trg)
        shown = fake.detach()
        alpha = self.inputs["alpha"]
        yield (
            "D",
            {
                "real": -D(batch.x).mean(),
                "fake": D(shown).mean(),
                "gp": self.config.gp * gradient_penalty(D, batch.x, shown, alpha),
                "cls": D.classes(batch.x).square().mean(),
            },
        )
        scores = D.classes(fake)
        if self.config.form == "bits":
            cls = fn.binary_cross_entropy_with_logits(scores, c_trg, reduction="sum") / len(scores)
        else:
            cls = fn.cross_entropy(scores, c_trg.argmax(1))
        terms = {"adv": -D(fake).mean(), "cls": self.config.cls * cls}
        yield "G", {**terms, "rec": self.config.rec * fn.l1_loss(self.G(fake, c_org), batch.x)}


def original_method(task: str, options: dict[str, Any], inputs: dict[str, Tensor]) -> tuple[Method, Batch]:
    """The method that has trained the original of a task, with the networks of the case, and its batch."""
    channels, width, d_width = options["channels"], options["width"], options["d_width"]
    shape, weights = Shape(channels, channels, 16), options["weights"][task]
    tiny: dict[str, Any] = {
        "generator": "resnet",
        "width": 1,
        "d_width": 1,
        "layers": 1,
        "blocks": 1,
        "lr": options["lr"],
    }
    if task == "pix2pix":
        method: Method = Pix2Pix(Pix2PixSettings(**tiny, l1=weights["l1"]), shape)
        method.G, method.D = Small(channels, channels, width), SmallD(2 * channels, d_width)
        batch = Batch(inputs["x"], inputs["y"])
    elif task == "cyclegan":
        share = weights["identity"] / weights["cycle"]
        settings = CycleGANSettings(**tiny, cycle_x=weights["cycle"], cycle_y=weights["cycle"], identity=share)
        method = CycleGAN(settings, shape)
        method.G, method.F = Small(channels, channels, width), Small(channels, channels, width)
        method.D_y, method.D_x = SmallD(channels, d_width), SmallD(channels, d_width)
        batch = Batch(inputs["a"], inputs["b"])
    else:
        settings = StarSettings(**weights, form=options["label_form"], lr=options["lr"])
        method = Star(settings, shape, inputs)
        method.G, method.D = Small(channels + options["k"], channels, width), SmallD(channels, d_width, options["k"])
        batch = Batch(inputs["x"])
    return method.double(), batch


def test_compression_loss() -> None:
    golden = case("compression_loss")
    o = golden.options
    found: dict[str, Tensor] = {}
    for task in o["tasks"]:
        inputs = {k.removeprefix(f"{task}."): v for k, v in golden.inputs.items() if k.startswith(f"{task}.")}
        method, batch = original_method(task, o, inputs)
        judge = "D_y" if task == "cyclegan" else "D"
        fill(method.get_submodule("G"), golden.under(f"{task}.GO."))
        fill(method.get_submodule(judge), golden.under(f"{task}.D."))
        if task == "cyclegan":
            fill(method.get_submodule("F"), golden.under(f"{task}.H."))
        plan = Plan(masks="one-shot", sparsity=o["sparsity"], lambda_d=o["lambda_d"])
        same = Pruned(method, "G", copy.deepcopy(method.G), replace(plan, masks="none"))
        found[f"{task}.L_same"] = total(same, batch)
        pruned = Pruned(method, "G", copy.deepcopy(method.G), plan)
        fill(copy.deepcopy(pruned.compressed), golden.under(f"{task}.GC."))
        assert pruned.pruning is not None
        for name, mask in pruned.pruning.named_buffers():
            found[f"{task}.mask.{name.replace('/', '.')}"] = mask
        values, optimizer = of_task(task, pruned, judge, batch), pruned.optimizers()["G"]
        for group in optimizer.param_groups:
            group["betas"] = tuple(o["betas"])
        trace = []
        for _ in range(o["steps"]):
            for _, terms in pruned.step(batch, Now()):
                trace.append(sum_of(list(terms.values())).detach())
                optimizer.zero_grad()
                sum_of(list(terms.values())).backward()
                optimizer.step()
        found |= {f"{task}.{k}": v for k, v in values.items()}
        found |= {f"{task}.L_trace": torch.stack(trace), f"{task}.after.L": total(pruned, batch)}
        for title, net in (("GC", pruned.compressed), ("D", method.get_submodule(judge))):
            found |= {f"{task}.after.{title}.{k}": p for k, p in net.named_parameters()}
    golden.check(found)


def total(pruned: Pruned, batch: Batch) -> Tensor:
    return sum_of(list(pruned.loss_terms(batch, Now(), small=0.0).values())).detach()


def of_task(task: str, pruned: Pruned, judge: str, batch: Batch) -> dict[str, Tensor]:
    """Every number of the case at its start: terms, losses and gradients."""
    method, compressed = pruned.inner, pruned.compressed
    weights = {**pruned.weights, "adv": 1.0}
    found: dict[str, Tensor] = {}
    for side, net in (("O", pruned.original), ("C", compressed)):
        for optimizer, terms in own_terms(method, "G", net, batch, Now()).items():
            for name, value in terms.items():
                bare = name.removesuffix("_y") if judge == "D_y" else name
                title = {"adv": "gen", "real": "dis", "fake": "dis", "cycle_x": "cycle"}.get(bare, bare)
                if optimizer == "D" and name == "cls":
                    continue
                value = value / weights.get(joined(name), 1.0)
                found[f"{title}_{side}"] = found.get(f"{title}_{side}", torch.zeros(())) + value.detach()
    with torch.no_grad():
        args = (method.inputs["c_trg"],) if task == "stargan" else ()  # type: ignore[index, operator]
        found["fake_C"] = compressed(batch.x, *args)
    terms = pruned.loss_terms(batch, Now(), small=0.0)
    generator = sum_of([v for k, v in terms.items() if not k.startswith("d_")])
    judging = sum_of([v for k, v in terms.items() if k.startswith("d_")])
    found |= {"L_GC": generator, "L_DC": judging / pruned.plan.lambda_d, "L": generator + judging}
    D = method.get_submodule(judge)
    for title, loss in (("grad", generator + judging), ("grad_generator_terms", generator)):
        for owner, net in (("GC", compressed), ("D", D)):
            names, parameters = zip(*net.named_parameters(), strict=True)
            slopes = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            found |= {
                f"{title}.{owner}.{n}": torch.zeros_like(p) if g is None else g
                for n, p, g in zip(names, parameters, slopes, strict=True)
            }
    constant = sum_of(list(pruned.loss_terms(batch, Now(), constant=True, small=0.0).values()))
    names, parameters = zip(*D.named_parameters(), strict=True)
    slopes = torch.autograd.grad(constant, parameters, allow_unused=True)
    return {**found, **{f"grad_detached.D.{n}": g for n, g in zip(names, slopes, strict=True) if g is not None}}


def distilled(golden: Case, kind: str) -> tuple[Distilled, nn.Module]:
    """The student of a kind (paired, unpaired) as the case starts, and its discriminator."""
    o, own = golden.options, golden.options[kind]
    size = max(*o["size"], 32)
    shape = Shape(o["input_nc"], o["output_nc"], size)
    tiny: dict[str, Any] = {"generator": "resnet", "width": 1, "blocks": 1, "layers": 1, "d_width": 1}
    tiny |= {"norm": o["norm"], "loss": own["gan_mode"], "lr": o["lr"], "beta1": o["beta1"]}
    channels = o["output_nc"] + (o["input_nc"] if kind == "paired" else 0)
    D = PatchGAN(channels, o["n_layers_D"], o["ndf"], o["norm"])
    fill(D, golden.under(f"{kind}.D."))
    teacher = resnet(o["teacher_netG"], o["teacher_ngf"], o)
    student = resnet("mobile_resnet_9blocks", o["student_ngf"], o)
    fill(teacher, golden.under("teacher."), names_of())
    fill(student, golden.under("student."), names_of())
    if kind == "paired":
        method: Method = Pix2Pix(Pix2PixSettings(**tiny, dropout=False), shape)
        method.D = D
    else:
        method = CycleGAN(CycleGANSettings(**tiny, identity=0.0), shape)
        method.D_y = D
    method.G = teacher
    weights = Weights(own["lambda_gan"], own["lambda_recon"], own["lambda_distill"])
    found = Distilled(method, "G", student, weights, reconstruction=own["recon_loss_type"])
    assert found.places[0] == o["mapping_layers"]
    for i, layer in enumerate(found.maps):
        fill(layer, golden.under(f"map{i}."))
    return found, D


def test_distill_step() -> None:
    golden = case("distill_step")
    o = golden.options
    found: dict[str, Tensor] = {}
    for kind in ("paired", "unpaired"):
        method, D = distilled(golden, kind)
        optimizers = method.train().optimizers()
        for i in range(o["steps"]):
            batch = Batch(golden.inputs[f"{i}.A"], golden.inputs[f"{i}.B"])
            with (
                captured(method.student, method.places[0]) as own,
                captured(method.teacher, method.places[1]) as others,
            ):
                for name, terms in method.step(batch, Now()):
                    total_loss = sum_of(list(terms.values()))
                    optimizers[name].zero_grad()
                    total_loss.backward(inputs=method.owned(optimizers[name]))
                    if i == 0:
                        found |= slopes_of(kind, name, method, D)
                    if name == "G":
                        parts = distances(method.maps, own, others)
                        each = {f"{kind}.{i}.loss_G_distill{j}": v.detach() for j, v in enumerate(parts)}
                        titles = {"adv": "loss_G_gan", "recon": "loss_G_recon", "distill": "loss_G_distill"}
                        found |= {**each, **{f"{kind}.{i}.{titles[k]}": v.detach() for k, v in terms.items()}}
                        found[f"{kind}.{i}.loss_G"] = total_loss.detach()
                    else:
                        side = "_y" if kind == "unpaired" else ""
                        found[f"{kind}.{i}.loss_D_fake"] = 2 * terms[f"fake{side}"].detach()
                        found[f"{kind}.{i}.loss_D_real"] = 2 * terms[f"real{side}"].detach()
                        found[f"{kind}.{i}.loss_D"] = total_loss.detach()
                    if i == 0 and name == "G":
                        acts = {f"student_act{j}_channel0": a[0, 0].detach().clone() for j, a in enumerate(own)}
                        found |= acts
                    optimizers[name].step()
        found |= {f"{kind}.after.student.{theirs(k)}": p for k, p in method.student.named_parameters()}
        found |= {f"{kind}.after.D.{k}": p for k, p in D.named_parameters()}
        found |= {f"{kind}.after.map{j}.{k}": p for j, m in enumerate(method.maps) for k, p in m.named_parameters()}
    method, _ = distilled(golden, "paired")
    with torch.no_grad():
        x = golden.inputs["0.A"]
        found |= {"teacher_fake": method.teacher.eval()(x), "student_fake": method.student.train()(x)}
    golden.check(found)


def slopes_of(kind: str, name: str, method: Distilled, D: nn.Module) -> dict[str, Tensor]:
    if name == "D":
        return {f"{kind}.grad.D.{k}": p.grad.clone() for k, p in D.named_parameters() if p.grad is not None}
    own = {f"{kind}.grad.student.{theirs(k)}": p.grad for k, p in method.student.named_parameters()}
    maps = {f"{kind}.grad.map{j}.{k}": p.grad for j, m in enumerate(method.maps) for k, p in m.named_parameters()}
    return {k: g.clone() for k, g in {**own, **maps}.items() if g is not None}
