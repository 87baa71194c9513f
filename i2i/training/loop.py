"""The only training loop: it knows the contract of `Method` and nothing of any GAN.

Time is counted in images seen by all processes. Whatever is random is seeded by that count, so a resumed run cannot
disagree with an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from i2i.core import distributed, fast_conv
from i2i.core.device import keep_memory
from i2i.core.errors import I2IError
from i2i.core.random import seed_of
from i2i.data.batch import Batch
from i2i.methods._method import Method, Now
from i2i.training import checkpoint as checkpoints
from i2i.training.ema import EMA
from i2i.training.report.observer import Observer
from i2i.training.settings import Precision, TrainSettings, accelerator_for

MOST = 200  # checkpoints and sample grids of a run by default: the epochs of a few images take seconds
PATIENCE = 15.0  # seconds after which losses are logged, however few steps were made


class Interrupted(I2IError):
    """The run was asked to stop by a signal; it has saved its state. `code` is 128 + the signal's number."""

    def __init__(self, number: int, hint: str) -> None:
        super().__init__(f"Stopped by {signal.Signals(number).name}; the run is saved.", hint)
        self.code = 128 + number


class Data(Protocol):
    """What the loop asks of a data set; see i2i.data."""

    count: int

    def batches(self, start: int, batch: int, rank: int, world: int, seed: int) -> Iterator[Batch]: ...
    def fixed(self, n: int) -> Batch: ...
    def augment_on_device(self, batch: Batch, seed: int) -> Batch: ...


