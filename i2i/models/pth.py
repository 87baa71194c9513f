"""Weights by others: `.pth` files by the authors of pix2pix, CycleGAN, CUT, StarGAN, ESRGAN and Real-ESRGAN.

Keys and shapes alone tell which network a file holds: its arguments are read from them, the network is built without
memory, and every key and shape is compared. Files are read with weights-only loading, so no code in them runs.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from i2i.core.config import shorten
from i2i.core.errors import I2IError
from i2i.core.files import open_regular
from i2i.models import content, pth_sr, pth_stargan, pth_ways
from i2i.nets import build

State = dict[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]  # of the tensors of a state dict, by key

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_WRAPPERS = ("module.", "_orig_mod.")  # prefixes by DataParallel and by torch.compile
_CONTAINERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "params_ema",
    "params",
    "netG",
    "net_G",
    "generator",
    "G",
    "g_ema",
    "ema",
    "weights",
)
_KNOWN = (
    "i2i recognizes ResNet and U-Net generators, PatchGAN and pixel discriminators of pix2pix, CycleGAN and CUT, "
    "networks of StarGAN, and RRDBNet generators of ESRGAN and Real-ESRGAN."
)
MAX_TENSORS = 20_000  # in a file; large networks of today have some thousands
_AGAIN = "Download or copy the file again."


def load_pth(path: str | Path) -> nn.Module:
    """The network of a `.pth` file, or of a .safetensors file of another program, in eval mode on the CPU; of a file
    with two generators that from A to B.

    Raises I2IError naming the file if it is missing, damaged, holds more than tensors, or is not recognized."""
    state = read(path)
    return network_of(pth_ways.ways(state).get("AtoB", state), path)


def network_of(state: Any, path: str | Path) -> nn.Module:
    """The network of what `read` returned for the file `path`, in eval mode on the CPU.

    Raises I2IError naming the file if it is not recognized."""
    try:
        name, arguments = recognize(state)
        weights = repair(state)
    except I2IError as error:
        raise I2IError(f"{path}: {error.what}", error.hint) from None
    content.require_numbers(Path(path), weights)
    with torch.device("meta"):
        network = build(name, **arguments)
    network = network.to_empty(device="cpu")
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    return network.eval()


def read(path: str | Path) -> Any:
    """What a `.pth` file holds, read with weights-only loading (memory-mapped where its format allows it).

    Raises I2IError naming the file if it is missing, damaged, or holds more than tensors."""
    path = Path(path)
    if not path.is_file():
        raise I2IError(f"There is no file {path}.")
    if content.refuse_pretenders(path)[8:9] == b"{":
        return _read_safetensors(path)
    try:
        if path.suffix == ".safetensors":  # torch goes by this suffix, not by the content
            with open_regular(path) as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "Unsupported" in str(error):
            raise I2IError(
                f"{path} holds Python objects besides tensors, which could run code; it is not loaded.",
                "Get a file that holds only a state dict.",
            ) from None
        raise I2IError(f"{path} is damaged, or it is not a checkpoint of PyTorch.", _AGAIN) from None
    except MemoryError as error:  # a damaged file tells of parts of any length
        raise I2IError(f"{path} is damaged, or it does not fit into the memory.", _AGAIN) from error
    except Exception as error:  # noqa: BLE001 (a damaged file makes torch raise errors of many kinds, AssertionError too)
        detail = str(error).split("\n", 1)[0]
        detail = detail if " " in detail else ""  # some errors hold only a key, such as 105
        raise I2IError(f"{path} is damaged, or it is not a checkpoint of PyTorch. {detail}".strip(), _AGAIN) from None


def _read_safetensors(path: Path) -> State:
    """The tensors of a .safetensors file, whoever wrote it. Raises I2IError if it is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise I2IError(f"{path} is damaged, or it is not a safetensors file ({error}).", _AGAIN) from None


