"""Settings of training that do not depend on the method: length, batch, device, precision, checkpoints, log."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import LoggerType

from i2i.core.config import Count, Natural, NonNegative, Range
from i2i.core.device import ALLOWED_DEVICES, device_of
from i2i.core.distributed import leave_at_exit, processes
from i2i.core.errors import I2IError, among
from i2i.core.optional import install_hint

ACCELERATE_DEVICE = "ACCELERATE_TORCH_DEVICE"  # the environment variable that Accelerate reads
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "fp64")
MAX_IMAGES = 10**12 - 1  # of a run; the names of checkpoints have twelve digits
EXTRAS = ("tensorboard", "wandb")  # trackers whose packages are extras of i2i; others are installed by their own names
PACKAGES = {"comet_ml": "comet-ml"}  # on the package index, where that is not the tracker's name


@dataclass(frozen=True)
class TrainSettings:
    """Settings of training. Times are counted in images seen by all processes together."""

    epochs: Annotated[float, Range(0, 1_000_000)] = 200.0  # passes over the data
    images: Annotated[int, Range(0, MAX_IMAGES)] = 0  # length of the run in images; 0: as epochs says
    batch: Annotated[int, Range(1, 1_000_000)] = 1  # images in a step, all processes together; auto: as many as fit
    accumulate: Count = 1  # micro-batches that a step is computed in, to save memory
    precision: str = (
        "auto"  # auto (bf16 where hardware has it and networks gain by it, else fp32), fp32, bf16, fp16, fp64
    )
    seed: Annotated[int, Range(-(2**63), 2**63 - 1)] = 0  # seeds everything: initial weights, data order, noise
    ema: NonNegative = 0.0  # half-life of the weight average (EMA) in images; 0: no average
    clip: NonNegative = 0.0  # maximum gradient norm of an optimizer; 0: no clipping
    compile: bool = False  # torch.compile the networks, except those that are differentiated twice
    channels_last: str = (
        "auto"  # store images channels last: auto (where the networks are known to gain by it), yes, no
    )
    tf32: bool = True  # TensorFloat-32 for float32 convolutions and matrix products on GPUs that have it
    device: str = "auto"  # auto (CUDA, else MPS, else the CPU), cpu, cuda, cuda:1, mps
    save_every: Natural = 0  # images between checkpoints; 0: every epoch (at most 200 in a run) and every ten minutes
    sample_every: Natural = 0  # images between sample grids; 0: every epoch (at most 200 in a run)
    score_every: Natural = (
        0  # images between scores, which choose the best model; 0: as often as 5 % of the time allows
    )
    patience: Natural = 0  # scores in a row without a better one after which the run stops early; 0: never
    keep: Count = 3  # newest checkpoints to keep, in addition to the best one
    log_every: Count = 50  # steps between lines of the log; with one process at most 15 seconds
    init_from: str = ""  # start from the weights of this model, run, or name of `i2i models`; empty: random weights
    keep_discriminators: bool = False  # keep the discriminators' weights in the model file, to start other runs from it
    trackers: str = ""  # tensorboard, wandb, mlflow, aim, clearml, comet_ml, dvclive, swanlab, trackio; a,b: several

    def check(self) -> None:
        """Raises I2IError for a value that is not allowed. (`i2i.core.config` has checked the ranges of numbers.)"""
        choices = {"precision": PRECISIONS, "channels_last": ("auto", "yes", "no")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise I2IError(f"{name} is {getattr(self, name)!r}.", f"Allowed: {', '.join(allowed)}.")
        device = device_of(self.device)
        if device.type not in ("cpu", "cuda", "mps"):
            raise I2IError(f"i2i does not train on the device {self.device!r}.", ALLOWED_DEVICES)
        if device.type == "mps" and self.precision == "fp64":
            raise I2IError("MPS devices have no fp64.", "Give --precision fp32, or --device cpu.")
        if device.index is not None and processes() > 1:
            raise I2IError(
                f"{processes()} processes train together, but the device is {self.device!r}, one of them.",
                f"Give --device {device.type}: each process takes a device of its own.",
            )
        if not self.images and not self.epochs:
            raise I2IError("epochs is 0, and so is images.", "Give one of them: how long to train.")
        if self.batch % self.accumulate:
            raise I2IError(
                f"batch {self.batch} is not a multiple of accumulate {self.accumulate}.", "Change one of them."
            )
        for name in self.tracked:
            if name not in LOGGER_TYPE_TO_CLASS:
                raise I2IError(f"There is no tracker {name!r}.", among(name, sorted(LOGGER_TYPE_TO_CLASS)))
            if name in LoggerType.list() and LoggerType(name) not in get_available_trackers():
                hint = install_hint(name) if name in EXTRAS else f"pip install {PACKAGES.get(name, name)}"
                raise I2IError(f"The tracker {name} is not installed.", hint)

    def length(self, count: int) -> int:
        """Images of the whole run, whole steps, on `count` training images. Raises I2IError if they are too many."""
        images = self.images or math.ceil(self.epochs * count)
        if images > MAX_IMAGES:
            raise I2IError(
                f"The run would see {images:,} images.", f"Allowed: up to {MAX_IMAGES:,}. Give fewer epochs."
            )
        return max(1, math.ceil(images / self.batch)) * self.batch

    @property
    def tracked(self) -> list[str]:
        """The names in `trackers`."""
        return [t.strip() for t in self.trackers.split(",") if t.strip()]


def accelerator_for(settings: TrainSettings, folder: Path | None = None) -> Accelerator:
    """The Accelerator of this process: device, process group, and trackers.

    folder: the trackers write into it; None: no trackers. The Accelerator neither casts nor wraps anything; the
    training step does that. Raises I2IError if the device does not exist, or if the processes do not work together."""
    device, alone = device_of(settings.device), processes() == 1
    if device.type == "mps" and not alone and settings.device == "auto":
        device = torch.device("cpu")  # one GPU, which processes cannot share
    if alone:
        _forget_other_device(device)
    with _accelerate_device(device if alone else None):
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="no",
            log_with=settings.tracked or None if folder else None,
            project_dir=folder,
        )
    leave_at_exit()
    if accelerator.device.type != device.type:  # several processes: their group cannot change the device any more
        raise I2IError(
            f"These processes work together on {accelerator.device.type}, and the device is {settings.device!r}.",
            "Start them with --processes N, or with torchrun.",
        )
    if accelerator.num_processes != processes():  # else each would train alone, on the same data
        raise I2IError(
            f"WORLD_SIZE is {processes()}, but {accelerator.num_processes} processes work together.",
            "Start the processes with --processes N or with torchrun.",
        )
    return accelerator


def _forget_other_device(device: torch.device) -> None:
    """Makes Accelerate choose anew if it was begun for another device: it keeps the first one of a process for good."""
    before = PartialState._shared_state.get("device")
    precision = AcceleratorState._shared_state.get("_mixed_precision", "no")
    if before is not None and (torch.device(before) != device or precision != "no"):
        AcceleratorState._reset_state(reset_partial_state=True)


@contextlib.contextmanager
def _accelerate_device(device: torch.device | None) -> Iterator[None]:
    """Inside, a new Accelerator takes this device; None: the one of its process's number."""
    if device is None:
        yield
        return
    before = os.environ.get(ACCELERATE_DEVICE)
    os.environ[ACCELERATE_DEVICE] = str(device)
    try:
        yield
    finally:
        del os.environ[ACCELERATE_DEVICE]
        if before is not None:
            os.environ[ACCELERATE_DEVICE] = before


