"""ONNX files in 8 bits: static quantization by onnxruntime, whose ranges are measured on real images.

Convolutions, activations and resizing compute with 8-bit whole numbers, and norms with 32 bits. Maps are joined in 8
bits, too, if the result is near enough: less is converted and moved. Weights have a range for each channel. The file is
about a quarter as large; how much faster it is depends on the CPU (AVX-512 VNNI helps).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.models import onnx as onnx_file

MEAN_LIMIT = 0.02  # mean difference to the 32-bit network, of values in [-1, 1]: 2.5 levels of 255
EXACT = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Relu", "LeakyRelu", "Resize")
# The fastest first, the most exact last. Joined maps share one range, which suits none of them as well as its own.
OPERATIONS = ((*EXACT, "Concat"), EXACT)


def in_int8(program: Any, batches: Sequence[Tensor]) -> Iterator[Any]:
    """The program in 8 bits (see `to_int8`), each time with fewer operations: slower, and nearer to the network."""
    for operations in OPERATIONS:
        yield to_int8(program, batches, operations)


def to_int8(program: Any, batches: Iterable[Tensor], operations: tuple[str, ...] = EXACT, name: str = "picture") -> Any:
    """The onnx.ModelProto `program` in 8 bits. batches: images [B, C, H, W] in [-1, 1] to measure ranges on, all of one
    size; operations: that compute in 8 bits; name: of the graph's input. Raises I2IError if onnxruntime cannot quantize
    the graph."""
    onnx = onnx_file.imported("onnx")
    quantization = onnx_file.imported("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.arrays: Iterator[np.ndarray] = (x.numpy() for x in batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            array = next(self.arrays, None)
            return None if array is None else {name: array}

    try:
        with onnx_file.without_logs(), tempfile.TemporaryDirectory() as folder:
            whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
            onnx.save(program, str(whole))
            quantization.quantize_static(
                str(whole),
                str(small),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(operations),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return onnx.load(str(small))
    except Exception as error:  # its exceptions share no base class
        reason = " ".join(str(error).split())[:200]
        raise I2IError(f"This network cannot be quantized: {reason}.", "Export it without --quantize.") from error
