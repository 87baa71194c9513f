"""What a model's file says of itself, whatever its format: `i2i models show FILE`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from i2i.core.errors import I2IError
from i2i.models import content
from i2i.models import format as model_file
from i2i.models.folders import file_for


def facts_of(path: Path) -> dict[str, Any]:
    """The facts about a model's file: .safetensors, .onnx, or .pth by the authors of pix2pix, CycleGAN and CUT.

    Raises I2IError if the file is damaged or no model."""
    kind = content.kind_of(path)
    if kind == content.ONNX:
        from i2i.models.onnx import OnnxNet

        network = OnnxNet(path)
        return {"file": str(path), "format of the file": "ONNX, written by i2i export", **network.header}
    if kind == content.PTH:
        return _facts_of_pth(path)
    if not content.has_suffix(path.name):
        raise I2IError(f"{path} is not a model.", "Give a .safetensors, .onnx or .pth file, or a run's folder.")
    return {"file": str(path), **model_file.read_header(path)}


def _facts_of_pth(path: Path) -> dict[str, Any]:
    from i2i import nets
    from i2i.models import pth
    from i2i.models.pth_ways import ways

    state = pth.read(path)
    both = ways(state)
    network = pth.network_of(both.get("AtoB", state), path)
    back = path
    with contextlib.suppress(I2IError):  # the file of the other direction, if there is one
        back = file_for(path, "BtoA")
    return {
        "file": str(path),
        "format of the file": "state dict of PyTorch",
        **({"way back": "in the same file (--direction BtoA)"} if both else {}),
        **({"way back": f"{back.name} (--direction BtoA)"} if back != path else {}),
        "network": nets.network_name(network),
        **nets.network_arguments(network),
        "parameters": sum(p.numel() for p in network.parameters()),
    }
