"""From what a user calls a model to a translator.

find            a file, a run's folder, a published name or a Hub address -> ModelFile (path and display name)
load            any of these -> Translator
translator_of   networks that are in memory already -> Translator
digest          the digest of a translator's weights, without building its network
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from i2i import nets
from i2i.core import files, plugins
from i2i.core.device import device_of
from i2i.core.errors import I2IError, NoDirection, among, nearest
from i2i.core.progress import Progress
from i2i.core.suggest import did_you_mean, neighbors, same_name, similar
from i2i.models import content, hub, zoo
from i2i.models import format as model_file
from i2i.models.coloring import ColorTranslator
from i2i.models.folders import file_for, model_inside
from i2i.models.header import NETWORK_OF
from i2i.models.precision import DTYPES, MIXED, choose
from i2i.models.tiling import TileSettings
from i2i.models.translator import Translator
from i2i.models.use import use_command
from i2i.models.weights import weights_digest

PRECISIONS = ("auto", "fp32", "bf16", "fp16", MIXED)
USES_IMAGE_STATISTICS = {"image": True, "picture": True, "stored": False}  # `picture`: the name until version 0.1
STATISTICS = ("auto", "image", "stored")
GENERATORS = ("unet", "resnet", "rrdbnet", "stargan")  # networks of a .pth file that translate images


@dataclass(frozen=True)
class ModelFile:
    """A model that `find` has found: its file, and the name that users see."""

    path: Path
    name: str


def find(model: str | Path | ModelFile, progress: Progress | None = None) -> ModelFile:
    """The file of a model, given as to `load`; a published model is downloaded if it is not in the cache.

    progress: called as progress(bytes so far, bytes in all or 0) during a download. What `find` returned may be given
    again and is returned as it is. Raises I2IError if there is no such model."""
    if isinstance(model, ModelFile):
        return model
    if not isinstance(model, str | Path):
        raise I2IError(f"A {type(model).__name__} is not a model.", "Give a path, or a name that `i2i models` lists.")
    return ModelFile(_path_of(str(model), progress), display_name(model))


def load(
    model: str | Path | ModelFile,
    device: str | torch.device = "auto",
    precision: str = "auto",
    direction: str = "AtoB",
    statistics: str = "auto",
    tiling: TileSettings | None = None,
    progress: Progress | None = None,
    method: str | Path | None = None,
) -> Translator:
    """The translator of a saved model.

    model: one of
        - a .safetensors file, or the folder of a run that has saved a model;
        - a .pth file by the authors of pix2pix, CycleGAN, CUT, StarGAN, ESRGAN or Real-ESRGAN, whatever its suffix
          (.pth.tar, .pt, .ckpt, .bin, or .safetensors with the same names);
        - such a file with both generators of a CycleGAN, by names such as G_A2B and G_B2A;
        - a folder of theirs with latest_net_G.pth, or with latest_net_G_A.pth and latest_net_G_B.pth (BtoA);
        - an .onnx file that `i2i export` wrote (onnxruntime runs it, on the CPU);
        - a name that `i2i models` lists (downloaded on first use);
        - hf:USER/NAME[@REVISION] on the Hugging Face Hub;
        - what `find` returned.
    device: auto, cpu, cuda, cuda:1 or mps. precision: fp32, bf16, fp16 (GPUs only),
    mixed (on a CPU: bf16 for images of 8 bits, fp32 for others), or auto: mixed on a CPU with bf16 hardware, for a
    model of which the file says that this changes its values little (see i2i.models.precision); else fp32.
    direction: AtoB, as trained, or BtoA, the way back, which CycleGAN models hold too.
    statistics: what batch norm uses: `image`, each image's own statistics (as pix2pix does), `stored`, those of the
    training, or `auto`, what the model's header says.
    tiling: when and how large images are cut into tiles.
    progress: called as progress(bytes so far, bytes in all or 0) during a download.
    method: the method file that defines the model's network, if that is a file of your own. **Its code is run.**

    Raises I2IError if an option is unknown, or the model is missing, damaged or does not translate images.
    """
    torch_device = _check_options(device, precision, direction, statistics)
    source = find(model, progress)
    if method is not None:
        import_method(method, source.path)
    if content.kind_of(source.path) == content.ONNX:
        return _load_onnx(source, str(device), precision, direction, statistics, tiling)
    header, networks = _read(source.path, direction)
    return translator_of(networks, header, source.name, torch_device, precision, direction, statistics, tiling)


def translator_of(
    networks: Mapping[str, nn.Module],
    header: Mapping[str, Any],
    name: str = "model",
    device: str | torch.device | None = None,
    precision: str = "fp32",
    direction: str = "AtoB",
    statistics: str = "auto",
    tiling: TileSettings | None = None,
) -> Translator:
    """The translator of networks in memory, such as those of a method that was just trained.

        translator_of({"G": method.G}, {"train_mode_norm": True}, "mine")

    networks: G, and F for direction BtoA. header: as of a saved model; what counts here is `train_mode_norm` (batch
    norm uses each image's own statistics), `dropout_at_test`, and `channels_in`, `channels_out` and `multiple` if the
    network does not say so itself. device: None leaves the network where it is. The rest: see `load`.

    The network is not copied: it is put into eval mode, its parameters stop requiring gradients, and on a CPU its
    convolutions become faster ones (i2i.core.fast_conv). Give a copy to go on training with the original.
    Raises I2IError if an option is unknown or there is no network for that direction.
    """
    network = networks[_network_for(direction, networks, header, name)]
    if device is None:
        device = next(network.parameters()).device
    torch_device = _check_options(device, precision, direction, statistics)
    if statistics != "auto":
        header = {**header, "train_mode_norm": USES_IMAGE_STATISTICS[statistics]}
    if precision == "auto":
        precision, _ = choose(header, direction, statistics, torch_device)
    translator = _kind_of(header)(network.to(torch_device), dict(header), name, DTYPES[precision], tiling)
    translator.only_bytes = precision == MIXED
    return translator


def _kind_of(header: Mapping[str, Any]) -> type[Translator]:
    """The class of translators for a header."""
    return ColorTranslator if header.get("colorizes") else Translator


def digest(
    model: str | Path | ModelFile,
    device: str = "auto",
    precision: str = "auto",
    direction: str = "AtoB",
    statistics: str = "auto",
    method: str | Path | None = None,
) -> str:
    """`load(...).digest`, without building the network or touching the device.

    Raises I2IError wherever `load` would, so that a program can stop before it starts processes that load the model."""
    _check_options(device, precision, direction, statistics)
    source = find(model)
    kind = content.kind_of(source.path)
    if kind == content.ONNX:
        return load(source, device, precision, direction, statistics).digest
    if method is not None:
        import_method(method, source.path)
    if kind == content.PTH:
        header, networks = _read(source.path, direction)
        state = networks[NETWORK_OF[direction]].state_dict()
    else:
        header, network = _header(source.path, direction)
        header, states = model_file.read(source.path, [network])
        state = states[network]
        model_file.check(source.path, network, header, state)
    if statistics != "auto":
        header = {**header, "train_mode_norm": USES_IMAGE_STATISTICS[statistics]}
    return weights_digest(state, header)


def import_method(method: str | Path, model: Path) -> None:
    """Runs the method file that defines the networks of a model. Raises I2IError if it defines no method."""
    is_ours = content.kind_of(model) == content.SAFETENSORS
    header = model_file.read_header(model) if is_ours else {"networks": {}}
    plugins.import_file(method, [described["type"] for described in header["networks"].values()])


def display_name(model: str | Path) -> str:
    """A short name for a model: the stem of its file, the name of its run's folder, or its published name."""
    if str(model).startswith(hub.PREFIX):
        return hub.split(str(model))[0].partition("/")[2]
    path = Path(model)
    if path.name == "model.safetensors":
        path = path.resolve().parent
    elif path.is_dir():
        path = path.resolve()
    if content.has_suffix(path.name):
        return content.stem(path.name)
    return path.name if path.exists() else same_name(path.name, zoo.names()) or path.name


# ---- steps of the above --------------------------------------------------------------------------------------------


def _check_options(device: str | torch.device, precision: str, direction: str, statistics: str) -> torch.device:
    """The torch device of that name. Raises I2IError if it or another option is unknown or they do not fit."""
    torch_device = device_of(device)
    if precision not in PRECISIONS:
        raise I2IError(f"The precision {precision!r} is unknown.", among(str(precision), PRECISIONS))
    if precision == MIXED and torch_device.type != "cpu":
        raise I2IError(f"The precision {MIXED} is for CPUs only.", "Give fp16, bf16 or fp32.")
    if precision == "fp16" and torch_device.type == "cpu":
        raise I2IError("fp16 works on GPUs only, and the device is the CPU.", "Give bf16 or fp32.")
    if direction not in NETWORK_OF:
        raise I2IError(f"The direction {direction!r} is unknown.", among(str(direction), NETWORK_OF))
    if statistics != "auto" and statistics not in USES_IMAGE_STATISTICS:
        raise I2IError(f"The statistics {statistics!r} are unknown.", among(str(statistics), STATISTICS))
    return torch_device


def _may_hold_model(path: Path) -> bool:
    """Whether a file is called like a model, or a folder or one of its folders holds such a file."""
    if not path.is_dir():
        return content.has_suffix(path.name)
    return any(content.has_suffix(p.name) for pattern in ("*", "*/*") for p in path.glob(pattern))


def _path_of(model: str, progress: Progress | None) -> Path:
    """Where the file of a model lies, after a download if it needs one."""
    if model.startswith(hub.PREFIX):
        return hub.pull(model)
    path, kind = Path(model), files.kind_of(model)
    if kind == "folder":
        return model_inside(path)
    if kind == "file":
        return path
    name = same_name(model, zoo.names())
    if name is not None:
        return zoo.get(name, progress=progress)
    near = did_you_mean(neighbors(path, accept=_may_hold_model))
    if content.has_suffix(path.name) or len(path.parts) > 1:
        raise I2IError(
            f"There is no model at {path}.", near or "Give a file, a run's folder, or a name that `i2i models` lists."
        )
    hint = near if near and not similar(model, zoo.names()) else nearest(model, zoo.names())
    raise I2IError(f"No model and no file is called {model!r}.", hint)


def _read(path: Path, direction: str) -> tuple[dict[str, Any], dict[str, nn.Module]]:
    """The header of a model file, and the network for `direction` by its name."""
    if content.kind_of(path) != content.PTH:
        header, network = _header(path, direction)
        return header, model_file.load(path, [network]).networks

    from i2i.models import pth
    from i2i.models.pth_ways import ways

    state = pth.read(path)
    if both := ways(state):
        state = both[direction]
    elif (other := file_for(path, direction)) != path:
        path, state = other, pth.read(other)
    net = pth.network_of(state, path)
    if nets.network_name(net) not in GENERATORS:
        raise I2IError(f"{path} holds a {type(net).__name__}, which makes no images.", "Give the file of a generator.")
    # The authors of pix2pix and CycleGAN test with each image's own statistics; these others have no batch norm.
    header = {} if nets.network_name(net) in ("rrdbnet", "stargan") else {"train_mode_norm": True}
    return header, {NETWORK_OF[direction]: net.eval()}


def _header(path: Path, direction: str) -> tuple[dict[str, Any], str]:
    """The header of a model file that translates images, and the name of the network for `direction`."""
    header = model_file.read_header(path)
    if header.get("kind") == "generate":
        raise I2IError(
            f"{path} makes images from noise and cannot translate yours.",
            f"Make images with it: {use_command(path, True, model_file.method_file(path, header))}",
        )
    name = _network_for(direction, header["networks"], header, path)
    if not nets.has_argument(header["networks"][name]["type"], "channels_in"):
        raise I2IError(f"The network {name} of {path} does not translate images.", "Give a model that does.")
    return header, name


def _network_for(direction: str, networks: Mapping[str, Any], header: Mapping[str, Any], model: str | Path) -> str:
    """The name of the network for a direction. Raises I2IError if `networks` lacks it."""
    if direction not in NETWORK_OF:
        raise I2IError(f"The direction {direction!r} is unknown.", among(str(direction), NETWORK_OF))
    names = {**NETWORK_OF, "AtoB": header.get("generator", NETWORK_OF["AtoB"])}
    if (name := names[direction]) in networks:
        return name
    directions = [d for d, n in names.items() if n in networks]
    if not directions:
        raise I2IError(f"{model} has no generator that translates images.", "Give a model of a translation method.")
    raise NoDirection(f"{model} cannot translate {direction}.", f"It can translate {' and '.join(directions)}.")


def _load_onnx(
    source: ModelFile, device: str, precision: str, direction: str, statistics: str, tiling: TileSettings | None
) -> Translator:
    """The translator of an ONNX file, whose direction, norm statistics and precision are fixed at its export."""
    from i2i.models.onnx import OnnxNet

    path = source.path
    if device not in ("auto", "cpu"):
        raise I2IError(f"ONNX files run on the CPU only, but the device is {device!r}.", "Give auto or cpu.")
    if precision not in ("auto", "fp32"):
        raise I2IError(
            f"ONNX files run in fp32 only, but the precision is {precision}.", "Give the model it was exported from."
        )
    net = OnnxNet(path)
    if direction != net.direction:
        raise NoDirection(f"{path} cannot translate {direction}.", f"It can translate {net.direction}.")
    own = bool(net.header.get("train_mode_norm"))
    if statistics != "auto" and USES_IMAGE_STATISTICS[statistics] != own:
        raise I2IError(
            f"{path} was exported with the {'image' if own else 'stored'} statistics, not the {statistics} ones.",
            f"Export the model again with --statistics {statistics}.",
        )
    return _kind_of(net.header)(net, net.header, source.name, None, tiling)
