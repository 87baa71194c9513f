"""The precision that `auto` takes for a model that translates, and the measurement on which that rests.

bf16 is faster on a CPU with AMX or AVX512_BF16, and changes an output a little. How much depends on the model, so it is
measured once, on images that the model was not trained on, and kept in the model's header:

    "bf16": {"AtoB": {"form": 1, "within": 0.9998, "images": 16}}

within: share of the 8-bit values that are at most one level from those of fp32. A model of which this is not known is
translated in fp32, and so are images of more than 8 bits, which a level of 255 would coarsen. gains: false for narrow
networks with norms of the image: bf16 took up to 1.3 times as long for `cyclegan_daynight_small`, and a whole
translation by a student of `pix2pix_earth` (mean width 28) 1.17 times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from i2i.core.device import cpu_has_bf16
from i2i.core.reading import has_form
from i2i.models.flat import per_image_norms

if TYPE_CHECKING:
    from i2i.models.translator import Translator

KEY = "bf16"  # of the header
FORM = 1  # of the way in which i2i.models.bf16 rounds; a measurement of another form counts for nothing
# Of `mean_width`. Measured models with norms of the image: 39 and more gained by bf16, 16 and 28 did not.
NARROW = 32.0
ENOUGH = 0.999  # share of values within one level
IMAGES = 16  # most images that are measured
MIXED = "mixed"  # the precision that auto takes: bf16 for images of 8 bits, fp32 for others
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, MIXED: torch.bfloat16}


def choose(header: Mapping[str, Any], direction: str, statistics: str, device: torch.device) -> tuple[str, str]:
    """(fp32 or mixed, why): what auto takes for a model with this header on a device."""
    if device.type != "cpu":
        return "fp32", "auto takes bf16 on CPUs only"
    allowed, why = may_lower(header, direction, statistics)
    if not allowed:
        return "fp32", why
    if not cpu_has_bf16():
        return "fp32", "this CPU has no bf16 hardware (AMX or AVX512_BF16)"
    return MIXED, f"this CPU has bf16 hardware, and {why}"


def may_lower(header: Mapping[str, Any], direction: str, statistics: str = "auto") -> tuple[bool, str]:
    """(whether bf16 is known to keep the values of a model, why)."""
    facts = header.get(KEY)
    found: dict[str, Any] = (facts.get(direction) if isinstance(facts, Mapping) else None) or {}
    if not has_form(found, {"form": int, "within": float, "images": int}) or found["form"] != FORM:
        return False, "the model's file does not say how near bf16 is to fp32 (`i2i models pack --measure` does)"
    if statistics != "auto":
        return False, "bf16 was measured with the model's own norm statistics"
    if found.get("gains") is False:
        return False, "the network is too narrow to be faster in bf16"
    share = f"{100 * found['within']:.2f} % of the values of {found['images']} held-out images"
    if found["within"] < ENOUGH:
        return False, f"in bf16 only {share} are within one level of fp32"
    return True, f"{share} are within one level of fp32"


def measure(translator: Translator, images: Sequence[Tensor]) -> dict[str, Any]:
    """What the header says of a direction. images: float32 [C, H, W] in [-1, 1]; translator: in fp32, on the CPU."""
    lower = translator.with_precision("bf16")
    within = values = 0
    for image in images:
        levels = image.add(1).mul(127.5).round().clamp(0, 255).byte()
        exact, rough = (one(levels).numpy().astype(np.int16) for one in (translator, lower))
        within += int((np.abs(exact - rough) <= 1).sum())
        values += exact.size
    facts = {"form": FORM, "within": math.floor(1e4 * within / values) / 1e4, "images": len(images)}
    narrow = bool(per_image_norms(translator.network)) and mean_width(translator, images[0]) <= NARROW
    return {**facts, "gains": False} if narrow else facts


def mean_width(translator: Translator, image: Tensor) -> float:
    """The channels of a translator's convolutions (the fewer of those read and made), weighted by their work.

    image: float32 [C, H, W] in [-1, 1], on which they work."""
    work: list[tuple[int, int]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.modules.conv._ConvNd)
        positions = (inputs[0] if module.transposed else output)[0, 0].numel()
        work.append((module.weight.numel() * positions, min(module.in_channels, module.out_channels)))

    convs = [m for m in translator.network.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    handles = [module.register_forward_hook(note) for module in convs]
    try:
        translator(image.add(1).mul(127.5).round().clamp(0, 255).byte())
    finally:
        for handle in handles:
            handle.remove()
    return sum(macs * width for macs, width in work) / max(1, sum(macs for macs, _ in work))