class Loop:
    """One training run: `Loop(...).run()`.

    The method's networks are moved to the device and trained until `total` images were seen. `folder` receives the
    checkpoints; `finish` is called with the method (averaged weights in place) at every save and at the end.
    """

    def __init__(
        self,
        method: Method,
        data: Data,
        plan: TrainSettings,
        folder: Path,
        watch: Observer,
        *,
        total: int,
        facts: dict[str, Any],
        accelerator: Accelerator | None = None,
        finish: Callable[[Method, int], None] | None = None,
        judge: Callable[[Method], float | None] | None = None,
        preview: Data | None = None,
    ) -> None:
        self.accelerator = accelerator or accelerator_for(plan)
        self.device, self.rank = self.accelerator.device, self.accelerator.process_index
        self.world = self.accelerator.num_processes
        self.method, self.data, self.plan, self.folder, self.watch = method, data, plan, folder, watch
        self.total, self.facts, self.finish, self.judge = total, facts, finish, judge
        self.preview = preview or data
        share = self.world * plan.accumulate
        if plan.batch % share:
            raise I2IError(
                f"batch is {plan.batch}, which cannot be split over {self.world} processes x {plan.accumulate} "
                "micro-batches.",
                f"Give a multiple of {share}.",
            )
        self._settle()
        self.pending: list[tuple[int, str, list[str], Tensor]] = []  # losses not looked at yet
        self.sums: dict[str, list[float]] = {}
        self.signal = 0

    def _settle(self) -> None:
        """Puts everything on the device, in its layout and precision; the optimizers are made last."""
        plan, device = self.plan, self.device
        if plan.tf32:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.deterministic = True
        last = plan.channels_last == "yes" or (plan.channels_last == "auto" and device.type == "cuda")
        self.layout = torch.channels_last if last else torch.contiguous_format
        if device.type == "cpu":
            keep_memory()
        if self.world > 1:
            distributed.broadcast_weights([*self.method.parameters(), *self.method.buffers()], self.device)
            if device.type == "cuda":
                for name, net in self.method.networks().items():
                    setattr(self.method, name, nn.SyncBatchNorm.convert_sync_batchnorm(net))
        self.precision = Precision.of(plan.precision, device, [])
        self.method.to(device=device, dtype=self.precision.weights)
        self.method.to(memory_format=self.layout)
        self.optimizers = self.method.optimizers()
        self.precision = Precision.of(plan.precision, device, list(self.optimizers))
        if device.type == "cpu" and self.precision.autocast is None:
            fast_conv.speed_up(self.method)
        self.owned = {name: self.method.owned(o) for name, o in self.optimizers.items()}
        self.rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimizers.items()}
        self.ema = EMA(self.method, plan.ema)
        if plan.compile:
            for name, net in self.method.networks().items():
                if not self.method.double_backward or name in self.method.averaged:
                    net.compile()

    # ---- one step ----------------------------------------------------------------------------------------------

    def step(self, batch: Batch, now: Now) -> None:
        """One step of the method. Micro-batches advance side by side, so accumulation changes no result."""
        seed_everything(seed_of(self.plan.seed, "step", now.images, self.rank))
        running = [self.method.step(part, now) for part in batch.split(self.plan.accumulate)]
        factor, momentum = self.method.lr_factor(now.fraction), self.method.momentum_at(now.fraction)
        while True:
            yielded: list[tuple[str, dict[str, Tensor]]] = []
            with self._autocast():
                for steps in running:
                    with contextlib.suppress(StopIteration):
                        item = next(steps)
                        self._backward(*item)
                        yielded.append((item[0], {k: v.detach() for k, v in item[1].items()}))
            if not yielded:
                return
            self._update(yielded[0][0], factor, momentum)
            self._note(now, yielded)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision.autocast)

    def _backward(self, name: str, terms: dict[str, Tensor]) -> None:
        total = torch.stack(list(terms.values())).sum() / self.plan.accumulate
        scaler = self.precision.scalers.get(name)
        # Without autocast, which the backward pass must not run under.
        with torch.autocast(self.device.type, enabled=False):
            if scaler is not None:
                total = scaler.scale(total)
            self.accelerator.backward(total, inputs=self.owned[name])

    def _update(self, name: str, factor: float, momentum: float | None = None) -> None:
        optimizer, parameters = self.optimizers[name], self.owned[name]
        if self.world > 1:
            distributed.all_reduce_mean([p.grad for p in parameters if p.grad is not None], self.world)
        scaler = self.precision.scalers.get(name)
        if self.plan.clip > 0:
            if scaler is not None:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parameters, self.plan.clip)
        for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
            group["lr"] = rate * factor
            if momentum is not None and "momentum" in group:
                group["momentum"] = momentum
        if scaler is not None:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _note(self, now: Now, yielded: list[tuple[str, dict[str, Tensor]]]) -> None:
        name, terms = yielded[0][0], list(yielded[0][1])
        values = torch.stack([torch.stack([item[1][t].float() for t in terms]) for item in yielded]).mean(0)
        self.pending.append((now.images, name, terms, values))

    def _look(self) -> None:
        """Reads the losses noted since the last look (the only synchronisation with the device).

        Raises I2IError at the first one that is not finite."""
        if not self.pending:
            return
        values = torch.cat([v for *_, v in self.pending])
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        flat = iter(values.tolist())
        for images, name, terms, _ in self.pending:
            for term in terms:
                value = next(flat)
                if not math.isfinite(value):
                    raise I2IError(
                        f"The loss term {term!r} of optimizer {name!r} became {value} at image {images}; "
                        "the run stops and its last good checkpoint is kept.",
                        "Resume from it with a lower learning rate in a new run, or with --precision fp32.",
                    )
                self.sums.setdefault(f"{name}/{term}", []).append(value)
        self.pending.clear()

    # ---- the run -----------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Trains from the newest checkpoint (or the start) to `total` images and returns the images seen."""
        start = self.restore()
        if self.world > 1:
            distributed.check_same_step(start, self.device)
        self.method.train()
        plan = self.plan
        now = Now(images=start, total=self.total, batch=plan.batch, seed=plan.seed)
        often = max(plan.batch, self.data.count, -(-self.total // MOST))
        save_every, sample_every = plan.save_every or often, plan.sample_every or often
        look_every = 1 if self.device.type == "cpu" and self.world == 1 else plan.log_every
        with self._signals():
            self.clock = self.saved_at = time.monotonic()
            self.clock_images = start
            if start < self.total:
                if start == 0:
                    self._sample(0)
                batches = self.data.batches(start, plan.batch // self.world, self.rank, self.world, plan.seed)
                for batch in batches:
                    self.step(self._augment_on_device(self._move(batch)), now)
                    before, images = now.images, now.images + plan.batch
                    self.ema.update(self.method, images, plan.batch)
                    self._average_statistics()
                    now = Now(images=images, total=self.total, batch=plan.batch, seed=plan.seed)
                    ended = images >= self.total
                    if now.step % look_every == 0 or ended:
                        self._look()
                    late = self.world == 1 and time.monotonic() - self.clock > PATIENCE
                    if now.step % plan.log_every == 0 or late or ended:
                        self._look()
                        self._log(now)
                    if now.step % 500 == 0 and self.world > 1:
                        distributed.check_same_weights(self.method.parameters(), self.world, images)
                    stop, due = self._agree(now.step)
                    if crossed(before, images, sample_every) or ended:
                        self._sample(images)
                    if crossed(before, images, save_every) or due or stop or ended:
                        self.save(images, needed=bool(stop) or ended)
                    if stop and not ended:
                        hint = f"Go on with: i2i train --resume {shlex.quote(str(self.folder))}"
                        raise Interrupted(stop, hint)
                    if ended:
                        break
        return now.images

    def _augment_on_device(self, batch: Batch) -> Batch:
        return self.data.augment_on_device(batch, self.plan.seed).to(self.device, memory_format=self.layout)

    def _move(self, batch: Batch) -> Batch:
        return batch.to(self.device, dtype=self.precision.weights, memory_format=self.layout, non_blocking=True)

    @torch.no_grad()
    def _average_statistics(self) -> None:
        """Batch-norm statistics are local to a process; their running means are averaged, so that all agree."""
        if self.world == 1:
            return
        found = [b for n, b in self.method.named_buffers() if n.endswith(("running_mean", "running_var"))]
        if found:
            distributed.all_reduce_mean(found, self.world)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM are remembered until the step is done; a second one ends the process at once."""

        def remember(number: int, frame: Any) -> None:
            self.signal = number
            signal.signal(number, signal.SIG_DFL)

        try:
            old = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever owns the signals decides
            yield
            return
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _agree(self, step: int) -> tuple[int, bool]:
        """(signal to stop by or 0, whether ten minutes passed since the last save), the same in every process."""
        due = not self.plan.save_every and time.monotonic() - self.saved_at > 600
        if self.world == 1:
            return self.signal, due
        if self.device.type == "cuda" and step % 10:  # reading the answer waits for the device
            return 0, False
        flags = torch.tensor([self.signal, int(due)], device=self.device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return int(flags[0]), bool(flags[1])

    def _log(self, now: Now) -> None:
        elapsed = max(1e-9, time.monotonic() - self.clock)
        speed = (now.images - self.clock_images) / elapsed
        self.clock, self.clock_images = time.monotonic(), now.images
        if self.rank == 0 and self.sums:
            means = {k: sum(v) / len(v) for k, v in self.sums.items()}
            rates = {name: o.param_groups[0]["lr"] for name, o in self.optimizers.items()}
            self.watch.losses(now.images, means, rates, speed)
        self.sums.clear()

    @torch.no_grad()
    def _sample(self, images: int) -> None:
        if self.rank:
            return
        kept = torch.get_rng_state()
        with self.ema.applied(self.method) as method:
            columns = method.preview(self._move(self.preview.fixed(8)))
        torch.set_rng_state(kept)
        self.watch.samples(images, {k: v.detach().float().cpu() for k, v in columns.items()})

    # ---- state -------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that is no pure function of the images seen: weights, buffers, averages, optimizers, scalers."""
        tensors: dict[str, Tensor] = {f"method/{k}": v for k, v in self.method.state_dict().items()}
        scalars = {}
        for name, optimizer in self.optimizers.items():
            found, rest = checkpoints.pack_optimizer(name, optimizer)
            tensors |= found
            scalars[name] = rest
        for name, network in self.ema.networks.items():
            tensors |= {f"ema/{name}/{k}": v for k, v in network.state_dict().items()}
        scalers = {name: s.state_dict() for name, s in self.precision.scalers.items()}
        return tensors, {"optimizers": scalars, "scalers": scalers}

    def save(self, images: int, needed: bool = False) -> None:
        """Writes a checkpoint and lets `finish` write the model.

        What cannot be written, to a full disk for example, is reported and training goes on; if the state is `needed`,
        because training ends here, it raises I2IError."""
        self._look()
        self.saved_at = time.monotonic()
        failed: Exception | None = None
        if self.rank == 0:
            try:
                self._write(images)
            except (OSError, I2IError) as error:
                failed = error
                self.watch.event(images, "save failed", error=str(error))
        self.accelerator.wait_for_everyone()
        if failed is not None and needed:
            raise I2IError(
                f"The state at {images} images could not be saved in {self.folder}: {str(failed).rstrip('.')}.",
                "Make room there; i2i train --resume goes on from the last checkpoint.",
            ) from failed

    def _write(self, images: int) -> None:
        tensors, rest = self.state()
        # safetensors refuses tensors that share memory and drops strides; both are settled by a plain copy.
        tensors = {k: v.detach().to("cpu").contiguous() for k, v in tensors.items()}
        place = self.folder / "checkpoints"
        written = checkpoints.save(place, images, tensors, {"images": images, "run": self.facts, **rest})
        with torch.no_grad(), self.ema.applied(self.method) as method:
            score = self.judge(method) if self.judge else None
            if self.finish:
                self.finish(method, images)
        if score is not None:
            best = checkpoints.best_of(place)
            if score < best.get("score", math.inf):
                checkpoints.mark_best(place, written, score=score, images=images)
            self.watch.event(images, "score", score=score)
        checkpoints.rotate(place, self.plan.keep)
        self.watch.event(images, "saved", checkpoint=written.name)

    def restore(self) -> int:
        """Loads the newest intact checkpoint and returns its images; 0 if there is none.

        Raises I2IError if it belongs to other settings, other data or other networks."""

        def say(text: str) -> None:
            self.watch.event(0, "warning", text=text)

        found = checkpoints.newest(self.folder / "checkpoints", say)
        if found is None:
            return 0
        tensors, facts = found
        checkpoints.differ(facts["run"], json.loads(json.dumps(self.facts)))
        mine = {k[len("method/") :]: v for k, v in tensors.items() if k.startswith("method/")}
        expected = {k: tuple(v.shape) for k, v in self.method.state_dict().items()}
        given = {k: tuple(v.shape) for k, v in mine.items()}
        if expected != given:
            odd = sorted(k for k in expected.keys() | given.keys() if expected.get(k) != given.get(k))[0]
            raise I2IError(
                f"The checkpoint does not fit the networks: {odd} is {given.get(odd, 'absent')} in it and "
                f"{expected.get(odd, 'absent')} here.",
                "A run is resumed with the settings it was started with.",
            )
        self.method.load_state_dict(mine)
        for name, optimizer in self.optimizers.items():
            checkpoints.unpack_optimizer(name, optimizer, tensors, facts["optimizers"][name])
        for name, network in self.ema.networks.items():
            prefix = f"ema/{name}/"
            network.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        for name, state in facts["scalers"].items():
            self.precision.scalers[name].load_state_dict(state)
        self.watch.event(facts["images"], "resumed")
        return int(facts["images"])


def seed_everything(seed: int) -> None:
    """Seeds torch (all devices), NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def crossed(before: int, after: int, every: int) -> bool:
    """True if a multiple of `every` lies in (before, after]."""
    return after // every > before // every
