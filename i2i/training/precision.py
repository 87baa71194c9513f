"""What `precision=auto` takes for a new run: bf16 where the hardware computes in it and the networks gain by it."""

from __future__ import annotations

import dataclasses

import torch

from i2i.core.device import cpu_has_bf16, device_of
from i2i.training.run import Run

# Forward MACs of a step. Measured on a Xeon with AMX, bf16 takes longer below: pix2pix of width 8 at 64 pixels (15 M)
# takes 1.1 times as long as in fp32; from 100 M on no method was slower.
LEAST_MACS = 100_000_000


def settle(run: Run) -> None:
    """Writes what precision=auto takes into the settings of a new run, so that it is resumed so on every machine.

    Other values of precision stay as they are."""
    if run.training.precision != "auto":
        return
    name, run.precision_why = choose(run)
    run.training = dataclasses.replace(run.training, precision=name)
    run.settings["precision"] = name


def choose(run: Run) -> tuple[str, str]:
    """(fp32, bf16, or auto where the device decides; why, as the end of a sentence) for the networks of a run."""
    device = device_of(run.training.device)
    if device.type != "cpu":  # decided where the GPU is, by settings.precision_on
        return "auto", ""
    if not cpu_has_bf16():
        return "fp32", "this CPU has no bf16 hardware (AMX or AVX512_BF16)"
    cost = run.cost
    if cost is None:
        return "fp32", "the work of a step could not be counted"
    if cost.double_backward:
        return "fp32", "a loss differentiates a gradient, which needs float32"
    if cost.step < LEAST_MACS:
        return "fp32", "the networks are too small to gain by bf16"
    return "bf16", f"this CPU has bf16 hardware ({torch.backends.cpu.get_cpu_capability()})"


def sentence(run: Run) -> str:
    """What precision=auto took and why, and how to have it otherwise; empty if the user set the precision."""
    if not run.precision_why:
        return ""
    name = run.training.precision
    other = " It trains faster; --precision fp32 turns it off." if name == "bf16" else ""
    return f"precision=auto took {name}: {run.precision_why}.{other}"
