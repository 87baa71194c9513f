"""Checkpoints of the released StarGAN code (`200000-G.ckpt`): how they are told, and what their domains are called.

The files hold running statistics, which the released code tracks and never uses; they are left out. A checkpoint does
not say what its domains are. Where their number is that of a released model, they get its names; else numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from i2i.nets.domains import HAIR

Shapes = Mapping[str, tuple[int, ...]]

CELEBA = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")  # of the released models, in their order
RAFD = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def cleaned(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights without the statistics of the norms of a StarGAN generator; all others as they are."""
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    if not is_generator(shapes):
        return state
    return {key: value for key, value in state.items() if key.rpartition(".")[2] not in _STATISTICS}


def is_generator(shapes: Shapes) -> bool:
    """Whether the keys and shapes are those of a StarGAN generator."""
    first, norm = shapes.get("main.0.weight", ()), shapes.get("main.1.weight", ())
    return first[2:] == (7, 7) and norm == first[:1] and "main.0.bias" not in shapes


def is_discriminator(shapes: Shapes) -> bool:
    """Whether the keys and shapes are those of a StarGAN discriminator."""
    first = shapes.get("main.0.weight", ())
    return first[2:] == (4, 4) and shapes.get("conv1.weight", ())[2:] == (3, 3) and "conv2.weight" in shapes


def generator_arguments(shapes: Shapes) -> dict[str, Any]:
    """Arguments of a StarGAN generator."""
    width, seen = shapes["main.0.weight"][:2]
    last = max((int(key.split(".")[1]) for key, shape in shapes.items() if len(shape) == 4), default=0)
    channels = shapes[f"main.{last}.weight"][0]
    bits, classes = _names(seen - channels)
    return {
        "bits": bits,
        "classes": classes,
        "exclusive": [list(HAIR)],
        "channels_in": channels,
        "channels_out": channels,
        "width": width,
        "blocks": sum(key.endswith(".main.0.weight") for key in shapes),
    }


def _names(width: int) -> tuple[list[str], list[str]]:
    """Attributes and classes of a label of so many numbers."""
    if width == len(CELEBA):
        return list(CELEBA), []
    if width == len(RAFD):
        return [], list(RAFD)
    if width == len(CELEBA) + len(RAFD) + 2:
        return list(CELEBA), list(RAFD)
    return [str(i + 1) for i in range(width)], []


def discriminator_arguments(shapes: Shapes) -> dict[str, Any]:
    """Arguments of a StarGAN discriminator."""
    layers = sum(key.startswith("main.") and len(shape) == 4 for key, shape in shapes.items())
    outputs, kernel = shapes["conv2.weight"][0], shapes["conv2.weight"][2]
    width, channels = shapes["main.0.weight"][:2]
    return {
        "outputs": outputs,
        "channels": channels,
        "size": kernel * 2**layers,
        "width": width,
        "layers": layers,
    }
