"""One training step: the losses that a method yields are back-propagated, and its optimizers updated."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core import distributed, fast_conv
from i2i.core.device import keep_memory
from i2i.core.errors import I2IError
from i2i.core.random import seed_of
from i2i.data.batch import Batch
from i2i.methods._check_step import check_item, line_of
from i2i.methods._method import Method, Now, Terms
from i2i.nets.blocks import InstanceNorm, synchronized
from i2i.nets.unet import UNet
from i2i.training.settings import Precision, TrainSettings

GRADIENTS_EVERY = 8  # steps between two measurements of the gradients


class Losses(NamedTuple):
    """The loss terms of one update, still on the device."""

    images: int  # images seen before the step
    optimizer: str
    terms: list[str]
    values: Tensor  # float32 [terms], means over the micro-batches


class Schedule(NamedTuple):
    """What the learning rates and the momenta of a method's optimizers are at one moment."""

    factor: float  # of the learning rates
    factors: dict[str, Sequence[float]]  # of the parameter groups of the optimizers named here
    momentum: float | None  # of gradient descent
    betas: tuple[float, float] | None  # of Adam

    @classmethod
    def at(cls, method: Method, fraction: float) -> Schedule:
        """The schedule of a method at progress `fraction`."""
        factor, factors = method.lr_factor(fraction), method.lr_factors(fraction)
        return cls(factor, factors, method.momentum_at(fraction), method.betas_at(fraction))

    def set(self, name: str, optimizer: Optimizer, initial_lrs: Sequence[float]) -> None:
        """Writes the values into the parameter groups of the optimizer `name`."""
        factors = self.factors.get(name, [self.factor] * len(initial_lrs))
        for group, lr, factor in zip(optimizer.param_groups, initial_lrs, factors, strict=True):
            group["lr"] = lr * factor
            if self.momentum is not None and "momentum" in group:
                group["momentum"] = self.momentum
            if self.betas is not None and "betas" in group:
                group["betas"] = self.betas


