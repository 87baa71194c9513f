"""Super-resolution networks by others: the names that their weights have had, and how to tell their families apart.

The names of today are those of BasicSR and Real-ESRGAN, and of `i2i.nets.RRDBNet`. The first code of ESRGAN counted its
layers (model.1.sub.0.RDB1.conv1.0.weight), the second had other words (RRDB_trunk.0.RDB1.conv1.weight).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]

_COUNTED = {"0": "conv_first", "3": "conv_up1", "6": "conv_up2", "8": "conv_hr", "10": "conv_last"}
_WORDS = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
_BLOCK = re.compile(r"(?:model\.1\.sub|RRDB_trunk)\.(\d+)\.RDB([123])\.conv([1-5])(?:\.0)?\.(weight|bias)")
_BODY = re.compile(r"model\.1\.sub\.\d+\.(weight|bias)")  # the convolution behind the blocks
_LAYER = re.compile(r"model\.(\d+)\.(weight|bias)")


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of today; all others as they are. The tensors are not copied."""
    counted = any(key.startswith("model.1.sub.") for key in state)
    if not counted and not any(key.startswith("RRDB_trunk.") for key in state):
        return state
    return {_name(key, counted): value for key, value in state.items()}


def _name(key: str, counted: bool) -> str:
    if match := _BLOCK.fullmatch(key):
        block, dense, conv, leaf = match.groups()
        return f"body.{block}.rdb{dense}.conv{conv}.{leaf}"
    if match := _BODY.fullmatch(key):
        return f"conv_body.{match[1]}"
    if counted and (match := _LAYER.fullmatch(key)):
        return f"{_COUNTED.get(match[1], f'model.{match[1]}')}.{match[2]}"
    layer, _, leaf = key.partition(".")
    return f"{_WORDS.get(layer, layer)}.{leaf}"


def is_rrdbnet(shapes: Shapes) -> bool:
    """Whether the keys, as `renamed` gives them, are those of an RRDBNet."""
    return "conv_first.weight" in shapes and "body.0.rdb1.conv1.weight" in shapes


def rrdbnet_arguments(shapes: Shapes) -> dict[str, Any]:
    """Arguments of an RRDBNet. At scale 2 and 1 its first layer sees 4 and 16 pixels of each channel at once."""
    width, seen = shapes["conv_first.weight"][:2]
    channels_out = shapes["conv_last.weight"][0]
    folded = next((f for f in (1, 2, 4) if seen == channels_out * f**2), 1)
    return {
        "channels_in": seen // folded**2,
        "channels_out": channels_out,
        "scale": 4 // folded,
        "width": width,
        "blocks": len({key.split(".")[1] for key in shapes if key.startswith("body.")}),
        "growth": shapes["body.0.rdb1.conv1.weight"][0],
    }


def other_family(shapes: Shapes) -> str:
    """The name of another family of super-resolution networks; empty if the keys are those of none."""
    has = shapes.keys().__contains__
    if has("body.0.weight") and len(shapes["body.0.weight"]) == 4 and len(shapes.get("body.1.weight", ())) == 1:
        return "SRVGGNetCompact (realesr-animevideov3 and realesr-general-x4v3)"
    if any(key.startswith(("layers.0.residual_group.", "layers.0.blocks.")) for key in shapes):
        return "SwinIR, HAT or another transformer"
    if has("head.0.weight") and any(key.startswith("tail.") for key in shapes):
        return "EDSR or RCAN"
    if has("conv_first.weight") and (has("body.0.conv1.weight") or has("recon_trunk.0.conv1.weight")):
        return "MSRResNet"
    if has("intro.weight") and has("ending.weight"):
        return "NAFNet"
    return ""
