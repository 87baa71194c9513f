"""ONNX files: the graph of a network, which other programs can run, with the model's JSON header in the metadata.

Here onnxruntime runs them, on the CPU. It is an extra (`pip install 'i2i-toolkit[onnx]'`), imported on first use.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.core.files import open_regular, sha256_of
from i2i.core.optional import require
from i2i.models import content

SMALL = 8  # pixels of a side that a graph is tried on first
HOSTILE = "It is damaged, or made to fill the memory: use another one."
MAX_SCALE = 16  # a network that enlarges images makes each side this many times as long, at most
KEY = "i2i"
RUNTIME_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")  # of its messages


def imported(name: str) -> Any:
    """The module `name` of the extra `onnx`. Raises I2IError with the command that installs it if it is missing."""
    return require(name, "onnx", "An ONNX file")


@contextlib.contextmanager
def without_logs() -> Iterator[None]:
    """While active, no module logs warnings or less: the exporter and the quantizer log every step."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


class OnnxNet(nn.Module):
    """An ONNX file as a network: [B, channels_in, H, W] in [-1, 1] -> [B, channels_out, H, W] in [-1, 1], on the CPU.

    H and W must be multiples of `multiple`. If `whole` is true, its norms compute per-image statistics inside the
    graph, so images cannot be cut into tiles. Safe to call from threads; copies share the session. Raises I2IError if
    `i2i export` did not write the file, if it is damaged, or if onnxruntime is missing.
    """

    digest: Tensor
    compiles = False  # torch.compile has nothing to compile: onnxruntime runs the graph

    def __init__(self, path: Path) -> None:
        super().__init__()
        runtime = imported("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # errors are raised below
        options.intra_op_num_threads = torch.get_num_threads()
        content.refuse_pretenders(path)
        with open_regular(path) as file:
            data = file.read()
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
            # In a saved model, the side of pairs that it reads. (Files of before 0.2.0 do not say it.)
            self.header["direction"] = str(self.header.get("data_direction", self.direction))
            numbers = (*self.arguments.values(), self.multiple, self.radius + 1, self.bytes_per_pixel)
            if not all(0 < n < 1e9 for n in numbers):
                raise ValueError(f"numbers out of range: {numbers}")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise I2IError(
                f"{path} is an ONNX file of another program; it has no i2i header.",
                "Give a file that `i2i export` wrote.",
            ) from error
        self._is_tried = False
        # An empty parameter tells the device, as weights would. Its name is part of the digest that records of archives
        # hold, so it stays.
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)
        self.register_buffer("digest", torch.tensor(list(bytes.fromhex(sha256_of(data))), dtype=torch.uint8))

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxNet:
        return self

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, H, W]."""
        self._try_small(x)
        inputs = {self.session.get_inputs()[0].name: x.detach().float().cpu().contiguous().numpy()}
        try:
            y = self.session.run(None, inputs)[0]
        except Exception as error:  # noqa: BLE001 (its exceptions share no base class)
            reason = RUNTIME_PREFIX.sub("", [*str(error).strip().splitlines(), type(error).__name__][0]).rstrip(".")
            if "alloc" in reason:
                raise MemoryError(reason) from None
            size = f"{x.shape[-1]} x {x.shape[-2]}"
            raise I2IError(f"onnxruntime cannot process {size} pixels: {reason}.", self._size_hint()) from None
        return self._checked(y, x)

    def _try_small(self, x: Tensor) -> None:
        """Runs the graph on a small part of the first images: a graph decides by itself how much memory it takes.

        Raises I2IError if it makes far more pixels of it than a network that enlarges images does."""
        if self._is_tried:
            return
        self._is_tried = True
        for side in dict.fromkeys((self.multiple, -(-SMALL // self.multiple) * self.multiple)):
            part = x[:1, :, :side, :side].detach().float().cpu().contiguous().numpy()
            try:
                y = self.session.run(None, {self.session.get_inputs()[0].name: part})[0]
            except Exception as error:  # noqa: BLE001 (its exceptions share no base class)
                if "alloc" in str(error):
                    what = f"The ONNX file takes more memory than there is for {side} x {side} pixels."
                    raise I2IError(what, HOSTILE) from None
                continue  # too small for it, or a graph of one size: that is told with the whole images
            if getattr(y, "size", 0) > MAX_SCALE**2 * side**2 * self.arguments["channels_out"]:
                raise I2IError(f"The ONNX file turns {side} x {side} pixels into {y.size:,} numbers.", HOSTILE)
            return

    def _size_hint(self) -> str:
        """What to do if the graph takes images of one size only."""
        height, width = ([*self.session.get_inputs()[0].shape, None, None, None, None])[2:4]
        if isinstance(height, int) and isinstance(width, int):
            return f"The file takes images of {width} x {height} pixels only: add --size {width}x{height}."
        return "Export the model again with `i2i export`."

    def _checked(self, y: Any, x: Tensor) -> Tensor:
        """What the graph made of images `x`. Raises I2IError if these are no images of their size or a multiple."""
        channels = self.arguments["channels_out"]
        shape = [*getattr(y, "shape", ())]
        wanted = len(shape) == 4 and shape[:2] == [len(x), channels] and 0 not in shape
        scale = shape[-1] // x.shape[-1] if wanted else 0
        if not wanted or scale < 1 or shape[2:] != [n * scale for n in x.shape[2:]]:
            raise I2IError(
                f"The ONNX file turns images of shape {[*x.shape]} into {shape}, not into {channels} channels of their "
                "size.",
                self._size_hint(),
            )
        return torch.from_numpy(y)


def write(program: Any, header: dict[str, Any], path: Path) -> None:
    """Writes an onnx.ModelProto to `path`, with `header` as JSON in its metadata."""
    del program.metadata_props[:]
    entry = program.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(header, ensure_ascii=False)
    path.write_bytes(program.SerializeToString())
