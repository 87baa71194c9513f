"""From what users call a model to a translator: a file, a run's folder, a name, an address on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from i2i.core.device import device_of
from i2i.core.errors import I2IError, nearest
from i2i.core.progress import Progress
from i2i.models import format as model_file
from i2i.models import hub, zoo
from i2i.models.translator import TileSettings, Translator

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
NETWORK_OF = {"AtoB": "G", "BtoA": "F"}
GENERATORS = ("unet", "resnet")


def load(
    model: str | Path,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    direction: str = "AtoB",
    statistics: str = "auto",
    tiling: TileSettings | None = None,
    progress: Progress | None = None,
) -> Translator:
    """The translator of a saved model.

    model: a .safetensors file, a run's folder, a .pth file of the papers' authors, an .onnx file of `i2i export`
    (onnxruntime runs it, on the CPU), hf:USER/NAME[@REVISION] of the Hugging Face Hub, or a name of `i2i models`
    (fetched on first use; `progress(bytes, total)` is told). precision: fp32, bf16 or fp16. direction: AtoB, the way
    the model was trained, or BtoA, the way back, which CycleGAN models hold too. statistics: what batch normalisation
    uses, the `image`'s own (as pix2pix does) or the `stored` ones of the training; `auto` does what the model says.
    tiling: when and how large images are cut into windows.
    Raises I2IError for anything unknown, missing or unreadable.
    """
    if not isinstance(model, str | Path):
        raise I2IError(f"A {type(model).__name__} is no model.", "Give a path, or a name of `i2i models`.")
    place = device_of(device)
    if precision not in PRECISIONS:
        raise I2IError(f"Precision {precision!r} is unknown.", nearest(str(precision), PRECISIONS))
    if precision == "fp16" and place.type == "cpu":
        raise I2IError("fp16 is for GPUs; this would run on the CPU.", "Give bf16 or fp32.")
    if direction not in NETWORK_OF:
        raise I2IError(f"Direction {direction!r} is unknown.", nearest(direction, NETWORK_OF))
    if statistics not in ("auto", "picture", "stored"):
        raise I2IError(f"Statistics {statistics!r} is unknown.", nearest(statistics, ("auto", "picture", "stored")))
    path = find(model, progress)
    if path.suffix == ".onnx":
        return _onnx(path, display_name(model), str(device), precision, direction, statistics, tiling)
    header, net = _read(path, NETWORK_OF[direction], direction)
    if statistics != "auto":
        header = {**header, "train_mode_norm": statistics == "picture"}
    return Translator(net.to(place), header, display_name(model), PRECISIONS[precision], tiling)


def find(model: str | Path, progress: Progress | None = None) -> Path:
    """The file of a model given by path, run folder or name; a published model is fetched. Raises I2IError."""
    if str(model).startswith(hub.PREFIX):
        return hub.pull(str(model))
    path = Path(model)
    if path.is_dir():
        inside = path / "model.safetensors"
        if inside.is_file():
            return inside
        raise I2IError(f"{path} holds no model.safetensors.", "Give a run's folder whose training has ended.")
    if path.is_file():
        return path
    if str(model) in zoo.names():
        return zoo.get(str(model), progress=progress)
    if path.suffix in (".safetensors", ".pth", ".pt", ".onnx") or len(path.parts) > 1:
        raise I2IError(f"There is no model at {path}.", "Give a file, a run's folder, or a name of `i2i models`.")
    raise I2IError(f"No model is called {str(model)!r}, and there is no such file.", nearest(str(model), zoo.names()))


def display_name(model: str | Path) -> str:
    """A short name for a model: its file's stem, its run's folder, or its name."""
    if str(model).startswith(hub.PREFIX):
        return hub.split(str(model))[0].partition("/")[2]
    path = Path(model)
    if path.name == "model.safetensors":
        path = path.resolve().parent
    elif path.is_dir():
        path = path.resolve()
    return path.stem if path.suffix in (".safetensors", ".pth", ".pt", ".onnx") else path.name


def _read(path: Path, network: str, direction: str) -> tuple[dict[str, Any], nn.Module]:
    if path.suffix in (".pth", ".pt"):
        if network != "G":
            raise I2IError(f"{path} holds one network, so one direction.", "Give the file of the other direction.")
        from i2i import nets
        from i2i.models import pth

        net, _ = pth.load_pth(path)
        if nets.network_name(net) not in GENERATORS:
            raise I2IError(f"{path} holds a {type(net).__name__}, which makes no images.", "Give a generator's file.")
        # its authors run such networks with the statistics of the image
        return {"train_mode_norm": True}, net.eval()
    header = model_file.read_header(path)
    if header.get("kind") == "generate":
        raise I2IError(
            f"{path} makes images from noise; to translate, evaluate or export takes a model that translates.",
            "`i2i generate` makes its images, and i2i.load_generator opens it in Python.",
        )
    if network not in header["networks"]:
        held = [d for d, n in NETWORK_OF.items() if n in header["networks"]]
        if not held:
            raise I2IError(f"{path} holds no generator that translates images.", "Give a model of a translation.")
        raise I2IError(f"{path} cannot translate {direction}.", f"It holds {' and '.join(held)}.")
    return header, model_file.load(path, [network]).networks[network]


def _onnx(
    path: Path, name: str, device: str, precision: str, direction: str, statistics: str, tiling: TileSettings | None
) -> Translator:
    """What an ONNX file holds is settled: its way, its norms' statistics, its precision."""
    from i2i.models.onnx import OnnxNet

    if device not in ("auto", "cpu"):
        raise I2IError(f"ONNX files run on the CPU here; the device {device!r} was asked for.", "Give auto or cpu.")
    if precision != "fp32":
        raise I2IError(f"ONNX files run in fp32; {precision} was asked for.", "Give the model it was made from.")
    net = OnnxNet(path)
    if direction != net.direction:
        raise I2IError(f"{path} cannot translate {direction}.", f"It holds {net.direction}.")
    kept = "picture" if net.header.get("train_mode_norm") else "stored"
    if statistics not in ("auto", kept):
        raise I2IError(f"{path} was exported with the {kept} statistics, not the {statistics} ones.", "Export it anew.")
    return Translator(net, net.header, name, None, tiling)
