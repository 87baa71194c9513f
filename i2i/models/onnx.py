"""ONNX files: the graph of a network, which other programs can run, with the model's JSON header in the metadata.

Here onnxruntime runs them, on the CPU. It is an extra (`pip install 'i2i-toolkit[onnx]'`), imported on first use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.core.files import sha256_of
from i2i.core.optional import require
from i2i.models import content

KEY = "i2i"


def library(name: str) -> Any:
    """The module `name` of the extra `onnx`. Raises I2IError with the command that installs it if it is missing."""
    return require(name, "onnx", "An ONNX file")


class OnnxNet(nn.Module):
    """An ONNX file as a network: [B, channels_in, H, W] in [-1, 1] -> [B, channels_out, H, W] in [-1, 1], on the CPU.

    H and W must be multiples of `multiple`. If `whole` is true, its norms compute per-image statistics inside the
    graph, so images cannot be cut into tiles. Safe to call from threads; copies share the session. Raises I2IError if
    `i2i export` did not write the file, if it is damaged, or if onnxruntime is missing.
    """

    digest: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # errors are raised below
        options.intra_op_num_threads = torch.get_num_threads()
        content.refuse_pretenders(path)
        data = path.read_bytes()
        try:
            self.session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            text = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        except Exception as error:  # its exceptions share no base class
            raise I2IError(f"{path} is not an ONNX file, or it is damaged.", "Export or copy it again.") from error
        try:
            self.header: dict[str, Any] = json.loads(text or "null")
            self.arguments = {k: int(self.header[k]) for k in ("channels_in", "channels_out")}
            self.multiple = int(self.header["multiple"])
            self.whole = bool(self.header["whole"])
            self.radius = int(self.header["radius"])
            self.bytes_per_pixel = float(self.header["bytes_per_pixel"])
            self.direction = str(self.header["direction"])
            numbers = (*self.arguments.values(), self.multiple, self.radius + 1, self.bytes_per_pixel)
            if not all(0 < n < 1e9 for n in numbers):
                raise ValueError(f"numbers out of range: {numbers}")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise I2IError(
                f"{path} is an ONNX file of another program; it has no i2i header.",
                "Give a file that `i2i export` wrote.",
            ) from error
        # An empty parameter tells the device, as weights would. Its name is part of the digest that records of archives
        # hold, so it stays.
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)
        self.register_buffer("digest", torch.tensor(list(bytes.fromhex(sha256_of(data))), dtype=torch.uint8))

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxNet:
        return self

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, H, W]."""
        inputs = {self.session.get_inputs()[0].name: x.detach().float().cpu().contiguous().numpy()}
        return torch.from_numpy(self.session.run(None, inputs)[0])


def write(program: Any, header: dict[str, Any], path: Path) -> None:
    """Writes an onnx.ModelProto to `path`, with `header` as JSON in its metadata."""
    del program.metadata_props[:]
    entry = program.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(header, ensure_ascii=False)
    path.write_bytes(program.SerializeToString())