def repair(state: Mapping[str, Any]) -> State:
    """A plain state dict as PyTorch writes it today, from one of any age; the tensors are not copied.

    Removes the container (such as "state_dict"), the prefixes of DataParallel and torch.compile, and the statistics
    that instance norm once saved and never used. Adds the batch counters that batch norm did not save before PyTorch
    0.4.1. Raises I2IError if it is not a state dict.
    """
    # Unpack the state dict, and check that it is one.
    if not isinstance(state, Mapping) or not state:
        raise I2IError(f"This is {_kind(state)}, not a state dict.", _KNOWN)
    inner = next((state[k] for k in _CONTAINERS if isinstance(state.get(k), Mapping)), None)
    state = state if inner is None else inner
    odd = [k for k, v in state.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
    if odd or not state:
        fault = f"{shorten(odd[0])} is {_kind(state[odd[0]])}" if odd else "it is empty"
        raise I2IError(
            f"This is not the state dict of one network: {fault}.", "Save the state_dict() of the network alone."
        )

    _require_plain(state)

    # Remove the prefixes of wrappers, which may be nested.
    plain: State = dict(state)
    is_wrapped = True
    while is_wrapped:
        is_wrapped = False
        for prefix in _WRAPPERS:
            if plain and all(key.startswith(prefix) for key in plain):
                plain = {key[len(prefix) :]: value for key, value in plain.items()}
                is_wrapped = True

    # Mend the norms.
    repaired: State = {}
    for key, value in plain.items():
        layer, _, leaf = key.rpartition(".")
        if leaf in _STATISTICS and f"{layer}.weight" not in plain:
            continue
        repaired[key] = value
        if leaf == "running_var" and f"{layer}.num_batches_tracked" not in plain:
            repaired[f"{layer}.num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
    return pth_stargan.cleaned(pth_sr.renamed(repaired))


def _require_plain(state: Mapping[str, Tensor]) -> None:
    """Raises I2IError for tensors that no network has: sparse or quantized ones, or ones whose shapes promise far more
    numbers than the file holds, because their elements lie over each other."""
    if len(state) > MAX_TENSORS:
        raise I2IError(f"This holds {len(state):,} tensors.", f"Allowed: {MAX_TENSORS:,}.")
    numbers, held = 0, {}
    for key, value in state.items():
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            raise I2IError(f"Its tensor {shorten(key)} is of a kind that no network here has.", _KNOWN)
        storage = value.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes() // value.element_size()
        numbers += value.numel()
    if numbers > 4 * sum(held.values()) + 1000:  # tensors may share some of their numbers
        raise I2IError(f"Its tensors tell of {numbers:,} numbers, and hold {sum(held.values()):,}.", _AGAIN)


def recognize(state: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(network name, arguments) for `i2i.nets.build`, from the keys and shapes of a state dict.

    Dropout of a U-Net leaves no trace in them and is reported as off; translating does not use it. Raises I2IError
    naming the first key that does not fit.
    """
    clean = repair(state)
    try:
        name, arguments = _guess(clean)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise I2IError("The network is not recognized: its keys and shapes do not fit together.", _KNOWN) from error
    with torch.device("meta"):
        try:
            expected = {k: tuple(v.shape) for k, v in build(name, **arguments).state_dict().items()}
        except (I2IError, RuntimeError, ValueError, TypeError) as error:
            raise I2IError(f"This looks like a {name} network, but it cannot be built: {error}", _KNOWN) from None
    shapes = {k: tuple(v.shape) for k, v in clean.items()}
    if expected != shapes:
        odd = sorted((k for k in expected.keys() | shapes.keys() if expected.get(k) != shapes.get(k)), key=_order)[0]
        raise I2IError(
            f"This looks like a {name} network ({_listed(arguments)}), but its {odd} is "
            f"{_shape(shapes.get(odd))}, not {_shape(expected.get(odd))}.",
            _KNOWN,
        )
    return name, arguments


# ---- arguments from keys and shapes -------------------------------------------------------------------------


def _guess(state: State) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of the network that `state` looks like; the caller verifies them."""
    shapes = {k: tuple(v.shape) for k, v in state.items()}
    if pth_sr.is_rrdbnet(shapes):
        return "rrdbnet", pth_sr.rrdbnet_arguments(shapes)
    if family := pth_sr.other_family(shapes):
        raise I2IError(f"This is a network of another family: {family}.", _KNOWN)
    if pth_stargan.is_generator(shapes):
        return "stargan", pth_stargan.generator_arguments(shapes)
    if pth_stargan.is_discriminator(shapes):
        return "stargan_d", pth_stargan.discriminator_arguments(shapes)
    if shapes.get("model.model.0.weight", ())[2:] == (4, 4):
        return "unet", _unet(shapes)
    if len(shapes.get("net.0.weight", ())) == 4:
        width, channels = shapes["net.0.weight"][:2]
        norm = _norm(shapes, ["net.2"])
        return "pixel", {"channels": channels, "width": width, "norm": norm}
    if shapes.get("model.1.weight", ())[2:] == (7, 7):
        return "resnet", _resnet(shapes)
    if shapes.get("model.0.weight", ())[2:] == (4, 4):
        return "patchgan", _patchgan(shapes)
    if any(re.match(r"mlp_\d+\.", k) for k in shapes):
        raise I2IError("These are the projection heads of CUT (net_F), which do not translate.", "Give its net_G.")
    first_keys = ", ".join(sorted(shapes, key=_order)[:3])
    raise I2IError(f"The network is not recognized; its first keys are {first_keys}.", _KNOWN)


def _norm(shapes: Shapes, convolutions: Iterable[str]) -> str:
    """The norm's name: batch norm has statistics; instance norm has none, but the convolutions before it a bias."""
    if any(k.endswith("running_mean") for k in shapes):
        return "batch"
    return "instance" if any(f"{layer}.bias" in shapes for layer in convolutions) else "none"


def _resnet(shapes: Shapes) -> dict[str, Any]:
    """Arguments of a ResNet generator."""
    width, channels_in = shapes["model.1.weight"][:2]
    blocks = sorted({int(k.split(".")[1]) for k in shapes if ".conv_block." in k})
    layers = sorted({int(m[1]) for k in shapes if (m := re.match(r"model\.(\d+)\.weight$", k))})
    after = blocks[-1] if blocks else 9
    blurs = [int(k.split(".")[1]) for k in shapes if k.endswith(".filt")]
    upsample = "transposed"
    if any(i > after for i in blurs):
        upsample = "blur"
    elif shapes.get(f"model.{after + 1}.weight", ())[:2] == (2 * width, 4 * width):
        upsample = "resize"
    return {
        "channels_in": channels_in,
        "channels_out": shapes[f"model.{layers[-1]}.weight"][0],
        "blocks": len(blocks),
        "width": width,
        "norm": _norm(shapes, ["model.1"]),
        # A dropout layer takes the position of the block's second convolution's padding.
        "dropout": any(len(s) == 4 and k.endswith(".conv_block.6.weight") for k, s in shapes.items()),
        "upsample": upsample,
        "antialias": any(i < (blocks[0] if blocks else 12) for i in blurs),
    }


def _unet(shapes: Shapes) -> dict[str, Any]:
    """Arguments of a U-Net generator."""
    width, channels_in = shapes["model.model.0.weight"][:2]
    level, depth, widest = "model.model.1.model", 2, shapes.get("model.model.1.model.1.weight", (width,))[0]
    while f"{level}.3.model.1.weight" in shapes:  # each level lies inside the one before
        level, depth = f"{level}.3.model", depth + 1
        widest = max(widest, shapes[f"{level}.1.weight"][0])
    last = shapes.get("model.model.3.weight", (0, 0, 4, 4))
    resize = last[2:] == (3, 3)
    made = last[0] if resize else last[1]  # channels that the U itself makes
    end = shapes.get("detail.3.weight")  # the last of the convolutions at the full size, if there are any
    return {
        "channels_in": channels_in,
        "channels_out": end[0] if end else made,
        "depth": depth,
        "width": width,
        "norm": _norm(shapes, ["model.model.0"]),
        "dropout": False,
        "upsample": "resize" if resize else "transposed",
        "max_width": 0 if widest == width * min(2 ** (depth - 1), 8) else widest,
        "detail": made if end else 0,
    }


def _patchgan(shapes: Shapes) -> dict[str, Any]:
    """Arguments of a PatchGAN discriminator."""
    width, channels = shapes["model.0.weight"][:2]
    convs = sorted((k for k, s in shapes.items() if len(s) == 4 and k.endswith(".weight")), key=_order)
    return {
        "channels": channels,
        "layers": len(convs) - 2,
        "width": width,
        "norm": _norm(shapes, [k[: -len(".weight")] for k in convs[1:-1]]),
        "antialias": "model.2.filt" in shapes,
    }


# ---- words for errors ----------------------------------------------------------------------------------------------


def _kind(value: Any) -> str:
    return "empty" if value == {} else f"a {type(value).__name__}"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else "x".join(map(str, shape)) or "a scalar"


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in arguments.items())


def _order(key: str) -> list[tuple[int, int | str]]:
    """Sorts model.2 before model.10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in key.split(".")]