def precision_on(device: torch.device, name: str) -> str:
    """The name of PRECISIONS that is used on `device`: auto is bf16 on GPUs that have it, else fp32.

    New runs know theirs (i2i.training.precision); auto comes from runs of earlier versions and from the loop alone."""
    if name != "auto":
        return name
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


@dataclass
class Precision:
    """Data types of a run, and its loss scalers."""

    autocast: torch.dtype | None = None  # of the forward passes; None: that of the weights
    weights: torch.dtype = torch.float32
    scalers: dict[str, torch.amp.GradScaler] = field(default_factory=dict)  # by optimizer; only fp16 needs them

    @classmethod
    def of(cls, name: str, device: torch.device, optimizers: list[str]) -> Precision:
        """Resolves a name of PRECISIONS for `device`. Raises I2IError if there is none of that name."""
        if name not in PRECISIONS:
            raise I2IError(f"precision is {name!r}.", f"Allowed: {', '.join(PRECISIONS)}.")
        name = precision_on(device, name)
        if name == "fp16":
            # One scaler per optimizer: a shared one is updated after D's step, which would scale G's gradients wrongly.
            return cls(torch.float16, scalers={n: torch.amp.GradScaler(device.type) for n in optimizers})
        return cls(torch.bfloat16 if name == "bf16" else None, torch.float64 if name == "fp64" else torch.float32)
