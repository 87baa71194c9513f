"""The use case "export": a trained generator as an ONNX file, checked before it is kept.

    i2i.export("runs/mine", "mine.onnx")

Batch, height and width stay free; height and width must be multiples of the network's. Norms with per-image statistics
compute them inside the graph. onnxruntime runs the file on real images, beside the network it was made from, and the
file appears only if both agree.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import nets
from i2i.core import fast_conv, resources
from i2i.core.errors import I2IError
from i2i.core.files import atomic_path
from i2i.media import adapt, images
from i2i.models import flat, translator
from i2i.models import load as loading
from i2i.models import onnx as onnx_file
from i2i.models.answers import names_of
from i2i.models.load import ModelFile
from i2i.models.onnx import OnnxNet
from i2i.models.quantize import MEAN_LIMIT, in_int8
from i2i.models.translator import Translator
from i2i.nets.chain import Chain
from i2i.nets.choice import Choice

LIMIT = 1e-3  # largest difference allowed, of values in [-1, 1]; one level of 255 is 8e-3
SIDES = ((3, 40), (64, 64), (96, 160), (131, 77))  # height and width of the images that are tried, before padding
BATCHES = (1, 3)  # images in the passes that are tried
CALIBRATION_SIDE = 256  # pixels, at most, of the images on which the ranges of 8 bits are measured
AXES = {0: "batch", 2: "height", 3: "width"}  # names of the free axes of an image in the file


@dataclass(frozen=True)
class ExportResult:
    """How far the outputs of onnxruntime and torch are apart, of values in [-1, 1]."""

    path: Path
    largest: float  # difference of a single value
    mean: float  # absolute difference
    images: int  # number of images that both translated
    sizes: tuple[tuple[int, int], ...]  # height and width of these images, as the networks saw them
    notes: tuple[str, ...]  # sentences on what the file leaves out


def export(
    model: str | Path | ModelFile,
    output: str | Path,
    *,
    direction: str = "AtoB",
    statistics: str = "auto",
    check: str | Path | None = None,
    limit: float | None = None,
    quantize: str = "",
    overwrite: bool = False,
    method: str | Path | None = None,
    steps: int | None = None,
    to: str | Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
) -> ExportResult:
    """Writes `model` as ONNX to `output`, and returns how far the two are apart.

    model, direction, statistics, method: see i2i.load. check: a folder of images to compare them on; None: images of
    i2i. limit: largest difference allowed, of values in [-1, 1]; None: 0.001. quantize: "int8" for a file in 8 bits,
    whose ranges are measured on these images; its mean difference is limited, to 0.02 by default. overwrite: replace a
    file that exists. steps: of a model that answers in several steps; None: its own number. to: the domain or the
    attributes of a model with many, such as "Blond_Hair,Young"; empty: the first domain. tell(sentence): called before
    each step that takes time.

    The file appears complete or not at all. Raises I2IError if the model cannot be loaded, the extra `onnx` is missing,
    `output` exists or cannot be written, or the difference exceeds the limit.
    """
    path = Path(output)
    in_8_bits = quantize != ""
    limit = (MEAN_LIMIT if in_8_bits else LIMIT) if limit is None else limit
    _check_request(path, limit, overwrite, quantize)
    tell = tell or (lambda sentence: None)

    loaded = loading.load(model, "cpu", "fp32", direction=direction, statistics=statistics, method=method)
    source, notes = _answering(loaded, to, steps)
    fast_conv.slow_down(source.network)  # the file holds plain convolutions, and is compared with them
    folder = Path(check) if check is not None else resources.shipped("datasets") / "earth" / "test"
    samples = _samples(folder, source)

    # Write the file, compare it with the network, and keep it only if they agree.
    try:
        with atomic_path(path) as temporary:
            tell(f"Writing {path}: this may take a minute.")
            program, header = graph(source), _header(source, direction)
            if in_8_bits:
                tell(f"Measuring the ranges of values on images of {folder}.")
            for form in in_int8(program, _calibration(source, samples)) if in_8_bits else [program]:
                onnx_file.write(form, header, temporary)
                tell(f"Checking it on images of {folder}.")
                largest, mean = compare(source, OnnxNet(temporary), samples)
                if mean <= limit:
                    break
            _check_difference(largest, mean, limit, in_8_bits)
    except OSError as error:
        raise I2IError(
            f"{path} cannot be written: {error}.", "Free space on the disk, or give another path."
        ) from error
    sizes = tuple(dict.fromkeys(_padded(source, side) for side in SIDES))
    return ExportResult(path, largest, mean, len(sizes) * sum(BATCHES), sizes, notes)


def _answering(source: Translator, to: str | Sequence[str], steps: int | None) -> tuple[Translator, tuple[str, ...]]:
    """(the model with the one answer that its ONNX file gives, and without its noise; sentences about both).

    Raises I2IError for a model that is an ONNX file, and for domains or steps that it does not have."""
    if isinstance(source.network, OnnxNet):
        raise I2IError(f"{source.name} is an ONNX file already.", "Give the model that it was exported from.")
    notes: tuple[str, ...] = ()
    if source.noisy:  # ONNX has no way to repeat it
        source = type(source)(source.network, {**source.header, "dropout_at_test": False}, source.name)
        notes = ("The model uses dropout as noise at test time; the ONNX file leaves it out.",)
    if steps is not None:
        if steps < 1:
            raise I2IError(f"steps is {steps}.", "Allowed: 1 or more.")
        source = source.with_choice(Choice(steps=steps))
    if domains := getattr(source.saved_network, "domains", ()):
        names = names_of(to, domains) or tuple(domains[:1])
        notes += (f"The ONNX file always translates into {', '.join(names)}.",)
    if to:
        source = source.with_choice(Choice(to=names_of(to, domains), steps=steps or 0))
    if isinstance(source.network, Chain):
        notes += (f"The ONNX file always makes {source.network.steps} steps and gives the first answer of seed 0.",)
    return source, notes


def graph(source: Translator) -> Any:
    """The onnx.ModelProto of a translator's network: input `picture` [B, C, H, W], output `translation`."""
    # The exporter takes equal sizes, and a batch of 1, for constants: give it different sides and a batch of 2.
    multiple = max(source.multiple, 1)
    side = multiple * max(2, -(-32 // multiple))
    x = torch.zeros(2, source.channels_in, side, side + 2 * multiple)
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                flat.exact_on_flat(source.network),
                (x,),
                dynamo=True,
                dynamic_shapes=(free,),
                input_names=["picture"],  # other programs know these names: they stay
                output_names=["translation"],
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # whatever the exporter cannot express
            kind = type(source.network).__name__
            reason = " ".join(str(error).split())[:200]
            raise I2IError(
                f"This {kind} cannot be written as ONNX: {reason}.", "U-Net and ResNet generators can."
            ) from error
        assert program is not None
        proto = program.model_proto
        scale = source.network(x).shape[-1] // x.shape[-1]
    _name_axes(proto, scale)
    return proto


@torch.inference_mode()
def compare(source: Translator, exported: OnnxNet, samples: list[Tensor]) -> tuple[float, float]:
    """(largest, mean) absolute difference of both outputs, for images [C, H, W] cut to SIDES, in BATCHES."""
    network = flat.exact_on_flat(source.network)
    samples = [*samples[:1], torch.full_like(samples[0], 0.3), *samples[1:]]  # one is a single color
    largest, total, values = 0.0, 0.0, 0
    position = 0  # in the samples, which are used in turn
    for side in SIDES:
        padded = _padded(source, side)
        for batch in BATCHES:
            indices = [(position + i) % len(samples) for i in range(batch)]
            x = torch.stack([_center(samples[i], side, padded) for i in indices])
            position += batch
            expected = network(x)
            y = exported(x)
            if y.shape != expected.shape:
                raise I2IError(
                    f"The ONNX file turns images of shape {[*x.shape]} into {[*y.shape]}, not {[*expected.shape]}."
                )
            difference = (y - expected).abs()
            worst = float(difference.max())
            largest = worst if not worst <= largest else largest  # a NaN stays
            total, values = total + float(difference.double().sum()), values + difference.numel()
    return largest, total / values


# ---- steps of the above --------------------------------------------------------------------------------------------


def _check_difference(largest: float, mean: float, limit: float, in_8_bits: bool) -> None:
    """Raises I2IError if the file is too far from the network: by a single value, or in 8 bits by its mean."""
    if not (mean if in_8_bits else largest) <= limit:  # true also if it is not a number
        which = "limit of the mean" if in_8_bits else "limit"
        raise I2IError(
            f"The ONNX file is off by {largest:.2g} (mean {mean:.2g}), more than the {which} of {limit:g}; it was not "
            "written.",
            "Give a larger --limit to accept it; one level of 255 is 0.0078.",
        )


def _check_request(path: Path, limit: float, overwrite: bool, quantize: str = "") -> None:
    """Raises I2IError for a request that cannot be met, before anything is loaded."""
    if quantize not in ("", "int8"):
        raise I2IError(f"--quantize is {quantize!r}.", "Allowed: int8.")
    if path.suffix.lower() != ".onnx":
        raise I2IError(f"The output {path} does not end in .onnx.", "Give a name such as model.onnx.")
    if path.exists() and not overwrite:
        raise I2IError(f"{path} exists.", "Give --overwrite to replace it.")
    if not limit >= 0:
        raise I2IError(f"The limit is {limit}.", "Give a number of 0 or more.")
    for name in ("onnx", "onnxscript", "onnxruntime"):
        onnx_file.imported(name)


def _name_axes(proto: Any, scale: int) -> None:
    """Gives the free axes of an onnx.ModelProto the names of AXES, also where others are computed from them.

    scale: sides of the output divided by those of the input, which are multiples of what the network needs."""
    own = [dim.dim_param for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    names = {own[axis]: name for axis, name in AXES.items() if own[axis]}
    if not names:
        return
    words = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = words.sub(lambda match: names[match[0]], dim.dim_param)
    for axis, dim in enumerate(proto.graph.output[0].type.tensor_type.shape.dim):
        if axis in AXES and dim.dim_param:
            dim.dim_param = AXES[axis] if axis == 0 or scale == 1 else f"{scale}*{AXES[axis]}"


def _padded(source: Translator, side: tuple[int, int]) -> tuple[int, int]:
    """Height and width of an image as the network sees it."""
    height, width = (-(-max(translator.SMALLEST, n) // source.multiple) * source.multiple for n in side)
    return height, width


def _center(image: Tensor, side: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """The center of an image [C, H, W], at most of height and width `side`, reflected to `padded`."""
    top, left = ((old - new) // 2 if old > new else 0 for old, new in zip(image.shape[1:], side))
    return adapt.pad_reflect(image[:, top : top + side[0], left : left + side[1]], *padded)


def _calibration(source: Translator, samples: list[Tensor]) -> list[Tensor]:
    """The samples as batches of one image of one size, that of the training where it is known."""
    side = min(CALIBRATION_SIDE, int(source.header.get("size") or CALIBRATION_SIDE))
    padded = _padded(source, (side, side))
    return [_center(image, (side, side), padded)[None] for image in samples]


def _samples(folder: Path, source: Translator) -> list[Tensor]:
    """The first images of a folder, as many as `compare` uses, each [C, H, W] in [-1, 1]."""
    paths = images.find_images(folder) if folder.is_dir() else []
    if not paths:
        raise I2IError(f"There are no images in {folder} to check the file on.", "Give another folder with --check.")
    return [source.prepare(p).pixels for p in paths[: len(SIDES) * sum(BATCHES)]]


def _header(source: Translator, direction: str) -> dict[str, Any]:
    """The JSON header of the ONNX file: the model's own, and what is measured on its network."""
    network = source.network
    return {
        **{k: v for k, v in source.header.items() if k not in ("networks", "sha256", "format")},
        "network": {"type": type(network).__name__, "arguments": nets.network_arguments(network)},
        "direction": direction,  # which generator it is
        "data_direction": source.header.get("direction", "AtoB"),  # which side of pairs the model reads
        "channels_in": source.channels_in,
        "channels_out": source.channels_out,
        "multiple": source.multiple,
        "scale": source.scale,
        "whole": bool(flat.per_image_norms(network)) or isinstance(network, Chain),
        "radius": source.tiling.radius,
        "bytes_per_pixel": source.tiling.bytes_per_pixel,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's output and warnings; its exceptions pass."""
    with onnx_file.without_logs(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
