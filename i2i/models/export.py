"""The use case "export": a trained generator as an ONNX file, checked before it is written.

    i2i.export.export("runs/mine", "mine.onnx")

Batch, height and width stay free (height and width as multiples of the network's). Norms that use an image's own
statistics do so in the graph too. The file is run on real images by onnxruntime, beside the network it was made
from; it takes its name only if both agree.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i.core import fast_conv, resources
from i2i.core.errors import I2IError
from i2i.core.files import atomic_path
from i2i.media import adapt
from i2i.models import flat, translator
from i2i.models import load as loading
from i2i.models import onnx as onnx_file
from i2i.models.onnx import OnnxNet
from i2i.models.translator import Translator

LIMIT = 1e-3  # largest difference allowed of values in [-1, 1]; a grey level is 8e-3
SIDES = ((3, 40), (64, 64), (96, 160), (131, 77))  # height and width of what is tried, before padding
BATCHES = (1, 3)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Check:
    """How far onnxruntime and torch were apart, in values of [-1, 1]."""

    path: Path
    largest: float
    mean: float
    pictures: int  # that went through both
    sizes: tuple[tuple[int, int], ...]  # height and width, as the network saw them
    notes: tuple[str, ...]


def export(
    model: str | Path,
    output: str | Path,
    *,
    direction: str = "AtoB",
    statistics: str = "auto",
    check: str | Path | None = None,
    limit: float = LIMIT,
    overwrite: bool = False,
) -> Check:
    """Writes `model` as ONNX to `output` and says how far the two are apart.

    model, direction, statistics: see i2i.load. check: a folder of images to try it on; None: those shipped with i2i.
    limit: largest difference allowed, of values in [-1, 1]. The file appears whole or not at all. Raises I2IError if
    the model cannot be read, the extra `onnx` is missing, `output` exists, or the limit is exceeded.
    """
    path = Path(output)
    if path.suffix.lower() != ".onnx":
        raise I2IError(f"The output {path} does not end in .onnx.", "Give a name such as model.onnx.")
    if path.exists() and not overwrite:
        raise I2IError(f"{path} exists.", "Give --overwrite to replace it.")
    if not limit >= 0:
        raise I2IError(f"The limit is {limit}.", "Give a number of 0 or more.")
    for name in ("onnx", "onnxscript", "onnxruntime"):
        onnx_file.library(name)
    source = loading.load(model, "cpu", direction=direction, statistics=statistics)
    if isinstance(source.network, OnnxNet):
        raise I2IError(f"{model} is an ONNX file already.", "Give the model that it was made from.")
    notes: tuple[str, ...] = ()
    if source.noisy:
        source = Translator(source.network, {**source.header, "dropout_at_test": False}, source.name)
        notes = ("The model's dropout at test time, its source of noise, is left off.",)
    fast_conv.slow_down(source.network)  # the file holds plain convolutions, and is compared with them
    pictures = _pictures(Path(check) if check is not None else resources.shipped("datasets") / "earth" / "test", source)
    try:
        with atomic_path(path) as temporary:
            onnx_file.write(graph(source), _header(source, direction), temporary)
            made = compare(source, OnnxNet(temporary), pictures)
            if not made[0] <= limit:  # also when it is not a number
                raise I2IError(
                    f"The ONNX file is off by {made[0]:.2g} (mean {made[1]:.2g}), more than {limit:g}; "
                    "it was not written.",
                    "A larger --limit accepts it; a grey level is 0.0078.",
                )
    except OSError as error:
        raise I2IError(f"{path} cannot be written: {error}.", "Free some space, or give another.") from error
    sizes = tuple(dict.fromkeys(_padded(source, side) for side in SIDES))
    return Check(path, *made, len(sizes) * sum(BATCHES), sizes, notes)


def graph(source: Translator) -> Any:
    """The onnx.ModelProto of a translator's network: input `image` [B, C, H, W], output `translation`."""
    multiple = max(source.multiple, 1)
    side = multiple * max(2, -(-32 // multiple))
    # sides that differ, and a batch above 1: the tracer takes equal sizes, and 1, for constants
    x = torch.zeros(2, source.channels_in, side, side + 2 * multiple)
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with _quiet(), torch.no_grad():
        try:
            made = torch.onnx.export(
                flat.exact_on_flat(source.network),
                (x,),
                dynamo=True,
                dynamic_shapes=(free,),
                input_names=["picture"],
                output_names=["translation"],
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # whatever the exporter cannot express
            kind = type(source.network).__name__
            first = " ".join(str(error).split())[:200]
            raise I2IError(f"This {kind} cannot be written as ONNX: {first}.", "U-Net and ResNet can.") from error
    assert made is not None
    return made.model_proto


@torch.inference_mode()
def compare(source: Translator, network: OnnxNet, pictures: list[Tensor]) -> tuple[float, float]:
    """(largest, mean) absolute difference of both networks' outputs, over images at SIDES and BATCHES."""
    largest, total, count = 0.0, 0.0, 0
    at = 0
    wanting = flat.exact_on_flat(source.network)
    pictures = [*pictures[:1], torch.full_like(pictures[0], 0.3), *pictures[1:]]  # a flat one among them
    for side in SIDES:
        for batch in BATCHES:
            parts = [_cut(pictures[(at + i) % len(pictures)], side, _padded(source, side)) for i in range(batch)]
            at += batch
            x = torch.stack(parts)
            wanted = wanting(x)
            found = network(x)
            if found.shape != wanted.shape:
                raise I2IError(f"The ONNX file makes {[*found.shape]} of {[*x.shape]}; {[*wanted.shape]} was expected.")
            apart = (found - wanted).abs()
            worst = float(apart.max())
            largest = worst if not worst <= largest else largest  # keeps what is not a number
            total, count = total + float(apart.double().sum()), count + apart.numel()
    return largest, total / count


def _padded(source: Translator, side: tuple[int, int]) -> tuple[int, int]:
    height, width = (-(-max(translator.SMALLEST, n) // source.multiple) * source.multiple for n in side)
    return height, width


def _cut(picture: Tensor, side: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """The middle of an image [C, H, W], at most of size `side`, reflected to `padded`."""
    top, left = ((have - want) // 2 if have > want else 0 for have, want in zip(picture.shape[1:], side))
    return adapt.pad_reflect(picture[:, top : top + side[0], left : left + side[1]], *padded)


def _pictures(folder: Path, source: Translator) -> list[Tensor]:
    """Up to as many images as are tried at once, as [C, H, W] in [-1, 1]."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        raise I2IError(f"There are no images in {folder} to check the file on.", "Give another --check.")
    return [source.prepare(p).pixels for p in found[: len(SIDES) * sum(BATCHES)]]


def _header(source: Translator, direction: str) -> dict[str, Any]:
    kept = {k: v for k, v in source.header.items() if k not in ("networks", "sha256", "format")}
    network = source.network
    return {
        **kept,
        "network": {"type": type(network).__name__, "arguments": dict(getattr(network, "arguments", {}))},
        "direction": direction,
        "channels_in": source.channels_in,
        "channels_out": source.channels_out,
        "multiple": source.multiple,
        "whole": bool(flat.per_image_norms(network)),
        "radius": source.tiling.radius,
        "bytes_per_pixel": source.tiling.bytes_per_pixel,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter prints and warns of; its errors stay."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
