"""Contenders in a comparison of training steps: a method in i2i's loop, and plain forms; and how they are timed."""

from __future__ import annotations

import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i.core.device import keep_memory
from i2i.data.batch import Batch
from i2i.methods._method import Method, Now
from i2i.training.loop import Loop
from i2i.training.settings import TrainSettings


class Silent:
    """Data and report of a loop that is only stepped: whoever asks it for a batch or a line has made a mistake."""

    count = 1

    def batches(self, *_: Any) -> Any:
        raise NotImplementedError("the benchmark hands its batches over")

    fixed = losses = event = samples = batches


class Ours:
    """A method driven by the training loop."""

    def __init__(
        self, method: Method, batch: int, precision: str, device: str, compiled: bool, start: int = 0,
        channels_last: str = "auto",
    ) -> None:  # fmt: skip
        plan = TrainSettings(
            batch=batch,
            precision="fp32" if precision == "tf32" else precision,
            device=device,
            compile=compiled,
            channels_last=channels_last,
            tf32=precision == "tf32",
        )
        silent: Any = Silent()
        self.loop = Loop(method, silent, plan, Path(tempfile.gettempdir()), silent, total=10**12, facts={})
        self.loop.method.train()
        self.batch, self.images, self.reads = batch, start, self.loop.device.type == "cpu"
        self.name = "ours, compiled" if compiled else "ours"

    def ids(self, ago: int = 0) -> Tensor:
        """Numbers of the images of the next step, or of one `ago` (negative) images before."""
        return torch.arange(self.batch, device=self.loop.device) + self.images + ago

    def now(self, ago: int = 0) -> Now:
        """The moment of the next step, or of one `ago` images before."""
        return Now(images=self.images + ago, total=10**12, batch=self.batch)

    def step(self, x: Tensor, y: Tensor, c: Tensor) -> None:
        self.loop.step(Batch(x, y, c, self.ids()), self.now())
        self.images += self.batch
        if self.reads:  # as the loop does: every step on a CPU, now and then on a GPU
            self.losses()

    def losses(self) -> dict[str, float]:
        """{optimizer: sum of its terms} of the steps since the last call (of each optimizer the last one)."""
        losses = {step.optimizer: sum(step.values.tolist()) for step in self.loop.losses.pending}
        self.loop.losses.pending.clear()
        return losses


class Plain:
    """The plain form, with the same interface."""

    name = "plain"

    def __init__(self, form: Any, precision: str) -> None:
        self.form, self.autocast, self.last = form, precision == "bf16", {}

    def step(self, x: Tensor, y: Tensor, c: Tensor) -> None:
        looped = isinstance(self.form, Eager)
        self.last = self.form.step(x, c if looped else y, self.autocast)

    def losses(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for name, value in self.last.items():
            optimizer = name.split("/")[0]
            sums[optimizer] = sums.get(optimizer, 0.0) + value
        return sums


class Eager:
    """A method's `step` in the fewest lines that train by it; what has `networks` and `step`, as in plain.py."""

    def __init__(self, method: Method, batch: int, start: int) -> None:
        self.method = method
        self.networks = {name: net for name, net in method.named_children() if any(True for _ in net.parameters())}
        self.batch, self.images = batch, start

    def step(self, x: Tensor, c: Tensor, autocast: bool = False) -> dict[str, float]:
        if not hasattr(self, "optimizers"):  # once the networks lie on their device
            self.optimizers = self.method.to(x.device).train().optimizers()
        now = Now(images=self.images, total=10**12, batch=self.batch)
        batch = Batch(x, None, c, torch.arange(self.batch, device=x.device) + self.images)
        self.images += self.batch
        losses = {}
        steps = self.method.step(batch, now)
        while True:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
                turn = next(steps, None)
            if turn is None:
                return losses
            name, terms = turn
            self.optimizers[name].zero_grad()
            sum(terms.values()).backward()
            self.optimizers[name].step()
            losses |= {f"{name}/{k}": v.item() for k, v in terms.items()}


def copy_weights(form: Any, method: Method) -> None:
    """The plain form's weights (and the vectors of spectral norm) into the method's networks, by position.

    Raises ValueError if the shapes differ."""

    def held(network: torch.nn.Module) -> list[Tensor]:
        vectors = [b for n, b in network.named_buffers() if n.endswith((".u", ".v", "_u", "_v"))]
        return [*network.parameters(), *vectors]

    with torch.no_grad():
        for name, network in form.networks.items():
            source, target = held(network), held(getattr(method, name))
            if [p.shape for p in source] != [p.shape for p in target]:
                raise ValueError(f"the networks {name} of both forms differ in shape")
            for p, q in zip(target, source, strict=True):
                p.copy_(q)


def settle(precision: str, ours: bool) -> None:
    """The global switches that a contender runs under: i2i's loop sets them once, a plain script leaves them alone."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = ours
    if ours:
        keep_memory()
    else:
        keep_memory(32 << 20)  # what glibc comes to by itself


def seconds(
    contender: Ours | Plain, precision: str, steps: int, batch: tuple[Tensor, Tensor, Tensor]
) -> tuple[float, float]:
    """Seconds a step over `steps` steps: by the clock, and of processor time in all threads."""
    settle(precision, isinstance(contender, Ours))
    cuda = batch[0].device.type == "cuda"
    begun, worked = time.perf_counter(), time.process_time()
    for _ in range(steps):
        contender.step(*batch)
    if cuda:
        contender.losses()
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / steps, (time.process_time() - worked) / steps


def processor() -> str:
    """The CPU's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def computes_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16 (x86: AVX-512 BF16 or AMX; Arm: BF16)."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
