"""The three parts of NoGAN training against stored numbers: method `colorize` with the networks of the case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.optim import Optimizer

from i2i.data.batch import Shape
from i2i.media import luma
from i2i.methods import Now, adamw, colorize, load_method, one_cycle
from i2i.methods.colorize import Colorize, normalized
from i2i.nets import DeOldifyDiscriminator
from i2i.nets.deoldify import DEVIATION, MEAN
from tests.golden_family.reading import case
from tests.golden_gans.reading import Case, fill
from tests.golden_gans.spectral import ours, theirs


def from_normalized(x: Tensor) -> Tensor:
    mean, deviation = (x.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return 2 * (x * deviation + mean) - 1


class Generator(nn.Module):
    """Three groups of layers, in units of ImageNet's mean and deviation; called with images in [-1, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.Conv2d(width, width, 3, padding=1, bias=False)
        body = [first, nn.BatchNorm2d(width), nn.ReLU(), second, nn.BatchNorm2d(width), nn.ReLU()]
        self.net = nn.Sequential(*body, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return from_normalized(self.net(normalized(x)))

    def groups(self) -> list[list[nn.Parameter]]:
        """Convolutions of the first two groups, their norms by group, and the last group."""
        net = self.net
        return [
            [net[0].weight],
            [net[3].weight],
            [*net[1].parameters()],
            [*net[4].parameters()],
            [*net[6].parameters()],
        ]


class Features(nn.Module):
    """Five convolutions, each with a ReLU and a max-pool; the maps are those before the pools."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convs = [nn.Conv2d(3 if i == 0 else width, width, 3, padding=1) for i in range(5)]
        self.net = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.ReLU(), nn.MaxPool2d(2))))

    def maps(self, x: Tensor) -> list[Tensor]:
        x, found = normalized(x), []
        for i, layer in enumerate(self.net):
            x = layer(x)
            if i % 3 == 1:
                found.append(x)
        return found


class Content:
    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss


class Training:
    """The method with the case's networks and rates."""

    def __init__(self, found: Case) -> None:
        o = self.options = found.options
        kind = load_method("colorize")
        assert issubclass(kind, Colorize)
        adv, feature = o["weights_gen"]
        config = kind.Config(form="wide", encoder="small", width=16, d_width=4, d_blocks=1, content="none", alone=0.0,
                             d_alone=0.0, threshold=o["critic_threshold"], adv=adv, feature=feature)  # fmt: skip
        self.method = method = kind(config, Shape(3, 3, o["size"]))
        features = Features(4)
        fill(features, {f"net.{k}": v for k, v in found.under("F.").items()})
        method.G, method.D = Generator(o["width"]), DeOldifyDiscriminator(o["nf"], o["n_blocks"], 0.0)  # type: ignore[assignment]
        fill(method.G, {f"net.{k}": v for k, v in found.under("G.").items()})
        fill(method.D, found.under("C."), {k: f"layers.{ours(k)}" for k in found.under("C.")})
        method.content, method.map_weights = Content(features), tuple(o["feature_weights"])  # type: ignore[assignment]
        self.x, self.y = found.inputs["x"], found.inputs["y"]
        method.train()

    def batch(self, i: int) -> tuple[Tensor, Tensor]:
        n = self.options["batch"]
        return from_normalized(self.x[i * n : (i + 1) * n]), from_normalized(self.y[i * n : (i + 1) * n])

    def adam(self, betas: tuple[float, float]) -> Optimizer:
        return adamw(self.method.G.groups(), 1.0, self.options["wd"], betas)  # type: ignore[operator]


def set_rates(optimizer: Optimizer, rates: Sequence[float], betas: tuple[float, float]) -> None:
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"], group["betas"] = rate, betas


def learn(terms: dict[str, Tensor], optimizer: Optimizer) -> Tensor:
    loss = torch.stack(list(terms.values())).sum()
    loss.backward(inputs=[p for group in optimizer.param_groups for p in group["params"]])
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def weights(prefix: str, net: nn.Module, start: str) -> dict[str, Tensor]:
    return {f"{prefix}{theirs(k.removeprefix(start))}": v.clone() for k, v in net.state_dict().items()}


def alone(run: Training, got: dict[str, Tensor], name: str, count: int, rise: float, peaks: Sequence[float]) -> None:
    """Part 1: a cycle of `count` batches. peaks: highest rates of the groups of `adam`."""
    optimizer = run.adam((0.95, 0.99))
    planned = int(count * rise)
    losses, parts, rates, momenta = [], [], [], []
    for k in range(count):
        factor, momentum = one_cycle(k, max(1, planned), max(1, count - planned))
        set_rates(optimizer, [factor * peak for peak in peaks], (momentum, 0.99))
        x, y = run.batch(k)
        fake = run.method.G(x)
        terms = run.method.content_terms(fake, y)
        parts.append(torch.stack([terms["pixel"], *run.method.map_terms(fake, y)]).detach())
        losses.append(learn(terms, optimizer))
        rates.append([factor * peak for peak in (peaks[2], peaks[3], peaks[4])])
        momenta.append(momentum)
    got |= {f"{name}.loss": torch.stack(losses), f"{name}.parts": torch.stack(parts)}
    got |= {f"{name}.lr": torch.tensor(rates, dtype=torch.float64)}
    got |= {f"{name}.momentum": torch.tensor(momenta, dtype=torch.float64)}
    got |= weights(f"{name}.after.G.", run.method.G, "net.")


def classifier(run: Training, got: dict[str, Tensor], found: Case) -> None:
    """Part 2, on the stored images and in their order."""
    o, method = run.options, run.method
    with torch.no_grad():
        fake = method.detached_output(from_normalized(run.x))
    got["phase2.generated"] = torch.stack([torch.from_numpy(luma.truncated(f)).permute(2, 0, 1) for f in fake])
    pool = torch.cat([normalized(found.inputs["critic_generated"].float() / 127.5 - 1), run.y])
    labels = torch.cat([torch.zeros(len(fake)), torch.ones(len(run.y))])
    optimizer = adamw([list(method.D.parameters())], 1.0, o["wd"], (0.95, 0.99))
    count, n = o["critic_batches"], o["batch"]
    planned = int(count * 0.3)
    rows: dict[str, list[Any]] = {k: [] for k in ("loss", "lr", "momentum", "scores", "accuracy")}
    for k in range(count):
        factor, momentum = one_cycle(k, max(1, planned), max(1, count - planned))
        rate = factor * o["critic_lr"]
        set_rates(optimizer, [rate], (momentum, 0.99))
        index = found.inputs["critic_index"][k * n : (k + 1) * n]
        scores, wanted = method.D(pool[index]), labels[index][:, None]
        loss = fn.binary_cross_entropy_with_logits(scores, wanted.expand_as(scores))
        rows["scores"].append(scores.detach())
        rows["accuracy"].append(((scores > 0) == (wanted > 0.5)).float().mean())
        rows["loss"].append(learn({"all": loss}, optimizer))
        rows["lr"].append(torch.tensor(rate, dtype=torch.float64))
        rows["momentum"].append(torch.tensor(momentum, dtype=torch.float64))
    got |= {f"phase2.{k}": torch.stack(v) for k, v in rows.items()}
    got |= weights("phase2.after.C.", method.D, "layers.")


def both(run: Training, got: dict[str, Tensor]) -> None:
    """Part 3, by the method's own `step`: the encoder's convolutions rest."""
    o, method = run.options, run.method
    g_adam = run.adam((0.0, 0.9))
    set_rates(g_adam, [0.0, 0.0, *[o["gan_lr"]] * 3], (0.0, 0.9))
    d_rate = o["gan_lr"] * o["critic_lr_factor"]
    d_adam = adamw([list(method.D.parameters())], d_rate, o["wd"], (0.0, 0.9))
    rows: dict[str, list[Tensor]] = {}
    for k in range(2 * o["gan_batches"]):
        x, y = run.batch(k % o["gan_batches"])
        now = Now(images=k * len(x), total=10**9, batch=len(x))
        for name, terms in method.step(colorize.Batch(x, y), now):
            is_g = name == "G"
            values = {key: value.detach() for key, value in terms.items()}
            loss = learn(terms, g_adam if is_g else d_adam)
            rows.setdefault("is_generator_step", []).append(torch.tensor(float(is_g)))
            rows.setdefault("loss", []).append(loss)
            rows.setdefault("lr", []).append(torch.tensor(o["gan_lr"] if is_g else d_rate, dtype=torch.float64))
            if is_g:
                rows.setdefault("generator.critic_part", []).append(values["adv"] / o["weights_gen"][0])
                rows.setdefault("generator.feature_part", []).append(
                    (values["pixel"] + values["feature"]) / o["weights_gen"][1]
                )
            else:
                for kind in ("real", "fake"):
                    rows.setdefault(f"critic.{kind}_part", []).append(2 * values[kind])
    got |= {f"phase3.{k}": torch.stack(v) for k, v in rows.items()}
    got |= weights("phase3.after.G.", method.G, "net.")
    got |= weights("phase3.after.C.", method.D, "layers.")


def test_nogan(monkeypatch: pytest.MonkeyPatch) -> None:
    found = case("nogan_schedule")
    o = found.options
    monkeypatch.setattr(luma, "gray", lambda x: x)  # the case's inputs are no gray images after normalization
    run, got = Training(found), {}
    last = o["frozen_lr"]
    alone(run, got, "phase1.frozen", o["n_batches"], 0.8, [0, 0, last / 10, last / 10, last])
    low, high = o["unfrozen_lr"]
    middle = (low * high) ** 0.5
    alone(run, got, "phase1.unfrozen", o["unfrozen_batches"], 1e-8, [low, middle, low, middle, high])
    classifier(run, got, found)
    both(run, got)
    found.check(got)
