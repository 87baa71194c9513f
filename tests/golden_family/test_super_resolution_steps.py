"""Whole training steps of SRGAN and ESRGAN against stored numbers, made by the training loop's own `TrainStep`."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from i2i.data.batch import Batch, Shape
from i2i.losses import mse, relativistic
from i2i.methods._method import Method, Now
from i2i.methods.esrgan import ESRGAN
from i2i.methods.srgan import SRGAN
from i2i.nets.unit import from_unit, to_unit
from i2i.training.ema import EMA
from i2i.training.settings import TrainSettings, accelerator_for
from i2i.training.step import TrainStep
from tests.golden_family.reading import case
from tests.golden_gans.reading import fill
from tests.golden_gans.test_super_resolution import names


class Watched:
    """A method in training: its steps, the outputs of its networks in order, and the gradients of each update."""

    def __init__(self, method: Method, batch: int) -> None:
        settings = TrainSettings(batch=batch, precision="fp32", device="cpu")
        self.method = method.train()
        self.outputs: dict[str, list[Tensor]] = {name: [] for name in method.networks()}
        self.gradients: dict[str, Tensor] = {}
        self.step = TrainStep(method, settings, accelerator_for(settings))
        for name, net in method.networks().items():
            net.register_forward_hook(functools.partial(self._seen, name))
        for name, optimizer in self.step.optimizers.items():
            optimizer.register_step_pre_hook(functools.partial(self._updated, name))

    def _seen(self, name: str, module: Any, args: Any, output: Tensor) -> None:
        self.outputs[name].append(output.detach().clone())

    def _updated(self, name: str, *_: Any) -> None:
        for key, parameter in self.method.networks()[name].named_parameters():
            if parameter.grad is not None:
                self.gradients[f"{name}.{key}"] = parameter.grad.clone()

    def __call__(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """One step on images in [0, 1]; the loss terms by OPTIMIZER/TERM."""
        losses = self.step(Batch(from_unit(x), from_unit(y)), Now(total=1_000_000, batch=len(x)))
        return {f"{turn.optimizer}/{t}": v for turn in losses for t, v in zip(turn.terms, turn.values, strict=True)}

    def state(self, prefix: str, back: dict[str, str]) -> dict[str, Tensor]:
        """All numbers of the networks by the reference's names."""
        return renamed({f"{prefix}{k}": v.clone() for k, v in self.method.state_dict().items()}, prefix, back)


def renamed(tensors: dict[str, Tensor], prefix: str, back: dict[str, str]) -> dict[str, Tensor]:
    """`tensors`, whose names start with `prefix`, by the reference's names: back maps beginnings of ours to theirs."""
    found = {}
    for name, value in tensors.items():
        key = name.removeprefix(prefix)
        start = max((s for s in back if key.startswith(s)), key=len, default="")
        found[prefix + back.get(start, "") + key.removeprefix(start)] = value
    return found


def test_srgan_step() -> None:
    found = case("srgan_step")
    o = found.options
    x, y = found.inputs["lr"], found.inputs["hr"]
    shape = Shape(o["channels"], o["channels"], y.shape[-1], scale=o["scale"])
    form = {"width": o["g_width"], "blocks": o["g_blocks"], "d_width": o["d_base"], "content": "none"}
    rates = {"adv": o["weight_adversarial"], "lr": o["lr"], "beta1": o["beta1"]}
    assert o["beta2"] == 0.999, "the paper's, and no setting"
    table = {f"G.{theirs}": f"G.{ours}" for theirs, ours in names(o["g_blocks"]).items()}
    back = {ours: theirs for theirs, ours in table.items()}

    # SRResNet: the warm-up alone.
    first = SRGAN(SRGAN.Config(**form, **rates, warmup=1.0), shape)
    fill(first, found.weights, table)
    run = Watched(first, len(x))
    losses = run(x, y)
    assert list(losses) == ["G/pixel"]
    got = {"warmup.loss": losses["G/pixel"], "warmup.sr": to_unit(run.outputs["G"][0])}
    got |= renamed({f"warmup.grad.{k}": v for k, v in run.gradients.items()}, "warmup.grad.", back)
    got |= run.state("warmup.after.", back)

    # SRGAN: a new run with new Adams, which starts from its weights.
    second = SRGAN(SRGAN.Config(**form, **rates, warmup=0.0), shape)
    second.load_state_dict(first.state_dict())
    run = Watched(second, len(x))
    losses = run(x, y)
    assert list(losses) == ["D/real", "D/fake", "G/pixel", "G/adv"]
    real, fake, judged = run.outputs["D"]
    (sr,) = run.outputs["G"]
    got |= {"d.real": real, "d.fake": fake, "g.fake": judged, "g.sr": to_unit(sr)}
    got |= {"d.loss_real": losses["D/real"], "d.loss_fake": losses["D/fake"], "g.loss_mse": mse(to_unit(sr), y)}
    got |= {"g.loss_adv": losses["G/adv"] / o["weight_adversarial"], "g.loss": losses["G/pixel"] + losses["G/adv"]}
    got |= renamed({f"grad.{k}": v for k, v in run.gradients.items()}, "grad.", back)
    got |= run.state("after.", back)
    found.check(got)


def test_esrgan_step() -> None:
    found = case("esrgan_step")
    o = found.options
    x, y = found.inputs["lr"] / 255, found.inputs["hr"] / 255
    shape = Shape(o["channels"], o["channels"], o["d_input_size"], scale=o["scale"])
    beta1, beta2 = o["betas"]
    config = ESRGAN.Config(
        **{"width": o["g_width"], "blocks": o["g_blocks"], "growth": o["g_growth"], "d_width": o["d_width"]},
        **{"pixel": o["weight_pixel"], "adv": o["weight_gan"], "lr": o["lr"], "beta1": beta1, "beta2": beta2},
        **{"warmup": 0.0, "content": "none"},
    )
    method = ESRGAN(config, shape)
    fill(method, found.weights)
    run = Watched(method, o["batch"])
    # half-life in images of a decay for each step
    average = EMA(method, o["batch"] / -torch.tensor(o["ema_decay"]).log2().item(), ramp=float("inf"))
    losses = run(x, y)
    average.update(method, o["batch"], o["batch"])

    sr = to_unit(run.outputs["G"][0])
    r, f, _, real, fake = run.outputs["D"]
    got = {"g.sr": sr[..., ::4, ::4], "g.sr_crop": sr[..., 48:64, 48:64]}
    got |= {"g.loss_pix": losses["G/pixel"], "g.loss_gan": losses["G/adv"]}
    got |= {"g.loss_gan_real": o["weight_gan"] * relativistic(r, f, 0)}
    got |= {"g.loss_gan_fake": o["weight_gan"] * relativistic(f, r, 1)}
    got |= {"d.loss_real": losses["D/real"], "d.loss_fake": losses["D/fake"]}
    got |= {"d.mean_real": real.mean(), "d.mean_fake": fake.mean()}
    got |= {f"grad.{k}": v for k, v in run.gradients.items()}
    got |= run.state("after.", {})
    got |= {f"after.EMA.{k}": v for k, v in average.networks["G"].state_dict().items()}
    found.check(got)