class TrainStep:
    """Makes the training steps of a method, whose networks it moves to the device. Call it with a batch.

    Micro-batches advance side by side, so accumulation changes no result. Raises I2IError for a batch that cannot be
    split over the processes and micro-batches."""

    def __init__(self, method: Method, settings: TrainSettings, accelerator: Accelerator) -> None:
        self.method, self.settings, self.accelerator = method, settings, accelerator
        self.device, self.rank = accelerator.device, accelerator.process_index
        self.world = accelerator.num_processes
        parts = self.world * settings.accumulate
        if settings.batch % parts:
            raise I2IError(
                f"batch is {settings.batch}, which cannot be split over {self.world} processes x "
                f"{settings.accumulate} micro-batches.",
                f"Give a multiple of {parts}.",
            )
        self.layout = torch.channels_last if self._use_channels_last() else torch.contiguous_format
        self._setup_networks()
        self.optimizers = method.optimizers()  # after the move: they hold the parameters on the device
        self.precision = Precision.of(settings.precision, self.device, list(self.optimizers))
        if self.device.type == "cpu":
            fast_conv.speed_up(method)
        self.owned = {name: method.owned(o) for name, o in self.optimizers.items()}
        self.gradients: dict[
            str, Tensor
        ] = {}  # the last measured norm of the gradient of each optimizer, on the device
        self.initial_lrs = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimizers.items()}

    def _use_channels_last(self) -> bool:
        """The setting channels_last. auto: on GPUs, unless there is instance norm; on CPUs in bf16, and in float32 for
        U-Nets without instance norm where the CPU has AVX-512.

        Measured in float32: pix2pix gains 3 to 16 % by it with AVX-512, and loses 9 % with AVX2; CUT loses 13 %."""
        if self.settings.channels_last != "auto":
            return self.settings.channels_last == "yes"
        has_instance_norm = any(isinstance(m, InstanceNorm) for m in self.method.modules())
        if self.device.type != "cpu":
            return self.device.type == "cuda" and not has_instance_norm
        if self.settings.precision == "bf16":
            return True
        is_unet = any(isinstance(m, UNet) for m in self.method.modules())
        gains = is_unet and not has_instance_norm and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        return gains and self.settings.precision == "fp32"

    def _setup_networks(self) -> None:
        """Gives every process the same networks, on its device, in the memory layout and precision of the settings."""
        # torch's own default is off for matrix products and on for convolutions; both follow the setting.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.settings.tf32
        torch.backends.cudnn.deterministic = True
        if self.device.type == "cpu":
            keep_memory()
        if self.world > 1:
            distributed.broadcast_weights([*self.method.parameters(), *self.method.buffers()], self.device)
            if self.device.type == "cuda":
                for name, network in self.method.networks().items():
                    setattr(self.method, name, synchronized(network))
        weights = Precision.of(self.settings.precision, self.device, []).weights
        self.method.to(device=self.device, dtype=weights)
        self.method.to(memory_format=self.layout)

    def compile_networks(self) -> None:
        """Compiles the networks that are not differentiated twice, if the settings ask for it.

        A network that grows is left out: torch would compile it anew for every value of its fading."""
        if not self.settings.compile or self.method.grows:
            return
        for name, network in self.method.networks().items():
            if not self.method.double_backward or name in self.method.averaged:
                for key, hook in network._forward_pre_hooks.items():  # of the tricks, whose draws cannot be compiled
                    network._forward_pre_hooks[key] = torch.compiler.disable(hook)
                network.compile()

    def move(self, batch: Batch) -> Batch:
        """The batch on the device, with images in the memory layout and precision of the weights."""
        return batch.to(self.device, dtype=self.precision.weights, memory_format=self.layout, non_blocking=True)

    def __call__(self, batch: Batch, now: Now) -> list[Losses]:
        """Makes one step on a batch that is on the device, and returns the losses of its updates in order."""
        seed_everything(seed_of(self.settings.seed, "step", now.images, self.rank))
        running = [self.method.step(part, now) for part in batch.split(self.settings.accumulate)]
        schedule = Schedule.at(self.method, now.fraction)
        losses: list[Losses] = []
        measure = now.step % GRADIENTS_EVERY == 0
        while True:
            # Each micro-batch computes the losses of its next update. All must add their gradients before the weights
            # move, because code after a `yield` runs with the updated weights.
            yielded: list[tuple[str, Terms]] = []
            with self._autocast():
                for steps in running:
                    with contextlib.suppress(StopIteration):
                        item = next(steps)
                        yielded.append(self._learn(item, steps))
            if not yielded:
                return losses
            name, first = yielded[0]
            self._update(name, schedule, measure)
            values = torch.stack([torch.stack([terms[term].float() for term in first]) for _, terms in yielded])
            losses.append(Losses(now.images, name, list(first), values.mean(0)))

    def _learn(self, item: tuple[str, Terms], steps: Iterator[tuple[str, Terms]]) -> tuple[str, Terms]:
        """Makes the backward pass of what a step has yielded; returns it without its graph."""
        try:
            name, terms = item
            self._backward(name, terms)
            return name, {term: value.detach() for term, value in terms.items()}
        except Exception:
            check_item(item, self.optimizers, line_of(self.method, steps))  # raises the sentence that says why
            raise

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision.autocast)

    def _backward(self, name: str, terms: Terms) -> None:
        """Adds the gradient of the sum of the terms to the parameters of the optimizer `name`, and to no others."""
        total = torch.stack(list(terms.values())).sum() / self.settings.accumulate
        scaler = self.precision.scalers.get(name)
        # The backward pass must not run under autocast.
        with torch.autocast(self.device.type, enabled=False):
            if scaler is not None:
                total = scaler.scale(total)
            self.accelerator.backward(total, inputs=self.owned[name])

    def _update(self, name: str, schedule: Schedule, measure: bool) -> None:
        """Steps the optimizer `name` as the schedule says, and clears its gradients.

        measure: the norm of the gradient is kept, before it is clipped."""
        optimizer, parameters = self.optimizers[name], self.owned[name]
        if self.world > 1:
            distributed.all_reduce_mean([p.grad for p in parameters if p.grad is not None], self.world)
        scaler = self.precision.scalers.get(name)
        if self.settings.clip > 0:
            if scaler is not None:
                scaler.unscale_(optimizer)
            self.gradients[name] = nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        elif measure:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            self.gradients[name] = norm if scaler is None else norm / scaler.get_scale()
        schedule.set(name, optimizer, self.initial_lrs[name])
        if scaler is not None:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def average_batch_norm(self) -> None:
        """Averages the running statistics of batch norm, which each process computes of its own images, over all."""
        if self.world == 1:
            return
        names = ("running_mean", "running_var")
        statistics = [buffer for name, buffer in self.method.named_buffers() if name.endswith(names)]
        if statistics:
            distributed.all_reduce_mean(statistics, self.world)


def seed_everything(seed: int) -> None:
    """Seeds torch (all devices), NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
