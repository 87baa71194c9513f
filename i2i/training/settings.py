"""How a run is trained, whatever the method: the settings of the loop, its device and its precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from accelerate import Accelerator

from i2i.core.config import Count, Natural, NonNegative, Range
from i2i.core.device import DEVICES
from i2i.core.distributed import processes
from i2i.core.errors import I2IError, nearest
from i2i.core.optional import install_hint, is_installed

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "fp64")
TRACKERS = ("tensorboard", "wandb")


@dataclass(frozen=True)
class TrainSettings:
    """How to train, whatever the method. Numbers that count time are in images seen by all processes."""

    epochs: NonNegative = 200.0  # passes over the data
    images: Natural = 0  # length of the run in images; 0: from epochs
    batch: Count = 1  # images in a step, all processes together
    accumulate: Count = 1  # micro-batches a step is computed in
    precision: str = "auto"  # auto (bf16 on GPUs that have it, else fp32), fp32, bf16, fp16, fp64
    seed: Annotated[int, Range(-(2**63), 2**63 - 1)] = 0  # of all that is random: first weights, order, noise
    ema: NonNegative = 0.0  # half-life of the weight average in images; 0: no average
    clip: NonNegative = 0.0  # largest gradient norm of an optimizer; 0: no clipping
    compile: bool = False  # torch.compile the networks that are not differentiated twice
    channels_last: str = "auto"  # memory layout of images: auto (yes on GPUs), yes, no
    tf32: bool = True  # TensorFloat-32 for float32 products on GPUs that have it
    device: str = "auto"  # auto, cpu, cuda, mps
    save_every: Natural = 0  # images between checkpoints; 0: an epoch, or a 200th of the run, and ten minutes
    sample_every: Natural = 0  # images between sample grids; 0: an epoch, or a 200th of the run if that is more
    keep: Count = 3  # newest checkpoints kept beside the best one
    log_every: Count = 50  # steps between lines of the log; one process writes at least one each 15 seconds
    trackers: str = ""  # comma-separated: tensorboard, wandb

    def check(self) -> None:
        """Raises I2IError for a setting that is not allowed; numbers out of range are refused before, by `config`."""
        choices = {"precision": PRECISIONS, "device": DEVICES, "channels_last": ("auto", "yes", "no")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise I2IError(f"{name} is {getattr(self, name)!r}.", f"Allowed: {', '.join(allowed)}.")
        if not self.images and not self.epochs:
            raise I2IError("epochs is 0, and so is images.", "One of them says how long to train.")
        if self.batch % self.accumulate:
            raise I2IError(f"batch {self.batch} is no multiple of accumulate {self.accumulate}.", "Change one of them.")
        for name in self.tracked:
            if name not in TRACKERS:
                raise I2IError(f"There is no tracker {name!r}.", nearest(name, TRACKERS))
            if not is_installed(name):
                raise I2IError(f"The tracker {name} is not installed.", install_hint(name))

    @property
    def tracked(self) -> list[str]:
        """The names in `trackers`."""
        return [t.strip() for t in self.trackers.split(",") if t.strip()]


def accelerator_for(plan: TrainSettings, folder: Path | None = None) -> Accelerator:
    """The Accelerator of this process: device, process group, trackers, which write into `folder`.

    Precision and wrapping stay with the loop."""
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise I2IError("device is cuda, but no CUDA device is available here.", "Give --device auto or cpu.")
    if plan.device == "mps" and not torch.backends.mps.is_available():
        raise I2IError("device is mps, but there is none here.", "Give --device auto or cpu.")
    cpu = plan.device == "cpu" or (plan.device == "auto" and not torch.cuda.is_available())
    accelerator = Accelerator(cpu=cpu, mixed_precision="no", log_with=plan.tracked or None, project_dir=folder)
    if accelerator.num_processes != processes():  # each of them would train by itself, on the same data
        raise I2IError(
            f"{processes()} processes were asked for, but {accelerator.num_processes} work together here.",
            "Start them by --processes or by torchrun.",
        )
    return accelerator


@dataclass
class Precision:
    """Data type of the forward passes, and the loss scalers that fp16 needs: one an optimizer."""

    autocast: torch.dtype | None = None
    weights: torch.dtype = torch.float32
    scalers: dict[str, torch.amp.GradScaler] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, device: torch.device, optimizers: list[str]) -> Precision:
        """Resolves a name of PRECISIONS for `device`."""
        if name not in PRECISIONS:
            raise I2IError(f"precision is {name!r}.", f"Allowed: {', '.join(PRECISIONS)}.")
        if name == "auto":
            name = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
        if name == "fp16":
            # Accelerate shares one scaler, whose update after D's step would falsify G's gradients.
            return cls(torch.float16, scalers={n: torch.amp.GradScaler(device.type) for n in optimizers})
        return cls(torch.bfloat16 if name == "bf16" else None, torch.float64 if name == "fp64" else torch.float32)
