"""ONNX files in 8 bits: static quantization by onnxruntime, whose ranges are measured on real images.

Convolutions compute with 8-bit whole numbers, norms and activations in between with 32 bits. Weights have a range for
each channel. The file is about a quarter as large; how much faster it is depends on the CPU (AVX-512 VNNI helps).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.models import onnx as onnx_file

MEAN_LIMIT = 0.02  # mean difference to the 32-bit network, of values in [-1, 1]: 2.5 levels of 255
OPERATIONS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def to_int8(program: Any, batches: Iterable[Tensor], name: str = "picture") -> Any:
    """The onnx.ModelProto `program` in 8 bits. batches: images [B, C, H, W] in [-1, 1] to measure ranges on, all of one
    size; name: of the graph's input. Raises I2IError if onnxruntime cannot quantize the graph."""
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
                op_types_to_quantize=list(OPERATIONS),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return onnx.load(str(small))
    except Exception as error:  # its exceptions share no base class
        reason = " ".join(str(error).split())[:200]
        raise I2IError(f"This network cannot be quantized: {reason}.", "Export it without --quantize.") from error
