"""Steps of every method on a CUDA device without values: no tensor of the CPU meets one of the GPU, and nothing waits.

torch's backward pass needs a real device, so gradients are zeros here; the formulas of the losses, the networks under
autocast, and the optimizers run as they would on a GPU."""

from __future__ import annotations

import traceback
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from i2i.data.batch import Batch
from i2i.methods import load_method, method_names
from i2i.methods._method import Now
from i2i.training.settings import TrainSettings
from i2i.training.step import TrainStep
from i2i.training.tricks import TrickSettings, apply
from tests.methods.tiny import BATCH, Memory, made, settings

CUDA = torch.device("cuda", 0)
STEPS = 6  # within which every optimizer has its turn
READS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal")  # the host needs a value, or a count


class Waits(TorchDispatchMode):
    """Notes the line of i2i that starts each operation for which the host waits for the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        on_gpu = any(isinstance(leaf, Tensor) and leaf.is_cuda for leaf in tree_leaves(args))
        if on_gpu and (name in READS or is_copy_to_cpu(name, args, kwargs)):
            self.lines.append(f"{name}: {innermost_line()}")
            if name == "_local_scalar_dense":
                return 0.5 if args[0].dtype.is_floating_point else 0
        return function(*args, **kwargs)


def is_copy_to_cpu(name: str, args: Any, kwargs: Any) -> bool:
    """True for a copy from the GPU into the memory of the host."""
    if name == "_to_copy":
        return torch.device(kwargs.get("device") or CUDA).type == "cpu"
    return name == "copy_" and args[0].device.type == "cpu"


def innermost_line() -> str:
    """File, number and text of the innermost line of i2i that runs now."""
    frames = [f for f in traceback.extract_stack() if "/i2i/" in f.filename and "/tests/" not in f.filename]
    return f"{frames[-1].filename.rpartition('/i2i/')[2]}:{frames[-1].lineno}: {frames[-1].line}" if frames else "?"


@pytest.fixture
def gpu(monkeypatch):
    """Autocast as on a machine with a GPU, and gradients of zeros: both ask for a real device."""

    def zeros(outputs: Tensor, inputs: Any, **options: Any) -> list[Tensor]:
        return [torch.zeros_like(x) + 0 * outputs.sum() for x in ([inputs] if isinstance(inputs, Tensor) else inputs)]

    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(torch.autograd, "grad", zeros)


def fake_backward(loss: Tensor, inputs: list[nn.Parameter]) -> None:
    """Gives each parameter a gradient, as backward does."""
    assert loss.is_cuda
    assert loss.requires_grad
    for p in inputs:
        p.grad = torch.zeros_like(p)


def move(method: nn.Module) -> None:
    """Moves a method to the GPU, where it stays: `Module.to` cannot swap parameters without values."""
    moved: dict[int, Tensor] = {}
    for module in method.modules():
        for tensors in (module._parameters, module._buffers):
            for key, t in tensors.items():
                if t is not None and id(t) not in moved:
                    new = torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=CUDA)
                    moved[id(t)] = nn.Parameter(new, t.requires_grad) if isinstance(t, nn.Parameter) else new
                tensors[key] = None if t is None else moved[id(t)]
    method.to = lambda *_, **__: method  # type: ignore[method-assign]


def waits_of(name: str, precision: str = "bf16", tricks: TrickSettings | None = None, **changes: Any) -> list[str]:
    """Makes whole steps of a method (losses, backward, optimizers) until each optimizer had its turn. The lines that
    wait for the device."""
    kind = load_method(name)
    data = Memory(kind.needs, settings(kind, **changes)[1])
    batches = [data.rows(list(range(k * BATCH, (k + 1) * BATCH))) for k in range(STEPS)]
    method = made(name, **changes).train()
    accelerator = SimpleNamespace(device=CUDA, process_index=0, num_processes=1, backward=fake_backward)
    with FakeTensorMode(allow_non_fake_inputs=True), Waits() as waits:
        if tricks:
            apply(method, tricks)
        move(method)
        step = TrainStep(method, TrainSettings(batch=BATCH, precision=precision), accelerator)
        turns: set[str] = set()
        for k, batch in enumerate(batches):
            moment = Now(k * BATCH, total=100 * BATCH, batch=BATCH)
            turns |= {losses.optimizer for losses in step(step.move(on_host(batch)), moment)}
            if turns == set(step.optimizers):
                return waits.lines
    raise AssertionError(f"only {turns} had a turn")


def on_host(batch: Batch) -> Batch:
    """A batch of the same shapes in the host's memory."""
    parts = (batch.x, batch.y, batch.c, batch.ids)
    return Batch(*(None if t is None else torch.empty(t.shape, dtype=t.dtype) for t in parts))


@pytest.mark.parametrize("name", method_names())
def test_a_step_on_a_gpu_mixes_no_devices_and_never_waits(name, gpu):
    assert waits_of(name) == []


def test_a_wait_and_a_mix_of_devices_are_seen(gpu, monkeypatch):
    """What this file looks for, in a method that has it."""
    kind = load_method("dcgan")
    plain = kind.step

    def waiting(self, batch, now):
        float(batch.x.sum())
        yield from plain(self, batch, now)

    def mixing(self, batch, now):
        _ = batch.x + torch.zeros(batch.x.shape)
        yield from plain(self, batch, now)

    monkeypatch.setattr(kind, "step", waiting)
    assert [line.partition(":")[0] for line in waits_of("dcgan")] == ["_local_scalar_dense"]
    monkeypatch.setattr(kind, "step", mixing)
    with pytest.raises(RuntimeError, match="device"):
        waits_of("dcgan")
